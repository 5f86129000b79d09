"""The interface between the loops of a product and the instructions that multiply."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Buffer, Tensor


def factor(type_: str) -> ir.Type:
    """The type of values that are read as `type_`: that integers are unsigned is known to who reads them."""
    return ir.Type.parse(type_.removeprefix("u"))


def width(type_: str) -> int:
    """Bits of a scalar type in memory."""
    match = re.match(r"[a-z]+(\d+)", type_)
    assert match is not None, type_
    return max(8, int(match[1]))


@dataclass(frozen=True)
class Request:
    """What a product asks of its tiles. Types are written as MLIR does, `ui8` for bytes that are unsigned.

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

    A word in memory may serve several rows (columns) of units that lie side by side: then one load brings the operands of them all.
    """

    in_order: ClassVar[bool] = False  # whether operands are to be loaded among the multiplications of the step before
    immediates: ClassVar[bool] = True  # whether a load of A takes a constant distance from a pointer
    left_steps: ClassVar[int] = 1  # steps of k, a power of two, that one load of A may bring
    most_steps: ClassVar[int] = 1 << 30  # in one turn of a loop
    by_rows: ClassVar[bool] = False  # whether rows of C may lie anywhere, and `store_sums` stores the wanted columns alone
    joins: ClassVar[bool] = False  # whether loops carry the sums of a row of units as one value

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        """For register tiles of `target`, of so many rows and columns; of these only the first `active` (None: all) are wanted."""
        self.low, self.target = low, target
        self.m, self.n, self.k = row.m, row.n or tile[1], row.k
        self.sums, self.stored = ir.Type.parse(row.sums), target.stored

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
        left = Layout(True, row.m, row.k, factor(row.left), False)
        return left, Layout(False, max(1, row.n), row.k, factor(row.right), True)

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

    def scaled(self, sums: Emitted, factor: Emitted) -> Emitted:
        """The sums of a unit of one row times a number of their type."""
        raise NotImplementedError(f"no unit of {self.m} rows is scaled")

    @abstractmethod
    def store_sums(self, rows: list[Emitted], value: Emitted, left: Emitted | None = None) -> None:
        """Sums to C, in its type. Columns behind the first `left` are not written; where it is None they may be, as far as C has them."""

    # -- steps

    @abstractmethod
    def load_left(self, pointer: Emitted, steps: int = 1) -> Emitted:
        """The word of A at `pointer`, and those of the next `steps` - 1."""

    @abstractmethod
    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        """The word of B at `pointer`; in the register of `previous`, where that is given and registers are tied to values."""

    def left_words(self, loaded: Emitted, step: int) -> list[Emitted]:
        """Of what was loaded of A, that of the step of this number for each of the rows of units."""
        return [loaded]

    def right_words(self, loaded: Emitted) -> list[Emitted]:
        """Of what was loaded of B, that for each of the columns of units."""
        return [loaded]

    @abstractmethod
    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted: ...

    # -- what a loop over k carries

    def joined(self, row: list[Emitted]) -> list[Emitted]:
        """The sums of a row of units as what a loop carries: one value where the form `joins`."""
        return row

    def separated(self, values: list[Emitted]) -> list[Emitted]:
        """The sums of a row of units in such values."""
        return values

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
