"""Lengths of vectors and their reciprocals, exact remainders and differences."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.power import cbrt_f64, fmod_f64, hypot_f64
from triton_spacemit.passes.math.rounding import ilogb, is_inf, scale_by_power

_INFINITY = float("inf")


def norm_f64(b: Builder, *operands: Lanes) -> Lanes:
    """sqrt(x^2 + y^2 + ...) without overflow on the way. At most 2 ulp; infinite where any operand is."""
    sizes = [operand.abs() for operand in operands]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = b.maximum(largest, size)
    usable = (largest > 0.0) & (largest < _INFINITY)
    power = ilogb(b, b.select(usable, largest, 1.0)).to("i64")
    scaled = [scale_by_power(b, size, -power) for size in sizes]
    total = scaled[0] * scaled[0]
    for value in scaled[1:]:
        total = b.fma(value, value, total)
    result = scale_by_power(b, total.sqrt(), power)
    infinite = is_inf(b, sizes[0])
    for size in sizes[1:]:
        infinite = infinite | is_inf(b, size)
    return b.select(infinite, _INFINITY, result)


def reciprocal_norm_f64(b: Builder, *operands: Lanes) -> Lanes:
    """At most 3 ulp."""
    return 1.0 / norm_f64(b, *operands)


def rhypot_f64(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """At most 2 ulp."""
    return 1.0 / hypot_f64(b, x, y)


def rcbrt_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    return 1.0 / cbrt_f64(b, x)


def remainder_f64(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """x less the multiple of y that is nearest to x (of two, the even one), exactly."""
    divisor = y.abs()
    twice = b.select(divisor < 2.0**1023, divisor + divisor, _INFINITY)
    rest = fmod_f64(b, x, twice).abs()
    # compared with half the divisor without losing a bit: rest + rest where small, else the halves
    small = divisor < 2.0**-1000
    over = b.select(small, (rest + rest) > divisor, rest > 0.5 * divisor)
    rest = b.select(over, rest - divisor, rest)
    again = b.select(small, (rest + rest) >= divisor, rest >= 0.5 * divisor)
    rest = b.select(over & again, rest - divisor, rest)
    result = b.select((x.bits() < 0), -rest, rest)
    result = b.select(rest.equals(0.0), rest.abs().copysign(x), result)
    return b.select(y.is_nan() | divisor.equals(0.0), float("nan"), b.select(divisor.equals(_INFINITY) & (x.abs() < _INFINITY), x, result))


def positive_difference(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """x - y where x is greater, else 0; NaN where either is."""
    return b.select(x <= y, 0.0, x - y)


def exponent(b: Builder, x: Lanes) -> Lanes:
    """The exponent of x as a float; -infinity for zero, infinity for infinities."""
    result = b.select(x.equals(0.0), -_INFINITY, ilogb(b, x).to(x.kind))
    return b.select(x.abs() < _INFINITY, result, x * x)


def saturate(b: Builder, x: Lanes) -> Lanes:
    """x between 0 and 1; 0 for NaN."""
    return b.select(x > 0.0, b.select(x < 1.0, x, 1.0), 0.0)


def reciprocal_high(b: Builder, x: Lanes) -> Lanes:
    """1 / x without the low half of its bits."""
    return ((1.0 / x).bits() & -(2**32)).floats()
