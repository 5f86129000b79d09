"""Functions of a number's representation: rounding, classification, neighbours, exponents."""

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes

_MANTISSA = {"f16": 10, "f32": 23, "f64": 52}
_BIAS = {"f16": 15, "f32": 127, "f64": 1023}


def sign_bit(b: Builder, x: Lanes) -> Lanes:
    """True where the sign bit is set, of a zero or NaN too."""
    return x.bits() < 0


def is_finite(b: Builder, x: Lanes) -> Lanes:
    return x.abs() < float("inf")


def is_inf(b: Builder, x: Lanes) -> Lanes:
    return x.abs().equals(float("inf"))


def is_nan(b: Builder, x: Lanes) -> Lanes:
    return x.is_nan()


def round_half_away(b: Builder, x: Lanes) -> Lanes:
    """The nearest integer, halves away from zero; zero keeps its sign."""
    truncated = x.trunc()
    rest = (x - truncated).abs()
    return b.select(rest >= 0.5, truncated + x.like(1.0).copysign(x), truncated).copysign(x)


def step(b: Builder, x: Lanes, upwards: Lanes) -> Lanes:
    """The next number above or below x, which is neither NaN nor zero."""
    bits = x.bits()
    one = bits.like(1)
    return (bits + b.select((bits < 0) ^ upwards, one, -1)).floats()


def nextafter(b: Builder, x: Lanes, y: Lanes) -> Lanes:
    """The next number after x towards y."""
    smallest = x.bits().like(1).floats()
    moved = b.select(x.equals(0.0), smallest.copysign(y), step(b, x, x < y))
    result = b.select(x.equals(y), y, moved)
    return b.select(x.compare("uno", y), x + y, result)


def scale_by_power(b: Builder, x: Lanes, n: Lanes) -> Lanes:
    """x * 2^n, rounded once: three factors of which the last one alone may leave the normal range."""
    bias, mantissa = _BIAS[x.kind], _MANTISSA[x.kind]
    n = n.to(x.bits().kind)
    limit = 3 * bias
    n = b.select(n > limit, limit, n)
    n = b.select(n < -limit, -limit, n)
    # a step down keeps a margin above the subnormal numbers, so that only the last product rounds
    down = -(bias - 1 - mantissa - 1)

    def power(k: Lanes) -> Lanes:
        return ((k + bias) << mantissa).floats()

    for _ in range(2):
        part = b.select(n > bias, bias, b.select(n < down, down, n))
        x = x * power(part)
        n = n - part
    rest = b.select(n > bias, bias, b.select(n < 1 - bias, 1 - bias, n))
    return x * power(rest)


def ilogb(b: Builder, x: Lanes) -> Lanes:
    """The exponent as i32; of zero it is -2^31, of NaN and infinity 2^31 - 1."""
    mantissa, bias = _MANTISSA[x.kind], _BIAS[x.kind]
    tiny = x.abs() < 2.0 ** (1 - bias)
    scaled = b.select(tiny, x * 2.0 ** (mantissa + 1), x)
    exponent = (scaled.bits().shrui(mantissa) & (2 * bias + 1)) - bias
    exponent = (exponent - b.select(tiny, exponent.like(mantissa + 1), 0)).to("i32")
    exponent = b.select(x.equals(0.0), -(2**31), exponent)
    return b.select(is_finite(b, x), exponent, 2**31 - 1)
