"""Micro-tiles of SpacemiT's matrix instructions (dialect/ime.py): a tile of A times a tile of B, added to a tile of sums in two registers.

The register tile has 2 x 4 units. Its words are as high, and as broad, as itself: A comes by one load of whole registers in two steps, and
B by one a step. Such loads need no `vsetvli`, so that one of full length serves the loop, as the instruction demands. Two registers of
each unit hold sums, which makes 16; eight are for B of this step and the next, eight for A of these two and the next two. All is full, so
the sums of a row of units are one value where loops meet: then registers of sums lie side by side and leave whole groups for the loads.

A unit of sums goes to C in parts of 64 bits, by one indexed store: a row of it is two parts long, or four.
"""

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
    """One instruction is a unit. For LLVM, a unit of sums are two registers of 16-bit elements (`passes/matrix_words.py`)."""

    in_order = True
    immediates = False
    joins = True
    left_steps: ClassVar[int] = 2
    most_steps: ClassVar[int] = 16

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        super().__init__(low, row, target, tile, active)
        self.down, self.across = tile[0] // row.m, tile[1] // row.n
        found = ime.get_instruction(row.instruction)
        self.signs = low.b.constant(found.left << 1 | found.right)
        self.wide = ir.IntegerType.get_signless(16)

    @classmethod
    def refusal(cls, chip: Chip, row: MatrixTile, request: Request) -> str:
        if ime.TILES.get((chip.vlen, 8)) != ime.Tile(row.m, row.n, row.k):
            return f"cores with registers of {chip.vlen} bits have no such tile"
        if request.batched:
            return "it takes no batches"
        if request.stored != row.sums:
            return f"it stores no {request.stored}"
        whole = not (request.rows % row.m or request.columns % row.n or request.inner % row.k)
        if not whole or request.most_rows < row.m or request.most_columns < row.n:
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

    def zero(self) -> Emitted:
        type_ = self._vector(self.wide, 2)
        return self.low.b.constant_attribute(ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(self.wide, 0)), type_)

    def load_sums(self, rows: list[Emitted]) -> Emitted:
        parts = self._vector(self.low.b.i64, 2)
        value = self._call("llvm.riscv.vluxei", parts, [self._poison(parts), rows[0], self._places(), self.low.b.constant(_VLMAX)])
        return self._op("llvm.bitcast", self._vector(self.wide, 2), [value])

    def store_sums(self, rows: list[Emitted], value: Emitted) -> None:
        b = self.low.b
        parts = self._op("llvm.bitcast", self._vector(b.i64, 2), [value])
        operands = [parts, rows[0], self._places(), b.constant(_VLMAX)]
        b.create("llvm.call_intrinsic", [], [o.value for o in operands], intrinsic("llvm.riscv.vsuxei", len(operands)))

    def load_left(self, pointer: Emitted, steps: int = 1) -> Emitted:
        return self._load(pointer, steps * self.down)

    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._load(pointer, self.across)

    def left_words(self, loaded: Emitted, step: int) -> list[Emitted]:
        return [self._registers(loaded, self.low.b.i8, step * self.down + r, 1) for r in range(self.down)]

    def right_words(self, loaded: Emitted) -> list[Emitted]:
        return [self._registers(loaded, self.low.b.i8, c, 1) for c in range(self.across)]

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        return self._call(CARRIER, sums.value.type, [self.signs, sums, right, left, self.low.b.constant(_VLMAX)])

    def joined(self, row: list[Emitted]) -> list[Emitted]:
        type_ = self._vector(self.wide, 2 * len(row))
        value = self._poison(type_)
        for number, sums in enumerate(row):
            value = self._op("llvm.intr.vector.insert", type_, [value, sums], {"pos": self._lanes(self.wide, 2 * number)})
        return [value]

    def separated(self, values: list[Emitted]) -> list[Emitted]:
        return [self._registers(values[0], self.wide, 2 * number, 2) for number in range(self.across)]

    def _places(self) -> Emitted:
        """Where the parts of a unit of sums lie in C, in bytes from the first one."""
        b = self.low.b
        size, stride = bits(self.sums) // 8, self.target.strides[-2]
        parts = self.n * size // 8  # in a row
        places = b.numbers([row * stride * size + part * 8 for row in range(self.m) for part in range(parts)], b.i32)
        type_ = self._vector(b.i32, 1)
        return self._op("vector.scalable.insert", type_, [places, self._poison(type_)], {"pos": ir.IntegerAttr.get(b.i64, 0)})

    def _load(self, pointer: Emitted, registers: int) -> Emitted:
        b = self.low.b
        return self._op("llvm.load", self._vector(b.i8, registers), [pointer], {"alignment": ir.IntegerAttr.get(b.i64, 1)})

    def _registers(self, value: Emitted, element: ir.Type, first: int, count: int) -> Emitted:
        """Some registers of a value that has several."""
        type_ = self._vector(element, count)
        if value.value.type == type_:
            return value
        return self._op("llvm.intr.vector.extract", type_, [value], {"pos": self._lanes(element, first)})

    def _lanes(self, element: ir.Type, registers: int) -> ir.Attribute:
        """How many elements LLVM says that there are in so many registers: multiples of 64 bits."""
        return ir.IntegerAttr.get(self.low.b.i64, 64 // bits(element) * registers)

    def _vector(self, element: ir.Type, registers: int) -> ir.Type:
        return ir.VectorType.get([64 // bits(element) * registers], element, scalable=[True], loc=self.low.b.location)

    def _poison(self, type_: ir.Type) -> Emitted:
        return self._op("ub.poison", type_, [], {"value": ir.Attribute.parse("#ub.poison")})

    def _call(self, name: str, result: ir.Type, operands: list[Emitted]) -> Emitted:
        return self._op("llvm.call_intrinsic", result, operands, intrinsic(name, len(operands)))

    def _op(self, name: str, result: ir.Type, operands: list[Emitted], attributes: dict[str, ir.Attribute] | None = None) -> Emitted:
        b = self.low.b
        return Emitted(b.create(name, [result], [o.value for o in operands], attributes).results[0], b.depth, 0)


def largest(extent: int, most: int, size: int, count: int) -> int:
    """The largest multiple of `size` up to `most` that divides `extent`, of `count`, half of it and so on."""
    while count > 1 and (extent % (count * size) or most < count * size):
        count //= 2
    return count * size
