"""Sums, products, quotients, roots and conversions rounded in a direction: `n` to nearest even, `z` towards zero, `d` down, `u` up.

float16 and float32 are computed in float64 "rounded to odd": an inexact result whose last bit is set lies on no number of a narrower type
nor halfway between two, so that the one rounding that follows, in any direction, is right. float64 results are rounded to nearest and
moved by one in the direction that the sign of their exact error tells.
"""

from collections.abc import Callable

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import BITS, Lanes
from triton_spacemit.passes.math.rounding import ilogb, is_finite, is_inf, round_half_away, scale_by_power, sign_bit, step

Expansion = Callable[..., Lanes]

_TINY = 2.0**-900  # products below it may have errors that float64 does not hold
_SCALE = 2.0**600
_LARGEST_BITS = 0x7FEFFFFFFFFFFFFF


def _to_narrower(b: Builder, wide: Lanes, kind: str, mode: str) -> Lanes:
    """A float64 in a narrower type: an exact one, or one rounded to odd; but for `n`, one that only if exact equals a narrower number."""
    nearest = wide.to(kind)
    if mode == "n":
        return nearest
    back = nearest.to("f64")
    if mode == "z":
        wrong, upwards = back.abs() > wide.abs(), sign_bit(b, nearest)
    else:
        wrong, upwards = (back > wide if mode == "d" else back < wide), b.constant("i1", wide.lanes, mode == "u")
    return b.select(wrong, step(b, nearest, upwards), nearest)


def _moved(b: Builder, nearest: Lanes, error: Lanes, mode: str) -> Lanes:
    """`nearest` in the direction of `mode`; `error` has the sign of the exact value less `nearest`, NaN or zero where nothing moves."""
    if mode == "n":
        return nearest
    if mode == "u":
        wrong, upwards = error > 0.0, b.constant("i1", nearest.lanes, True)
    elif mode == "d":
        wrong, upwards = error < 0.0, b.constant("i1", nearest.lanes, False)
    else:
        upwards = sign_bit(b, nearest)
        wrong = b.select(upwards, error > 0.0, error < 0.0)
    return b.select(wrong, step(b, nearest, upwards), nearest)


def _overflow(b: Builder, result: Lanes, error: Lanes, *operands: Lanes) -> Lanes:
    """The error of an infinity that finite operands gave: towards zero."""
    finite = is_finite(b, operands[0])
    for operand in operands[1:]:
        finite = finite & is_finite(b, operand)
    return b.select(is_inf(b, result) & finite, -result, error)


def _two_sum(b: Builder, x: Lanes, y: Lanes, mode: str) -> tuple[Lanes, Lanes]:
    """x + y to nearest and its error; an exact zero has the sign that the direction gives it."""
    total = -(-x - y) if mode == "d" else x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _to_odd(b: Builder, nearest: Lanes, error: Lanes) -> Lanes:
    even = (nearest.bits() & 1).equals(0)
    return b.select(even & (error.abs() > 0.0), step(b, nearest, error > 0.0), nearest)


def add(mode: str) -> Expansion:
    """x + y."""

    def expand(b: Builder, x: Lanes, y: Lanes) -> Lanes:
        if mode == "n":
            return x + y
        total, error = _two_sum(b, x.to("f64"), y.to("f64"), mode)
        if x.kind == "f64":
            return _moved(b, total, _overflow(b, total, error, x, y), mode)
        return _to_narrower(b, _to_odd(b, total, error), x.kind, mode)

    return expand


def subtract(mode: str) -> Expansion:
    """x - y."""
    plus = add(mode)
    return lambda b, x, y: plus(b, x, -y)


def multiply(mode: str) -> Expansion:
    """x * y."""

    def expand(b: Builder, x: Lanes, y: Lanes) -> Lanes:
        if mode == "n":
            return x * y
        product = x.to("f64") * y.to("f64")
        if x.kind != "f64":
            return _to_narrower(b, product, x.kind, mode)
        error = b.fma(x, y, -product)
        scaled = b.fma(x * _SCALE, y * _SCALE, -(product * _SCALE * _SCALE))
        error = b.select(product.abs() < _TINY, scaled, error)
        return _moved(b, product, _overflow(b, product, error, x, y), mode)

    return expand


def divide(mode: str) -> Expansion:
    """x / y."""

    def expand(b: Builder, x: Lanes, y: Lanes) -> Lanes:
        if mode == "n":
            return x / y
        if x.kind == "f64":
            return _quotient_f64(b, x, y, mode)
        # A float64 quotient of two narrower numbers equals a narrower number only where that is the exact quotient.
        return _to_narrower(b, x.to("f64") / y.to("f64"), x.kind, mode)

    return expand


