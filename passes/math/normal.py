"""The scaled complementary error function, the inverse of the complementary one, and the normal distribution built on them."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.error import erf_f64, erfc_f64, erfinv_f64, scaled_erfc_f64
from triton_spacemit.passes.math.exponential import exp_of_sum_f64
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.logarithm import log_f64

_INVERSE_ROOT_PI = 0.5641895835477563
_ROOT_HALF = 0.7071067811865476
_ROOT_TWO = 1.4142135623730951
# erfc(x) exp(x^2) x sqrt(pi) in 1 / (2 x^2)
_ASYMPTOTIC = (1.0, -1.0, 3.0, -15.0, 105.0, -945.0, 10395.0)


def _square(b: Builder, x: Lanes) -> tuple[Lanes, Lanes]:
    """x^2 and its rounding error."""
    square = x * x
    return square, b.fma(x, x, -square)


def _scaled(b: Builder, x: Lanes) -> Lanes:
    """erfc(x) exp(x^2) for x of at least 0.5."""
    half = 0.5 / x / x
    return b.select(x < 28.0, scaled_erfc_f64(b, b.minimum(x, 28.0)), b.polynomial(half, _ASYMPTOTIC) * (_INVERSE_ROOT_PI / x))


def erfcx_f64(b: Builder, x: Lanes) -> Lanes:
    """erfc(x) exp(x^2). At most 8 ulp."""
    bounded = b.at_most(b.at_least(x, -27.0), 1.0)
    growth = exp_of_sum_f64(b, *_square(b, bounded))
    small = growth * (1.0 - erf_f64(b, bounded))
    below = 2.0 * growth - _scaled(b, b.maximum(-x, 0.5))
    result = b.select(x > 0.5, _scaled(b, b.maximum(x, 0.5)), b.select(x < -0.5, below, small))
    return b.select(x.is_nan(), x, b.select(x < -26.7, float("inf"), result))


def erfcinv_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 4 ulp but near 1, where the result is that of 1 - x. Small x: Newton's method on the logarithm of erfc."""
    near = erfinv_f64(b, 1.0 - x)
    log = log_f64(b, b.select(x > 0.0, x, 1.0))
    size = b.maximum(-log, 1.0)
    y = (size - 0.5 * log_f64(b, size * 3.141592653589793)).sqrt()
    for _ in range(4):
        scaled = _scaled(b, b.maximum(y, 0.5))
        # the logarithm of erfc(y) / x is log(scaled) - y^2 - log(x), its derivative -2 / (sqrt(pi) scaled)
        square, rest = _square(b, y)
        error = (log_f64(b, scaled) - (square + log)) - rest
        y = y + error * scaled * 0.886226925452758
    result = b.select(x < 0.0625, y, near)
    return b.select(x.equals(0.0), float("inf"), b.select(x < 0.0, float("nan"), result))


def normcdf_f64(b: Builder, x: Lanes) -> Lanes:
    """The normal distribution function. At most 8 ulp."""
    size = b.at_most(x.abs(), 40.0)
    square, rest = _square(b, size)
    tail = 0.5 * _scaled(b, b.maximum(size * _ROOT_HALF, 0.5)) * exp_of_sum_f64(b, -0.5 * square, -0.5 * rest)
    centre = 0.5 * erfc_f64(b, x * -_ROOT_HALF)
    result = b.select(size >= 1.0, b.select(x < 0.0, tail, 1.0 - tail), centre)
    return b.select(x.is_nan(), x, result)


def normcdfinv_f64(b: Builder, x: Lanes) -> Lanes:
    """The quantile of the normal distribution, with the error of erfcinv."""
    return 0.0 - _ROOT_TWO * erfcinv_f64(b, x * 2.0)
