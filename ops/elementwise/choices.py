"""What the values of arguments decide: a shorter function for a special number, and mistakes that PyTorch is to explain.

Each takes the name of the function and the overload's arguments, and returns the name of the function to use and its operands, at the same
places, with None for what that function does not take; or NotImplemented.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton.language as tl

Choice = Any  # tuple[str, Sequence[Any]] or NotImplemented


def bounds(dtype: tl.dtype) -> tuple[int, int]:
    """The least and the largest integer of a dtype."""
    width = dtype.primitive_bitwidth
    if dtype == tl.int1:
        return 0, 1
    return (-(1 << width - 1), (1 << width - 1) - 1) if dtype.is_int_signed() else (0, (1 << width) - 1)


def scaled(name: str, arguments: Sequence[Any]) -> Choice:
    """The last argument is a factor, 1 more often than not."""
    *operands, factor = arguments
    return (name, (*operands, None)) if factor == 1 else (f"{name}_scaled", arguments)


def scaled_sum(name: str, arguments: Sequence[Any]) -> Choice:
    """`scaled`, where truth values are factors of truth values only."""
    *operands, factor = arguments
    if isinstance(factor, bool) and any((x.dtype if isinstance(x, torch.Tensor) else type(x)) not in (torch.bool, bool) for x in operands):
        return NotImplemented
    return scaled(name, arguments)


def outer_sum(name: str, arguments: Sequence[Any]) -> Choice:
    """A matrix, two vectors, and the factors of both terms, of which 1 is left out and 0 leaves out the matrix."""
    start, a, b, beta, alpha = arguments
    if a.dim() != 1 or b.dim() != 1 or any(isinstance(factor, bool | complex) for factor in (beta, alpha)):
        return NotImplemented
    if not a.dtype.is_floating_point and any(isinstance(factor, float) for factor in (beta, alpha)):
        return NotImplemented
    shape = a.shape + b.shape
    if start.dim() > 2 or any(size not in (1, end) for size, end in zip(start.shape[::-1], shape[::-1], strict=False)):
        return NotImplemented
    a, b = a.unsqueeze(1), b.unsqueeze(0)
    if beta == 0:
        return ("mul", (None, a, b, None, None)) if alpha == 1 else ("mul_scaled", (None, a, b, None, alpha))
    return ("addcmul", (start, a, b, None, None)) if alpha == beta == 1 else (name, (start, a, b, beta, alpha))


def _divides_by_zero(dividend: Any, divisor: Any) -> bool:
    """Whether integers are divided, one of them by zero."""
    for operand in (dividend, divisor):
        if operand.dtype.is_floating_point if isinstance(operand, torch.Tensor) else isinstance(operand, float):
            return False
    return not bool(divisor.all()) if isinstance(divisor, torch.Tensor) else divisor == 0


def division(name: str, arguments: Sequence[Any]) -> Choice:
    """Integers are not divided by zero."""
    return NotImplemented if _divides_by_zero(*arguments[:2]) else (name, arguments)


def rounded_division(name: str, arguments: Sequence[Any]) -> Choice:
    """The third argument says how a quotient becomes whole: `None` not at all."""
    mode = arguments[2]
    if mode not in ("floor", "trunc") or _divides_by_zero(*arguments[:2]):
        return NotImplemented
    return name, arguments


def power(name: str, arguments: Sequence[Any]) -> Choice:
    """Common exponents are products and roots. Integers have no negative powers."""
    base, exponent = arguments
    if isinstance(exponent, torch.Tensor):
        return name, arguments
    if isinstance(exponent, complex):
        return NotImplemented
    if not isinstance(base, torch.Tensor):
        return name, arguments
    if not base.dtype.is_floating_point and not isinstance(exponent, float) and exponent < 0:
        return NotImplemented
    if exponent == 0 or exponent != exponent or isinstance(exponent, bool):
        return name, arguments
    short = {2: "square", 3: "cube"}.get(exponent)
    if short is None and (base.dtype.is_floating_point or isinstance(exponent, float)):
        short = {-2: "inverse_square", -1: "reciprocal"}.get(exponent)
    return (name, arguments) if short is None else (short, (base, None))


def limits(name: str, arguments: Sequence[Any]) -> Choice:
    """The least and the greatest value, of which one may be missing. Where one of them is NaN, so is the result."""
    _, low, high = arguments
    if low is None and high is None:
        return NotImplemented
    if any(isinstance(limit, torch.Tensor) or limit is not None and limit != limit for limit in (low, high)):
        return name if low is not None and high is not None else f"{name}_{'max' if low is None else 'min'}", arguments
    return "hardtanh" if low is not None and high is not None else "at_most" if low is None else "at_least", arguments


def ordered_limits(name: str, arguments: Sequence[Any]) -> Choice:
    """The least value and the greatest one, in this order."""
    x, low, high = arguments
    if not x.dtype.is_floating_point:
        low, high = _whole(low), _whole(high)
        if low is None or high is None or x.dtype is torch.uint8 and low < 0:
            return NotImplemented
    return NotImplemented if low > high else (name, (x, low, high))


def truncated(name: str, arguments: Sequence[Any]) -> Choice:
    """Numbers of integers lose what is behind the point."""
    if next(each for each in arguments if isinstance(each, torch.Tensor)).dtype.is_floating_point:
        return name, arguments
    operands = [each if isinstance(each, torch.Tensor) else _whole(each) for each in arguments]
    return NotImplemented if any(each is None for each in operands) else (name, operands)


def _whole(number: Any) -> int | None:
    """A number as integers take it, without what is behind the point."""
    return None if isinstance(number, complex) or number != number or abs(number) == float("inf") else int(number)


def not_negative(name: str, arguments: Sequence[Any]) -> Choice:
    """The last argument is 0 or more."""
    return (name, arguments) if arguments[-1] >= 0 else NotImplemented


def replacements(name: str, arguments: Sequence[Any]) -> Choice:
    """What NaN and the infinities become: 0, and the largest numbers of the dtype."""
    x, nan, high, low = arguments
    if not x.dtype.is_floating_point:
        return "copy", (x, None, None, None)
    limits = torch.finfo(x.dtype)
    return name, (x, 0.0 if nan is None else nan, limits.max if high is None else high, limits.min if low is None else low)


def decimals(name: str, arguments: Sequence[Any]) -> Choice:
    """Places behind the point, or before it where there are fewer than none."""
    x, places = arguments
    if not x.dtype.is_floating_point:
        return NotImplemented
    if places == 0:
        return name, (x, None)
    return (f"{name}_decimals", (x, 10.0**places)) if places > 0 else (f"{name}_tens", (x, 10.0**-places))


def filling(name: str, arguments: Sequence[Any]) -> Choice:
    """What is filled in is one element, which integers must hold: PyTorch refuses what they do not."""
    x, mask, value = arguments
    if isinstance(value, torch.Tensor):
        if value.dim():
            return NotImplemented
        if x.dtype.is_floating_point or x.dtype is value.dtype:
            return name, arguments
        value = value.item()
    if x.dtype is torch.bool:
        value = bool(value)
    elif not x.dtype.is_floating_point:
        if isinstance(value, float) and not (x.dtype is torch.uint8 and value < 0):
            value = _whole(value)
        limits = torch.iinfo(x.dtype)
        if not isinstance(value, int) or not (limits.min or -limits.max) <= value <= limits.max:  # negative ones wrap around
            return NotImplemented
    return name, (x, mask, value)


def margin(name: str, arguments: Sequence[Any]) -> Choice:
    """The last argument is how close to 0 and 1 an operand may come; None is as close as it likes."""
    *operands, eps = arguments
    if eps is None or eps < 0:
        return name, (*operands, None)
    return name.replace("logit", "logit_clamped"), arguments
