"""pow, cbrt, hypot, rsqrt and fmod."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.exponential import exp2_f32, exp_f64, exp_of_sum_f64
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.logarithm import LN2_HIGH, LN2_LOW, log2_f32, log_f64, split_f64
from triton_spacemit.passes.math.rounding import ilogb, scale_by_power

# (log((1 + s) / (1 - s)) / (2 s) - 1 - s^2 / 3) / s^4 in s^2 on the mantissa's interval; error 2^-56
_LOG = (
    0.2, 0.1428571428571083, 0.11111111112860501, 0.0909090876388267, 0.07692335800719038, 0.0666553168026624, 0.05898473927117357,
    0.054290462326886675,
)  # fmt: skip
_THIRD, _THIRD_LOW = 0.3333333333333333, 1.850371707708594e-17


def _times(b: Builder, a: tuple[Lanes, Lanes], c: tuple[Lanes | float, Lanes | float]) -> tuple[Lanes, Lanes]:
    """The product of two sums of two numbers."""
    high = a[0] * c[0]
    return high, b.fma(a[1], c[0], b.fma(a[0], c[1], b.fma(a[0], c[0], -high)))


def _plus(a: tuple[Lanes | float, Lanes | float], c: tuple[Lanes, Lanes]) -> tuple[Lanes, Lanes]:
    """The sum of two sums of two numbers, the first one the larger."""
    high = a[0] + c[0]
    return high, ((a[0] - high) + c[0]) + (a[1] + c[1])


def _log_parts(b: Builder, x: Lanes) -> tuple[Lanes, Lanes]:
    """The logarithm of a positive finite float64 as a sum of two numbers, to 2^-65."""
    e, f = split_f64(b, x)
    denominator = 2.0 + f
    high = f / denominator
    lost = (2.0 - denominator) + f
    low = (b.fma(-high, denominator, f) - high * lost) / denominator
    s = (high, low)
    z = _times(b, s, s)
    series = _plus(_times(b, z, (_THIRD, _THIRD_LOW)), (z[0] * z[0] * b.polynomial(z[0], _LOG), x.like(0.0)))
    high, low = _plus(s, _times(b, s, series))
    exponent = (e * LN2_HIGH, e * LN2_LOW)
    return _plus(exponent, (2.0 * high, 2.0 * low))


def pow_f64(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """At most 1 ulp; special cases as in C's Annex F."""
    size = x.abs()
    high, low = _log_parts(b, size)
    # one number and what is lost
    total = high + low
    low = (high - total) + low
    product = y * total
    return _power_cases(b, x, y, exp_of_sum_f64(b, product, b.fma(y, low, b.fma(y, total, -product))))


def pow_f32(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """At most 1 ulp: the logarithm in float64, whose error of 2^-52 is at most 150 times that in the result."""
    wide, exponent = x.to("f64"), y.to("f64")
    return _power_cases(b, x, y, exp_f64(b, exponent * log_f64(b, wide.abs())).to("f32"))


def _power_cases(b: Builder, x: Lanes, y: Lanes, result: Lanes) -> Lanes:
    """x to the power of y from |x| to the power of y, where that is finite and not 0."""
    size, infinity = x.abs(), float("inf")
    above = size > 1.0
    grows = ~(above ^ (y > 0.0))
    extreme = size.equals(0.0) | size.equals(infinity) | y.abs().equals(infinity)
    result = b.select(extreme, b.select(grows, y.like(infinity), 0.0), result)
    result = b.select(size.equals(1.0), 1.0, result)
    integer, half = y.trunc().equals(y), y * 0.5
    odd = integer & half.trunc().compare("une", half)
    result = b.select(odd, result.copysign(x), result)
    result = b.select((x < 0.0) & ~integer & (size < infinity), float("nan"), result)
    result = b.select(x.is_nan() | y.is_nan(), x + y, result)
    return b.select(x.equals(1.0) | y.equals(0.0), 1.0, result)


def cbrt_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    e, f = split_f64(b, x.abs())
    third = (e * (1.0 / 3.0) + 0.1).floor()  # e is whole: rounding cannot cross an integer
    left = e - 3.0 * third
    mantissa = (1.0 + f) * b.select(left > 1.5, x.like(4.0), b.select(left > 0.5, x.like(2.0), 1.0))
    root = exp2_f32(b, log2_f32(b, mantissa.to("f32")) * (1.0 / 3.0)).to("f64")
    for _ in range(2):
        square = root * root
        lost = b.fma(root, root, -square)
        residual = b.fma(root, lost, b.fma(square, root, -mantissa))
        root = root - residual / (3.0 * square)
    scale = ((third.to("i64") + 1023) << 52).floats()
    special = x.equals(0.0) | ~(x.abs() < float("inf"))
    return b.select(special, x, (root * scale).copysign(x))


def hypot_f64(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """At most 1 ulp; infinite where either operand is."""
    x, y = x.abs(), y.abs()
    large, small = b.select(x > y, x, y), b.select(x > y, y, x)
    big, tiny = large > 2.0**500, large < 2.0**-450
    down = b.select(big, x.like(2.0**-600), b.select(tiny, x.like(2.0**700), 1.0))
    up = b.select(big, x.like(2.0**600), b.select(tiny, x.like(2.0**-700), 1.0))
    scaled_large, scaled_small = large * down, small * down
    result = b.fma(scaled_large, scaled_large, scaled_small * scaled_small).sqrt() * up
    infinite = x.equals(float("inf")) | y.equals(float("inf"))
    return b.select(infinite, float("inf"), b.select(x.is_nan() | y.is_nan(), x + y, result))


def rsqrt(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    return 1.0 / x.sqrt()


def fmod_f64(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """Exact: long division, 50 bits of the quotient in each turn of a loop that nearly always runs once."""
    size, divisor = x.abs(), y.abs()
    valid = (divisor > 0.0) & (size < float("inf"))
    exponent = ilogb(b, divisor).to("i64")
    start = b.select(valid, size, 0.0)

    def turn(rest: Lanes) -> list[Lanes]:
        shift = rest.bits().shrui(52) - (exponent + (1023 + 50))
        step = scale_by_power(b, divisor, b.select(shift > 0, shift, 0))
        rest = b.fma((rest / step).trunc(), -step, rest)
        return [b.select(rest < 0.0, rest + step, rest)]

    (rest,) = b.repeat([start], lambda rest: rest >= divisor, turn)
    return b.select(valid & ~y.is_nan(), rest.copysign(x), float("nan"))
