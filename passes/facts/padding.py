"""What a block holds behind its bounds: one number from some position along a dimension on, where that is known.

A masked load holds its `other` there, `where` of a mask its second choice, and arithmetic what it makes of such numbers. A reduction that
the number does not change ends at the position instead of the block's end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.facts.masks import Masks
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.facts.order import unanswered


@dataclass(frozen=True, eq=False)
class Padding:
    """The `number` that a row is behind all positions of `limits`, if it is greater than -inf what the row has of each block in `greater`.

    Those are the same for all elements of a row.
    """

    number: float
    limits: tuple[Node, ...] = ()
    greater: tuple[ir.Value, ...] = ()


_Place = tuple[ir.Value, int]  # a block and a dimension of it
_Known = Sequence[Padding | None]  # of an op's operands


class Paddings:
    """Finds the padding of blocks, of each once."""

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self._known: dict[_Place, Padding | None] = {}

    def of(self, value: ir.Value, dim: int) -> Padding | None:
        """What `value` is from some position along `dim` on."""
        for place in unanswered((value, dim), self._known, _needs):
            self._known[place] = self._answer(place)
        return self._known[value, dim]

    def _answer(self, place: _Place) -> Padding | None:
        value, dim = place
        if value.type.element_type == self.masks.nodes.i1:
            end = self.masks.bounds(value).upper[dim]
            return None if end is None else Padding(0, (end,))
        number = _repeated(value)
        if number is not None:
            return Padding(number)
        op = producer_of(value)
        if op is None:
            return None
        if op.name in _LOADS:
            other, end = op.opview.other, constant_of(op.opview.upper[dim])
            if end is not None and end.value >= value.type.shape[dim]:
                return None  # nothing is behind it
            number = 0 if other is None else _repeated(other)  # unspecified without one: the loops fill with zeros
            return None if number is None else Padding(number, (self.masks.nodes.leaf(op.opview.upper[dim]),))
        rule = _RULES.get(op.name)
        return rule(op, dim, [self._known[needed] for needed in _needs(place)]) if rule is not None else None


def _repeated(value: ir.Value) -> float | None:
    """The number that all elements of a block are, or that a scalar is."""
    splat = producer_of(value, "tt.splat")
    number = constant_of(value if splat is None else splat.operands[0])
    return None if number is None else number.value


def _needs(place: _Place) -> list[_Place]:
    """The blocks whose padding decides that of `place`, with the dimension that is asked for."""
    value, dim = place
    op = producer_of(value)
    if op is None or op.name not in _RULES:
        return []
    if op.name == "tt.expand_dims":
        axis = op.attributes["axis"].value
        return [] if dim == axis else [(op.operands[0], dim - (dim > axis))]
    if op.name == "tt.broadcast":
        return [(op.operands[0], dim)] if op.operands[0].type.shape[dim] > 1 else []
    return [(operand, dim) for operand in op.operands if isinstance(operand.type, ir.RankedTensorType)]


def _same(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    """Of what only gives elements other places."""
    return known[0] if known else None


def _converted(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    """Of a conversion between floats: numbers that are the same in every type."""
    kept = (0.0, 1.0, -math.inf, math.inf) if isinstance(op.results[0].type.element_type, _WITH_INFINITY) else (0.0, 1.0)
    return known[0] if known[0] is not None and known[0].number in kept else None


def _selected(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    """Of `where` a mask, the second choice: the mask is false there."""
    if len(known) < 3 or known[0] is None or known[2] is None or known[0].number != 0:
        return None
    return _combined(known[2].number, known[0], known[2])


def _exponential(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    return replace(known[0], number=0.0) if known[0] is not None and known[0].number == -math.inf else None


def _difference(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    """Also -inf less one number for the row, which is -inf unless the number is -inf or NaN."""
    first, second = known
    if first is not None and second is None and first.number == -math.inf and _is_row(op.operands[1], dim):
        return replace(first, greater=(*first.greater, op.operands[1]))
    return _folded(op, dim, known)


def _is_row(value: ir.Value, dim: int) -> bool:
    """Whether a block is the same all along a dimension."""
    op = producer_of(value, "tt.splat", "tt.broadcast")
    return op is not None and (op.name == "tt.splat" or op.operands[0].type.shape[dim] == 1)


def _folded(op: ir.Operation, dim: int, known: _Known) -> Padding | None:
    """Of arithmetic on numbers, rounded as it is in the type."""
    first, second = known
    if first is None or second is None:
        return None
    number, element = _FOLD[op.name](first.number, second.number), op.results[0].type.element_type
    if isinstance(element, ir.IntegerType):
        most = 1 << (element.width - 1)
        number = (number + most) % (2 * most) - most
    else:
        number = ir.FloatAttr.get(element, number, loc=op.location).value
    return _combined(number, first, second)


def _combined(number: float, *parts: Padding) -> Padding:
    limits = {limit.key: limit for part in parts for limit in part.limits}
    return Padding(number, tuple(limits.values()), tuple(dict.fromkeys(value for part in parts for value in part.greater)))


def _larger(x: float, y: float) -> float:
    """Of two numbers; of a number and NaN, the number."""
    return y if math.isnan(x) else x if math.isnan(y) else max(x, y)


_LOADS = ("xsmt.descriptor_load", "xsmt.gather")
_WITH_INFINITY = (ir.F16Type, ir.BF16Type, ir.F32Type, ir.F64Type)
_FOLD: dict[str, Callable[[float, float], float]] = {
    "arith.addf": lambda x, y: x + y,
    "arith.subf": lambda x, y: x - y,
    "arith.mulf": lambda x, y: x * y,
    "arith.maxnumf": _larger,
    "arith.minnumf": lambda x, y: -_larger(-x, -y),
    "arith.addi": lambda x, y: x + y,
    "arith.muli": lambda x, y: x * y,
}
_RULES: dict[str, Callable[[ir.Operation, int, _Known], Padding | None]] = {
    **dict.fromkeys(_FOLD, _folded),
    "arith.subf": _difference,
    "arith.extf": _converted,
    "arith.truncf": _converted,
    "tt.fp_to_fp": _converted,
    "arith.select": _selected,
    "math.exp": _exponential,
    "math.exp2": _exponential,
    "tt.expand_dims": _same,
    "tt.broadcast": _same,
}
