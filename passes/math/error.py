"""erf, erfc, erfinv and the activation functions built on the normal distribution."""

import math
from collections.abc import Callable, Sequence

from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.exponential import LOG2E, ROUND_F32, exp_f32, exp_of_sum_f64, not_below, with_power
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.logarithm import log_f64

# erf(x) / x - 1 in x^2 on |x| <= 1; error 2^-29
_SMALL_F32 = (
    0.12837916612625122, -0.3761262893676758, 0.11283618211746216, -0.02685512602329254, 0.005190733820199966, -0.0008030761382542551,
    7.920368079794571e-05,
)  # fmt: skip
# -log(1 - erf(x)) / x on 1..3.95, less 1; absolute error of erf 2^-31
_LARGE_F32 = (
    0.128697156906128, 0.6349583268165588, 0.10654901713132858, -0.02402540110051632, 0.0037645916454494, -0.0003523100458551198,
    1.41309292303049e-05,
)  # fmt: skip
# (exp(x) - 1 - x) / x^2 on +-ln 2 / 2; relative error of exp 2^-27
_EXP_F32 = (0.5, 0.16666577756404877, 0.04166663810610771, 0.008363209664821625, 0.0013916509924456477)
# log2(1 - erf(x)) / x on x >= 0; absolute error of erf 2^-26 up to 0.5, 2^-25 behind it. From 6 on x times it is below -70, and falls.
_COMPLEMENT_F32 = (
    -1.6279083490371704, -0.9184203147888184, -0.14846007525920868, 0.028201662003993988, -0.0007126142736524343,
    -0.0015263395616784692, 0.0004555016348604113, -4.624982466339134e-05,
)  # fmt: skip
_COMPLEMENT_END = 7.04734190  # where it is -127
# The same for results rounded to bfloat16: relative error of 1 - erf(x) 2^-18.6 up to 2, 2^-14.5 up to 2.8; absolute 2^-28 behind it.
_ROUNDED_COMPLEMENT_F32 = (
    -1.627994418144226, -0.9175277948379517, -0.15148445963859558, 0.03301842138171196, -0.0048157889395952225, 0.00039960452704690397,
    -1.3795814084005542e-05,
)  # fmt: skip
_ROUNDED_COMPLEMENT_END = 9.23262643
# The same by x / sqrt(2), as gelu has it; absolute error of erf 2^-24.4 up to 0.35, 2^-25 behind it, and relative one of 1 - erf 2^-11.5
# up to 3. Its last coefficient is a power of two. From 4.3 on x times it is below -70, and falls.
_GELU_COMPLEMENT_F32 = (
    -2.302213430404663, -1.836763620376587, -0.4204796850681305, 0.11473967880010605, -0.007398601155728102, -0.009112798608839512,
    0.003736229846253991, -(2.0**-11),
)  # fmt: skip
_GELU_COMPLEMENT_END = 5.24325939
# (2^x - 1) / x on +-1/2; error of 2^x 2^-29 where x is negative, else 2^-28
_EXP2_F32 = (
    0.6931471824645996, 0.24022646248340607, 0.05550338327884674, 0.00961855985224247, 0.001339728245511651, 0.00015322549734264612,
)  # fmt: skip
_ROUNDED_EXP2_F32 = (0.6931241750717163, 0.24024099111557007, 0.055906426161527634, 0.009582853876054287)  # error of 2^x 2^-18.4
# 2^x on +-1/2; error 2^-26 where x is negative, else 2^-25. Its last coefficient is a power of two.
_POWER_F32 = (
    1.0, 0.6931471228599548, 0.2402256429195404, 0.055504441261291504, 0.009629339911043644, 0.0013365556951612234, 2.0**-13,
)  # fmt: skip
# erf(x) / x - 1 in x^2 on |x| <= 1, less its constant; error 2^-56
_SMALL_F64 = (
    -0.37612638903183754, 0.11283791670955508, -0.02686617064531154, 0.005223977628773593, -0.0008548327341431724,
    0.00012055350886424356, -1.4926289350063882e-05, 1.64771231276655e-06, -1.660094801832568e-07, 1.723859978954907e-08,
    -2.822330634144702e-09, 6.927036273238509e-10, -1.041536626931902e-10,
)  # fmt: skip
_SMALL_CONSTANT = 0.1283791670955126  # 2 / sqrt(pi) - 1
# erfc(x) exp(x^2) (1 + 2 x) in (x - 4) / (x + 4); error 2^-56
_SCALED_F64 = (
    1.2329951186255526, -0.1396211168405629, 0.015379652102619924, 0.06809705425473522, -0.10103906603630881, 0.09373283499686476,
    -0.06633036581241637, 0.037167515561311974, -0.016197734049921995, 0.005031969767352422, -0.0007577733958124241,
    -0.00019925557639863148, 0.0001506224372278382, -2.4402906624512313e-05, -1.1225200289326088e-05, 5.717252797906277e-06,
    3.0183336826354063e-07, -8.342239753547295e-07, 6.249251417887782e-08, 1.145765130496904e-07, -7.817450236322147e-09,
    -1.3399314527772759e-08, -1.7163840941163128e-09,
)  # fmt: skip
# Giles, "Approximating the erfinv function": erfinv(x) / x in -log(1 - x^2) - 2.5, and in its root - 3
_INVERSE_CENTRE = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06, 3.43273939e-07,
    2.81022636e-08,
)  # fmt: skip
_INVERSE_TAIL = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558,
    -0.000200214257,
)  # fmt: skip
_Polynomial = Callable[[Lanes, Sequence[float]], Lanes]
_TWO_OVER_ROOT_PI = 1.1283791670955126


