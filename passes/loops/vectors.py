"""Micro-tiles of one row: a scalar of A times a vector of B, in vectors of a fixed length."""

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.loops.elementwise import convert
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile, Request, width
from triton_spacemit.passes.loops.storage import ROOM
from triton_spacemit.passes.loops.tensors import Buffer


class Vectors(MicroTile):
    """LLVM's own vectors, for all types and sizes; where only some columns are wanted, B is loaded under a mask."""

    by_rows = True

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        super().__init__(low, row, target, tile, active)
        self.width = self.n if self.n > 1 else 0
        self.left, self.right = ir.Type.parse(row.left), ir.Type.parse(row.right)
        self.mask = self._first(active)

    def _first(self, lanes: Emitted | None) -> Emitted | None:
        """A mask of so many first lanes (None: all)."""
        b = self.low.b
        return None if lanes is None or not self.width else b.compare("slt", b.iota(self.width, b.i32), b.cast_index(lanes, b.i32))

    @classmethod
    def register_tile(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[int, int]:
        """As many rows as leave room for B, weighed against rows that the last tile has too many.

        An in-order core loads the next vector of B while it multiplies with one; elsewhere a scalar of A takes a register.
        """
        columns = min(request.columns, chip.lanes(width(row.sums), chip.costs.tile_group))
        if request.most_columns < columns:
            columns = 1 << (request.most_columns.bit_length() - 1)
        sums, vector = registers(chip, row, columns)
        others = 2 * vector if chip.in_order else vector + 1
        limit = min(request.most_rows, ROOM, max(1, (chip.vector_registers - others) // sums))
        heights = [h for h in range(1, limit + 1) if not request.exact or request.rows % h == 0]
        return min(heights, key=lambda h: (-(-request.rows // h) * (h * (sums + 1) + sums + 2), -h)), columns

    @classmethod
    def cost(cls, chip: Chip, row: MatrixTile, request: Request, tile: tuple[int, int]) -> float:
        rows, columns = tile
        sums, vector = registers(chip, row, columns)
        multiply = sums * row.cost * (2 if row.sums.startswith("i") and not row.instruction else 1)
        widen = 0 if row.instruction or row.right == row.sums else sums
        return (rows * (multiply + 1) + vector + widen) / (rows * columns * row.k)

    @classmethod
    def layouts(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[Layout, Layout]:
        """Elements of A at constant distances need no instructions for their addresses."""
        packed = not chip.scaled_addresses and request.columns >= chip.costs.packed_columns
        left = Layout(True, 1, row.k, ir.Type.parse(row.left), packed)
        return left, Layout(False, 1, row.k, ir.Type.parse(row.right), True)

    @classmethod
    def narrower(cls, chip: Chip, columns: int) -> int:
        """An instruction's time goes by its registers, not by its active lanes: a few last columns get a quarter of them."""
        narrow = columns // chip.costs.tile_group
        return narrow if chip.active_lengths and holds(chip, narrow) else 0

    def zero(self) -> Emitted:
        b = self.low.b
        return b.broadcast(b.constant(0, self.sums), self.width)

    def _load(self, pointer: Emitted, element: ir.Type, mask: Emitted | None) -> Emitted:
        memory, depth = self.low.memory, self.low.b.depth
        if self.width:
            return memory.contiguous_load(pointer, element, self.width, mask, None, depth)
        return memory.scalar_load(pointer, element, None, None, depth)

    def load_sums(self, rows: list[Emitted]) -> Emitted:
        return convert(self.low, self._load(rows[0], self.stored, None), self.sums)

    def scaled(self, sums: Emitted, factor: Emitted) -> Emitted:
        return self.low.b.op("arith.mulf", self.sums, [sums, factor])

    def store_sums(self, rows: list[Emitted], value: Emitted, left: Emitted | None = None) -> None:
        value = convert(self.low, value, self.stored)
        if self.width:
            self.low.memory.contiguous_store(rows[0], value, self._first(left), self.stored)
        else:
            self.low.memory.scalar_store(rows[0], value)

    def load_left(self, pointer: Emitted, steps: int = 1) -> Emitted:
        return self.low.memory.scalar_load(pointer, self.left, None, None, self.low.b.depth)

    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._load(pointer, self.right, self.mask)

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        b, type_ = self.low.b, self.sums
        left, right = convert(self.low, left, type_), convert(self.low, right, type_)
        if isinstance(type_, ir.FloatType):
            return b.op("math.fma", type_, [left, right, sums])
        return b.op("arith.addi", type_, [b.op("arith.muli", type_, [left, right]), sums])


def holds(chip: Chip, columns: int) -> bool:
    """Whether there is a scalable vector of so many lanes."""
    return columns * 64 >= chip.vlen


def registers(chip: Chip, row: MatrixTile, columns: int) -> tuple[int, int]:
    """How many registers the sums and the words of B of so many columns fill."""
    word = width(row.right) * row.k
    return max(1, width(row.sums) * columns // chip.vlen), max(1, word * columns // chip.vlen)
