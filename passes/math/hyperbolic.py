"""sinh, cosh, tanh and their inverses."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.exponential import LOG2E, expm1_f64, half_exp_f64
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.logarithm import log1p_f64, log_f64

# (tanh(x) - x) / x^3 in x^2 on |x| <= 0.905; error of tanh 2^-26
_TANH_F32 = (
    -0.33333322405815125, 0.13332977890968323, -0.05392900109291077, 0.021661506965756416, -0.00825910922139883, 0.002576242433860898,
    -0.00045265749213285744,
)  # fmt: skip
# (exp(2 x) - 1) / x on |x| <= ln 2 / 4; error 2^-23
_EXP_F32 = (2.0, 2.0, 1.3333234786987305, 0.6666654944419861, 0.26772916316986084, 0.08911924809217453)
# (sinh(x) - x) / x^3 in x^2 on |x| <= 1; error 2^-57
_SINH_F64 = (
    0.16666666666666666, 0.008333333333333975, 0.0001984126984055093, 2.755731951571747e-06, 2.5052056113785386e-08,
    1.6063074490305283e-10, 7.568813678121769e-13,
)  # fmt: skip
_LN2 = 0.6931471805599453


def tanh_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 28 operations, one of them a division.

    A polynomial up to 0.905; from there on 1 - 2 / (exp(2|x|) + 1), where the sum is rounded once.
    """
    size = x.abs()
    shift = 12582912.0 + 126
    clamped = b.minimum(size, 10.0)
    rounded = b.fma(clamped, 2 * LOG2E, shift)
    r = b.fma(rounded - shift, -_LN2 / 2, clamped)
    scale = (rounded.bits() << 23).floats()  # half of 2^n
    half_sum = b.fma(scale * r, b.polynomial(r, _EXP_F32), scale + 0.5)
    large = 1.0 - 1.0 / half_sum
    z = x * x
    small = b.fma(size * z, b.polynomial(z, _TANH_F32), size)
    return b.select(size >= 0.905, large, small).copysign(x)


def one_plus_tanh_f32(b: Builder, x: Lanes) -> Lanes:
    """1 + tanh(x) as 2 / (1 + exp(-2 x)): at most 6 ulp, also where the sum cancels. 21 operations where tanh and the sum take 29."""
    shift = 12582912.0 + 126
    clamped = b.minimum(b.maximum(x, -44.0), 43.0)
    rounded = b.fma(clamped, -2 * LOG2E, shift)
    r = b.fma(rounded - shift, -_LN2 / 2, -clamped)
    scale = (rounded.bits() << 23).floats()  # half of 2^n
    result = 1.0 / b.fma(scale * r, b.polynomial(r, _EXP_F32), scale + 0.5)
    return b.select(x.is_nan(), x, b.select(x < -44.0, 0.0, result))


def sinh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    size = x.abs()
    z = x * x
    small = b.fma(x * z, b.polynomial(z, _SINH_F64), x)
    e = expm1_f64(b, b.minimum(size, 30.0))
    large = b.select(size > 22.0, half_exp_f64(b, size), 0.5 * (e + e / (e + 1.0)))
    return b.select(size >= 1.0, large.copysign(x), small)


def cosh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    half = half_exp_f64(b, x.abs())
    return half + 0.25 / half


def tanh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    size = x.abs()
    large = size >= 1.0
    twice = 2.0 * b.minimum(size, 30.0)
    t = expm1_f64(b, b.select(large, twice, -twice))
    result = b.select(large, t.like(1.0), 0.0) + b.select(large, -2.0, -t) / (t + 2.0)
    return b.select(x.is_nan(), x, result.copysign(x))


def asinh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    size = x.abs()
    square = size * size
    usual = log1p_f64(b, size + square / (1.0 + (square + 1.0).sqrt()))
    return b.select(size > 2.0**28, log_f64(b, size) + _LN2, usual).copysign(x)


def acosh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp; NaN below 1."""
    t = x - 1.0
    usual = log1p_f64(b, t + (t * (t + 2.0)).sqrt())
    return b.select(x < 1.0, float("nan"), b.select(x > 2.0**28, log_f64(b, x) + _LN2, usual))


def atanh_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    size = x.abs()
    twice = size + size
    quotient = b.select(size < 0.5, twice * size, twice) / (1.0 - size)
    return (0.5 * log1p_f64(b, b.select(size < 0.5, twice + quotient, quotient))).copysign(x)
