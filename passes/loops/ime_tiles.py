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
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile, Request, factor
from triton_spacemit.passes.loops.registers import VLMAX, Registers
from triton_spacemit.passes.loops.tensors import Buffer
from triton_spacemit.passes.matrix_words import CARRIER

_DOWN, _ACROSS = 2, 4  # units of the largest register tile
PAIR = 2  # registers of a unit of sums
_PART = 8  # bytes of a row of a unit that are loaded or stored at a time


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
        self.signs = low.b.constant(signs_of(row))
        self.registers = Registers(low.b, low.chip.vlen)
        self.wide = ir.IntegerType.get_signless(16)
        self.lanes, self.bytes = self.registers.lanes(self.wide, PAIR), self.registers.lanes(low.b.i8)

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

    @property
    def rows(self) -> list[range]:
        """The rows of each row of units."""
        return [range(r * self.m, (r + 1) * self.m) for r in range(self.down)]

    def of_registers(self, value: Emitted) -> Emitted:
        """A unit of sums from its elements, row by row, in two registers."""
        return self.registers.cast(value, self.wide, self.lanes)

    def zero(self) -> Emitted:
        return self.registers.splat(0, self.wide, self.lanes)

    def zeros(self, other: Emitted) -> Emitted:
        """The zeros of a row of units as one value: any bytes, of as many registers or more, without themselves.

        LLVM would keep constant zeros in registers throughout a loop, and copy them for each unit.
        """
        lanes = self.across * self.lanes
        value = self.registers.cast(self.registers.part(other, self.low.b.i8, 0, 2 * lanes), self.wide, lanes)
        type_ = self.registers.vector(self.wide, lanes)
        return self.registers.call("llvm.riscv.vxor", type_, [self.registers.poison(type_), value, value, self.low.b.constant(VLMAX)])

    def load_sums(self, rows: list[Emitted]) -> Emitted:
        b = self.low.b
        parts = self.registers.load_indexed(rows[0], self._places(), b.i64, self.registers.lanes(b.i64, PAIR))
        return self.registers.cast(parts, self.wide, self.lanes)

    def store_sums(self, rows: list[Emitted], value: Emitted, left: Emitted | None = None) -> None:
        b = self.low.b
        parts = self.registers.cast(value, b.i64, self.registers.lanes(b.i64, PAIR))
        self.registers.store_indexed(rows[0], self._places(), parts)

    def load_left(self, pointer: Emitted, steps: int = 1) -> Emitted:
        return self.registers.load(pointer, self.low.b.i8, steps * self.down * self.bytes)

    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self.registers.load(pointer, self.low.b.i8, self.across * self.bytes)

    def left_words(self, loaded: Emitted, step: int) -> list[Emitted]:
        return [self._word(loaded, step * self.down + r) for r in range(self.down)]

    def right_words(self, loaded: Emitted) -> list[Emitted]:
        return [self._word(loaded, c) for c in range(self.across)]

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        return multiply_add(self.registers, self.signs, left, right, sums)

    def joined(self, row: list[Emitted]) -> list[Emitted]:
        return [self.registers.joined(row, self.wide, self.lanes)]

    def separated(self, values: list[Emitted]) -> list[Emitted]:
        return [self.registers.part(values[0], self.wide, number * self.lanes, self.lanes) for number in range(self.across)]

    def _places(self) -> Emitted:
        """Where the parts of a unit of sums lie in C, in bytes from the first one."""
        return places_of_parts(self.registers, (self.m, self.n), self.low.b.constant(self.target.strides[-2]))

    def _word(self, loaded: Emitted, number: int) -> Emitted:
        return self.registers.part(loaded, self.low.b.i8, number * self.bytes, self.bytes)


def signs_of(row: MatrixTile) -> int:
    """Which factors are signed, as the carrier of the instruction says it."""
    found = ime.get_instruction(row.instruction)
    return found.left << 1 | found.right


def multiply_add(registers: Registers, signs: Emitted, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
    """One instruction: a register of A, one of B, and the two of the sums."""
    return registers.call(CARRIER, sums.value.type, [signs, sums, right, left, registers.b.constant(VLMAX)])


def places_of_parts(registers: Registers, tile: tuple[int, int], stride: Emitted, units: int = 1) -> Emitted:
    """Where the parts of 64 bits of units side by side, of elements of 32 bits, lie, in bytes, if rows are `stride` elements apart."""
    b, in_row = registers.b, tile[1] * 4 // _PART
    parts = [(unit, row, part) for unit in range(units) for row in range(tile[0]) for part in range(in_row)]
    in_first_row = [unit * tile[1] * 4 + part * _PART for unit, _, part in parts]
    if stride.constant is not None:
        return registers.numbers([row * stride.constant * 4 + place for (_, row, _), place in zip(parts, in_first_row, strict=True)], b.i32)
    # In front of all loops: LLVM takes no call out of one that runs under a condition.
    type_, depth = registers.vector(b.i64, len(parts)), stride.depth
    apart = registers.broadcast(b.mul(stride, b.constant(4)), b.i64, len(parts), depth)
    rows = registers.op("arith.muli", type_, [registers.numbers([row for _, row, _ in parts], b.i64, 0), apart], depth=depth)
    return registers.op("arith.addi", type_, [rows, registers.numbers(in_first_row, b.i64, 0)], depth=depth)


def largest(extent: int, most: int, size: int, count: int) -> int:
    """The largest multiple of `size` up to `most` that divides `extent`, of `count`, half of it and so on."""
    while count > 1 and (extent % (count * size) or most < count * size):
        count //= 2
    return count * size
