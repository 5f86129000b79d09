"""Sorting networks: pairs of vectors where elements are far apart, within registers where they are near.

Steps that follow each other and stay within a vector share one pass over the row. A merge, whose distances halve down to 1, is a loop over
its far distances and one such pass; merges of growing size, as sorting has them, are a loop over their sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, attribute_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import apply, converted
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Coordinates, bits


@dataclass(frozen=True)
class Near:
    """Steps (distance, flip) within vectors."""

    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Far:
    """A step between vectors."""

    distance: int
    flip: int


@dataclass(frozen=True)
class Merges:
    """`count` merges: the first one's distances are `distance`, half of it, .. 1, with one flip; each further one has twice both."""

    distance: int
    flip: int
    count: int = 1

    def followed_by(self, distance: int, flip: int) -> bool:
        return self.flip > 0 and (distance, flip) == (self.distance << self.count, self.flip << self.count)


def parts_of(distances: list[int], flips: list[int], width: int) -> list[Near | Far | Merges]:
    """The steps of a network for vectors of `width` lanes."""
    parts: list[Near | Far | Merges] = []
    steps = list(zip(distances, flips, strict=True))
    while steps:
        distance, flip = steps[0]
        if distance < width:
            count = next((i for i, (d, _) in enumerate(steps) if d >= width), len(steps))
            parts.append(Near(tuple(steps[:count])))
        elif steps[: (count := distance.bit_length())] == [(distance >> i, flip) for i in range(count)]:
            last = parts[-1] if parts else None
            if isinstance(last, Merges) and last.followed_by(distance, flip):
                parts[-1] = Merges(last.distance, last.flip, last.count + 1)
            else:
                parts.append(Merges(distance, flip))
        else:
            count = 1
            parts.append(Far(distance, flip))
        steps = steps[count:]
    return parts


