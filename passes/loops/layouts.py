"""How a micro-tile wants its operands in memory."""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.tensors import bits


@dataclass(frozen=True)
class Layout:
    """An operand as a matrix of words, row by row: what a micro-tile loads of A at once, or a lane of B, is one word or several words.

    A word holds `across` rows of A (columns of B) by `depth` steps of k: each of these rows (columns) has its steps side by side, and
    lies behind the one before. Words are integers where they hold more than one element. Of A the words of a row lie side by side; of B
    those of a row as well, or with `by_column` those of a column.
    """

    is_left: bool  # of A, whose last dimension is k; else of B, whose last but one is
    across: int
    depth: int
    element: ir.Type
    adjacent: bool  # words along the last dimension have to lie side by side
    by_column: bool = False

    @property
    def word(self) -> ir.Type:
        count = self.across * self.depth
        return self.element if count == 1 else ir.IntegerType.get_signless(count * bits(self.element))

    @property
    def is_plain(self) -> bool:
        """Whether words are elements, so that a block of this type may be read where it lies."""
        return self.across == self.depth == 1

    def words(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """How many words there are of a block of `shape` along each of its dimensions."""
        *batch, rows, columns = shape
        down, along = (self.across, self.depth) if self.is_left else (self.depth, self.across)
        return (*batch, rows // down, columns // along)
