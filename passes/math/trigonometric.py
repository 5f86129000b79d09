"""sin, cos, tan and their inverses.

An argument is reduced by multiples of pi/2, which are subtracted in three parts with fused multiply-adds; r is a sum of two numbers.
Arguments for which that is not exact take a branch, around which code runs where no lane needs it: float32 is multiplied by 2/pi in
pieces of 28 bits, whose products are exact in float64; float64 by the 192 bits of 2/pi that matter, in integers.
"""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes

# (sin(r) - r) / r^3 and (cos(r) - 1 + r^2 / 2) / r^4 in r^2 on +-pi/4; errors 2^-25, 2^-28
_SIN_F32 = (-0.166666641831398, 0.008332657627761364, -0.0001956895284820348)
_COS_F32 = (0.0416666641831398, -0.0013888212852180004, 2.4529097572667524e-05)
# the same to 2^-56 and 2^-58
_SIN_F64 = (
    -0.16666666666666666, 0.008333333333332258, -0.0001984126983924288, 2.75573178266682e-06, -2.5051672713724288e-08,
    1.599633515308325e-10, -4.240566520207557e-13,
)  # fmt: skip
_COS_F64 = (
    0.041666666666666664, -0.00138888888888862, 2.480158729652325e-05, -2.755731573494444e-07, 2.0875670249752337e-09,
    -1.1314678714254329e-11, -3.6374654090569444e-14,
)  # fmt: skip
# (atan(x) - x) / x^3 in x^2 on +-tan(pi/8); error 2^-55
_ATAN = (
    -0.3333333333333333, 0.19999999999997353, -0.14285714285088133, 0.11111111053234912, -0.09090906338208989, 0.07692230894604539,
    -0.06665319086560599, 0.05866944421330825, -0.05147063114518376, 0.04191460500134512, -0.025784992506281194, 0.007033597312922214,
)  # fmt: skip
# (asin(x) - x) / x^3 in x^2 on +-1/2; error 2^-56
_ASIN = (
    0.16666666666666666, 0.07500000000001279, 0.04464285713992562, 0.030381944708584407, 0.022372146709703385, 0.01735311044017525,
    0.013958620079476321, 0.011627102331813296, 0.009134495042616278, 0.012005939113664101, -0.006944192032093355,
    0.043499496391744025, -0.05264912058988632, 0.05022109848982755,
)  # fmt: skip

_TWO_OVER_PI = 0.6366197723675814
_HALF_PI_F32 = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
_HALF_PI_F64 = (1.5707963267341256, 6.077100506506192e-11, 3.5215598651832e-27)
_HALF_PI, _HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
# 2/pi in pieces of 28 bits
_TWO_OVER_PI_PIECES = (
    0.6366197690367699, 3.3308114738561656e-09, 2.276010047810136e-18, 2.5268260189002822e-26, 1.6682867657019525e-34,
    1.158871328288855e-43, 7.053959174404295e-52, 8.910067885731021e-60,
)  # fmt: skip
# 2/pi in 64-bit words, after 64 zero bits so that a window may begin before the point
_TWO_OVER_PI_WORDS = (
    0x0000000000000000, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4, 0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D, 0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA,
    0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB, 0xF0CFBC209AF4361D,
)  # fmt: skip


def _kernel(b: Builder, r: Lanes, low: Lanes, sine: tuple, cosine: tuple) -> tuple[Lanes, Lanes]:
    """sin and cos of r + low, |r| <= pi/4."""
    z = b.fma(r, r, r * (low + low))
    sin = r + b.fma(r * z, b.polynomial(z, sine), low)
    cos = b.fma(b.polynomial(z, (-0.5, *cosine)), z, 1.0)
    return sin, cos


def _quadrant(b: Builder, sin: Lanes, cos: Lanes, quadrant: Lanes) -> Lanes:
    """The sine of an angle in the quadrant that an integer's two low bits number."""
    bits = b.select((quadrant & 1).equals(0), sin, cos).bits()
    width = 31 if sin.kind == "f32" else 63
    return (bits ^ ((quadrant & 2) << (width - 1))).floats()


def _reduce(b: Builder, x: Lanes, parts: tuple[float, float, float], shift: float) -> tuple[Lanes, Lanes, Lanes]:
    """`(r, low, quadrant)`: the first part's product is subtracted exactly, and low is less than an ulp of r."""
    rounded = b.fma(x, _TWO_OVER_PI, shift)
    n = rounded - shift
    first = b.fma(n, -parts[0], x)
    second = n * parts[1]
    r = first - second
    low = ((first - r) - second) - b.fma(n, parts[1], -second)
    low = b.fma(n, -parts[2], low)
    return r, low, rounded.bits()


