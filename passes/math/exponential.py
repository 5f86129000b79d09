"""exp, exp2, exp10, expm1 and the logistic function: 2^n times a polynomial on a short interval around zero.

The power is multiplied in as two factors that are never subnormal: a subnormal result is rounded once, and what is too large becomes
infinite.
"""

import struct

from triton_spacemit.dialect.exactness import Exactness
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.scalable import is_computed, scalable

# (exp(x) - 1 - x) / x^2 on +-ln 2 / 2; relative error of exp 2^-27
_EXP_F32 = (0.5, 0.16666577756404877, 0.04166663810610771, 0.008363209664821625, 0.0013916509924456477)
# (exp(x) - 1) / x on +-ln 2 / 2; relative error of exp 2^-23.4
_SHORT_EXP_F32 = (0.9999997019767761, 0.4999915063381195, 0.16667649149894714, 0.04189782217144966, 0.00828957837074995)
# A little less than an octave, ln 2, and how many of what is missing are 1: in this unit the polynomial of exp ends in 2^-87. The
# unit, the octave in all and the polynomial's first coefficients are hardly rounded; relative error of exp 2^-27.8.
_SHORT_OCTAVE, _UNITS, _UNIT_POWER = 0.6930180788040161, 7745.828125, 87
_UNIT_EXP_F32 = (2.0**87, 1.997752884605185e22, 1.2895668855614996e18, 55494567788544.0, 1791137664.0, 46457.8203125, 1.0)
# (2^x - 1) / x on +-1/2; relative error of 2^x 2^-27
_EXP2_F32 = (
    0.6931471824645996, 0.24022650718688965, 0.05550365149974823, 0.009618045762181282, 0.001338950707577169, 0.00015498267021030188,
)  # fmt: skip
# (exp(x) - 1 - x) / x^2 on +-ln 2 / 2; relative error of exp 2^-60
_EXP_F64 = (
    0.5, 0.1666666666666667, 0.041666666666666664, 0.008333333333325732, 0.0013888888888902427, 0.00019841269877121252,
    2.4801587154940745e-05, 2.7557251927254113e-06, 2.7557557904225026e-07, 2.5106752714048194e-08, 2.078588998411299e-09,
)  # fmt: skip

LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471805599453, 2.3190468138462996e-17
_LOG2_10 = 3.321928094887362
_LOG10_2_HIGH, _LOG10_2_LOW = 0.3010299956639812, -2.8037281277851704e-18
_LN10_HIGH, _LN10_LOW = 2.302585092994046, -2.1707562233822494e-16
ROUND_F32 = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
_ROUND_F64 = 6755399441055744.0  # 1.5 * 2^52


def _scales(rounded: Lanes) -> tuple[Lanes, Lanes]:
    """Two powers of two whose product is 2^n; `rounded` holds n + 2 * bias in its low bits."""
    bits = rounded.bits()
    half = bits.shrui(1)
    mantissa = 52 if rounded.kind == "f64" else 23
    return (half << mantissa).floats(), ((bits - half) << mantissa).floats()


def not_below(b: Builder, x: Lanes, bound: float) -> Lanes:
    """max(x, bound) of a negative `bound`, where a NaN in x stays: one instruction on RISC-V if it is the canonical one.

    As unsigned integers all numbers below the bound are larger than it, all others and the canonical NaN, which is positive, smaller.
    """
    if not (b.types.riscv and is_computed(x.value)):
        return b.at_least(x, bound)
    (bits,) = struct.unpack("<I", struct.pack("<f", bound))
    return x.bits()._op("arith.minui", x.bits(), bits).floats()


def with_power(b: Builder, x: Lanes, rounded: Lanes) -> Lanes:
    """x * 2^n, zero or a normal number, where `rounded` holds n in its low bits: n is added to the exponent.

    Where `rounded` is the canonical NaN, whose low bits are 0, x stays.
    """
    vectors = scalable(b, x.lanes)
    if vectors is None:
        return (x.bits() + (rounded.bits() << 23)).floats()
    operands = [vectors.put(x.bits()), vectors.number("i32", 1 << 23), vectors.put(rounded.bits())]
    return vectors.take(vectors.accumulate("llvm.riscv.vmacc", "i32", operands), "i32").floats()


_LIFT = 32  # powers of two by which a result that may be subnormal is kept larger until it is rounded


def _at_most_one(b: Builder, lifted: Lanes, asked: Exactness) -> Lanes:
    """A result that was kept larger; what is scaled may stay so."""
    return lifted * 2.0**-_LIFT if asked is Exactness.ROUNDED else lifted


