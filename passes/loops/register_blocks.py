"""Loops over products of one register tile each, whose blocks are in vector registers (`register_loops.py`) in their own order.

An operand is loaded or computed where the tile takes it, if its lanes lie as the instruction wants them (`register_views.py`), and products
that add to the result of one before keep it in the registers of sums.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.chips import IME
from triton_spacemit.passes.loops import register_views as views
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.fixed_registers import BYTES, FixedRegisterValues, signs_of, word_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.narrow import factor_name
from triton_spacemit.passes.loops.product import tile_of
from triton_spacemit.passes.loops.register_loops import ELEMENTWISE, NotInRegisters, blocks_of, fits, in_order, run, strides_of
from triton_spacemit.passes.loops.register_values import RegisterValues, lies_apart
from triton_spacemit.passes.loops.register_views import CarriedLanes, ProductLanes, View
from triton_spacemit.passes.loops.selection import Candidate
from triton_spacemit.passes.loops.tensors import Tensor, bits

_MULTIPLICATIONS = 1024  # of a turn, which are all there in code


@dataclass(frozen=True, eq=False)
class RegisterBlocks:
    """What each block of a loop's body is, the tiles of its products, and those of them that are needed in order."""

    views: dict[ir.Value, View]
    tiles: dict[ir.Value, Candidate]
    finished: tuple[ProductLanes, ...]


def register_blocks(low: Lowering, loop: Node) -> RegisterBlocks:
    """How the blocks of a loop lie in registers. Raises NotInRegisters where they do not."""
    return _Body(low, loop).seen()


