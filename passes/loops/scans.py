"""Scans: along the rows with a lane for each where there are enough, else row by row: in segments, or by doubling distances in a vector."""

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.combiners import combiner_of
from triton_spacemit.passes.loops.elementwise import convert
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.segments import SegmentScan, only_store, segment_lanes
from triton_spacemit.passes.loops.tensors import Coordinate, Coordinates, bits

_ENOUGH_ROWS = 4


def lower_scan(low: Lowering, node: Node) -> list[Value]:
    """Lower a `tt.scan` into buffers for its results."""
    return _Scan(low, node).run()


class _Scan:
    """One scan of rows; `outer` are a row's coordinates along the other dimensions."""

    def __init__(self, low: Lowering, node: Node) -> None:
        self.low, self.b, self.node = low, low.b, node
        self.axis, self.reverse = node.attribute("axis").value, bool(node.attribute("reverse").value)
        self.combiner = combiner_of(low, node)
        self.sources = self.combiner.sources
        self.shape = self.sources[0].shape
        self.extent = self.shape[self.axis]

    def run(self) -> list[Value]:
        low, shape, axis, node = self.low, self.shape, self.axis, self.node
        widest = max(bits(s.element) for s in self.sources)
        rows = [d for d in range(len(shape)) if d != axis and shape[d] >= _ENOUGH_ROWS]
        outer_shape = shape[:axis] + shape[axis + 1 :]
        lanes = 0 if rows else segment_lanes(low, self.combiner, self.extent)
        stored = only_store(low, node) if lanes else None
        self.buffers = [] if stored else [low.storage.allocate(shape, r.type.element_type) for r in node.results]
        self.accesses = [low.memory.buffer_access(buffer, node.op) for buffer in self.buffers]
        if lanes:
            target = stored or self.accesses[0]
            scan = SegmentScan(low, self.combiner, axis, self.reverse, lanes, target, node.results[0].type.element_type)
            low.nests.nest_scalar(outer_shape, scan.row)
            if stored:
                return [self.sources[0]]  # nobody asks for it
        elif rows:
            dim = max(rows, key=lambda d: (shape[d], d))
            _, lanes = low.storage.vector_shape(self.sources, shape)
            lanes = min(shape[dim], max(lanes, low.chip.lanes(widest, 2)))
            low.nests.nest(outer_shape, dim - (dim > axis), lanes, self.step_by_step)
        else:
            lanes = min(self.extent, low.chip.lanes(widest, 1))
            if lanes > 1:
                low.nests.nest_scalar(outer_shape, lambda outer: self.within_vectors(outer, lanes))
            else:
                low.nests.nest_scalar(outer_shape, self.step_by_step)
        return [low.storage.from_buffer(buffer, self.node.op) for buffer in self.buffers]

    # Elements

    def at(self, outer: Coordinates, i: Emitted, lanes: int) -> Coordinates:
        """`lanes` elements (0 for one) of a row, of which the scan has passed `i`."""
        position = self.b.sub(self.b.constant(self.extent - max(lanes, 1)), i) if self.reverse else i
        return (*outer[: self.axis], Coordinate(position, lanes), *outer[self.axis :])

    def combine(self, left: list[Emitted], right: list[Emitted]) -> list[Emitted]:
        widest = max(v.width for v in (*left, *right))
        return self.combiner.combine(self.low, [self.b.broadcast(v, widest) for v in left], [self.b.broadcast(v, widest) for v in right])

    def values_at(self, at: Coordinates) -> list[Emitted]:
        lanes = max(c.width for c in at)
        return [self.b.broadcast(self.low.evaluate(s, at), lanes) for s in self.sources]

    def write(self, at: Coordinates, values: list[Emitted]) -> None:
        for buffer, access, value in zip(self.buffers, self.accesses, values, strict=True):
            self.low.memory.store(access, convert(self.low, value, buffer.element), at)

    # Rows

    def step_by_step(self, outer: Coordinates) -> None:
        """One element after the other; the outer coordinates' lanes are independent rows."""
        b = self.b
        first = self.at(outer, b.constant(0), 0)
        values = self.values_at(first)
        self.write(first, values)

        def step(i: Emitted, carried: list[Emitted]) -> list[Emitted]:
            here = self.at(outer, i, 0)
            results = self.combine(carried, self.values_at(here))
            self.write(here, results)
            return results

        b.for_loop(b.constant(1), b.constant(self.extent), 1, values, step)

    def within_vectors(self, outer: Coordinates, lanes: int) -> None:
        """Doubling distances inside a vector, then the carry of all vectors before."""
        b = self.b
        first = self.at(outer, b.constant(0), lanes)
        values = self.prefix(self.values_at(first), lanes)
        self.write(first, values)

        def last(values: list[Emitted]) -> list[Emitted]:
            return [self.low.memory.extract(v, b.constant(0 if self.reverse else lanes - 1)) for v in values]

        def step(i: Emitted, carried: list[Emitted]) -> list[Emitted]:
            here = self.at(outer, i, lanes)
            results = self.combine(carried, self.prefix(self.values_at(here), lanes))
            self.write(here, results)
            return last(results)

        if self.extent > lanes:
            b.for_loop(b.constant(lanes), b.constant(self.extent), lanes, last(values), step)

    def prefix(self, values: list[Emitted], lanes: int) -> list[Emitted]:
        """The scan of one vector: each lane takes in the lane `distance` before it, with a distance that doubles."""
        b = self.b
        distance = 1
        while distance < lanes:
            if self.reverse:
                moved = [b.shuffle(v, v, [min(i + distance, lanes - 1) for i in range(lanes)]) for v in values]
                valid = b.compare("slt", b.iota(lanes, b.i32), b.constant(lanes - distance, b.i32))
            else:
                moved = [b.shuffle(v, v, [max(i - distance, 0) for i in range(lanes)]) for v in values]
                valid = b.compare("sge", b.iota(lanes, b.i32), b.constant(distance, b.i32))
            values = [b.select(valid, c, v) for c, v in zip(self.combine(moved, values), values, strict=True)]
            distance *= 2
        return values
