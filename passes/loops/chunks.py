"""Products that a loop accumulates: `for ..: acc = dot(a, b, acc)` keeps its register tiles of `acc` over many turns.

For a chunk of turns, a first loop runs the body's scalars and notes where each turn's operands lie (copying those that do not lie in
memory as they are needed); then the tiles run, each over all turns of the chunk.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.direct_stores import direct_store
from triton_spacemit.passes.loops.dot import result_buffer
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.operands import Operand, inner_limit, locate, operand_buffer, tile_steps
from triton_spacemit.passes.loops.product import Product, make_product
from triton_spacemit.passes.loops.tensors import Buffer, Tensor, bits
from triton_spacemit.passes.loops.tiles import Begin, Tiles, Turns
from triton_spacemit.passes.loops.views import View
from triton_spacemit.passes.loops.wanted import wanted


def accumulating(low: Lowering, loop: Node) -> tuple[Node, int] | None:
    """The product of a loop `for ..: acc = dot(a, b, acc)` that does nothing else, and which carried value `acc` is."""
    carried = [i for i, v in enumerate(loop.operands[3:]) if isinstance(v.type, ir.RankedTensorType)]
    step = low.scalar(loop.operands[2]).constant
    if len(carried) != 1 or loop.writes or not step or step < 0 or "unsignedCmp" in loop.op.attributes:
        return None
    body = loop.regions[0]
    argument, end = body.arguments[1 + carried[0]], body.nodes[-1]
    product = low.analysis.producer.get(end.operands[carried[0]])
    if product is None or product.name != "tt.dot" or product.block is not body or len(argument.type.shape) != 2:
        return None
    if product.operands[2] != argument or low.analysis.users[argument] != [product] or low.analysis.users[product.results[0]] != [end]:
        return None
    plain = all(node is product or node.is_lazy or (not node.is_tensor and node.name.startswith("llvm.")) for node in body.nodes[:-1])
    return (product, carried[0]) if plain else None


def lower_accumulating(low: Lowering, loop: Node, dot: Node, index: int) -> list[Value]:
    """The whole loop, whose carried value `index` the product `dot` accumulates."""
    return Accumulation(low, loop, dot, index).run()


class Accumulation:
    """One such loop. Scalars that it carries stay SSA values of the loop over chunks, and of that over a chunk's turns."""

    def __init__(self, low: Lowering, loop: Node, dot: Node, index: int) -> None:
        self.low, self.loop, self.dot, self.index = low, loop, dot, index
        b = low.b
        self.first, last, self.step = (low.scalar(v) for v in loop.operands[:3])
        start = loop.operands[3 + index]
        target, begin = result_buffer(low, loop, start, [])
        self.at_zero = begin.at_zero
        self.scalars = [low.scalar(v) for v in self._others(loop.operands[3:])]
        left, right = (Tensor(shape=shape_of(v), element=element_of(v.type)) for v in dot.operands[:2])
        self.product = make_product(low, dot, left, right, target, wanted(low, loop, loop.results[index]))
        self.per_chunk = max(1, chunk_steps(low, self.product) // self.product.inner)
        # on cores that run in order, where strips are not copied turn by turn
        self.joins = low.chip.in_order and self.per_chunk > 1 and not low.chip.costs.strip_rows
        if self.joins:
            self.product = replace(self.product, steps=self.per_chunk * self.product.inner)
        distance = b.sub(b.cast_index(last, b.i64), b.cast_index(self.first, b.i64))
        rounded = b.add(distance, b.constant(self.step.constant - 1))
        self.turns = b.maximum(b.op("arith.divsi", b.i64, [rounded, b.constant(self.step.constant)]), b.constant(0))
        # where tiles begin at zero, one chunk of no turns stores the zeros of a loop without turns
        self.end = b.maximum(self.turns, b.constant(1)) if self.at_zero else self.turns
        self.direct = direct_store(low, loop, loop.results[index], self.product)

    def _others(self, values: list) -> list:
        """What the loop carries besides the accumulated block."""
        return [value for i, value in enumerate(values) if i != self.index]

    def run(self) -> list[Value]:
        low, nowhere = self.low, self.low.b.constant(0, self.low.b.i1)
        results, _ = low.b.for_loop(low.b.constant(0), self.end, self.per_chunk, [*self.scalars, nowhere], self._chunk)
        made: list[Value] = list(results[:-1])
        if self.direct is not None:
            low.stored[self.direct.node] = results[-1]
        made.insert(self.index, low.storage.from_buffer(self.product.target, self.loop.op))
        return made

    def _chunk(self, start: Emitted, values: list[Emitted]) -> list[Emitted]:
        """The turns from `start` on, as many as a chunk has; carries scalars, and whether the result is where its store goes."""
        low, b = self.low, self.low.b
        scalars, nowhere = values[:-1], b.constant(0, b.i1)
        count = b.minimum(b.sub(self.turns, start), b.constant(self.per_chunk))
        runs = Runs(low, self.product, self.per_chunk, self.joins)

        def find(turn: Emitted, values: list[Emitted]) -> list[Emitted]:
            scalars, state, met = values[: len(self.scalars)], values[len(self.scalars) : -1], values[-1]
            with low.storage.region():
                self._enter(b.add(start, turn), scalars)
                inner, steps, left, right = self._locate(turn)
                state = runs.keep(turn, state, steps, left, right)
                met = self._met(met, inner, left, right)
                return [*(low.scalar(v) for v in self._others(self.loop.regions[0].nodes[-1].operands)), *state, met]

        values, _ = b.for_loop(b.constant(0), count, 1, [*scalars, *runs.start(), nowhere], find)
        scalars, state, met = values[: len(scalars)], values[len(scalars) : -1], values[-1]
        begin = Begin(self.at_zero and b.compare("eq", start, b.constant(0)))
        turns, stored = runs.turns(count, state, begin), nowhere
        if self.direct is not None:  # which is where the last chunk stores, whatever those before have read
            apart = b.op("arith.xori", b.i1, [met, b.constant(1, b.i1)])
            is_last = b.compare("sge", b.add(start, b.constant(self.per_chunk)), self.turns)
            stored = b.op("arith.andi", b.i1, [apart, is_last])
            turns = replace(turns, destination=self.direct.destination(stored))
        Tiles(low, self.product, turns).run()
        return [*scalars, stored]

    def _met(self, met: Emitted, inner: Emitted, left: Operand, right: Operand) -> Emitted:
        """Whether tiles store where they read operands: those of a turn, or of one before."""
        if self.direct is None:
            return met
        b, product = self.low.b, self.product
        for here in (
            self.direct.meets(left, (product.rows, product.inner), product.wanted_rows, inner),
            self.direct.meets(right, (product.inner, product.columns), inner, product.wanted_columns),
        ):
            met = met if here.constant == 0 else b.op("arith.ori", b.i1, [met, here])
        return met

    def _enter(self, turn: Emitted, scalars: list[Emitted]) -> None:
        """Lower what the body computes in a turn, but for the product."""
        low, b, body = self.low, self.low.b, self.loop.regions[0]
        number = b.mul(turn, b.constant(self.step.constant))
        low.bind_value(body.arguments[0], b.cast_index(b.add(b.cast_index(self.first, b.i64), number), self.first.value.type))
        for argument, value in zip(self._others(body.arguments[1:]), scalars, strict=True):
            low.bind_value(argument, value)
        for node in body.nodes[:-1]:
            if node is not self.dot:
                b.location = node.op.location
                low.lower(node)
        b.location = self.dot.op.location  # of the tiles, too

    def _locate(self, turn: Emitted) -> tuple[Emitted, Emitted, Operand, Operand]:
        """Of a turn the steps of k, those of its tiles, and where its operands are."""
        low, product = self.low, self.product
        tensors = [low.tensor(v) for v in self.dot.operands[:2]]
        inner = inner_limit(low, product, *tensors)
        steps = tile_steps(low, product, inner)
        left, right = (
            locate(low, product, layout, tensor, inner, functools.partial(self._slot, layout, turn, tensor))
            for tensor, layout in zip(tensors, (product.left, product.right), strict=True)
        )
        return inner, steps, left, right

    def _slot(self, layout: Layout, turn: Emitted, tensor: Tensor) -> Buffer:
        """Room for the copy of an operand in one turn of a chunk: behind that of the turn before where turns are joined."""
        b, shape = self.low.b, list(tensor.shape)
        if not self.joins:
            whole = operand_buffer(self.low, layout, tensor.shape, (self.per_chunk,))
            base = b.offset(whole.base, b.mul(turn, b.constant(whole.strides[0])), whole.stored)
            return Buffer(base, whole.shape[1:], whole.strides[1:], whole.element, whole.stored)
        along = 1 if layout.is_left else 0
        shape[along] = self.product.steps
        whole = operand_buffer(self.low, layout, tuple(shape))
        words = b.mul(turn, b.constant(self.product.inner // layout.depth * whole.strides[along]))
        return Buffer(b.offset(whole.base, words, whole.stored), layout.words(tensor.shape), whole.strides, whole.element, whole.stored)


def chunk_steps(low: Lowering, product: Product) -> int:
    """Steps of k in a chunk, a power of two."""
    costs, steps = low.chip.costs, low.chip.costs.chunk_steps
    column, row = bits(product.right.element) // 8, bits(product.left.element) // 8  # bytes of one step
    if costs.chunk_bytes:
        steps = min(steps, costs.chunk_bytes // (product.tile.columns * column))
    if costs.block_bytes:
        left = costs.block_bytes - product.rows * product.columns * bits(product.target.stored) // 8
        steps = min(steps, left // (2 * (product.rows * row + product.columns * column)))
    return 1 << (max(1, steps).bit_length() - 1)


class Runs:
    """The turns of a chunk as runs of steps, for the tiles that run behind them: a turn whose operands lie where those of the turn before
    end, at the same distances, goes on with that turn's steps.

    Numbers of a run are in tables, or themselves where all turns agree. A turn is a run where it does not go on (not `joins`).
    """

    def __init__(self, low: Lowering, product: Product, turns: int, joins: bool) -> None:
        self.low, self.product, self.most, self.joins, self.outside = low, product, turns, joins, low.b.depth
        self.operands: list[Operand] = []
        self.getters: list[Callable[[Emitted | None], Emitted]] = []

    def start(self) -> list[Emitted]:
        """What the loop over the chunk's turns carries: how many runs there are; of the last one its steps, where it begins and ends."""
        b = self.low.b
        if not self.joins:
            return []
        anywhere, nowhere = self.product.target.base, b.constant(-1)  # an operand that is never read may begin at address 0
        return [b.constant(0), b.constant(0), anywhere, anywhere, nowhere, nowhere, *[b.constant(0)] * 4]

    def keep(self, turn: Emitted, state: list[Emitted], steps: Emitted, left: Operand, right: Operand) -> list[Emitted]:
        """Note a turn; gives what `start` began."""
        b = self.low.b
        self.operands = [left, right]
        views = left.view, right.view
        bases, distances = [view.base for view in views], [stride for view in views for stride in view.strides]
        if not self.joins:
            self._note(turn, [steps, *bases, *distances])
            return []
        number, so_far, *places = state
        begins, ends, before = places[:2], places[2:4], places[4:]
        goes_on = None
        for base, end in zip(bases, ends, strict=True):
            goes_on = b.both(goes_on, b.compare("eq", self._address(base), end))
        for distance, last in zip(distances, before, strict=True):
            if distance.depth > self.outside:
                goes_on = b.both(goes_on, b.compare("eq", distance, last))
        assert goes_on is not None
        behind = [
            self._address(b.offset(base, b.mul(steps, stride), view.element))
            for base, stride, view in zip(bases, (views[0].strides[-1], views[1].strides[-2]), views, strict=True)
        ]
        number = b.select(goes_on, b.sub(number, b.constant(1)), number)
        total = b.select(goes_on, b.add(so_far, steps), steps)
        total.multiple = steps.divisor
        begins = [b.select(goes_on, begin, base) for begin, base in zip(begins, bases, strict=True)]
        self._note(number, [total, *begins, *distances])
        return [b.add(number, b.constant(1)), total, *begins, *behind, *distances]

    def _address(self, pointer: Emitted) -> Emitted:
        return self.low.b.op("llvm.ptrtoint", self.low.b.i64, [pointer])

    def _note(self, number: Emitted, values: list[Emitted]) -> None:
        self.getters = [self._getter(value, number) for value in values]

    def _getter(self, value: Emitted, number: Emitted) -> Callable[[Emitted | None], Emitted]:
        if value.depth <= self.outside:
            return lambda _: value
        b, memory, type_ = self.low.b, self.low.memory, value.value.type
        table = self.low.storage.allocate((self.most,), type_)
        memory.scalar_store(b.offset(table.base, number, type_), value)

        def load(run: Emitted | None) -> Emitted:
            kept = memory.scalar_load(b.offset(table.base, run, type_), type_, None, None, b.depth)
            kept.multiple = value.multiple
            return kept

        return load

    def turns(self, count: Emitted, state: list[Emitted], begin: Begin) -> Turns:
        """What the tiles add up, of a chunk of `count` turns."""
        left, right = self.operands

        def run(number: Emitted | None) -> tuple[View, View, Emitted]:
            steps, base_a, base_b, *distances = [get(number) for get in self.getters]
            return View(base_a, distances[:2], left.view.element), View(base_b, distances[2:], right.view.element), steps

        return Turns(state[0] if self.joins else count, run, begin, left.padded, right.padded, self.most, right.strips)
