"""Products that a loop accumulates: `for ..: acc = dot(a, b, acc)` keeps its register tiles of `acc` over many turns.

For a chunk of turns, a first loop runs the body's scalars and notes where each turn's operands lie (copying those that do not lie in
memory as they are needed); then the tiles run, each over all turns of the chunk.
"""

import functools
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.dot import result_buffer
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.operands import Operand, inner_limit, locate, operand_buffer, tile_steps
from triton_spacemit.passes.loops.product import make_product
from triton_spacemit.passes.loops.tensors import Buffer, Tensor
from triton_spacemit.passes.loops.tiles import Tiles, Turns
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
        target, at_zero = result_buffer(low, loop, start, [])
        if at_zero:
            low.storage.write_all([(low.tensor(start), target)])
        self.scalars = [low.scalar(v) for v in self._others(loop.operands[3:])]
        left, right = (Tensor(shape=shape_of(v), element=element_of(v.type)) for v in dot.operands[:2])
        self.product = make_product(low, dot, left, right, target, wanted(low, loop, loop.results[index]))
        self.per_chunk = max(1, low.chip.costs.chunk_steps // self.product.inner)
        distance = b.sub(b.cast_index(last, b.i64), b.cast_index(self.first, b.i64))
        rounded = b.add(distance, b.constant(self.step.constant - 1))
        self.turns = b.maximum(b.op("arith.divsi", b.i64, [rounded, b.constant(self.step.constant)]), b.constant(0))

    def _others(self, values: list) -> list:
        """What the loop carries besides the accumulated block."""
        return [value for i, value in enumerate(values) if i != self.index]

    def run(self) -> list[Value]:
        low = self.low
        results, _ = low.b.for_loop(low.b.constant(0), self.turns, self.per_chunk, self.scalars, self._chunk)
        made: list[Value] = list(results)
        made.insert(self.index, low.storage.from_buffer(self.product.target, self.loop.op))
        return made

    def _chunk(self, start: Emitted, scalars: list[Emitted]) -> list[Emitted]:
        """The turns from `start` on, as many as a chunk has."""
        low, b = self.low, self.low.b
        count = b.minimum(b.sub(self.turns, start), b.constant(self.per_chunk))
        kept = Kept(low, self.per_chunk)
        found: list[Operand] = []

        def find(turn: Emitted, scalars: list[Emitted]) -> list[Emitted]:
            with low.storage.region():
                self._enter(b.add(start, turn), scalars)
                found[:] = self._locate(turn, kept)
                return [low.scalar(v) for v in self._others(self.loop.regions[0].nodes[-1].operands)]

        scalars, _ = b.for_loop(b.constant(0), count, 1, scalars, find)
        left, right = self.product.left.word, self.product.right.word

        def views(turn: Emitted | None) -> tuple[View, View, Emitted]:
            steps, *values = kept.at(turn)
            return View(values[0], values[1:3], left), View(values[3], values[4:], right), steps

        left_found, right_found = found
        Tiles(
            low, self.product, Turns(count, views, False, left_found.padded, right_found.padded, self.per_chunk, right_found.strips)
        ).run()
        return scalars

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

    def _locate(self, turn: Emitted, kept: "Kept") -> list[Operand]:
        """Note where the operands of a turn are; all but their places does not depend on the turn."""
        low, product = self.low, self.product
        tensors = [low.tensor(v) for v in self.dot.operands[:2]]
        inner = inner_limit(low, product, *tensors)
        kept.keep(tile_steps(low, product, inner), turn)
        operands = []
        for tensor, layout in zip(tensors, (product.left, product.right), strict=True):
            operand = locate(low, product, layout, tensor, inner, functools.partial(self._slot, layout, turn, tensor))
            for value in (operand.view.base, *operand.view.strides):
                kept.keep(value, turn)
            operands.append(operand)
        return operands

    def _slot(self, layout: Layout, turn: Emitted, tensor: Tensor) -> Buffer:
        """Room for the copy of an operand in one turn of a chunk."""
        b = self.low.b
        whole = operand_buffer(self.low, layout, tensor.shape, (self.per_chunk,))
        base = b.offset(whole.base, b.mul(turn, b.constant(whole.strides[0])), whole.stored)
        return Buffer(base, whole.shape[1:], whole.strides[1:], whole.element, whole.stored)


class Kept:
    """Values of each turn of a chunk, for the tiles that run behind these turns: in tables, or themselves where all turns agree."""

    def __init__(self, low: Lowering, turns: int) -> None:
        self.low, self.turns, self.outside = low, turns, low.b.depth
        self.getters: list[Callable[[Emitted | None], Emitted]] = []

    def keep(self, value: Emitted, turn: Emitted) -> None:
        if value.depth <= self.outside:
            self.getters.append(lambda _: value)
            return
        b, memory, type_ = self.low.b, self.low.memory, value.value.type
        table = self.low.storage.allocate((self.turns,), type_)
        memory.scalar_store(b.offset(table.base, turn, type_), value)


        def load(t: Emitted | None) -> Emitted:
            kept = memory.scalar_load(b.offset(table.base, t, type_), type_, None, None, b.depth)
            kept.multiple = value.multiple
            return kept

        self.getters.append(load)

    def at(self, turn: Emitted | None) -> list[Emitted]:
        """The values of one turn, in the order in which they were kept."""
        return [get(turn) for get in self.getters]
