"""Integers of blocks that are known while code is made: functions of an element's coordinates alone, such as `arange % 8 * 4`.

`Lanes` are elements of a block: for each of its dimensions the coordinate of each of them.
"""

import operator
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of

Lanes = tuple[tuple[int, ...], ...]


def _quotient(a: int, b: int) -> int:
    """Rounded towards zero, as the machine does it."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_SIGNED: dict[str, Callable[[int, int], int]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.andi": operator.and_,
    "arith.ori": operator.or_,
    "arith.xori": operator.xor,
    "arith.divsi": _quotient,
    "arith.remsi": lambda a, b: a - _quotient(a, b) * b,
    "arith.minsi": min,
    "arith.maxsi": max,
}
_UNSIGNED: dict[str, Callable[[int, int], int]] = {"arith.divui": operator.floordiv, "arith.remui": operator.mod}
_SHIFTS: dict[str, Callable[[int, int], int]] = {
    "arith.shli": operator.lshift,
    "arith.shrsi": operator.rshift,
    "arith.shrui": operator.rshift,
}
_DIVISIONS = ("arith.divsi", "arith.remsi", "arith.divui", "arith.remui")
_CASTS = ("arith.extsi", "arith.extui", "arith.trunci")


def source_lanes(op: ir.Operation, lanes: Lanes) -> Lanes | None:
    """The elements of the operand that these elements of the result are, of an op that only puts elements in other places; else None."""
    if op.name == "tt.expand_dims":
        axis = op.attributes["axis"].value
        return tuple(places for dim, places in enumerate(lanes) if dim != axis)
    if op.name == "tt.broadcast":
        extents = op.operands[0].type.shape
        return tuple((0,) * len(places) if extent == 1 else places for extent, places in zip(extents, lanes, strict=True))
    if op.name == "tt.trans":
        order = [int(i) for i in ir.DenseI32ArrayAttr(op.attributes["order"])]
        return tuple(lanes[order.index(dim)] for dim in range(len(order)))
    return None


def numbers_of(value: ir.Value, lanes: Lanes) -> tuple[int, ...] | None:
    """The integers that `value` has there, as signed numbers of its type; None where memory or an argument decides."""
    element = value.type.element_type if isinstance(value.type, ir.RankedTensorType) else value.type
    op = producer_of(value)
    if op is None or not isinstance(element, ir.IntegerType):
        return None
    count = len(lanes[0]) if lanes else 1
    constant = constant_of(value)
    if constant is not None:
        return (constant.value,) * count
    if op.name == "tt.make_range":
        return tuple(op.attributes["start"].value + place for place in lanes[0])
    if op.name == "tt.splat":
        known = numbers_of(op.operands[0], ())
        return None if known is None else known * count
    places = source_lanes(op, lanes)
    if places is not None:
        return numbers_of(op.operands[0], places)
    if op.name in _CASTS:
        known = numbers_of(op.operands[0], lanes)
        return None if known is None else _cast(op, known, element.width)
    if op.name in _SIGNED or op.name in _UNSIGNED or op.name in _SHIFTS:
        operands = [numbers_of(operand, lanes) for operand in op.operands]
        if operands[0] is None or operands[1] is None:
            return None
        return _applied(op.name, operands[0], operands[1], element.width)
    return None


def _cast(op: ir.Operation, known: tuple[int, ...], width: int) -> tuple[int, ...]:
    if op.name == "arith.extui":
        known = tuple(number % (1 << op.operands[0].type.element_type.width) for number in known)
    return tuple(_wrapped(number, width) for number in known)


def _applied(name: str, left: tuple[int, ...], right: tuple[int, ...], width: int) -> tuple[int, ...] | None:
    if name in _DIVISIONS and 0 in right:
        return None
    if name in _SHIFTS and any(not 0 <= distance < width for distance in right):
        return None
    function = _SIGNED.get(name) or _UNSIGNED.get(name) or _SHIFTS[name]
    if name in _UNSIGNED:
        right = tuple(number % (1 << width) for number in right)
    if name in _UNSIGNED or name == "arith.shrui":
        left = tuple(number % (1 << width) for number in left)
    return tuple(_wrapped(function(a, b), width) for a, b in zip(left, right, strict=True))


def _wrapped(number: int, width: int) -> int:
    """As a signed integer of so many bits, which wraps around; those of one bit are 0 and 1."""
    number %= 1 << width
    return number - (1 << width) if width > 1 and number >> (width - 1) else number
