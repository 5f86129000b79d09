"""Sine and cosine of multiples of pi: the angle is reduced exactly."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.trigonometric import sin_f64

_PI = 3.141592653589793


def _reduced(x: Lanes) -> Lanes:
    """x modulo 2, in [-1, 1]; NaN for infinities."""
    return x - 2.0 * (x * 0.5).roundeven()


def sinpi_f64(b: Builder, x: Lanes) -> Lanes:
    """sin(pi x). At most 2 ulp; of a whole x it is a zero with the sign of x."""
    r = _reduced(x)
    r = b.select(r.abs() > 0.5, r.like(1.0).copysign(r) - r, r)
    result = sin_f64(b, r * _PI)
    return b.select(result.equals(0.0), result.copysign(x), result)


def cospi_f64(b: Builder, x: Lanes) -> Lanes:
    """cos(pi x). At most 2 ulp; a zero is positive."""
    return sin_f64(b, (0.5 - _reduced(x).abs()) * _PI) + 0.0
