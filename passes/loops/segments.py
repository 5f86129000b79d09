"""Scans of rows by the V extension's segment accesses: a lane holds a run of neighbours, each of them in a register of its own.

A step scans a run in each lane, one operation a register, then the runs' totals across the lanes of one register, by slides of doubling
distance, and combines what lies before a run with all of it. So an element takes two operations, not two for each doubling of a vector.
What lies before a lane that has nothing before it is the operation's neutral element: one is needed.
"""

from torch_mlir import ir

from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.accesses import resolve
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.bounds import bounds_of
from triton_spacemit.passes.loops.combiners import Combiner
from triton_spacemit.passes.loops.elementwise import convert
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Coordinate, Coordinates, Loaded, Stored, bits
from triton_spacemit.passes.loops.together import only_computes

_RUN = 8  # neighbours in a lane: the most fields that a segment access has
_ALL_NEW = 3  # LLVM's policy: lanes that are not written may hold anything
_SCANNED = ("f16", "f32", "f64", "i8", "i16", "i32", "i64")


def segment_lanes(low: Lowering, combiner: Combiner, extent: int) -> int:
    """The lanes of one register, where rows of `extent` elements can be scanned so, by one known operation; else 0."""
    element = combiner.sources[0].element
    lanes = low.chip.lanes(bits(element))
    known = combiner.kind is not None and combiner.start is not None
    computed = str(element) in _SCANNED and (low.chip.native_float16 or str(element) != "f16")
    return lanes if known and computed and low.chip.strided_accesses and lanes > 1 and extent >= _RUN * lanes else 0


def only_store(low: Lowering, scan: Node) -> Access | None:
    """The access of the store that alone takes the scan's result, right behind it: the scan writes there, and the store is done."""
    users = low.analysis.users.get(scan.results[0], [])
    if len(users) != 1 or users[0].name != "xsmt.descriptor_store" or users[0].block is not scan.block:
        return None
    (store,) = users
    op = store.op.opview
    between = list(scan.block.between(scan, store))
    if op.value != scan.results[0] or op.mask is not None or not all(only_computes(node) for node in between):
        return None
    for node in between:
        if node not in low.lowered:
            low.lower_ahead(node)
    access = resolve(low, store, op.value.type)
    before_write(low, scan, access, [low.tensor(v) for v in scan.operands])
    bounds_of(low).check(store, access)
    low.lowered.add(store)
    return access


