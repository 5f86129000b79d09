"""What arithmetic on integers comes to where numbers are known, for all that make such ops: `facts/nodes.py` and `loops/arithmetic.py`."""

import operator
from collections.abc import Callable
from enum import Enum


class Operand(Enum):
    """An operand that is the result."""

    LEFT = "left"
    RIGHT = "right"


Folded = int | Operand | None

_COMPUTED: dict[str, Callable[[int, int], int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.floordivsi": operator.floordiv,
    "arith.minsi": min,
    "arith.maxsi": max,
}
# By the op and the number that is its left operand, or its right one.
_NUMBER_ON_THE_LEFT: dict[tuple[str, int | None], Folded] = {
    ("arith.addi", 0): Operand.RIGHT,
    ("arith.muli", 0): 0,
    ("arith.muli", 1): Operand.RIGHT,
}
_NUMBER_ON_THE_RIGHT: dict[tuple[str, int | None], Folded] = {
    ("arith.addi", 0): Operand.LEFT,
    ("arith.subi", 0): Operand.LEFT,
    ("arith.muli", 0): 0,
    ("arith.muli", 1): Operand.LEFT,
    ("arith.floordivsi", 1): Operand.LEFT,
}
# Of two operands that are one value.
_OF_ONE_VALUE: dict[str, Folded] = {"arith.subi": 0, "arith.minsi": Operand.LEFT, "arith.maxsi": Operand.LEFT}


def fold(name: str, left: int | None, right: int | None, same: bool = False) -> Folded:
    """The number that the op gives, or the operand; None where neither is known.

    left, right: the operands, where they are known numbers. same: they are one value. Numbers do not wrap around.
    """
    if left is not None and right is not None:
        return _COMPUTED[name](left, right)
    if same:
        return _OF_ONE_VALUE.get(name)
    found = _NUMBER_ON_THE_LEFT.get((name, left))
    return _NUMBER_ON_THE_RIGHT.get((name, right)) if found is None else found