def _exp_and_power(b: Builder, x: Lanes, power: int, largest: int | None = None) -> tuple[Lanes, Lanes, float]:
    """exp(x) 2^power as a polynomial and a power of two, whose n the second has in its low bits; that less the third is the n of exp(x).

    At most `largest`, where that is asked. Where there are registers for all its constants, the n octaves that are taken off are a little
    too small. What is missing of an octave is the unit of the rest: so its n multiples come off by themselves, and the polynomial ends
    in 1. (With a last step that rounds twice it would be 1.2 ulp off: the usual polynomial has 1 there, which is not rounded.)
    """
    many = b.holds_many(x, _UNIT_EXP_F32)
    shift = ROUND_F32 + power - (_UNIT_POWER if many else 0)
    rounded = x * LOG2E + shift
    if largest is not None:
        rounded = b.minimum(rounded, shift + largest)
    n = rounded - shift
    if many:
        return b.polynomial(b.fma(b.fma(n, -_SHORT_OCTAVE, x), _UNITS, -n), _UNIT_EXP_F32), rounded, shift
    r = b.fma(n, 1.904654256e-09, b.fma(n, -0.6931471824645996, x))
    return b.polynomial(r, (1.0, 1.0, *_EXP_F32)), rounded, shift


def exp_nonpositive_f32(b: Builder, x: Lanes, asked: Exactness) -> Lanes:
    """exp(x) of x that is not above 0, or NaN: at most 1 ulp. 15 operations, 14 where the result may be scaled, and of these one less where
    there are many registers; 12 of a term.

    The exponent of a number that is never subnormal is added to, and one product rounds the result, which may be. Of a term the n ln 2 that
    is taken off is that of float32: the smaller the term, the less its error of n 2^-29 counts.
    """
    if asked is not Exactness.TERM:
        polynomial, rounded, _ = _exp_and_power(b, not_below(b, x, -104.0), _LIFT)
        return _at_most_one(b, with_power(b, polynomial, rounded), asked)
    x = not_below(b, x, -87.0)
    rounded = x * LOG2E + ROUND_F32
    r = b.fma(rounded - ROUND_F32, -0.6931471824645996, x)
    return with_power(b, b.polynomial(r, (1.0, *_SHORT_EXP_F32)), rounded)


def exp2_nonpositive_f32(b: Builder, x: Lanes, asked: Exactness) -> Lanes:
    """The same of 2^x. 12 operations, or 11."""
    is_term = asked is Exactness.TERM
    x = not_below(b, x, -126.0 if is_term else -151.0)
    shift = ROUND_F32 + (0 if is_term else _LIFT)
    rounded = x + shift
    result = with_power(b, b.polynomial(x - (rounded - shift), (1.0, *_EXP2_F32)), rounded)
    return result if is_term else _at_most_one(b, result, asked)


def sigmoid_f32(b: Builder, x: Lanes) -> Lanes:
    """1 / (1 + exp(x)): at most 3 ulp, from where exp(x) overflows on 0. 18 operations or one less, one of them a division.

    From half the sum, which overflows later than the sum; it is rounded once.
    """
    polynomial, rounded, _ = _exp_and_power(b, not_below(b, x, -25.0), 126, 129)
    half_of_power = (rounded.bits() << 23).floats()
    return 0.5 / b.fma(polynomial, half_of_power, 0.5)


def one_plus_exp_f32(b: Builder, x: Lanes) -> Lanes:
    """1 + exp(x), by which something is divided: at most 3 ulp up to 2^127, and infinite where exp(x) is. 15 operations.

    The power is at most 2^127. Of greater x more than ln 2 / 2 is left to the polynomial, whose error is then up to 2^-15, and which makes
    the product infinite in time.
    """
    x = not_below(b, x, -87.0)
    shift = ROUND_F32 + 127
    rounded = b.minimum(x * LOG2E + shift, shift + 127)
    n = rounded - shift
    r = b.fma(n, 1.904654256e-09, b.fma(n, -0.6931471824645996, x))
    return b.fma(b.polynomial(r, (1.0, *_SHORT_EXP_F32)), (rounded.bits() << 23).floats(), 1.0)


