"""Functions that choose one of two elements by value, and by index where values are equal, as argmax does: found by their comparisons."""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, Predicate, attribute_of, predicate_of
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted

# Outcomes of a comparison of left to right, as a set of bits.
EQUAL, GREATER, LESS, UNORDERED, ANY = 1, 2, 4, 8, 15
# Those in which a predicate of two floats, or of two signed integers, holds.
_FLOAT: dict[Predicate, int] = {
    FloatPredicate.false: 0,
    FloatPredicate.oeq: EQUAL,
    FloatPredicate.ogt: GREATER,
    FloatPredicate.oge: GREATER | EQUAL,
    FloatPredicate.olt: LESS,
    FloatPredicate.ole: LESS | EQUAL,
    FloatPredicate.one: LESS | GREATER,
    FloatPredicate.ord: LESS | GREATER | EQUAL,
    FloatPredicate.ueq: UNORDERED | EQUAL,
    FloatPredicate.ugt: UNORDERED | GREATER,
    FloatPredicate.uge: UNORDERED | GREATER | EQUAL,
    FloatPredicate.ult: UNORDERED | LESS,
    FloatPredicate.ule: UNORDERED | LESS | EQUAL,
    FloatPredicate.une: UNORDERED | LESS | GREATER,
    FloatPredicate.uno: UNORDERED,
    FloatPredicate.true: ANY,
}
_SIGNED: dict[Predicate, int] = {
    IntPredicate.eq: EQUAL,
    IntPredicate.ne: GREATER | LESS,
    IntPredicate.slt: LESS,
    IntPredicate.sle: LESS | EQUAL,
    IntPredicate.sgt: GREATER,
    IntPredicate.sge: GREATER | EQUAL,
}
_HELD = {"arith.cmpf": _FLOAT, "arith.cmpi": _SIGNED}


@dataclass(frozen=True)
class Choice:
    """A function that returns all its left or all its right arguments, as comparing arguments number `value` decides.

    `right`: the outcomes with which the right ones are taken, where the left ones come first.
    """

    compare: str
    value: int
    right: int

    @property
    def ignores_nan(self) -> bool:
        """Whether NaN may be taken for what every number replaces: on the left it is, and the order of combination is free."""
        return self.right in (LESS | UNORDERED, GREATER | UNORDERED)

    @property
    def is_largest(self) -> bool:
        """Whether the larger value is kept, and not the smaller one."""
        return bool(self.right & LESS)

    @property
    def kind(self) -> str:
        """The op that gives the value that is kept."""
        if self.compare == "arith.cmpi":
            return "arith.maxsi" if self.is_largest else "arith.minsi"
        return "arith.maxnumf" if self.is_largest else "arith.minnumf"

    def taken(self, b: Builder, left: Emitted, right: Emitted, ordered: bool = False) -> Emitted:
        """The condition of the right ones; `ordered`: NaN is not taken."""
        wanted = self.right & ~UNORDERED if ordered else self.right
        predicate = next(predicate for predicate, outcomes in _HELD[self.compare].items() if outcomes == wanted)
        return b.op(self.compare, b.i1, [left, right], {"predicate": attribute_of(predicate)})


def choice_of(block: ir.Block, index: int) -> Choice | None:
    """The block as a choice, if it is one where argument number `index` is smaller on the left.

    Where equal ones leave the choice free, as both would be on one's right, the left one stays.
    """
    function = _Function(list(block.arguments), index)
    selected = function.selected(list(list(block.operations)[-1].operands))
    if selected is None:
        return None
    condition, is_left = selected
    in_order, reverse = (function.outcomes(condition, of_index) for of_index in (LESS, GREATER))
    if in_order is None or reverse is None or len(function.compared) != 1:
        return None
    ((compare, value),) = function.compared
    right, right_of_later = (ANY & ~found if is_left else found for found in (in_order, reverse))
    right &= ~(right & right_of_later & EQUAL)
    if compare == "arith.cmpi":
        right &= ~UNORDERED
    return Choice(compare, value, right) if right in _HELD[compare].values() else None


class _Function:
    """What is found of a function of left and right arguments, one of which, number `index`, counts elements.

    `compared`: the comparisons of left to right arguments that decide, but for those of the index.
    """

    def __init__(self, arguments: list[ir.Value], index: int) -> None:
        self.arguments, self.index = arguments, index
        self.count = len(arguments) // 2
        self.compared: set[tuple[str, int]] = set()

    def selected(self, results: list[ir.Value]) -> tuple[ir.Value, bool] | None:
        """The one condition that all results are selected by, and whether it is that of the left arguments."""
        found = set()
        for number, result in enumerate(results):
            op = producer_of(result, "arith.select")
            if op is None or set(op.operands[1:]) != {self.arguments[number], self.arguments[self.count + number]}:
                return None
            found.add((op.operands[0], op.operands[1] == self.arguments[number]))
        return found.pop() if len(found) == 1 else None

    def outcomes(self, condition: ir.Value, of_index: int) -> int | None:
        """Of comparing left to right: those in which the condition holds, where comparing the indices has the outcome `of_index`."""
        op = producer_of(condition, "arith.cmpf", "arith.cmpi", "arith.andi", "arith.ori")
        if op is None:
            return None
        if op.name in ("arith.andi", "arith.ori"):
            left, right = (self.outcomes(operand, of_index) for operand in op.operands)
            return None if left is None or right is None else left & right if op.name == "arith.andi" else left | right
        found = _HELD[op.name].get(predicate_of(op))
        if found is None:
            return None
        left, right = (self.arguments.index(operand) if operand in self.arguments else -1 for operand in op.operands)
        if left > right:
            left, right = right, left
            found = found & ~(LESS | GREATER) | bool(found & LESS) * GREATER | bool(found & GREATER) * LESS
        if left < 0 or right != left + self.count:
            return None
        if left == self.index:
            return ANY if found & of_index else 0
        self.compared.add((op.name, left))
        return found
