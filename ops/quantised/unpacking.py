"""Packed weights as the products of `products.py` take them: a group's integers and scales, in place or unpacked for several rows."""

import triton
import triton.language as tl


@triton.jit
def depth_of(ROWS: tl.constexpr) -> tl.constexpr:
    """Steps of k of a tile with so many rows."""
    return 8 if ROWS == 4 else 16


@triton.jit
def address_as(pointer, TYPE: tl.constexpr):
    """The same address as a pointer to another type."""
    return pointer.to(tl.pointer_type(TYPE), bitcast=True)


@triton.jit
def integers_of_group(at, GROUP: tl.constexpr, NIBBLES: tl.constexpr):
    """The integers of GROUP steps of 16 columns, as bytes."""
    k, j = tl.arange(0, GROUP), tl.arange(0, 16)
    if NIBBLES:
        pairs = tl.load(at + (k // 16 * 128 + k % 8)[:, None] + j[None, :] * 8)
        integers = (pairs >> (k // 8 % 2 * 4).to(tl.uint8)[:, None]) & 15
    else:
        integers = tl.load(at + (k // 8 * 128 + k % 8)[:, None] + j[None, :] * 8)
    return integers.to(tl.int8, bitcast=True)


@triton.jit
def scales_of_group(head, at, j, place: tl.constexpr, FACTORS: tl.constexpr):
    """The scales (place 0) or minima (place 1) of columns `j` in a group of steps; `head`: of the packed block, `at`: of the group."""
    d = tl.load(address_as(head, tl.float16) + place * 16 + j).to(tl.float32)
    if FACTORS == 1:
        d *= tl.load(address_as(at, tl.int8) + j).to(tl.float32)
    if FACTORS == 2:
        d *= tl.load(at + place * 16 + j).to(tl.float32)
    return d


@triton.jit
def integer_room(GROUP: tl.constexpr, NIBBLES: tl.constexpr, SQUARES: tl.constexpr) -> tl.constexpr:
    """Bytes that the unpacked integers of a group of steps take: none where they lie as they are multiplied."""
    return GROUP * 16 if SQUARES and NIBBLES else 0


@triton.jit
def factor_room(ROWS: tl.constexpr, MINIMA: tl.constexpr, SQUARES: tl.constexpr) -> tl.constexpr:
    """Bytes that the unpacked scales and minima of a group of steps take."""
    return (2 if MINIMA else 1) * 64 * (ROWS if SQUARES else 1)


@triton.jit
def unpack_nibbles(groups, space, COUNT: tl.constexpr, GROUP: tl.constexpr, GROUP_STEP: tl.constexpr, OFFSET: tl.constexpr):
    """The integers of COUNT groups of steps in `space` as bytes, in the order of `step_of`; a group is GROUP_STEP bytes behind another."""
    byte = tl.arange(0, GROUP * 8)
    for number in tl.static_range(COUNT):
        pairs = tl.load(groups + number * GROUP_STEP + byte)
        to = address_as(space, tl.int8) + number * (GROUP * 16) + byte
        tl.store(to, (pairs & 15).to(tl.int8, bitcast=True) - OFFSET)
        tl.store(to + GROUP * 8, (pairs >> 4).to(tl.int8, bitcast=True) - OFFSET)


@triton.jit
def unpack_factors(
    head, groups, space, COUNT: tl.constexpr, HEAD_STEP: tl.constexpr, GROUP_STEP: tl.constexpr, ROWS: tl.constexpr, MINIMA: tl.constexpr,
    FACTORS: tl.constexpr,
):  # fmt: skip
    """Scales, then minima, of COUNT groups of steps in `space`, each ROWS times: as a tile of sums lies, if that is more than once.

    Of each group the float16 numbers are HEAD_STEP bytes behind those of the group before, at `head`, the factors GROUP_STEP, at `groups`.
    """
    each: tl.constexpr = ROWS * (32 if MINIMA else 16)
    most: tl.constexpr = (256 if HEAD_STEP else 512) // each  # that are stored at once; of one head, its numbers are converted once
    at_once: tl.constexpr = most if COUNT % most == 0 else COUNT
    place = tl.arange(0, at_once * each)
    column = place % each // (ROWS * ROWS) * ROWS + place % ROWS if ROWS > 1 else place % each  # those behind 16 are minima
    factors = groups if FACTORS == 2 else address_as(groups, tl.int8)
    for first in tl.static_range(0, COUNT, at_once):
        d = tl.load(address_as(head + first * HEAD_STEP, tl.float16) + place // each * (HEAD_STEP // 2) + column).to(tl.float32)
        if FACTORS:
            d *= tl.load(factors + first * GROUP_STEP + place // each * GROUP_STEP + column).to(tl.float32)
        tl.store(address_as(space, tl.float32) + first * each + place, d)


@triton.jit
def step_of(k, GROUP: tl.constexpr, UNPACKED: tl.constexpr):
    """Which step of a group is number `k` of those multiplied: of unpacked nibbles the lower ones lie in front of the upper ones."""
    if UNPACKED and GROUP == 32:
        return k // 8 % 2 * 16 + k // 16 * 8 + k % 8
    return k