class _Body:
    """Finds the view of each block of a loop's body. Raises NotInRegisters where one has none."""

    def __init__(self, low: Lowering, loop: Node) -> None:
        self.low, self.chip, self.loop, self.body = low, low.chip, loop, loop.regions[0]
        self.views: dict[ir.Value, View] = {}
        self.tiles: dict[ir.Value, Candidate] = {}
        self.shuffles = not low.chip.active_lengths
        self.multiplications = 0

    def seen(self) -> RegisterBlocks:
        for number, argument in enumerate(blocks_of(self.body.arguments[1:])):
            source = CarriedLanes(self._element(argument), self._lanes(argument), number)
            self.views[argument] = views.whole(source, shape_of(argument))
        for node in self.body.nodes[:-1]:
            if node.is_tensor:
                for result, view in zip(node.results, self._results(node), strict=True):
                    self.views[result] = view
        for value in blocks_of(self.body.nodes[-1].operands):
            views.pieces(self.chip, self._view(value), self.shuffles)
        return RegisterBlocks(self.views, self.tiles, self._finished())

    def _finished(self) -> tuple[ProductLanes, ...]:
        """Products that something else than another product's start needs."""
        products = [self.views[value].sources[0] for value in self.tiles]
        return tuple(p for p in products if isinstance(p, ProductLanes) and not self._only_starts(p.node.results[0]))

    def _only_starts(self, product: ir.Value) -> bool:
        users = self.low.analysis.users.get(product, ())
        return all(node.name == "tt.dot" and product not in node.operands[:2] for node in users)

    def _element(self, value: ir.Value) -> ir.Type:
        element = element_of(value.type)
        if not fits(element):
            raise NotInRegisters(f"blocks of {element} are not")
        return element

    def _lanes(self, value: ir.Value) -> int:
        """How many lanes a carried block has, if one group of registers holds them."""
        count, element = math.prod(shape_of(value)), self._element(value)
        if count > views.most_lanes(self.chip, element) or count * 64 % self.chip.vlen:
            raise NotInRegisters(f"{count} elements of {element} do not fit")
        return count

    def _view(self, value: ir.Value) -> View:
        """Of an operand: a block of the body, or one from outside that is the same everywhere."""
        if value in self.views:
            return self.views[value]
        if self.low.repeated(value) is None:
            raise NotInRegisters("it takes a block from outside")
        return views.uniform(value, self._element(value), shape_of(value))

    def _results(self, node: Node) -> list[View]:
        shape = shape_of(node.results[0])
        element = self._element(node.results[0])
        if node.name in ("arith.constant", "tt.splat"):
            if node.name == "arith.constant" and not node.attribute("value").is_splat:
                raise NotInRegisters("a constant has different elements")
            return [views.uniform((node.operands or node.results)[0], element, shape)]
        if node.name == "xsmt.descriptor_load":
            return [self._loaded(node, element, shape)]
        if node.name == "tt.dot":
            return [self._product(node, element)]
        operands = [self._view(value) for value in node.operands]
        if node.name in ("arith.extsi", "arith.extui") and self._only_multiplied(node.results[0]):
            return operands  # whose signs the product knows
        if node.name in _MOVES:
            return _MOVES[node.name](node, operands)
        if node.name not in ELEMENTWISE:
            raise NotInRegisters(f"{node.name} is in it")
        if node.name == "tt.bitcast" and operands[0].element == element:
            return operands
        halves = any(isinstance(each, ir.F16Type) for each in (element, *(view.element for view in operands)))
        if halves and not self.chip.native_float16 and node.name not in ("arith.extf", "arith.truncf"):
            raise NotInRegisters(f"{node.name} of float16 is in it")
        return [views.computed(self.chip, node, element, shape, operands)]

    def _only_multiplied(self, value: ir.Value) -> bool:
        users = self.low.analysis.users.get(value, ())
        return factor_name(value).endswith("i8") and all(node.name == "tt.dot" and node.operands[2] != value for node in users)

    def _loaded(self, node: Node, element: ir.Type, shape: tuple[int, ...]) -> View:
        return views.loaded(self.chip, node, element, shape, strides_of(node.op, shape))

    def _product(self, node: Node, element: ir.Type) -> View:
        """Checks that operands come as the tile's words, and the start as its units or from memory."""
        left, right, start = (self._view(value) for value in node.operands)
        result = node.results[0]
        if len(left.shape) != 2:
            raise NotInRegisters("a product has a batch")
        if not self.chip.ime:
            return self._product_of_rows(node, element, left, right, start)
        tile = tile_of(self.low, node, left.shape, right.shape, str(element))
        row, shape = tile.row, shape_of(result)
        if row.form != IME or (tile.rows, tile.columns) != shape:
            raise NotInRegisters("a product is not one tile of matrix instructions")
        self.tiles[result] = tile
        inner, columns = right.shape
        self._count(shape[0] * inner * columns // (row.m * row.n * row.k))
        for step in range(0, inner, row.k):
            for r in range(0, shape[0], row.m):
                views.pieces(self.chip, left.only([i * inner + k for i in range(r, r + row.m) for k in range(step, step + row.k)]))
            for c in range(0, columns, row.n):
                views.pieces(self.chip, right.only([k * columns + n for n in range(c, c + row.n) for k in range(step, step + row.k)]))
        source = ProductLanes(element, shape[0] * columns, node, left, right, start)
        chained = isinstance(start.sources[0], ProductLanes) and start.lanes == views.whole(source).lanes
        if not (chained or start.is_uniform or lies_apart(start) is not None):
            for r in range(0, shape[0], row.m):
                for c in range(0, columns, row.n):
                    views.pieces(self.chip, start.only([i * columns + n for i in range(r, r + row.m) for n in range(c, c + row.n)]))
        return views.whole(source, shape)

    def _count(self, multiplications: int) -> None:
        self.multiplications += multiplications
        if self.multiplications > _MULTIPLICATIONS:
            raise NotInRegisters(f"a turn has more than {_MULTIPLICATIONS} multiplications")

    def _product_of_rows(self, node: Node, element: ir.Type, left: View, right: View, start: View) -> View:
        """The same of an instruction that multiplies the same bytes of a row of A with each column's of B."""
        row = next(each for each in self.chip.matrix if each.form == BYTES)
        (rows, inner), (_, columns) = left.shape, right.shape
        is_tiled = str(element) == row.sums and not inner % row.k and not columns % row.n
        if not is_tiled or any(str(view.element) != "i8" for view in (left, right)) or signs_of(node) == (False, False):
            raise NotInRegisters(f"a product of {rows} x {inner} and {inner} x {columns} does not fit")
        if rows * columns > views.most_lanes(self.chip, element):
            raise NotInRegisters(f"{rows} x {columns} sums are more than registers hold")
        self._count(rows * inner * columns // (row.n * row.k))
        for step in range(0, inner, row.k):
            for r in range(rows):
                word_of(left.only(range(r * inner + step, r * inner + step + row.k)))
            for c in range(0, columns, row.n):
                lanes = [k * columns + n for n in range(c, c + row.n) for k in range(step, step + row.k)]
                views.pieces(self.chip, right.only(lanes), shuffles=True)
        for place in range(0, rows * columns, row.n):
            views.pieces(self.chip, start.only(range(place, place + row.n)), shuffles=True)
        self.tiles[node.results[0]] = Candidate(row, rows, columns)
        source = ProductLanes(element, rows * columns, node, left, right, start)
        return views.whole(source, (rows, columns))


def _order(node: Node) -> list[int]:
    return [int(i) for i in ir.DenseI32ArrayAttr(node.attribute("order"))]


# What changes no element, but where it is.
_MOVES: dict[str, Callable[[Node, list[View]], list[View]]] = {
    "tt.reshape": lambda node, operands: [views.reshaped(operands[0], shape_of(node.results[0]))],
    "tt.expand_dims": lambda node, operands: [views.reshaped(operands[0], shape_of(node.results[0]))],
    "tt.broadcast": lambda node, operands: [views.broadcast(operands[0], shape_of(node.results[0]))],
    "tt.trans": lambda node, operands: [views.transposed(operands[0], _order(node))],
    "tt.join": lambda node, operands: [views.interleaved(*operands)],
    "tt.split": lambda node, operands: list(views.halves(operands[0])),
}


def lower_register_blocks(low: Lowering, loop: Node, plan: RegisterBlocks) -> list[Value]:
    """The whole loop."""
    make = RegisterValues if low.chip.ime else FixedRegisterValues
    sums = {value: low.storage.allocate(shape_of(value), element_of(value.type)) for value in plan.tiles}
    outside = make(low, plan.tiles, sums, [])
    starts = [_begin(low, outside, value) for value in blocks_of(loop.operands[3:])]
    wanted = [plan.views[value] for value in blocks_of(loop.regions[0].nodes[-1].operands)]

    def turn(carried: list[Emitted]) -> list[Emitted]:
        values = make(low, plan.tiles, sums, carried)
        for product in plan.finished:
            values.finish(product)
        values.compute(wanted)
        return [values.vector(view) for view in wanted]

    lanes, scalars = run(low, loop, starts, turn, holds_moves=True)
    ends = [_in_memory(low, loop, result, value) for result, value in zip(blocks_of(loop.results), lanes, strict=True)]
    return in_order(loop, ends, scalars)


def _begin(low: Lowering, outside: RegisterValues, value: ir.Value) -> Emitted:
    """The start of a block that the loop carries."""
    element, shape = element_of(value.type), shape_of(value)
    if low.repeated(value) is not None:
        return outside.vector(views.uniform(value, element, shape))
    buffer = low.storage.contiguous(low.tensor(value))
    return outside.registers.load(buffer.base, element, math.prod(shape), bits(element) // 8)


def _in_memory(low: Lowering, loop: Node, result: ir.Value, value: Emitted) -> Tensor:
    """A block that the loop carried is put into memory, as others are."""
    buffer = low.storage.allocate(shape_of(result), element_of(result.type))
    alignment = ir.IntegerAttr.get(low.b.i64, bits(buffer.stored) // 8)
    low.b.create("llvm.store", [], [value.value, buffer.base.value], {"alignment": alignment})
    return low.storage.from_buffer(buffer, loop.op)
