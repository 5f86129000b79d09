"""Loops over products of one register tile: what a turn computes stays in vector registers, and so does what it carries.

A product whose result is no larger than a register tile is a few instructions, and the memory that operands and result would pass through
costs more than they. In a loop of such products with matrix instructions all blocks are values: an operand is loaded or computed where the
tile takes it, if its lanes lie as the instruction wants them (`register_views.py`), and products that add to the result of one before keep
it in the registers of sums. What makes it legal: a turn writes nothing, has no control flow and no masks; shapes and distances in memory
are constants, so that the place of every lane is known. Where any of it is not so, the loop is lowered as others are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.chips import IME
from triton_spacemit.dialect.module import SCHEDULED
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes import remarks
from triton_spacemit.passes.loops import register_views as views
from triton_spacemit.passes.loops.analysis import Block, Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.fixed_registers import BYTES, FixedRegisterValues, signs_of, word_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.narrow import factor_name
from triton_spacemit.passes.loops.product import tile_of
from triton_spacemit.passes.loops.register_values import RegisterValues, lies_apart
from triton_spacemit.passes.loops.register_views import CarriedLanes, NotInRegisters, ProductLanes, View
from triton_spacemit.passes.loops.selection import Candidate
from triton_spacemit.passes.loops.tensors import bits

_WIDTHS = (8, 16, 32)
_MULTIPLICATIONS = 1024  # of a turn, which are all there in code
_IMMEDIATE = 2047  # the largest number that RISC-V's instructions add without a register
_ELEMENTWISE = frozenset(
    [f"arith.{name}" for name in "addi subi muli andi ori xori shli shrui shrsi maxsi maxui minsi minui".split()]
    + [f"arith.{name}" for name in "addf subf mulf negf extf truncf extsi extui trunci sitofp uitofp fptosi fptoui".split()]
    + ["math.fma", "tt.bitcast"]
)


@dataclass(frozen=True, eq=False)
class RegisterLoop:
    """What each block of a loop's body is, the tiles of its products, and those of them that are needed in order."""

    views: dict[ir.Value, View]
    tiles: dict[ir.Value, Candidate]
    finished: tuple[ProductLanes, ...]


def in_registers(low: Lowering, loop: Node) -> RegisterLoop | None:
    """How the loop is lowered in registers; None where it is not."""
    body = loop.regions[0]
    if loop.writes or "unsignedCmp" in loop.op.attributes or not any(node.name == "tt.dot" for node in body.nodes):
        return None
    if not low.chip.ime and not any(row.form == BYTES for row in low.chip.matrix):
        return None
    try:
        found = _Body(low, loop).seen()
        remarks.emit(loop.op.location, lambda: "loop in registers")
        return found
    except NotInRegisters as reason:
        text = str(reason)
        remarks.emit(loop.op.location, lambda: f"loop not in registers: {text}")
        return None


class _Body:
    """Finds the view of each block of a loop's body. Raises NotInRegisters where one has none."""

    def __init__(self, low: Lowering, loop: Node) -> None:
        self.low, self.chip, self.loop, self.body = low, low.chip, loop, loop.regions[0]
        self.views: dict[ir.Value, View] = {}
        self.tiles: dict[ir.Value, Candidate] = {}
        self.shuffles = not low.chip.active_lengths
        self.multiplications = 0

    def seen(self) -> RegisterLoop:
        for number, argument in enumerate(self.body.arguments[1:]):
            if isinstance(argument.type, ir.RankedTensorType):
                source = CarriedLanes(self._element(argument), self._lanes(argument), number)
                self.views[argument] = views.whole(source, shape_of(argument))
        for node in self.body.nodes[:-1]:
            if node.regions or node.name in ("tt.reduce", "tt.scan"):
                raise NotInRegisters(f"{node.name} is in it")
            if node.is_tensor:
                for result, view in zip(node.results, self._results(node), strict=True):
                    self.views[result] = view
            elif any(isinstance(value.type, ir.RankedTensorType) for value in node.operands):
                raise NotInRegisters(f"{node.name} takes a block")
        for value in self.body.nodes[-1].operands:
            if isinstance(value.type, ir.RankedTensorType):
                views.pieces(self.chip, self._view(value), self.shuffles)
        return RegisterLoop(self.views, self.tiles, self._finished())

    def _finished(self) -> tuple[ProductLanes, ...]:
        """Products that something else than another product's start needs."""
        products = [self.views[value].sources[0] for value in self.tiles]
        return tuple(p for p in products if isinstance(p, ProductLanes) and not self._only_starts(p.node.results[0]))

    def _only_starts(self, product: ir.Value) -> bool:
        users = self.low.analysis.users.get(product, ())
        return all(node.name == "tt.dot" and product not in node.operands[:2] for node in users)

    def _element(self, value: ir.Value) -> ir.Type:
        element = element_of(value.type)
        plain = isinstance(element, ir.IntegerType | ir.F32Type | ir.F16Type) and bits(element) == element.width
        if not plain or element.width not in _WIDTHS:
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
        if node.name not in _ELEMENTWISE:
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
        access = node.op.opview
        if access.mask is not None:
            raise NotInRegisters("a load has a mask")
        bounds = [_integer(bound) for bound in (*access.lower, *access.upper)]
        if any(bound is None or bound > 0 for bound in bounds[: len(shape)]):
            raise NotInRegisters("a load has a lower bound")
        if any(bound is None or bound < extent for bound, extent in zip(bounds[len(shape) :], shape, strict=True)):
            raise NotInRegisters("a load has an upper bound")
        strides = [_integer(stride) for stride in access.strides]
        if None in strides:
            raise NotInRegisters("a stride is not a constant")
        return views.loaded(self.chip, node, element, shape, strides)

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
        fits = str(element) == row.sums and not inner % row.k and not columns % row.n
        if not fits or any(str(view.element) != "i8" for view in (left, right)) or signs_of(node) == (False, False):
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


