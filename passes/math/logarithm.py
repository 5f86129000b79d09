"""log, log2, log10 and log1p: the exponent, plus the logarithm of a mantissa in [2/3, 4/3) or, in float64, [sqrt 1/2, sqrt 2)."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes

# (log(1 + f) - f + f^2 / 2) / f^3 on the mantissa's interval; error of the logarithm 2^-27
_LOG_F32 = (
    0.3333323001861572, -0.24999694526195526, 0.2000981569290161, -0.16685263812541962, 0.1401403546333313, -0.12117350101470947,
    0.13949283957481384, -0.13183829188346863,
)  # fmt: skip
_TWICE_LOG_F32 = tuple(2 * coefficient for coefficient in _LOG_F32)
# (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2; error 2^-58
_LOG_F64 = (
    0.6666666666666666, 0.40000000000012587, 0.2857142856442778, 0.22222223690534065, 0.18181669855157112, 0.15392485424563132,
    0.13115133823774477, 0.1457032078490813,
)  # fmt: skip

_TWO_THIRDS = 0x3F2AAAAB  # in float32
LN2_HIGH, LN2_LOW = 0.6931471806019545, -4.2009150726810846e-11  # the product of HIGH and an exponent is exact in float64


def _split_f32(b: Builder, x: Lanes) -> tuple[Lanes, Lanes]:
    """`(e, f)` with x = 2^e (1 + f), also for subnormal x."""
    tiny = x < 2.0**-126
    bits = b.select(tiny, x * 2.0**23, x).bits() - _TWO_THIRDS
    exponent = bits >> 23
    f = ((bits & 0x7FFFFF) + _TWO_THIRDS).floats() - 1.0
    return exponent.to("f32") + b.select(tiny, x.like(-23.0), 0.0), f


def split_f64(b: Builder, x: Lanes) -> tuple[Lanes, Lanes]:
    tiny = x < 2.0**-1022
    bits = b.select(tiny, x * 2.0**54, x).bits() - 0x3FE6A09E667F3BCD
    exponent = bits >> 52
    f = ((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD).floats() - 1.0
    return exponent.to("f64") + b.select(tiny, x.like(-54.0), 0.0), f


def _special(b: Builder, x: Lanes, result: Lanes) -> Lanes:
    """Infinity and NaN map to themselves, zero to minus infinity, negative numbers to NaN."""
    result = b.select(x < float("inf"), result, x)
    result = b.select(x.equals(0.0), float("-inf"), result)
    return b.select(x < 0.0, float("nan"), result)


def log_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 31 operations."""
    e, f = _split_f32(b, x)
    tail = f * f * b.polynomial(f, (-0.5, *_LOG_F32))
    small = b.fma(e, -1.9046542121259336e-09, tail)
    return _special(b, x, b.fma(e, 0.6931471824645996, f + small))


def _log_base_f32(b: Builder, x: Lanes, exponent: tuple[float, float], inverse: tuple[float, float]) -> Lanes:
    """log(x) / log(base): `exponent` is log_base(2), `inverse` is 1 / ln(base), each in two parts."""
    e, f = _split_f32(b, x)
    # f - f^2 / 2 as a sum of two numbers
    half = 0.5 * f
    square = half * f
    high = f - square
    low = ((f - high) - square) - b.fma(half, f, -square)
    low = b.fma(f * square, b.polynomial(f, _TWICE_LOG_F32), low)
    product = high * inverse[0]
    low = b.fma(low, inverse[0], b.fma(high, inverse[1], b.fma(high, inverse[0], -product)))
    if exponent[1]:
        low = b.fma(e, exponent[1], low)
    whole = e * exponent[0]
    total = whole + product
    return _special(b, x, total + (((whole - total) + product) + low))


def log2_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return _log_base_f32(b, x, (1.0, 0.0), (1.4426950216293335, 1.925963033500011e-08))


def log10_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return _log_base_f32(b, x, (0.301025390625, 4.605039066518657e-06), (0.4342944920063019, -1.0103049952192578e-08))


def _mantissa(b: Builder, f: Lanes) -> tuple[Lanes, Lanes]:
    """`(half, rest)` with log(1 + f) = f - (half - rest)."""
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    return half, s * (half + z * b.polynomial(z, _LOG_F64))


def log_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    e, f = split_f64(b, x)
    half, rest = _mantissa(b, f)
    result = e * LN2_HIGH - ((half - b.fma(e, LN2_LOW, rest)) - f)
    return _special(b, x, result)


def _log_base_f64(b: Builder, x: Lanes, exponent: tuple[float, float], inverse: tuple[float, float]) -> Lanes:
    e, f = split_f64(b, x)
    half, rest = _mantissa(b, f)
    high = ((f - half).bits() & -0x100000000).floats()  # its products are exact
    low = ((f - high) - half) + rest
    top = high * inverse[0]
    rest = b.fma(low + high, inverse[1], low * inverse[0])
    if exponent[1]:
        rest = b.fma(e, exponent[1], rest)
    whole = e * exponent[0]
    total = whole + top
    return _special(b, x, ((whole - total) + top + rest) + total)


def log2_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return _log_base_f64(b, x, (1.0, 0.0), (1.4426950407214463, 1.6751713164886512e-10))


def log10_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return _log_base_f64(b, x, (0.3010299956658855, -1.9043128467164274e-12), (0.4342944818781689, 2.5082946711645275e-11))


def log1p_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp; the sign of zero stays."""
    u = 1.0 + x
    e, f = _split_f32(b, u)
    # what rounding 1 + x lost, relative to u
    lost = b.select(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u
    small = (x > -0.25) & (x < 0.25)
    f = b.select(small, x, f)
    e = b.select(small, 0.0, e)
    lost = b.select(small, 0.0, lost)
    tail = f * f * b.polynomial(f, (-0.5, *_LOG_F32))
    result = b.fma(e, 0.6931471824645996, f + b.fma(e, -1.9046542121259336e-09, tail + lost))
    return b.select(x.abs() < 2.0**-24, x, _special(b, u, result))


def log1p_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp; the sign of zero stays."""
    u = 1.0 + x
    e, f = split_f64(b, u)
    # what rounding 1 + x lost, relative to u
    lost = b.select(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u
    small = x.abs() < 0.29
    f = b.select(small, x, f)
    e = b.select(small, 0.0, e)
    lost = b.select(small, 0.0, lost)
    half, rest = _mantissa(b, f)
    result = e * LN2_HIGH - ((half - (rest + b.fma(e, LN2_LOW, lost))) - f)
    return b.select(x.abs() < 2.0**-54, x, _special(b, u, result))