def _quotient_f64(b: Builder, x: Lanes, y: Lanes, mode: str) -> Lanes:
    """The sign of the remainder tells on which side of the nearest number the quotient lies.

    Operands are scaled so that the remainder is exact; a subnormal quotient is rounded to its few bits from a sum of two numbers.
    """
    # mantissas in [1, 2) and the exponent of the quotient apart
    usable = is_finite(b, x) & is_finite(b, y) & ~x.equals(0.0) & ~y.equals(0.0)
    numerator, denominator = b.select(usable, x.abs(), 1.0), b.select(usable, y.abs(), 1.0)
    power_x, power_y = ilogb(b, numerator).to("i64"), ilogb(b, denominator).to("i64")
    numerator, denominator = scale_by_power(b, numerator, -power_x), scale_by_power(b, denominator, -power_y)
    power = power_x - power_y
    nearest = numerator / denominator
    remainder = b.fma(-nearest, denominator, numerator)
    below = b.select(remainder < 0.0, nearest.bits() - 1, nearest.bits())
    exact = remainder.equals(0.0)
    # bits that a subnormal quotient loses: cut off, and the quotient is exact only if they were zero
    exponent = power + (below.shrui(52) - 1023)
    lost = b.select(exponent < -1022, -1022 - exponent, 0)
    lost = b.select(lost > 54, 54, lost)
    mantissa = (below & 0xFFFFFFFFFFFFF) | 0x10000000000000
    kept = mantissa.shrui(lost)
    exact = exact & (kept << lost).equals(mantissa)
    normal = b.select(exponent > 1023, _LARGEST_BITS, ((exponent + 1023) << 52) | (below & 0xFFFFFFFFFFFFF))
    exact = exact & (exponent <= 1023)
    towards_zero = b.select(exponent < -1022, kept, normal)
    negative = (x.bits() ^ y.bits()) < 0
    if mode != "z":
        outwards = ~exact & (negative if mode == "d" else ~negative)
        towards_zero = b.select(outwards, towards_zero + 1, towards_zero)
    result = towards_zero.floats()
    return b.select(usable, b.select(negative, -result, result), x / y)


def multiply_add(mode: str) -> Expansion:
    """x * y + z, rounded once; in float64 the direction is right where the product is not below 2^-900."""

    def expand(b: Builder, x: Lanes, y: Lanes, z: Lanes) -> Lanes:
        if mode == "n":
            return b.fma(x, y, z) if x.kind != "f16" else b.fma(x.to("f64"), y.to("f64"), z.to("f64")).to("f16")
        if x.kind != "f64":
            total, error = _two_sum(b, x.to("f64") * y.to("f64"), z.to("f64"), mode)
            return _to_narrower(b, _to_odd(b, total, error), x.kind, mode)
        # Boldo and Muller: the error of a fused multiply-add is a sum of two numbers
        nearest = -b.fma(-x, y, -z) if mode == "d" else b.fma(x, y, z)
        high = x * y
        low = b.fma(x, y, -high)
        first, first_error = _two_sum(b, z, low, "n")
        second, second_error = _two_sum(b, high, first, "n")
        error = ((second - nearest) + second_error) + first_error
        return _moved(b, nearest, _overflow(b, nearest, error, x, y, z), mode)

    return expand


def root(mode: str) -> Expansion:
    """The square root."""

    def expand(b: Builder, x: Lanes) -> Lanes:
        if mode == "n":
            return x.sqrt()
        result = x.to("f64").sqrt()
        if x.kind != "f64":
            return _to_narrower(b, result, x.kind, mode)
        tiny = x < _TINY
        scaled_x = b.select(tiny, x * 2.0**512, x)
        scaled = b.select(tiny, result * 2.0**256, result)
        return _moved(b, result, b.fma(-scaled, scaled, scaled_x), mode)

    return expand


def from_integer(kind: str, signed: bool, mode: str) -> Expansion:
    """An integer as a float of `kind`."""

    def expand(b: Builder, x: Lanes) -> Lanes:
        if BITS[x.kind] < 64:
            x = x.to("i64") if signed else x.unsigned_to("i64")
        high = x >> 32 if signed else x.shrui(32)
        total, error = _two_sum(b, high.to("f64") * 2.0**32, (x & 0xFFFFFFFF).to("f64"), "n")
        return _moved(b, total, error, mode) if kind == "f64" else _to_narrower(b, _to_odd(b, total, error), kind, mode)

    return expand


def to_integer(kind: str, signed: bool, mode: str) -> Expansion:
    """A float as an integer of `kind`, out of range the nearest one; NaN is 0 from float32 to 32 bits, else the highest bit alone.

    The mode `a` rounds to nearest, halves away from zero.
    """
    bits = BITS[kind]
    least, above = (-(2 ** (bits - 1)), 2.0 ** (bits - 1)) if signed else (0, 2.0**bits)

    def expand(b: Builder, x: Lanes) -> Lanes:
        wide = x if x.kind in ("f32", "f64") else x.to("f32")
        whole = {
            "n": wide.roundeven, "z": wide.trunc, "d": wide.floor, "u": wide.ceil, "a": lambda: round_half_away(b, wide)
        }[mode]()  # fmt: skip
        inside = (whole >= float(least)) & (whole < above)
        whole_inside = b.select(inside, whole, 0.0)
        result = whole_inside._op("arith.fptosi" if signed else "arith.fptoui", whole_inside, kind=kind)
        result = b.select(whole >= above, int(above) - 1, result)
        result = b.select(whole < float(least), least, result)
        return b.select(x.is_nan(), 0 if bits == 32 and x.kind != "f64" else 2 ** (bits - 1), result)

    return expand


def narrow(mode: str) -> Expansion:
    """A float64 as float32."""
    return lambda b, x: _to_narrower(b, x, "f32", mode)
