"""Integer scalars as polynomials of other scalars: how far apart two of them are, whatever those are.

Sums, differences and products of 64 bits are expanded. They wrap around alike on both sides, so what is equal as a polynomial is equal.
"""

from collections.abc import Collection

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.steps import step_of

Polynomial = dict[tuple[int, ...], int]  # by the numbers of the scalars that a term is the product of, its factor

_EXPANDED = ("arith.addi", "arith.subi", "arith.muli")
_MOST_TERMS = 16


class Polynomials:
    """`true`: conditions that hold, of which the selects are what they select then."""

    def __init__(self, true: Collection[ir.Value] = ()) -> None:
        self._true = true
        self._numbers: dict[ir.Value, int] = {}
        self._known: dict[ir.Value, Polynomial] = {}

    def of(self, value: ir.Value) -> Polynomial:
        for one in unanswered(value, self._known, self._needs):
            self._known[one] = self._expanded(one)
        return self._known[value]

    def _needs(self, value: ir.Value) -> list[ir.Value]:
        """The scalars that it is expanded to; none where it is one of those that the polynomials are of."""
        op = producer_of(value, *_EXPANDED, "arith.select")
        if op is None or str(value.type) != "i64":
            return []
        if op.name in _EXPANDED:
            return list(op.operands)
        return [op.operands[1]] if op.operands[0] in self._true else []

    def _expanded(self, value: ir.Value) -> Polynomial:
        number = constant_of(value)
        if number is not None:
            return constant(number.value)
        parts = [self._known[part] for part in self._needs(value)]
        if len(parts) == 1:
            return parts[0]
        if parts:
            (left, right), name = parts, value.owner.name
            result = _times(left, right) if name == "arith.muli" else plus(left, right, 1 if name == "arith.addi" else -1)
            if len(result) <= _MOST_TERMS:
                return result
        return {(self._numbers.setdefault(value, len(self._numbers)),): 1}

    def address(self, pointer: ir.Value) -> tuple[ir.Value, Polynomial]:
        """The pointer that this one is computed from, and the distance in bytes."""
        distance: Polynomial = {}
        while (step := step_of(pointer)) is not None:
            index = constant(step.constant) if step.index is None else self.of(step.index)
            pointer, distance = step.pointer, plus(distance, index, step.size)
        return pointer, distance


def constant(number: int) -> Polynomial:
    return {(): number} if number else {}


def plus(left: Polynomial, right: Polynomial, factor: int = 1) -> Polynomial:
    """left + factor * right."""
    terms = {term: left.get(term, 0) + factor * right.get(term, 0) for term in (*left, *right)}
    return {term: number for term, number in terms.items() if number}


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for one, first in left.items():
        for other, second in right.items():
            result = plus(result, {tuple(sorted(one + other)): first * second})
    return result


def number_of(polynomial: Polynomial) -> int | None:
    """The number that a polynomial without scalars is."""
    return polynomial.get((), 0) if set(polynomial) <= {()} else None


def steps_of(distance: Polynomial, stride: Polynomial) -> tuple[int, int] | None:
    """(m, n) of a distance that is m strides and n; the n next to zero where both are numbers."""
    known, size = number_of(distance), number_of(stride)
    if size is not None:
        return None if known is None or not size else (round(known / size), known - round(known / size) * size)
    term = next(term for term in stride if term)
    count = distance.get(term, 0) // stride[term]
    rest = number_of(plus(distance, stride, -count))
    return None if rest is None else (count, rest)