def _integer(value: ir.Value) -> int | None:
    number = constant_of(value)
    return None if number is None else number.value


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


def lower_in_registers(low: Lowering, loop: Node, plan: RegisterLoop) -> list[Value]:
    """The whole loop."""
    b, body = low.b, loop.regions[0]
    if low.chip.in_order:
        low.module.operation.attributes[SCHEDULED] = ir.UnitAttr.get()
    low.storage.computes = True
    lower, upper, step = (low.scalar(value) for value in loop.operands[:3])
    sums = {value: low.storage.allocate(shape_of(value), element_of(value.type)) for value in plan.tiles}
    make = RegisterValues if low.chip.ime else FixedRegisterValues
    outside = make(low, plan.tiles, sums, [])
    carried = [_begin(low, outside, value) for value in loop.operands[3:]]
    moves = {value: distance for value in body.nodes[-1].operands if (distance := _move(low, body, value)) is not None}
    types = [value.value.type for value in carried]
    op = b.create("scf.for", types, [value.value for value in (lower, upper, step, *carried)], regions=1)
    block = op.regions[0].blocks.append(lower.value.type, *types, arg_locs=[b.location] * (1 + len(types)))
    with b.inside(op, block) as depth, low.storage.region():
        arguments = [Emitted(argument, depth, 0) for argument in block.arguments]
        low.bind_value(body.arguments[0], arguments[0])
        for value, argument in zip(body.arguments[1:], arguments[1:], strict=True):
            if value not in plan.views:
                low.bind_value(value, argument)
        scalars = [node for node in body.nodes[:-1] if not node.is_tensor]
        last = [node for node in scalars if all(low.analysis.users.get(value, ()) == [body.nodes[-1]] for value in node.results)]
        _lower(low, [node for node in scalars if node not in last])
        values = make(low, plan.tiles, sums, arguments[1:])
        b.location = body.nodes[-1].op.location
        for product in plan.finished:
            values.finish(product)
        values.compute(plan.views[value] for value in body.nodes[-1].operands if value in plan.views)
        _lower(low, last)  # of the next turn: the registers of this turn's are free by now
        ends = [values.vector(plan.views[v]) if v in plan.views else _next(low, v, moves) for v in body.nodes[-1].operands]
        b.create("scf.yield", [], [end.value for end in ends])
    b.location = loop.op.location
    return [_end(low, loop, result, Emitted(value, b.depth, 0)) for result, value in zip(loop.results, op.results, strict=True)]


def _lower(low: Lowering, nodes: list[Node]) -> None:
    for node in nodes:
        low.b.location = node.op.location
        low.lower(node)


def _move(low: Lowering, body: Block, value: ir.Value) -> Emitted | None:
    """The bytes that a pointer moves on by in a turn, in a register, where they are a constant that an addition has no room for."""
    node = low.analysis.producer.get(value)
    if node is None or node.name != "llvm.getelementptr" or len(node.operands) != 1 or node.operands[0] not in body.arguments:
        return None
    (index,) = ir.DenseI32ArrayAttr(node.attribute("rawConstantIndices"))
    distance = index * bits(node.attribute("elem_type").value) // 8
    return low.b.opaque(low.b.constant(distance)) if abs(distance) > _IMMEDIATE and low.chip.is_riscv else None


def _next(low: Lowering, value: ir.Value, moves: dict[ir.Value, Emitted]) -> Emitted:
    """A scalar of the next turn."""
    if value not in moves:
        return low.scalar(value)
    return low.b.offset(low.scalar(low.analysis.producer[value].operands[0]), moves[value], low.b.i8)


def _begin(low: Lowering, outside: RegisterValues, value: ir.Value) -> Emitted:
    """The start of what the loop carries."""
    if not isinstance(value.type, ir.RankedTensorType):
        return low.scalar(value)
    element, shape = element_of(value.type), shape_of(value)
    if low.repeated(value) is not None:
        return outside.vector(views.uniform(value, element, shape))
    buffer = low.storage.contiguous(low.tensor(value))
    return outside.registers.load(buffer.base, element, math.prod(shape), bits(element) // 8)


def _end(low: Lowering, loop: Node, result: ir.Value, value: Emitted) -> Value:
    """A result: a block is put into memory, as others are."""
    if not isinstance(result.type, ir.RankedTensorType):
        return value
    buffer = low.storage.allocate(shape_of(result), element_of(result.type))
    alignment = ir.IntegerAttr.get(low.b.i64, bits(buffer.stored) // 8)
    low.b.create("llvm.store", [], [value.value, buffer.base.value], {"alignment": alignment})
    return low.storage.from_buffer(buffer, loop.op)