def erf_f32(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp. 33 operations: a polynomial up to 1, from there on 1 - exp(-polynomial)."""
    size = x.abs()
    clamped = b.minimum(size, 3.95)
    factor = b.polynomial(clamped, _LARGE_F32)
    shift = 12582912.0 + 127
    rounded = b.fma(b.fma(clamped, factor, clamped), -LOG2E, shift)
    rest = b.fma(rounded - shift, -0.6931471824645996, -clamped)  # of the exponent before its small part, which rounds less
    r = b.fma(-clamped, factor, rest)
    scale = (rounded.bits() << 23).floats()
    large = b.fma(-scale, b.polynomial(r, (1.0, 1.0, *_EXP_F32)), 1.0).copysign(x)
    small = b.fma(x, b.polynomial(x * x, _SMALL_F32), x)
    return b.select(size >= 1.0, large, small)


def one_plus_erf_f32(b: Builder, x: Lanes, factor: float = 1.0) -> Lanes:
    """1 + erf(factor x): at most 2 ulp from -0.5 on, below it absolutely at most 2^-23.5.

    From 1 - erf(|x|) = 2^n (1 + ..): 25 operations on RISC-V, where erf and the sum take 34. `factor` is positive.
    """
    complement = _complement_f32 if b.types.riscv else _complement_of_nan_f32
    found = complement(b, x.abs(), _per_size(_COMPLEMENT_F32, factor), _COMPLEMENT_END / factor)
    return b.select(x < 0.0, found, 2.0 - found)


def times_one_plus_erf_f32(b: Builder, y: Lanes, factor: float, rounded: bool) -> Lanes:
    """y (1 + erf(factor y)), errors in y as those of the sum: y + |y|, which is 2 y or 0, less |y| (1 - erf(factor |y|)).

    21 operations on RISC-V, 20 in gelu, where the sum and a product take 26. Beyond the end of the polynomial the complement is subnormal,
    or zero; so it never meets an infinite |y|, and -inf is NaN as the product is. `rounded`, to bfloat16: 19 operations, whose relative
    error is 2^-14.5 as long as factor y is above -2.8; so the result is within 0.512 ulp, and where y is a bfloat16 it is the nearest.
    """
    size = y.abs()
    if rounded:
        end, per_size = _ROUNDED_COMPLEMENT_END / factor, _per_size(_ROUNDED_COMPLEMENT_F32, factor)
    elif b.types.riscv and abs(factor / math.sqrt(2) - 1) < 2.0**-25:
        end, per_size = _GELU_COMPLEMENT_END, list(_GELU_COMPLEMENT_F32)
    else:
        end, per_size = _COMPLEMENT_END / factor, _per_size(_COMPLEMENT_F32, factor)
    near = b.minimum(size, end * (1 - 2.0**-19))
    if b.types.riscv:
        complement = _complement_of_near_f32(b, near, per_size, (1.0, *_ROUNDED_EXP2_F32) if rounded else _POWER_F32)
    else:
        polynomial = b.polynomial if rounded else b.paired_polynomial  # of bfloat16 there are two vectors at a time, which wait less
        complement = _power_of_product(b, near, _ROUNDED_EXP2_F32 if rounded else _EXP2_F32, per_size, polynomial)
    return b.fma(-near, complement, y + size)


def _power_or_one(number: float) -> float:
    """The number if it is a power of two or the negative of one, else 1."""
    return number if abs(math.frexp(number)[0]) == 0.5 else 1.0


def _complement_of_near_f32(b: Builder, size: Lanes, per_size: Sequence[float], powers: Sequence[float]) -> Lanes:
    """1 - erf as 2^(size * polynomial). What is left of the exponent by its rounding comes from that product before it is rounded.

    Polynomials that end in a power of two are divided by it, so that they begin with a sum: the exponent, and what is left of it, are so
    much larger, and the power of two that the result is multiplied by is so much less.
    """
    unit = 1.0 / _power_or_one(per_size[-1])
    factor = b.polynomial(size, [c * unit for c in per_size])
    exponent = size * factor
    last = _power_or_one(powers[-1]) * unit ** -(len(powers) - 1)
    shift = (ROUND_F32 + math.log2(last)) * abs(unit)
    rounded = exponent + shift if unit > 0 else shift - exponent
    whole = rounded - shift
    rest = b.fma(size, factor, -whole if unit > 0 else whole)
    return with_power(b, b.polynomial(rest, [c * unit**-k / last for k, c in enumerate(powers)]), rounded)


def _per_size(coefficients: Sequence[float], factor: float) -> list[float]:
    return [c * factor ** (k + 1) for k, c in enumerate(coefficients)]


def _complement_f32(b: Builder, size: Lanes, per_size: list[float], _: float) -> Lanes:
    """1 - erf on RISC-V: the exponent that is never less than -127 is added to, where it is that to 1.0, which gives zero."""
    exponent = not_below(b, size * b.polynomial(size, per_size), -127.0)
    rounded = exponent + ROUND_F32
    return with_power(b, b.polynomial(exponent - (rounded - ROUND_F32), (1.0, *_EXP2_F32)), rounded)


def _complement_of_nan_f32(b: Builder, size: Lanes, per_size: list[float], end: float) -> Lanes:
    """The same where a NaN has any low bits."""
    return _power_of_product(b, b.at_most(size, end), _EXP2_F32, per_size, b.paired_polynomial)


def _power_of_product(b: Builder, x: Lanes, powers: Sequence[float], per_x: Sequence[float], polynomial: _Polynomial) -> Lanes:
    """2^(x p(x)), which is at least 2^-127: n = -127 is a scale of zero. NaN stays."""
    factor = polynomial(x, per_x)
    shift = ROUND_F32 + 127
    rounded = x * factor + shift
    r = b.fma(x, factor, -(rounded - shift))
    return (rounded.bits() << 23).floats() * polynomial(r, (1.0, *powers))


def _erf_small(b: Builder, x: Lanes) -> Lanes:
    return b.fma(x, b.polynomial(x * x, (_SMALL_CONSTANT, *_SMALL_F64)), x)


def _erfc_large(b: Builder, size: Lanes) -> Lanes:
    """erfc of at least 0.5."""
    size = b.minimum(size, 30.0)
    square = size * size
    return scaled_erfc_f64(b, size) * exp_of_sum_f64(b, -square, -b.fma(size, size, -square))


def scaled_erfc_f64(b: Builder, size: Lanes) -> Lanes:
    """erfc(x) exp(x^2) for x from 0.5 to 30."""
    return b.polynomial((size - 4.0) / (size + 4.0), _SCALED_F64) / b.fma(size, 2.0, 1.0)


def erf_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 1 ulp."""
    size = x.abs()
    return b.select(size >= 1.0, (1.0 - _erfc_large(b, size)).copysign(x), _erf_small(b, x))


def erfc_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 4 ulp."""
    size = x.abs()
    tail = _erfc_large(b, size)
    return b.select(size >= 0.5, b.select(x < 0.0, 2.0 - tail, tail), 1.0 - _erf_small(b, x))


def erfinv_f64(b: Builder, x: Lanes) -> Lanes:
    """At most 4 ulp: an approximation, then Halley's steps."""
    size = x.abs()
    w = -log_f64(b, (1.0 - x) * (1.0 + x))
    centre = b.polynomial(w - 2.5, _INVERSE_CENTRE)
    tail = b.polynomial(w.sqrt() - 3.0, _INVERSE_TAIL)
    y = b.select(w < 5.0, centre, tail) * size
    for _ in range(2):
        error = b.select(size < 0.5, _erf_small(b, y) - size, (1.0 - size) - erfc_f64(b, y))
        square = y * y
        step = error * exp_of_sum_f64(b, square, square.like(0.0)) * (1.0 / _TWO_OVER_ROOT_PI)
        y = y - step / b.fma(y, step, 1.0)
    y = b.select(size.equals(1.0), float("inf"), y)
    y = b.select(size < 1e-150, size / _TWO_OVER_ROOT_PI, y)
    return b.select(size > 1.0, float("nan"), y.copysign(x))


def gelu_tanh_f32(b: Builder, x: Lanes) -> Lanes:
    """0.5 x (1 + tanh(u)) with u = sqrt(2/pi) (x + 0.044715 x^3), as x / (1 + exp(-2 u)). 26 operations."""
    inner = b.fma(x * x, -2 * 0.79788456 * 0.044715, -2 * 0.79788456)
    result = x / (1.0 + exp_f32(b, x * inner))
    return b.select(x.equals(float("-inf")), -0.0, result)


def gelu_none_f32(b: Builder, x: Lanes) -> Lanes:
    """0.5 x (1 + erf(x / sqrt 2))."""
    result = 0.5 * x * one_plus_erf_f32(b, x, 0.7071067811865476)
    return b.select(x.equals(float("-inf")), -0.0, result)


def gelu_tanh_f64(b: Builder, x: Lanes) -> Lanes:
    """As in float32."""
    u = x * b.fma(x * x, -2 * 0.7978845608028654 * 0.044715, -2 * 0.7978845608028654)
    result = x / (1.0 + exp_of_sum_f64(b, u, u.like(0.0)))
    return b.select(x.equals(float("-inf")), -0.0, result)


def gelu_none_f64(b: Builder, x: Lanes) -> Lanes:
    """0.5 x erfc(-x / sqrt 2)."""
    result = 0.5 * x * erfc_f64(b, x * -0.7071067811865476)
    return b.select(x.equals(float("-inf")), -0.0, result)
