"""Reductions: vector accumulators over the block, lanes combined once at the end.

A reduction that chooses, as argmax, takes one comparison a step, and keeps beside each lane's value the position of its vector.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.combiners import Combiner, combiner_of
from triton_spacemit.passes.loops.combining import reduced
from triton_spacemit.passes.loops.elementwise import convert, shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.padding import ends
from triton_spacemit.passes.loops.tensors import Access, Coordinate, Coordinates, Tensor
from triton_spacemit.passes.loops.versions import in_versions


def lower_reduce(low: Lowering, node: Node) -> list[Value]:
    """Lower a reduction with those that share its loop; the others' results are bound here."""
    group = group_of(low, node)
    rest = iter(RowReduction(low, group).run())
    first, *others = ([next(rest) for _ in r.node.results] for r in group)
    for r, values in zip(group[1:], others, strict=True):
        low.bind(r.node, values)
    return first


def group_of(low: Lowering, first: Node) -> list[Combiner]:
    """`first` and the reductions behind it over the same block that do not need its result: they share its loop.

    What stands between them and does not need it either is lowered on the way.
    """
    group = [combiner_of(low, first)]
    axis, shape = first.attribute("axis").value, shape_of(first.operands[0])
    needing = set(first.results)
    for node in first.block.behind(first):
        if needing.intersection(node.operands):
            needing.update(node.results)
            if node.is_lazy or node.name == "tt.reduce":
                continue
            break
        if node.name == "tt.reduce":
            if node.attribute("axis").value == axis and shape_of(node.operands[0]) == shape:
                group.append(combiner_of(low, node))
                low.lowered.add(node)
            needing.update(node.results)
        elif node.is_lazy:
            low.lower_ahead(node)
        else:
            break
    return group


