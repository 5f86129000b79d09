"""Blocks that lie across: read contiguously along one dimension and stored along another, square by square, transposed in registers.

For chips without strided accesses, on which a vector of elements that lie apart is gathered one by one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.evaluation import Evaluator
from triton_spacemit.passes.loops.nests import Nests
from triton_spacemit.passes.loops.tensors import Access, Coordinate, Coordinates, Loaded, Tensor, bits

_MOST_COPIED = 1 << 16  # elements of a block that is copied to be read along its rows


@dataclass(frozen=True)
class Crossing:
    """What is read lies contiguously along the dimension `down`, where it goes to along `along`; squares of `size` elements."""

    down: int
    along: int
    size: int


def crossing_of(evaluator: Evaluator, chip: Chip, values: Sequence[Tensor], targets: Sequence[Access]) -> Crossing | None:
    """How a block crosses the access that it is stored by; None where it does not, or is computed from more than one block of memory."""
    if chip.strided_accesses or len(values) != 1 or len(values[0].shape) < 2:
        return None
    (value,), (target,) = values, targets
    if target.index is not None or target.mask is not None or bits(target.element) > 32:
        return None
    size = chip.lanes(32)
    along = next((d for d, stride in enumerate(target.strides) if stride.constant == 1 and target.shape[d] > 1), None)
    reads = list(evaluator.reads(value))
    if along is None or value.shape[along] % size or len(reads) != 1:
        return None
    (read,) = reads
    if read.access is not None and read.access.index is not None:
        return None
    strides = read.buffer.strides if read.access is None else [stride.constant for stride in read.access.strides]
    down = next((d for stride, d in zip(strides, read.follows, strict=True) if stride == 1 and d is not None), along)
    return None if down == along or value.shape[down] % size else Crossing(down, along, size)


def crossing_loads(evaluator: Evaluator, chip: Chip, values: Sequence[Tensor], dim: int) -> list[Tensor]:
    """The loads that a loop with vectors along `dim` would gather, though a copy of them is read and stored square by square."""
    if chip.strided_accesses:
        return []
    found, size = [], chip.lanes(32)
    for value in values:
        for block, state, _ in evaluator.cone(value):
            if not isinstance(state, Loaded) or state.memory is not None or state.access.index is not None or bits(block.element) > 32:
                continue
            if block.shape != value.shape or math.prod(block.shape) > _MOST_COPIED or block.shape[dim] % size or block in found:
                continue
            strides = [stride.constant for stride in state.access.strides]
            downs = [d for d, stride in enumerate(strides) if stride == 1 and d != dim and block.shape[d] % size == 0]
            if strides[dim] not in (0, 1) and downs:
                found.append(block)
    return found


def store_transposed(evaluator: Evaluator, nests: Nests, crossing: Crossing, value: Tensor, target: Access) -> None:
    """Square by square: read vectors down the columns, transpose them in registers, store them along the rows."""
    b, size, down, along = evaluator.b, crossing.size, crossing.down, crossing.along
    shape = list(value.shape)
    shape[down] = shape[along] = 1

    def place(at: Coordinates, i: Coordinate, j: Coordinate) -> Coordinates:
        places = list(at)
        places[down], places[along] = i, j
        return tuple(places)

    def square(at: Coordinates, i: Emitted, j: Emitted) -> None:
        columns = Coordinate(i, size)
        lines = [evaluator.evaluate(value, place(at, columns, Coordinate(b.add(j, b.constant(u))))) for u in range(size)]
        rows = Coordinate(j, size)
        for u, line in enumerate(transposed(b, [b.broadcast(v, size) for v in lines])):
            evaluator.memory.store(target, line, place(at, Coordinate(b.add(i, b.constant(u))), rows))

    def squares(at: Coordinates) -> None:
        def band(i: Emitted) -> None:
            b.repeat(b.constant(0), b.constant(value.shape[along]), size, lambda j: square(at, i, j))

        b.repeat(b.constant(0), b.constant(value.shape[down]), size, band)

    nests.nest_scalar(tuple(shape), squares)


def transposed(b: Builder, lines: Sequence[Emitted]) -> list[Emitted]:
    """A square of vectors with rows and columns exchanged: blocks of 1, 2, 4, .. lanes off the diagonal change places."""
    lines, size, block = list(lines), len(lines), 1
    while block < size:
        for i in range(size):
            if not i & block:
                low, high = lines[i], lines[i + block]
                lines[i] = b.shuffle(low, high, [n if not n & block else size + n - block for n in range(size)])
                lines[i + block] = b.shuffle(low, high, [n + block if not n & block else size + n for n in range(size)])
        block *= 2
    return lines
