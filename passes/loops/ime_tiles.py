"""Micro-tiles of SpacemiT's matrix instructions (dialect/ime.py): a tile of A times a tile of B, added to a tile of sums in two registers."""

from typing import ClassVar

from torch_mlir import ir

from triton_spacemit.dialect import ime
from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile, Request, factor
from triton_spacemit.passes.loops.tensors import Buffer, bits
from triton_spacemit.passes.matrix_words import CARRIER

_DOWN, _ACROSS = 2, 4  # units of the largest register tile
_VLMAX = -1


class ImeTiles(MicroTile):
    """A unit is one instruction's tile. The register tile of 2 x 4 units has 16 registers of sums; 8 hold B for two steps, this one and the
    next, and 8 hold A for twice two steps.

    Words are as high as the register tile and as broad, so that A comes by one load of whole registers in two steps, and B by one a step.
    Such loads need no `vsetvli`, so that one of full length serves the loop, as the instruction demands.
    """

    in_order = True
    immediates = False  # loads of whole registers have no distance
    left_steps: ClassVar[int] = 2
    most_steps = 16

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        super().__init__(low, row, target, tile, active)
        self.down, self.across = tile[0] // row.m, tile[1] // row.n
        found = ime.get_instruction(row.instruction)
        self.signs = found.left << 1 | found.right

    @classmethod
    def refusal(cls, chip: Chip, row: MatrixTile, request: Request) -> str:
        if request.batched:
            return "it takes no batches"
        if request.stored != row.sums:
            return f"it stores no {request.stored}"
        least = (request.rows, request.most_rows, row.m), (request.columns, request.most_columns, row.n), (request.inner, request.inner, row.k)
        if any(extent % size or most < size for extent, most, size in least):
            return f"it takes multiples of {row.m} rows, {row.n} columns and {row.k} steps of k"
        return ""

    @classmethod
    def register_tile(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[int, int]:
        return (
            largest(request.rows, request.most_rows, row.m, _DOWN),
            largest(request.columns, request.most_columns, row.n, _ACROSS),
        )

    @classmethod
    def cost(cls, chip: Chip, row: MatrixTile, request: Request, tile: tuple[int, int]) -> float:
        """A load takes the time of its registers."""
        down, across = tile[0] // row.m, tile[1] // row.n
        return (down * across * row.cost + down + across) / (tile[0] * tile[1] * row.k)

    @classmethod
    def layouts(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[Layout, Layout]:
        rows, columns = cls.register_tile(chip, row, request)
        return Layout(True, rows, row.k, factor(row.left), False), Layout(False, columns, row.k, factor(row.right), False, by_column=True)

    def _scalable(self, element: ir.Type, registers: int) -> ir.Type:
        """The vector of elements that fill so many registers."""
        return ir.VectorType.get([64 // bits(element) * registers], element, scalable=[True], loc=self.low.b.location)

    def _call(self, name: str, result: ir.Type, operands: list[Emitted]) -> Emitted:
        b = self.low.b
        op = b.create("llvm.call_intrinsic", [result], [o.value for o in operands], intrinsic(name, len(operands)))
        return Emitted(op.results[0], b.depth, 0)

    # -- sums: for the carrier of the instruction two registers of twice the width of its factors

    def zero(self) -> Emitted:
        b = self.low.b
        wide = ir.IntegerType.get_signless(16)
        type_ = self._scalable(wide, 2)
        return b.constant_attribute(ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(wide, 0)), type_)

    def _places(self) -> Emitted:
        """Where the 64-bit parts of a unit of sums lie in C, in bytes from the first one."""
        b = self.low.b
        size, stride = bits(self.sums) // 8, self.target.strides[-2]
        parts = self.n * size // 8  # in a row
        places = [row * stride * size + part * 8 for row in range(self.m) for part in range(parts)]
        scalable = self._scalable(b.i32, 1)
        operands = [b.numbers(places, b.i32).value, b.create("ub.poison", [scalable], [], {"value": ir.Attribute.parse("#ub.poison")}).results[0]]
        value = b.create("vector.scalable.insert", [scalable], operands, {"pos": ir.IntegerAttr.get(b.i64, 0)}).results[0]
        return Emitted(value, b.depth, 0)

    def _cast(self, value: Emitted, type_: ir.Type) -> Emitted:
        b = self.low.b
        return Emitted(b.create("llvm.bitcast", [type_], [value.value]).results[0], b.depth, 0)

    def load_sums(self, rows: list[Emitted]) -> Emitted:
        b, type_ = self.low.b, self._scalable(self.low.b.i64, 2)
        poison = Emitted(b.create("ub.poison", [type_], [], {"value": ir.Attribute.parse("#ub.poison")}).results[0], b.depth, 0)
        value = self._call("llvm.riscv.vluxei", type_, [poison, rows[0], self._places(), b.constant(_VLMAX)])
        return self._cast(value, self._scalable(ir.IntegerType.get_signless(16), 2))

    def store_sums(self, rows: list[Emitted], value: Emitted) -> None:
        b = self.low.b
        parts = self._cast(value, self._scalable(b.i64, 2))
        operands = [parts, rows[0], self._places(), b.constant(_VLMAX)]
        b.create("llvm.call_intrinsic", [], [o.value for o in operands], intrinsic("llvm.riscv.vsuxei", len(operands)))

    # -- steps

    def _load(self, pointer: Emitted, registers: int) -> Emitted:
        b = self.low.b
        attributes = {"alignment": ir.IntegerAttr.get(b.i64, 1)}
        value = b.create("llvm.load", [self._scalable(b.i8, registers)], [pointer.value], attributes).results[0]
        return Emitted(value, b.depth, 0)

    def _register(self, loaded: Emitted, number: int) -> Emitted:
        """One register of several."""
        b, type_ = self.low.b, self._scalable(self.low.b.i8, 1)
        if loaded.value.type == type_:
            return loaded
        pos = {"pos": ir.IntegerAttr.get(b.i64, number * 8)}
        return Emitted(b.create("llvm.intr.vector.extract", [type_], [loaded.value], pos).results[0], b.depth, 0)

    def load_left(self, pointer: Emitted, steps: int = 1) -> Emitted:
        return self._load(pointer, steps * self.down)

    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._load(pointer, self.across)

    def left_words(self, loaded: Emitted, step: int) -> list[Emitted]:
        return [self._register(loaded, step * self.down + r) for r in range(self.down)]

    def right_words(self, loaded: Emitted) -> list[Emitted]:
        return [self._register(loaded, c) for c in range(self.across)]

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        b = self.low.b
        return self._call(CARRIER, sums.value.type, [b.constant(self.signs), sums, right, left, b.constant(_VLMAX)])


def largest(extent: int, most: int, size: int, count: int) -> int:
    """The largest multiple of `size` up to `most` that divides `extent`, of `count`, half of it and so on."""
    while count > 1 and (extent % (count * size) or most < count * size):
        count //= 2
    return count * size