class RowReduction:
    """Reductions of blocks of one shape along one axis, row by row: all of them in one loop over the row.

    Values of all reductions stand in one list, in the order of the group and of each one's operands. `outer` are a row's coordinates along
    the other dimensions.
    """

    def __init__(self, low: Lowering, group: list[Combiner]) -> None:
        self.low, self.b, self.group = low, low.b, group
        self.sources = [s for r in group for s in r.sources]
        self.axis: int = group[0].node.attribute("axis").value
        self.shape = self.sources[0].shape
        self.extent = self.shape[self.axis]
        self.loop = low.storage.loop_shape(self.sources, self.shape, carried=len(self.sources), axis=self.axis)
        self.dim, self.width = self.loop.dim, self.loop.lanes
        self.have_start = all(r.start is not None for r in group)

    def run(self) -> list[Value]:
        """Emit the loops; the results of all reductions."""
        low, origin = self.low, self.group[0].node.op
        results = [v for r in self.group for v in r.node.results]
        shape = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        types = [] if shape else [r.type for r in results]
        buffers = [low.storage.allocate(shape, r.type.element_type) for r in results] if shape else []
        accesses = [low.memory.buffer_access(buffer, origin) for buffer in buffers]

        lanes_along = self.dim - (self.dim > self.axis)  # the dimension of the results, where lanes are results of their own
        is_across = bool(shape) and self.dim != self.axis and self.extent > 1
        together = self.loop.together if is_across and self.width * self.loop.together <= shape[lanes_along] else 1

        def body(outer: Coordinates) -> None:
            places = low.nests.parts(outer, lanes_along, together)
            results = [self.row(outer)] if together == 1 else self.across(places)
            for place, values in zip(places, results, strict=True):
                for buffer, access, value in zip(buffers, accesses, values, strict=True):
                    low.memory.store(access, convert(low, value, buffer.element), place)

        def emit(_: Sequence[Access]) -> list[Emitted]:
            if not shape:
                return [convert(low, value, type_) for type_, value in zip(types, self.row(()), strict=True)]
            if self.dim == self.axis:
                low.nests.nest_scalar(shape, body)
            else:
                low.nests.nest(shape, lanes_along, self.width * together, body, once=self.loop.once)
            return []

        scalars = in_versions(low.evaluator, self.loop, self.sources, [], emit, types)
        low.storage.settle()
        return list(scalars) if not shape else [low.storage.from_buffer(buffer, origin) for buffer in buffers]

    # Values of the whole group

    def at(self, outer: Coordinates, coordinate: Coordinate) -> Coordinates:
        return (*outer[: self.axis], coordinate, *outer[self.axis :])

    def parts(self, values: list[Emitted]) -> Iterator[tuple[Combiner, list[Emitted]]]:
        """Each reduction with its own values."""
        rest = iter(values)
        for r in self.group:
            yield r, [next(rest) for _ in r.sources]

    def accumulate(self, accumulators: list[Emitted], values: list[Emitted], ordered: bool = False) -> list[Emitted]:
        pairs = zip(self.parts(accumulators), self.parts(values), strict=True)
        return [v for (r, left), (_, right) in pairs for v in r.accumulate(self.low, left, right, ordered)]

    def value_at(self, r: Combiner, number: int, at: Coordinates) -> Emitted:
        """An element of operand `number`; of an index the position of its vector."""
        source = r.sources[number]
        return self.b.cast_index(at[self.axis].start, source.element) if number == r.index else self.low.evaluate(source, at)

    def values_at(self, outer: Coordinates, coordinate: Coordinate) -> list[Emitted]:
        at = self.at(outer, coordinate)
        with self.low.storage.covering(at):
            values = [self.value_at(r, number, at) for r in self.group for number in range(len(r.sources))]
        lanes = max(c.width for c in at)
        return [self.b.broadcast(v, lanes) for v in values]

    def starts(self, lanes: int, limit: Emitted | None = None) -> list[Emitted]:
        """Where the loop ends at a limit, the number behind it counts as well (`behind`)."""
        starts = [[self.behind(r, limit) or r.start[0]] if r.choice is None else r.start for r in self.group]
        return [self.b.broadcast(start, lanes) for each in starts for start in each]

    def starts_along(self, lanes: int) -> list[Emitted]:
        """Of lanes that are combined behind the loop, then with what is behind the limit: constants."""
        starts = [[self.b.constant(r.absorbed, r.sources[0].element)] if r.numbers else r.start for r in self.group]
        return [self.b.broadcast(start, lanes) for each in starts for start in each]

    def behind(self, r: Combiner, limit: Emitted | None) -> Emitted | None:
        """The number behind a limit if there is room for it, else one that changes nothing: a maximum of nothing is -inf, not NaN."""
        if limit is None or r.choice is not None:
            return None
        b = self.b
        return b.select(b.compare("slt", limit, b.constant(self.extent)), b.constant(r.absorbed, r.sources[0].element), r.start[0])

    # One row

    def row(self, outer: Coordinates) -> list[Emitted]:
        """The results of one row, or of as many as there are lanes in `outer`."""
        if self.extent == 1:
            return [v for r, values in self.parts(self.values_at(outer, self.low.zero)) for v in r.indices(self.low, values, 0)]
        return self.along(outer, self.width) if self.dim == self.axis and self.width else self.across([outer])[0]

    def across(self, outers: Sequence[Coordinates]) -> list[list[Emitted]]:
        """Reduce with one accumulator for each lane of the outer coordinates; the results at each of `outers`."""
        lanes = max((c.width for c in outers[0]), default=0)
        # of two rows the second is added to the first, which takes no loop
        from_start = self.have_start and (self.extent > 2 or any(r.choice is not None for r in self.group))
        limit = self.end_of_all(outers[0]) if from_start else None
        first, begin = (self.starts(lanes, limit), 0) if from_start else (None, 1)
        firsts = [first or self.values_at(outer, self.low.zero) for outer in outers]

        def step(coordinate: Coordinate, accumulators: list[Emitted]) -> list[Emitted]:
            parts = zip(outers, self.each(accumulators), strict=True)
            return [v for outer, part in parts for v in self.accumulate(part, self.values_at(outer, coordinate))]

        results = self.low.nests.line_loop(self.extent, [v for part in firsts for v in part], step, limit, begin)
        return [[v for r, values in self.parts(part) for v in r.indices(self.low, values, 0)] for part in self.each(results)]

    def each(self, values: list[Emitted]) -> list[list[Emitted]]:
        """Values of the whole group at several places, apart."""
        count = len(self.sources)
        return [values[i : i + count] for i in range(0, len(values), count)]

    def along(self, outer: Coordinates, lanes: int) -> list[Emitted]:
        """Reduce one row whose lanes run along the axis; gives scalars."""
        from_start = self.have_start and (self.extent > lanes or any(r.numbers for r in self.group))
        end = self.end(outer) if from_start and self.extent > lanes else None
        limit, filled = (None, []) if end is None else end
        if from_start:
            first, begin = self.starts_along(lanes), 0
        else:
            first, begin = self.values_at(outer, Coordinate(self.b.constant(0), lanes)), lanes

        def step(coordinate: Coordinate, accumulators: list[Emitted]) -> list[Emitted]:
            return self.accumulate(accumulators, self.values_at(outer, coordinate), from_start)

        results = self.low.nests.vector_loop(self.extent, lanes, first, step, limit, begin, once=self.loop.once)
        for tensor, number in filled:
            self.fill(outer, tensor, number, limit, lanes)
        together = ((r, r.indices(self.low, values, lanes)) for r, values in self.parts(results))
        return [v for r, values in together for v in self.together(outer, r, values, lanes, from_start, limit)]

    def together(
        self, outer: Coordinates, r: Combiner, values: list[Emitted], lanes: int, from_start: bool, limit: Emitted | None
    ) -> list[Emitted]:
        """The lanes' results as one. Nothing but NaN and the start's own value leaves the start: then element by element."""
        low, b = self.low, self.b
        if not from_start or r.choice is None and not r.numbers:
            return r.lanes_together(low, values, lanes, self.behind(r, limit))
        if r.numbers:
            found, kept, start = [reduced(low, r.kind, values[0], numbers=True)], 0, b.constant(r.absorbed, r.sources[0].element)
        else:
            found, kept = r.chosen_lane(low, values, lanes), r.choice.value
            start = r.start[kept]
        unchanged = b.compare_floats("oeq", found[kept], start)
        return b.if_else(unchanged, [(b.element(v), 0) for v in found], lambda: self.one_by_one(outer, r), lambda: found)

    def one_by_one(self, outer: Coordinates, r: Combiner) -> list[Emitted]:
        """The row's result element by element."""
        b = self.b

        def at(i: Emitted) -> list[Emitted]:
            place = self.at(outer, Coordinate(i))
            return [self.value_at(r, number, place) for number in range(len(r.sources))]

        if r.numbers:
            return [_first_number(b, r.sources[0].element, self.extent, lambda i: at(i)[0])]
        first, end = at(b.constant(0)), b.constant(self.extent)
        values, _ = b.for_loop(b.constant(1), end, 1, first, lambda i, old: r.accumulate(self.low, old, at(i)))
        return r.indices(self.low, values, 0)

    # Rows that end at a bound

    def end(self, outer: Coordinates) -> tuple[Emitted, list[tuple[Tensor, float]]] | None:
        """The position in a row behind which nothing changes a result, and what the blocks that the loop stores are there."""
        low, found = self.low, []
        for r in self.group:
            padding = low.facts.padding(r.node.operands[0 if r.choice is None else r.choice.value], self.axis)
            if padding is None or padding.number != r.absorbed:
                return None
            found.append(padding)
        stored = []
        for tensor in self.read().intersection(low.storage.stored_later):
            results = tensor.origin.results
            is_current = len(results) == 1 and low.values.get(results[0]) is tensor
            padding = low.facts.padding(results[0], self.axis) if is_current else None
            if padding is None or tensor.shape != self.shape:
                return None
            stored.append((tensor, padding.number))
            found.append(padding)
        if any(padding.greater for padding in found) and self.extent <= 2 * self.width:
            return None  # deciding it costs as much as the vector that it may save
        limits = [limit for padding in found for limit in ends(low, padding, self.extent, self.at(outer, low.zero))]
        if not limits:
            return None
        return functools.reduce(self.b.maximum, limits), stored

    def end_of_all(self, outer: Coordinates) -> Emitted | None:
        """The position behind which nothing changes a result in any lane of `outer`; sums and the like only, that store nothing."""
        low = self.low
        if any(r.choice is not None for r in self.group) or self.read().intersection(low.storage.stored_later):
            return None
        found = [low.facts.padding(r.node.operands[0], self.axis) for r in self.group]
        limits = []
        for r, padding in zip(self.group, found, strict=True):
            if padding is None or padding.number != r.absorbed or padding.greater:
                return None
            limits += ends(low, padding, self.extent, self.at(outer, low.zero))
        return functools.reduce(self.b.maximum, limits) if limits else None

    def read(self) -> set[Tensor]:
        """All blocks that the loop evaluates."""
        return {block for source in self.sources for block, _, _ in self.low.evaluator.cone(source)}

    def fill(self, outer: Coordinates, tensor: Tensor, number: float, limit: Emitted, lanes: int) -> None:
        """Store `number` behind the last vector that the loop has stored."""
        low, b = self.low, self.b
        buffer = low.storage.stored_later.get(tensor)
        if buffer is None:
            return
        access = low.memory.buffer_access(buffer, tensor.origin)
        value = b.broadcast(b.constant(number, tensor.element), lanes)
        first = b.op("arith.andi", b.i64, [b.add(b.maximum(limit, b.constant(0)), b.constant(lanes - 1)), b.constant(-lanes)])

        def store(i: Emitted) -> None:
            low.memory.store(access, value, self.at(outer, Coordinate(i, lanes)))

        b.repeat(first, b.constant(self.extent), lanes, store)


def _first_number(b: Builder, element: ir.Type, extent: int, at: Callable[[Emitted], Emitted]) -> Emitted:
    """The first element that is not NaN, or NaN where there is none."""
    loop = b.create("scf.while", [b.i64, element], [b.constant(0).value], regions=2)
    before, after = (
        loop.regions[0].blocks.append(b.i64, arg_locs=[b.location]),
        loop.regions[1].blocks.append(b.i64, element, arg_locs=[b.location] * 2),
    )
    with b.inside(loop, before) as depth:
        i = Emitted(before.arguments[0], depth, 0)
        value = at(i)
        is_nan = b.compare_floats("uno", value, value)
        again = b.both(is_nan, b.compare("slt", i, b.constant(extent - 1)))
        b.create("scf.condition", [], [again.value, i.value, value.value])
    with b.inside(loop, after) as depth:
        b.create("scf.yield", [], [b.add(Emitted(after.arguments[0], depth, 0), b.constant(1)).value])
    return Emitted(loop.results[1], b.depth, 0)