def lower_exchange(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    source, wanted = low.tensor(node.operands[0]), node.results[0].type.element_type
    distances, flips = ([n.value for n in node.attribute(name)] for name in ("distances", "flips"))
    if wanted == b.bf16 or (wanted == b.f16 and not low.chip.native_float16):
        source = converted(low, source, b.f32)  # once, not for each comparison
    buffer = low.storage.allocate(source.shape, source.element)
    low.storage.write_all([(source, buffer)])
    row = Row(low, buffer, node)
    for part in parts_of(distances, flips, row.width):
        if isinstance(part, Near):
            row.near(part.steps)
        elif isinstance(part, Far):
            row.far(b.constant(part.distance.bit_length() - 1), row.flipped(part.flip))
        else:
            row.merges(part)
    result = low.storage.from_buffer(buffer, node.op)
    return [converted(low, result, wanted)]


Flipped = Callable[[Emitted], Emitted]  # 1 where the order of the vector from a position on is descending, else 0


class Row:
    """A row of elements in memory that is sorted in place."""

    def __init__(self, low: Lowering, buffer: Buffer, node: Node) -> None:
        self.low, self.buffer = low, buffer
        self.access: Access = low.memory.buffer_access(buffer, node.op)
        (self.size,) = buffer.shape
        self.width = min(self.size, low.chip.lanes(bits(buffer.element)))
        is_float = isinstance(buffer.element, ir.FloatType)
        if is_float:
            self.compare, predicate = "arith.cmpf", attribute_of(FloatPredicate.ogt)
        else:
            self.compare, predicate = "arith.cmpi", attribute_of(IntPredicate.ugt if node.attribute("unsigned").value else IntPredicate.sgt)
        self.attributes = {"predicate": predicate}

    def at(self, start: Emitted) -> Coordinates:
        return (Coordinate(start, self.width),)

    def load(self, start: Emitted) -> Emitted:
        return self.low.memory.read_buffer(self.buffer, self.at(start), self.low.b.depth)

    def store(self, start: Emitted, value: Emitted) -> None:
        self.low.memory.store(self.access, value, self.at(start))

    def greater(self, x: Emitted, y: Emitted) -> Emitted:
        b = self.low.b
        return apply(self.low, self.compare, b.i1, [x, y], self.attributes)

    def shifted(self, x: Emitted, bits_up: Emitted) -> Emitted:
        return self.low.b.op("arith.shli", self.low.b.i64, [x, bits_up])

    def bit(self, position: Emitted, number: Emitted) -> Emitted:
        b = self.low.b
        return b.op("arith.andi", b.i64, [b.op("arith.shrui", b.i64, [position, number]), b.constant(1)])

    def flipped(self, flip: int) -> Flipped:
        """Of a flip that is one for all lanes."""
        b = self.low.b
        if flip <= 0:
            return lambda position: b.constant(-flip)
        return lambda position: self.bit(position, b.constant(flip.bit_length() - 1))

    def lane_bit(self, bit: int) -> Emitted:
        """In which lanes a bit of their number is set."""
        b = self.low.b
        of_lane = b.op("arith.andi", b.i32, [b.iota(self.width, b.i32), b.constant(bit, b.i32)])
        return b.compare("ne", of_lane, b.broadcast(b.constant(0, b.i32), self.width))

    def maxima(self, distance: int, flip: int, start: Emitted, flipped: Flipped) -> Emitted:
        """In which lanes the greater one of each pair belongs: the right ones, where the order is ascending."""
        b, right = self.low.b, self.lane_bit(distance)
        if 0 < flip < self.width:
            return b.op("arith.xori", b.i1, [right, self.lane_bit(flip)])
        descending = flipped(start)
        return right if descending.constant == 0 else b.op("arith.xori", b.i1, [right, b.cast_index(descending, b.i1)])

    def vector(self, start: Emitted, steps: tuple[tuple[int, int], ...], flipped: Flipped | None = None) -> None:
        """Steps within a vector; `flipped`, where given, is for all of them."""
        b, x = self.low.b, self.load(start)
        for distance, flip in steps:
            y = b.shuffle(x, x, [i ^ distance for i in range(self.width)])
            swapped = b.op("arith.xori", b.i1, [self.greater(x, y), self.maxima(distance, flip, start, flipped or self.flipped(flip))])
            x = b.select(swapped, y, x)
        self.store(start, x)

    def near(self, steps: tuple[tuple[int, int], ...]) -> None:
        b = self.low.b
        b.repeat(b.constant(0), b.constant(self.size), self.width, lambda start: self.vector(start, steps))

    def far(self, log_distance: Emitted, flipped: Flipped) -> None:
        """One step between vectors. Descending is ascending from the right to the left."""
        b = self.low.b
        distance = self.shifted(b.constant(1), log_distance)

        def pair(i: Emitted) -> None:
            below = b.op("arith.andi", b.i64, [i, b.sub(distance, b.constant(1))])
            left = b.sub(b.add(i, i), below)  # the bits from the distance on, one place up
            across = b.mul(flipped(left), distance)
            first, second = b.add(left, across), b.sub(b.add(left, distance), across)
            x, y = self.load(first), self.load(second)
            lesser, greater = b.select(self.greater(x, y), y, x), b.select(self.greater(y, x), y, x)
            self.store(first, lesser)
            self.store(second, greater)

        b.repeat(b.constant(0), b.constant(self.size // 2), self.width, pair)

    def merges(self, merges: Merges) -> None:
        b = self.low.b
        log_width = self.width.bit_length() - 1

        def merge(number: Emitted) -> None:
            log_flip = b.add(number, b.constant(max(merges.flip, 1).bit_length() - 1))
            largest = b.add(number, b.constant(merges.distance.bit_length() - 1))
            flipped = self.flipped(merges.flip) if merges.flip <= 0 else lambda position: self.bit(position, log_flip)
            far_steps = b.sub(largest, b.constant(log_width - 1))
            b.repeat(b.constant(0), far_steps, 1, lambda i: self.far(b.sub(largest, i), flipped))
            self.end_of_merge(tuple((1 << i, merges.flip) for i in reversed(range(log_width))), log_flip)

        b.repeat(b.constant(0), b.constant(merges.count), 1, merge)

    def end_of_merge(self, steps: tuple[tuple[int, int], ...], log_flip: Emitted) -> None:
        """The steps within vectors: first where the order is ascending, then where it is descending; for each the masks are constant."""
        if steps[0][1] <= 0:
            self.near(steps)
            return
        b = self.low.b
        extent = self.shifted(b.constant(1), log_flip)  # of what has one order
        pairs = b.op("arith.shrui", b.i64, [b.constant(self.size // 2), log_flip])

        def half(descending: Emitted) -> None:
            def run(number: Emitted) -> None:
                start = self.shifted(b.add(b.add(number, number), descending), log_flip)
                b.repeat(b.constant(0), extent, self.width, lambda i: self.vector(b.add(start, i), steps, lambda _: descending))

            b.repeat(b.constant(0), pairs, 1, run)

        b.repeat(b.constant(0), b.constant(2), 1, half)