class SegmentScan:
    """Scans rows of the one block of `combiner`, `lanes` runs at a time, and writes results of type `stored` to `target`."""

    def __init__(self, low: Lowering, combiner: Combiner, axis: int, reverse: bool, lanes: int, target: Access, stored: ir.Type) -> None:
        self.low, self.b, self.combiner, self.axis, self.reverse = low, low.b, combiner, axis, reverse
        self.lanes, self.target, self.stored = lanes, target, stored
        (self.source,) = combiner.sources
        self.element = self.source.element
        self.width = _RUN * lanes
        self.neutral = self.b.broadcast(combiner.start[0], lanes)
        count = lanes * 64 // low.chip.vlen
        self.register = ir.VectorType.get([count], self.element, scalable=[True], loc=self.b.location)

    def row(self, outer: Coordinates) -> None:
        """Scan one row."""
        extent = self.source.shape[self.axis]
        self.low.nests.vector_loop(extent, self.width, [self.neutral], lambda place, carried: self._step(outer, place, carried), alone=True)

    def _step(self, outer: Coordinates, place: Coordinate, carried: list[Emitted]) -> list[Emitted]:
        b = self.b
        if self.reverse:
            extent = self.source.shape[self.axis]
            start = b.sub(b.constant(extent - self.width), place.start)
            place = Coordinate(start, self.width)
        at = (*outer[: self.axis], place, *outer[self.axis :])
        order = list(range(_RUN))[:: -1 if self.reverse else 1]
        runs = self._separated(at)
        for before, here in zip(order, order[1:], strict=False):
            runs[here] = self._combined(runs[before], runs[here])
        ahead = self._before(carried[0], runs[order[-1]])
        runs = [self._combined(ahead, run) for run in runs]
        self._write(at, [convert(self.low, run, self.stored) for run in runs])
        last = 0 if self.reverse else self.lanes - 1
        return [b.shuffle(runs[order[-1]], runs[order[-1]], [last] * self.lanes)]

    def _combined(self, left: Emitted, right: Emitted) -> Emitted:
        return self.combiner.combine(self.low, [left], [right])[0]

    def _before(self, carried: Emitted, totals: Emitted) -> Emitted:
        """What lies before each lane: the `totals` of all lanes before it, and what is carried, which is the same in all lanes."""
        ahead, distance = self._slid(carried, totals, 1), 1
        while distance < self.lanes:
            ahead = self._combined(self._slid(self.neutral, ahead, distance), ahead)
            distance *= 2
        return ahead

    def _slid(self, into: Emitted, value: Emitted, distance: int) -> Emitted:
        """The lanes of `value` moved on by a distance; where none come from, those of `into`."""
        b, lanes = self.b, self.lanes
        if self.reverse:
            return b.shuffle(value, into, range(distance, lanes + distance))
        attributes = {"pos": ir.IntegerAttr.get(b.i64, 0)}
        registers = [self._poisoned(v, attributes) for v in (into, value)]
        operands = [*registers, *(self._immediate(n) for n in (distance, lanes, _ALL_NEW))]
        depth = max(into.depth, value.depth)
        call = b.create("llvm.call_intrinsic", [self.register], operands, intrinsic("llvm.riscv.vslideup", len(operands)), depth=depth)
        fixed = b.create("llvm.intr.vector.extract", [b.vector_type(self.element, lanes)], [call.results[0]], attributes, depth=depth)
        return Emitted(fixed.results[0], depth, lanes)

    def _poisoned(self, value: Emitted, attributes: dict[str, ir.Attribute]) -> ir.Value:
        """A vector as the lanes of a register."""
        b, depth = self.b, value.depth
        poison = b.create("ub.poison", [self.register], [], {"value": ir.Attribute.parse("#ub.poison")}, depth=depth)
        return b.create("llvm.intr.vector.insert", [self.register], [poison.results[0], value.value], attributes, depth=depth).results[0]

    def _immediate(self, number: int) -> ir.Value:
        b = self.b
        return b.create("llvm.mlir.constant", [b.i64], [], {"value": ir.IntegerAttr.get(b.i64, number)}, depth=0).results[0]

    # Memory

    def _separated(self, at: Coordinates) -> list[Emitted]:
        """The first elements of all runs, the second ones, and so on: loaded as segments, by way of memory of the program where need be."""
        b, value = self.b, self.low.evaluate(self.source, at)
        if not self._is_segments(at):
            value = self._by_way_of_memory(b.broadcast(value, self.width))
        parts = ir.Type.parse(f"!llvm.struct<({', '.join([str(b.vector_type(self.element, self.lanes))] * _RUN)})>")
        call = b.create("llvm.call_intrinsic", [parts], [value.value], intrinsic(f"llvm.vector.deinterleave{_RUN}", 1))
        results = []
        for number in range(_RUN):
            place = {"position": ir.DenseI64ArrayAttr.get([number])}
            part = b.create("llvm.extractvalue", [b.vector_type(self.element, self.lanes)], [call.results[0]], place)
            results.append(Emitted(part.results[0], b.depth, self.lanes))
        return results

    def _write(self, at: Coordinates, runs: list[Emitted]) -> None:
        b, memory = self.b, self.low.memory
        type_ = b.vector_type(self.stored, self.width)
        call = b.create("llvm.call_intrinsic", [type_], [run.value for run in runs], intrinsic(f"llvm.vector.interleave{_RUN}", _RUN))
        value = Emitted(call.results[0], b.depth, self.width)
        contiguous = self.target.strides[self.axis].constant == 1
        if not contiguous or memory.addressing.active(self.target, at) != (None, None):
            value = self._by_way_of_memory(value)
        memory.store(self.target, value, at)

    def _is_segments(self, at: Coordinates) -> bool:
        """Whether the source's lanes at a place are neighbours in memory, all of them active, and nothing is computed from them."""
        state = self.low.evaluator.now(self.source)
        if isinstance(state, Stored):
            return state.buffer.strides[self.axis] == 1 and state.buffer.stored == self.element
        if not isinstance(state, Loaded) or state.access.index is not None or state.access.strides[self.axis].constant != 1:
            return False
        return state.access.element == self.element and self.low.memory.addressing.active(state.access, at) == (None, None)

    def _by_way_of_memory(self, value: Emitted) -> Emitted:
        """The same lanes loaded, from where LLVM does not see that they have just been stored."""
        low, element = self.low, self.b.element(value)
        buffer = low.storage.allocate((self.width,), element)
        low.memory.contiguous_store(buffer.base, value, None, element)
        return low.memory.contiguous_load(self.b.opaque(buffer.base), element, self.width, None, None, self.b.depth)
