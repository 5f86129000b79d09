"""The interface between the loops of a product and the instructions that multiply."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Tensor


def width(type_: str) -> int:
    """Bits of a scalar type in memory."""
    match = re.match(r"[a-z]+(\d+)", type_)
    assert match is not None, type_
    return max(8, int(match[1]))


@dataclass(frozen=True)
class Request:
    """What a product asks of its tiles. Types are written as MLIR does.

    left, right: of the operands. sums: that in which they are added up. stored: of the result in memory. most_rows, most_columns: how
    large a register tile may be. exact: it has no rows that the result does not have.
    """

    rows: int
    inner: int
    columns: int
    left: str
    right: str
    sums: str
    stored: str
    most_rows: int
    most_columns: int
    exact: bool = False
    batched: bool = False


class MicroTile(ABC):
    """A unit of a register tile: `m` rows and `n` columns of sums, to which one multiplication adds `k` steps.

    A form of micro-tile is a class. Its class methods say, before there is any code, whether it is legal, how large a register tile of
    its units is, what that costs and how operands lie. An object emits the code of the units of one register tile, each of which is a
    value: of sums, of what is loaded of A for a row of units, and of B for a column of units.
    """

    in_order: ClassVar[bool] = False  # whether operands are to be loaded among the multiplications of the step before

    def __init__(self, low: Lowering, row: MatrixTile, stored: ir.Type, columns: int, active: Emitted | None) -> None:
        """For register tiles of `columns` columns, of which only the first `active` (None: all) are wanted."""
        self.low = low
        self.m, self.n, self.k = row.m, row.n or columns, row.k
        self.sums, self.stored = ir.Type.parse(row.sums), stored

    # -- the choice of a tile

    @classmethod
    def refusal(cls, chip: Chip, row: MatrixTile, request: Request) -> str:
        """Why it cannot be used, although the types agree; empty where it can."""
        return ""

    @classmethod
    @abstractmethod
    def register_tile(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[int, int]:
        """Rows and columns of the register tile."""

    @classmethod
    @abstractmethod
    def cost(cls, chip: Chip, row: MatrixTile, request: Request, tile: tuple[int, int]) -> float:
        """The time of one multiplication of two elements, with its part of all loads, in that of a vector instruction."""

    @classmethod
    def layouts(cls, chip: Chip, row: MatrixTile, request: Request) -> tuple[Layout, Layout]:
        """How A and B lie in memory."""
        left = Layout(True, row.m, row.k, ir.Type.parse(row.left), False)
        return left, Layout(False, max(1, row.n), row.k, ir.Type.parse(row.right), True)

    @classmethod
    def narrower(cls, chip: Chip, columns: int) -> int:
        """The columns of a register tile for the last few, where that takes less time; 0 where it does not."""
        return 0

    @classmethod
    def prepared_left(cls, low: Lowering, tensor: Tensor) -> Tensor:
        """A as the instruction takes it, element by element, where that is not only a conversion to another type."""
        return tensor

    # -- sums

    @abstractmethod
    def zero(self) -> Emitted: ...

    @abstractmethod
    def load_sums(self, rows: list[Emitted]) -> Emitted:
        """The sums of a unit that are in C already, whose `m` rows are at these pointers."""

    @abstractmethod
    def store_sums(self, rows: list[Emitted], value: Emitted) -> None:
        """Sums to C, in its type. Columns behind the wanted ones may be written, as far as C has them."""

    # -- steps

    @abstractmethod
    def load_left(self, pointer: Emitted) -> Emitted:
        """The `m` rows of A of `k` steps whose word is at `pointer`."""

    @abstractmethod
    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        """`n` columns of B of `k` steps; in the register of `previous`, where that is given and registers are tied to values."""

    @abstractmethod
    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted: ...

    # -- what else a loop over k carries

    def placeholders(self) -> list[Emitted]:
        """What takes the place of B's last two columns of units before there are any, where registers are tied to values."""
        return []

    def corrections(self) -> list[Emitted]:
        """What a form adds up of B for a column of units, to put its sums right at the end: the values that it starts with."""
        return []

    def add_corrections(self, right: Emitted, corrections: list[Emitted]) -> list[Emitted]:
        """The corrections of a column of units after a step that multiplied `right`."""
        return corrections

    def finished(self, sums: Emitted, corrections: list[Emitted]) -> Emitted:
        """The sums of a unit behind the last step, put right by the corrections of its column."""
        return sums
