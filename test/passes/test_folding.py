"""Folding agrees with the arithmetic it stands for."""

import itertools

import pytest

from triton_spacemit.passes.folding import Operand, fold

OPS = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.floordivsi": lambda a, b: a // b,
    "arith.minsi": min,
    "arith.maxsi": max,
}
NUMBERS = (-7, -1, 0, 1, 2, 1 << 40)


@pytest.mark.parametrize("name", OPS)
def test_what_is_folded_is_the_result(name: str) -> None:
    """Whatever stands for an operand that is not known."""
    for a, b in itertools.product(NUMBERS, NUMBERS):
        if name == "arith.floordivsi" and b == 0:
            continue
        expected = OPS[name](a, b)
        for left, right in ((a, b), (a, None), (None, b), (None, None)):
            for same in (False, True) if a == b else (False,):
                found = fold(name, left, right, same)
                known = {None: expected, Operand.LEFT: a, Operand.RIGHT: b}.get(found, found)
                assert known == expected, (left, right, same)


def test_what_is_folded() -> None:
    assert fold("arith.addi", 3, 4) == 7
    assert fold("arith.muli", None, 0) == 0
    assert fold("arith.muli", 1, None) is Operand.RIGHT
    assert fold("arith.subi", None, None, same=True) == 0
    assert fold("arith.subi", 0, None) is None
    assert fold("arith.floordivsi", None, 1) is Operand.LEFT
    assert fold("arith.maxsi", None, 5) is None