def exp_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 19 operations, 18 on x86; of vectors on RISC-V 15 or one less, and two that look for large results."""
    x = not_below(b, x, -104.0)
    if b.types.riscv and x.lanes:
        return _exp_of_vector_f32(b, x)
    shift = ROUND_F32 + 254
    # on RISC-V the shift would fill a register, and x be copied
    rounded = b.minimum(x * LOG2E + shift if b.types.riscv else b.fma(x, LOG2E, shift), shift + 129)
    n = rounded - shift
    r = b.fma(n, 1.904654256e-09, b.fma(n, -0.6931471824645996, x))
    first, second = _scales(rounded)
    return b.polynomial(r, (1.0, 1.0, *_EXP_F32)) * first * second


_LARGEST = 127 - _LIFT  # of the n of which a result that is kept larger is finite


def _exp_of_vector_f32(b: Builder, x: Lanes) -> Lanes:
    """As `exp_nonpositive_f32` does it. Vectors with a lane of which that is too large are rare: these are done again, not kept larger."""
    polynomial, rounded, shift = _exp_and_power(b, x, _LIFT)
    larger = with_power(b, polynomial, rounded)

    def large() -> list[Lanes]:
        smaller = (larger.bits() - (_LIFT + 40 << 23)).floats()  # the power of two may have been too large for it
        return [b.select(rounded > shift + 128.0, float("inf"), smaller * 2.0**40)]

    return b.where_any(rounded > shift + _LARGEST, large, [larger * 2.0**-_LIFT])[0]


def exp2_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 18 operations on RISC-V, 17 on x86."""
    x = not_below(b, x, -151.0)
    shift = ROUND_F32 + 254
    rounded = b.minimum(x + shift, shift + 129)
    first, second = _scales(rounded)
    return b.polynomial(x - (rounded - shift), (1.0, *_EXP2_F32)) * first * second


def _reduce(
    b: Builder, x: Lanes, per_octave: float = LOG2E, octave_high: float = LN2_HIGH, octave_low: float = LN2_LOW, power: int = 0
) -> tuple[Lanes, Lanes]:
    """`(r, rounded)`: x less n octaves, and n + power as `_scales` wants it."""
    shift = _ROUND_F64 + 2046
    rounded = b.fma(x, per_octave, shift)
    n = rounded - shift
    return b.fma(n, -octave_low, b.fma(n, -octave_high, x)), rounded + power if power else rounded


def exp_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    x = b.at_most(b.at_least(x, -746.0), 710.0)
    r, rounded = _reduce(b, x)
    first, second = _scales(rounded)
    return b.polynomial(r, (1.0, 1.0, *_EXP_F64)) * first * second


def exp_of_sum_f64(b: Builder, high: Lanes, low: Lanes) -> Lanes:
    """exp(high + low), where low is at most an ulp of high or so."""
    clamped = b.at_most(b.at_least(high, -746.0), 710.0)
    low = b.select(clamped.equals(high), low, 0.0)
    r, rounded = _reduce(b, clamped)
    first, second = _scales(rounded)
    return b.polynomial(r + low, (1.0, 1.0, *_EXP_F64)) * first * second


def half_exp_f64(b: Builder, x: Lanes) -> Lanes:
    """exp(x) / 2, which overflows later than exp(x)."""
    x = b.at_most(b.at_least(x, -746.0), 712.0)
    r, rounded = _reduce(b, x, power=-1)
    first, second = _scales(rounded)
    return b.polynomial(r, (1.0, 1.0, *_EXP_F64)) * first * second


def _scaled_base(b: Builder, x: Lanes, octave: tuple[float, float, float], high: float, low: float) -> Lanes:
    """base^x with ln(base) = high + low: the reduced argument is multiplied by it in twice the precision."""
    r, rounded = _reduce(b, x, *octave)
    first, second = _scales(rounded)
    t = r * high
    rest = b.fma(r, low, b.fma(r, high, -t))
    tail = b.fma(t * t, b.polynomial(t, _EXP_F64), rest)
    return (1.0 + (t + tail)) * first * second


def exp2_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    x = b.at_most(b.at_least(x, -1080.0), 1025.0)
    return _scaled_base(b, x, (1.0, 1.0, 0.0), LN2_HIGH, LN2_LOW)


def exp10_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    x = b.at_most(b.at_least(x, -325.0), 309.0)
    return _scaled_base(b, x, (_LOG2_10, _LOG10_2_HIGH, _LOG10_2_LOW), _LN10_HIGH, _LN10_LOW)


def expm1_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 2 ulp."""
    clamped = b.at_most(b.at_least(x, -40.0), 710.0)
    r, rounded = _reduce(b, clamped, power=-1)
    first, second = _scales(rounded)
    tail = r * r * b.polynomial(r, _EXP_F64)
    small = first * second  # 2^(n-1), as 2^n alone may overflow
    high = b.fma(small, r, small - 0.5)
    result = b.fma(small, tail, high) * 2.0
    # exact where n is 0, and keeps the sign of zero
    return b.select(x.abs() < 0.34, (x + tail).copysign(x), result)


def silu_f32(b: Builder, x: Lanes) -> Lanes:
    """x / (1 + exp(-x)): at most 3 ulp until exp(-x) overflows; from there on -0."""
    return b.select(x < -200.0, -0.0, x / (1.0 + exp_f32(b, -x)))


def silu_f64(b: Builder, x: Lanes) -> Lanes:
    """x / (1 + exp(-x)): at most 3 ulp until exp(-x) overflows; from there on -0."""
    return b.select(x < -1000.0, -0.0, x / (1.0 + exp_f64(b, -x)))