def _reduce_large_f32(b: Builder, x: Lanes) -> tuple[Lanes, Lanes]:
    """`(r, quadrant)` of a float32 given as float64: each product is exact, so is its part modulo 4."""
    quadrant = fraction = x.like(0.0)
    for piece in _TWO_OVER_PI_PIECES:
        product = x * piece
        product = b.fma((product * 0.25).floor(), -4.0, product)
        whole = product.roundeven()
        quadrant = quadrant + whole
        fraction = fraction + (product - whole)
    whole = fraction.roundeven()
    return (fraction - whole) * _HALF_PI, (quadrant + whole).to("i32")


def _sine_f32(b: Builder, x: Lanes, turn: int) -> Lanes:
    """sin(x + turn * pi/2)."""

    def large() -> list[Lanes]:
        r, quadrant = _reduce_large_f32(b, x.to("f64"))
        sin, cos = _kernel(b, r, r.like(0.0), _SIN_F64, _COS_F64)
        return [_quadrant(b, sin.to("f32"), cos.to("f32"), quadrant + turn)]

    r, low, quadrant = _reduce(b, x, _HALF_PI_F32, 12582912.0)
    sin, cos = _kernel(b, r, low, _SIN_F32, _COS_F32)
    (result,) = b.where_any(x.abs() > 1e5, large, [_quadrant(b, sin, cos, quadrant + turn if turn else quadrant)])
    return result


def sin_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 37 operations."""
    return b.select(x.abs() < 2.0**-13, x, _sine_f32(b, x, 0))


def cos_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 36 operations."""
    return _sine_f32(b, x, 1)


