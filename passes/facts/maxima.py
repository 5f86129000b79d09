"""Exponentials of distances from a maximum, as in a softmax: that they are at most 1, and how exact the smallest of them have to be."""

from collections.abc import Iterator

from torch_mlir import ir

from triton_spacemit.dialect.exactness import Exactness
from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.dialect.values import constant_of, producer_of

_MAXIMA = ("arith.maxnumf", "arith.maximumf")
_REPEATED = ("tt.broadcast", "tt.expand_dims", "tt.splat")
_DEEP = 8  # maxima of maxima that are looked through


def exactness(exponential: ir.Operation) -> Exactness | None:
    """What is asked of an exponential; None where its operand may be above zero."""
    difference = producer_of(exponential.operands[0], "arith.subf")
    if difference is None:
        return None
    x, maximum = difference.operands
    if not _covers(maximum, x, _DEEP):
        return None
    reduction = _own_maximum(maximum, x)
    if reduction is None:
        return Exactness.ROUNDED
    return _asked(exponential.results[0], reduction.attributes["axis"].value)


# Whether an operand is nowhere above zero


def _covers(maximum: ir.Value, x: ir.Value, depth: int) -> bool:
    """Whether no element of `x` is greater than the element of `maximum` at its place, unless that is NaN or both are.

    That is so of a maximum of x and other values, and of all elements of x along an axis, repeated along that axis. A maximum of x and NaN
    may be NaN: then the difference is.
    """
    if maximum == x:
        return True
    op = producer_of(maximum, *_MAXIMA, *_REPEATED)
    if op is None or not depth:
        return False
    if op.name in _MAXIMA:
        return any(_covers(operand, x, depth - 1) for operand in op.operands)
    row = _row(op, x)
    return row is not None and _is_maximum(*row, x, depth - 1)


def _row(op: ir.Operation, x: ir.Value) -> tuple[ir.Value, int] | None:
    """What `op` repeats all along one axis of a block like `x`, and that axis."""
    if op.name == "tt.splat":
        return (op.operands[0], 0) if len(x.type.shape) == 1 else None
    expanded = op if op.name == "tt.expand_dims" else producer_of(op.operands[0], "tt.expand_dims")
    return None if expanded is None else (expanded.operands[0], expanded.attributes["axis"].value)


def _is_maximum(value: ir.Value, axis: int, x: ir.Value, depth: int) -> bool:
    """Whether `value` is a maximum of all elements of `x` along the axis, and perhaps of others."""
    op = producer_of(value, *_MAXIMA, "tt.reduce")
    if op is None or not depth:
        return False
    if op.name in _MAXIMA:
        return any(_is_maximum(operand, axis, x, depth - 1) for operand in op.operands)
    return _reduces(op, x, axis, *_MAXIMA)


def _reduces(op: ir.Operation, x: ir.Value, axis: int, *kinds: str) -> bool:
    return list(op.operands) == [x] and op.attributes["axis"].value == axis and combining_op(op) in kinds


# How exact it has to be


def _own_maximum(maximum: ir.Value, x: ir.Value) -> ir.Operation | None:
    """The reduction that `maximum` repeats, where it is that of `x` alone: then the exponential is 1 somewhere in each row, or NaN."""
    op = producer_of(maximum, *_REPEATED)
    row = None if op is None else _row(op, x)
    reduction = None if row is None else producer_of(row[0], "tt.reduce")
    return reduction if reduction is not None and _reduces(reduction, x, row[1], *_MAXIMA) else None


def _asked(exponential: ir.Value, axis: int) -> Exactness:
    """By its uses, of one whose greatest element along the axis is 1."""
    sums: list[ir.Operation] = []
    others: list[ir.Operation] = []
    for use in exponential.uses:
        user = use.owner
        is_sum = user.name == "tt.reduce" and _reduces(user, exponential, axis, "arith.addf")
        (sums if is_sum else others).append(user)
    if sums and not others:
        return Exactness.TERM
    if len(sums) != 1:
        return Exactness.ROUNDED
    quotients = set(_quotients(sums[0].results[0], exponential))
    return Exactness.SCALED if quotients and quotients == set(others) else Exactness.ROUNDED


def _quotients(total: ir.Value, exponential: ir.Value) -> Iterator[ir.Operation | None]:
    """The quotients of the exponential and its sum, which may be products with the sum's inverse; None for each other use of the sum."""
    for value in _repetitions(total):
        for use in value.uses:
            user, place = use.owner, use.operand_number
            if user.name in _REPEATED:
                continue
            if user.name != "arith.divf" or place != 1:
                yield None
            elif user.operands[0] == exponential:
                yield user
            elif _is_moderate(user.operands[0]):
                yield from _products(user.results[0], exponential)
            else:
                yield None


def _is_moderate(value: ir.Value) -> bool:
    """Whether a value is a number that may be divided by a scaled sum without leaving the normal range."""
    splat = producer_of(value, "tt.splat")
    number = constant_of(value if splat is None else splat.operands[0])
    return number is not None and 2.0**-32 <= abs(number.value) <= 2.0**32


def _products(inverse: ir.Value, exponential: ir.Value) -> Iterator[ir.Operation | None]:
    """The products of the exponential and something over its sum; None for each other use of that."""
    for value in _repetitions(inverse):
        for use in value.uses:
            user = use.owner
            if user.name not in _REPEATED:
                yield user if user.name == "arith.mulf" and user.operands[1 - use.operand_number] == exponential else None


def _repetitions(value: ir.Value) -> Iterator[ir.Value]:
    """A value, and what only repeats it."""
    stack = [value]
    while stack:
        current = stack.pop()
        yield current
        stack += [use.owner.results[0] for use in current.uses if use.owner.name in _REPEATED]
