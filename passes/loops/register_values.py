"""Code for blocks in vector registers (`register_views.py`), within one turn of a loop: each source is computed once.

Registers are LLVM's scalable vectors, of which whole ones are loaded and taken apart without an instruction.
"""

from collections.abc import Iterable, Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.accesses import resolve
from triton_spacemit.passes.loops.bounds import bounds_of
from triton_spacemit.passes.loops.emitter import Emitted, is_zero
from triton_spacemit.passes.loops.ime_tiles import ImeTiles
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.register_loops import as_on_lanes
from triton_spacemit.passes.loops.register_views import (
    CarriedLanes,
    ComputedLanes,
    LoadedLanes,
    Piece,
    ProductLanes,
    Scalar,
    Source,
    View,
    pieces,
    whole,
)
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.selection import Candidate
from triton_spacemit.passes.loops.tensors import Buffer, bits

_TOGETHER = 16  # registers of a product's right operand that may be computed before they are multiplied
_INDEX = 16  # bits of an index of an indexed load
Units = list[list[Emitted]]  # the units of a product's sums, row by row


class RegisterValues:
    """The values of one turn. `tiles`: how each product is computed. `sums`: memory in which its result is put in order."""

    def __init__(self, low: Lowering, tiles: dict[ir.Value, Candidate], sums: dict[ir.Value, Buffer], carried: Sequence[Emitted]) -> None:
        self.low, self.b, self.tiles, self.sums, self.carried = low, low.b, tiles, sums, carried
        self.registers = self._registers()
        self._sources: dict[Source, Emitted] = {}
        self._units: dict[Source, Units] = {}
        self._bases: dict[ir.Operation, Emitted] = {}
        self._parts: dict[tuple[Source, int, int], Emitted] = {}

    def _registers(self) -> Registers:
        return Registers(self.b, self.low.chip.vlen)

    def vector(self, view: View) -> Emitted:
        """The elements of a block in their order."""
        parts = pieces(self.low.chip, view, not self.low.chip.active_lengths)
        return self.registers.joined([self._piece(part) for part in parts], view.element, parts[0].count)

    def _piece(self, piece: Piece) -> Emitted:
        source, count = piece.source, piece.count
        if piece.same:
            return self.registers.broadcast(self._scalar(source, piece.first), source.element, count)
        if isinstance(source, LoadedLanes) and count < source.count and count * bits(source.element) % self.low.chip.vlen:
            return self._load(source, piece.first, count)
        return self.registers.part(self._whole(source), source.element, piece.first, count)

    def _whole(self, source: Source) -> Emitted:
        if source not in self._sources:
            self._sources[source] = self._made(source)
        return self._sources[source]

    def _made(self, source: Source) -> Emitted:
        if isinstance(source, CarriedLanes):
            return self.carried[source.number]
        if isinstance(source, LoadedLanes):
            return self._load(source, 0, source.count)
        if isinstance(source, ComputedLanes):
            return self._computed(source)
        assert isinstance(source, ProductLanes)  # finished
        return self.registers.load(self.sums[source.node.results[0]].base, source.element, source.count, bits(source.element) // 8)

    def compute(self, wanted: Iterable[View]) -> None:
        """Compute what these blocks take, in the order of the program, behind their products."""
        found: dict[ComputedLanes, None] = {}
        todo = [source for view in wanted for source in view.sources]
        while todo:
            source = todo.pop()
            if isinstance(source, ComputedLanes) and source not in found:
                found[source] = None
                todo += [inner for view in source.operands for inner in view.sources]
        for each in sorted(found, key=lambda computed: computed.node.order):
            self._whole(each)

    # Loads and arithmetic

    def _base(self, source: LoadedLanes) -> Emitted:
        node = source.node
        if node.op not in self._bases:
            access = resolve(self.low, node, node.results[0].type)
            bounds_of(self.low).check(node, access)
            self._bases[node.op] = access.base
        return self.b.offset(self._bases[node.op], self.b.constant(source.start), self.b.i8)

    def _load(self, source: LoadedLanes, first: int, count: int) -> Emitted:
        pointer = self.b.offset(self._base(source), self.b.constant(first), source.element)
        return self.registers.load(pointer, source.element, count, bits(source.element) // 8)

    def _scalar(self, source: Source, lane: int) -> Emitted:
        b = self.b
        if isinstance(source, LoadedLanes):
            pointer = b.offset(self._base(source), b.constant(lane), source.element)
            return self.low.memory.scalar_load(pointer, source.element, None, None, b.depth)
        assert isinstance(source, Scalar)
        known = self.low.values.get(source.value)
        if isinstance(known, Emitted):
            return known
        uniform = self.low.repeated(source.value)
        if uniform is None:  # a constant of the loop's body
            attribute = source.value.owner.attributes["value"].get_splat_value()
            uniform = b.constant_attribute(attribute, source.element)
        return uniform

    def _computed(self, source: ComputedLanes) -> Emitted:
        name, attributes = as_on_lanes(self.low, source.node.op)
        operands = [self.vector(view) for view in source.operands]
        return self.registers.op(name, self.registers.vector(source.element, source.count), operands, attributes)

    # Products

    def _tile(self, source: ProductLanes) -> ImeTiles:
        tile, value = self.tiles[source.node.results[0]], source.node.results[0]
        return ImeTiles(self.low, tile.row, self.sums[value], (tile.rows, tile.columns), None)

    def finish(self, source: ProductLanes) -> None:
        """Compute a product, and put it in order in memory: before all that waits for it, since nothing else needs as many registers."""
        b, buffer, unit = self.b, self.sums[source.node.results[0]], self._tile(source)
        for r, row in enumerate(self.units(source)):
            for c, sums in enumerate(row):
                place = b.constant(r * unit.m * buffer.strides[0] + c * unit.n)
                unit.store_sums([b.offset(buffer.base, place, buffer.stored)], sums)

    def units(self, source: ProductLanes) -> Units:
        """The sums unit by unit."""
        if source in self._units:
            return self._units[source]
        unit = self._tile(source)
        (_, inner), (_, columns) = source.left.shape, source.right.shape
        spans = self._spans(source.right, unit.k)
        sums = self._start(source, unit)
        for step in range(0, inner, unit.k):
            for part in spans.get(step, ()):
                self._whole(part)
            lefts = [self.vector(source.left.only([r * inner + k for r in rows for k in range(step, step + unit.k)])) for rows in unit.rows]
            for c in range(unit.across):
                lanes = [k * columns + n for n in range(c * unit.n, (c + 1) * unit.n) for k in range(step, step + unit.k)]
                right = self.vector(source.right.only(lanes))
                for row, left in zip(sums, lefts, strict=True):
                    row[c] = unit.multiply_add(left, right, row[c])
        self._units[source] = sums
        return sums

    def _spans(self, right: View, depth: int) -> dict[int, list[Source]]:
        """What of B is computed before which step of k: together all that is used by turns, since each change of type or length costs a
        `vsetvli`."""
        columns = right.shape[1]
        first: dict[Source, int] = {}
        last: dict[Source, int] = {}
        for number, lane in enumerate(right.lanes):
            source, step = right.located(lane)[0], number // columns // depth * depth
            first.setdefault(source, step)
            last[source] = step
        spans: dict[int, list[Source]] = {}
        start, end = 0, -1
        for source in sorted(first, key=lambda each: first[each]):
            if first[source] > end:
                start = first[source]
            spans.setdefault(start, []).append(source)
            end = max(end, last[source])
        most = _TOGETHER * self.low.chip.vlen
        return {step: parts for step, parts in spans.items() if sum(part.count * bits(part.element) for part in parts) <= most}

    def _start(self, source: ProductLanes, unit: ImeTiles) -> Units:
        start = source.start
        before = start.sources[0]
        if isinstance(before, ProductLanes) and start.lanes == whole(before).lanes:
            return [list(row) for row in self.units(before)]
        if start.is_uniform and is_zero(self._scalar(before, 0)):
            other = source.right.sources[0]
            registers = other.count * bits(other.element) // self.low.chip.vlen
            if registers < 2 * unit.across:
                return [[unit.zero() for _ in range(unit.across)] for _ in range(unit.down)]
            return [unit.separated([unit.zeros(self._whole(other))]) for _ in range(unit.down)]
        units: Units = []
        known: dict[tuple[int, ...], Emitted] = {}
        for rows in unit.rows:
            units.append([])
            for c in range(unit.across):
                view = start.only([r * start.shape[1] + n for r in rows for n in range(c * unit.n, (c + 1) * unit.n)])
                if view.lanes not in known:
                    known[view.lanes] = unit.of_registers(self._anywhere(view))
                units[-1].append(known[view.lanes])
        return units

    def _anywhere(self, view: View) -> Emitted:
        """The elements of a block in their order, by an indexed load where they lie apart in memory."""
        apart = lies_apart(view)
        if apart is None:
            return self.vector(view)
        first, places = apart
        indices = self.registers.numbers(places, ir.IntegerType.get_signless(_INDEX))
        return self.registers.load_indexed(self._base(first), indices, view.element, len(places))


def lies_apart(view: View) -> tuple[LoadedLanes, list[int]] | None:
    """The first source of a block, and how many bytes behind it each element lies, where it is read from one load at places that are no
    neighbours, and that an index of 16 bits tells apart."""
    sources = [source for source in view.sources if isinstance(source, LoadedLanes)]
    if len(sources) < len(view.sources) or len({source.node for source in sources}) != 1 or len(set(view.lanes)) == 1:
        return None
    first, size = min(sources, key=lambda source: source.start), bits(view.element) // 8
    starts = {id(source): source.start - first.start for source in sources}
    places = [starts[id(source)] + lane * size for source, lane in map(view.located, view.lanes)]
    neighbours = places == list(range(places[0], places[0] + len(places) * size, size))
    return None if neighbours or max(places) >= 1 << _INDEX - 1 else (first, places)