def _reduce_large_f64(b: Builder, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """Payne and Hanek: the product of the 53-bit integer m in x = m 2^k with a window of 2/pi, in units of 2^-190, modulo 4."""
    bits = x.bits()
    exponent = bits.shrui(52) & 0x7FF
    mantissa = (bits & 0xFFFFFFFFFFFFF) | 0x10000000000000
    position = exponent - 1075 + 62  # bits of 2/pi before the window contribute multiples of 4
    word, offset = position.shrui(6), position & 63
    words = [b.constant("i64", x.lanes, number) for number in _TWO_OVER_PI_WORDS[:4]]
    for first in range(1, len(_TWO_OVER_PI_WORDS) - 3):
        here = word.equals(first)
        words = [b.select(here, _TWO_OVER_PI_WORDS[first + i], words[i]) for i in range(4)]

    def joined(high: Lanes, low: Lanes) -> Lanes:
        return (high << offset) | low.shrui(1).shrui(63 - offset)

    w2, w1, w0 = (joined(words[i], words[i + 1]) for i in range(3))
    high0 = b.multiply_high(mantissa, w0)
    low1, high1 = mantissa * w1, b.multiply_high(mantissa, w1)
    middle = low1 + high0
    carry = b.select(middle.compare("ult", low1), middle.like(1), 0)
    top = mantissa * w2 + high1 + carry
    quadrant = (top + (1 << 61)).shrui(62)
    fraction = top - (quadrant << 62)  # of pi/2, in units of 2^-62
    upper = (fraction + 1024) & -2048
    high = upper.to("f64") * 2.0**-62
    low = (((fraction - upper) << 52) + middle.shrui(12)).to("f64") * 2.0**-114
    total = high + low
    rest = (high - total) + low
    r = total * _HALF_PI
    return r, b.fma(total, _HALF_PI, -r) + b.fma(total, _HALF_PI_LOW, rest * _HALF_PI), quadrant


def _sine_cosine_f64(b: Builder, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`(sin, cos, quadrant)` of the reduced argument."""
    size = x.abs()
    finite = b.select(size < float("inf"), x, float("nan"))
    usual = _reduce(b, finite, _HALF_PI_F64, 6755399441055744.0)

    def large() -> list[Lanes]:
        r, low, quadrant = _reduce_large_f64(b, size)
        negative = x < 0.0
        return [b.select(negative, -r, r), b.select(negative, -low, low), b.select(negative, -quadrant, quadrant)]

    r, low, quadrant = b.where_any((size > 1e6) & (size < float("inf")), large, list(usual))
    sin, cos = _kernel(b, r, low, _SIN_F64, _COS_F64)
    return sin, cos, quadrant


def sin_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return b.select(x.abs() < 2.0**-27, x, _quadrant(b, *_sine_cosine_f64(b, x)))


def cos_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    sin, cos, quadrant = _sine_cosine_f64(b, x)
    return _quadrant(b, sin, cos, quadrant + 1)


def tan_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    sin, cos, quadrant = _sine_cosine_f64(b, x)
    even = (quadrant & 1).equals(0)
    result = b.select(even, sin, -cos) / b.select(even, cos, sin)
    return b.select(x.abs() < 2.0**-27, x, result)


def _arc(b: Builder, numerator: Lanes, denominator: Lanes, base: Lanes, base_low: Lanes) -> Lanes:
    """base + atan(numerator / denominator), the quotient at most tan(pi/8) in size."""
    t = numerator / denominator
    z = t * t
    return base + (t + b.fma(t * z, b.polynomial(z, _ATAN), base_low))


def atan_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    return _atan2(b, x, x.like(1.0))


def _atan2(b: Builder, y: Lanes, x: Lanes) -> Lanes:
    """The angle of (|x|, y)."""
    up, right = y.abs(), x.abs()
    low, middle = up <= right * 0.4142135623730950, up <= right * 2.414213562373095
    numerator = b.select(low, up, b.select(middle, up - right, -right))
    denominator = b.select(low, right, b.select(middle, up + right, up))
    base = b.select(low, y.like(0.0), b.select(middle, y.like(_HALF_PI / 2), _HALF_PI))
    base_low = b.select(low, y.like(0.0), b.select(middle, y.like(_HALF_PI_LOW / 2), _HALF_PI_LOW))
    return _arc(b, numerator, denominator, base, base_low).copysign(y)


def atan2_f64(b: Builder, y: Lanes, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    # out of the reach of overflow; infinities become numbers of the same angle
    largest = b.select(y.abs() > x.abs(), y.abs(), x.abs())
    scale = b.select(largest > 1e300, largest.like(1e-10), 1.0)
    infinite_y, infinite_x = y.abs().equals(float("inf")), x.abs().equals(float("inf"))
    unit = y.like(1.0)
    up = b.select(infinite_y, unit.copysign(y), b.select(infinite_x, 0.0, y * scale))
    right = b.select(infinite_x, unit.copysign(x), b.select(infinite_y, 0.0, x * scale))
    right_size = b.select(up.equals(0.0) & right.equals(0.0), 1.0, right.abs())
    angle = _atan2(b, up.abs(), right_size)
    angle = b.select(x.bits() < 0, 2 * _HALF_PI - (angle - 2 * _HALF_PI_LOW), angle)
    return b.select(x.is_nan() | y.is_nan(), x + y, angle.copysign(y))


def _arcsine_parts(b: Builder, x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """`(large, s, rest)`: asin(|x|) = s + rest up to 1/2, and pi/2 - 2 (s + rest) from there on."""
    size = x.abs()
    large = size > 0.5
    z = b.select(large, 0.5 - 0.5 * size, x * x)
    root = z.sqrt()
    s = b.select(large, root, size)
    # what rounding the root lost
    lost = b.select(large & (root > 0.0), b.fma(-root, root, z) / (2.0 * root), 0.0)
    return large, s, b.fma(s * z, b.polynomial(z, _ASIN), lost)


def asin_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    large, s, rest = _arcsine_parts(b, x)
    high = _HALF_PI - 2.0 * s
    low = ((_HALF_PI - high) - 2.0 * s) - 2.0 * rest + _HALF_PI_LOW
    return b.select(large, high + low, s + rest).copysign(x)


def acos_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    large, s, rest = _arcsine_parts(b, x)
    negative = x < 0.0
    # multiple - k (s + rest), where |x| is large and x positive: 2 (s + rest)
    base = b.select(large, x.like(2 * _HALF_PI), _HALF_PI)
    base_low = b.select(large, x.like(2 * _HALF_PI_LOW), _HALF_PI_LOW)
    part = b.select(large, 2.0 * s, s.copysign(x))
    part_rest = b.select(large, 2.0 * rest, b.select(negative, -rest, rest))
    high = base - part
    low = ((base - high) - part) - part_rest + base_low
    return b.select(large & (x > 0.0), part + part_rest, high + low)
