"""How large the blocks of Inductor's kernels are on a CPU.

A kernel here is a loop over vectors, whatever its block, and nothing between is stored: a block costs what a program costs to start, and
what it keeps has to stay in the first caches. Extents are rounded up to powers of two, which Triton asks for; what is too much is cut off
by bounds, not computed.
"""

from collections.abc import Mapping

Extents = Mapping[str, int]  # by the letters of Inductor's dimensions: z, y, x, and r0_, r1_ of reductions; x and the last r are innermost

ELEMENTS = 8192  # of a program without reductions, and of one turn of a loop that reduces
LEAST = 1024  # elements that are worth a program
LINES = 16  # rows that a block across the order of memory has at least: a line of the caches
ACROSS = 512  # elements of such a block's rows
COLUMNS = 64  # neighbours for each of which a reduction runs across memory
ROWS = 64  # that it goes through in a turn; sums of more are sums of such sums, which keeps them exact
LONGEST = 1 << 16  # a row that is reduced by a block of its length: what several passes need of it stays in the second cache
SHORTEST = 2048  # elements of rows that one program reduces


def power_of_two(number: int) -> int:
    """The least power of two that is not less than a positive number."""
    return 1 << max(number - 1, 0).bit_length()


def pointwise(extents: Extents, crosses: bool, threads: int) -> dict[str, int]:
    """crosses: something is read or written along another dimension than x."""
    total = 1
    for extent in extents.values():
        total *= extent
    left = ELEMENTS if threads == 1 else min(max(power_of_two(total // (4 * threads)), LEAST), ELEMENTS)
    blocks = {}
    for name in ("x", "y", "z"):
        if name in extents:
            most = min(left, ACROSS) if crosses and name == "x" and len(extents) > 1 else left
            least = LINES if crosses and name == "y" else 1
            blocks[name] = min(power_of_two(extents[name]), max(most, least))
            left = max(left // blocks[name], 1)
    return blocks


def reduction(extents: Extents, inner: bool, persistent: bool) -> dict[str, int]:
    """inner: what is reduced are neighbours in memory. persistent: a block has all that is reduced, and the blocks of r are given."""
    reduced = {name: power_of_two(extent) for name, extent in extents.items() if name.startswith("r")}
    length = 1
    for extent in reduced.values():
        length *= extent
    blocks = dict.fromkeys((name for name in extents if name in "yz"), 1)
    if inner:
        blocks["x"] = min(power_of_two(extents["x"]), max(SHORTEST // length, 1)) if persistent else 1
        left = ELEMENTS
    else:
        blocks["x"] = min(power_of_two(extents["x"]), COLUMNS)
        left = ROWS
    if not persistent:
        for name in sorted(reduced, reverse=True):
            blocks[name] = min(reduced[name], left)
            left = max(left // blocks[name], 1)
    return blocks
