"""`triton.language.extra.cpu.libdevice`: mathematical functions on float16, bfloat16, float32 and float64.

Operands of different types are promoted to the widest float type among them (float16 with bfloat16: float32); integers count as float32,
64-bit ones as float64. A result has the type of its operands unless the function says otherwise. The functions become vector code in the
compiler (`passes/math`), where their errors are stated; float16 and bfloat16 are computed in float32 and rounded once.

Functions of integers, of bits and of one given type take and give the types of their CUDA namesakes. Conversions from floats give
the nearest integer where a number is out of range. The suffixes `_rn`, `_rz`, `_rd` and `_ru` round to nearest even, towards zero, down and
up.
"""

from triton.language import core

from triton_spacemit.backend.language.cpu import calls, rounded


@core.extern
def abs(x, _semantic=None):
    """The absolute value, of integers an integer."""
    x = _semantic.to_tensor(core._unwrap_if_constexpr(x))
    return calls.of_integers("iabs", [x], _semantic) if x.dtype.is_int() else calls.of_floats("abs", [x], _semantic)


@core.extern
def floor(x, _semantic=None):
    """The greatest integer that is not above x, as a float."""
    return calls.of_floats("floor", [x], _semantic)


@core.extern
def ceil(x, _semantic=None):
    """The least integer that is not below x, as a float."""
    return calls.of_floats("ceil", [x], _semantic)


@core.extern
def trunc(x, _semantic=None):
    """The integer part of x, as a float."""
    return calls.of_floats("trunc", [x], _semantic)


@core.extern
def round(x, _semantic=None):
    """The nearest integer, halves away from zero, as a float."""
    return calls.of_floats("round", [x], _semantic)


@core.extern
def rint(x, _semantic=None):
    """The nearest integer, halves to even, as a float."""
    return calls.of_floats("rint", [x], _semantic)


@core.extern
def nearbyint(x, _semantic=None):
    """The nearest integer, halves to even, as a float."""
    return calls.of_floats("rint", [x], _semantic)


@core.extern
def llrint(x, _semantic=None):
    """The nearest integer, halves to even, as int64; the nearest int64 where it is out of range, the least one for NaN."""
    return calls.of_floats("llrint", [x], _semantic, result=core.int64)


@core.extern
def sqrt(x, _semantic=None):
    """The square root."""
    return calls.of_floats("sqrt", [x], _semantic)


@core.extern
def rsqrt(x, _semantic=None):
    """1 / sqrt(x)."""
    return calls.of_floats("rsqrt", [x], _semantic)


@core.extern
def cbrt(x, _semantic=None):
    """The cube root."""
    return calls.of_floats("cbrt", [x], _semantic)


@core.extern
def exp(x, _semantic=None):
    """e to the power of x."""
    return calls.of_floats("exp", [x], _semantic)


@core.extern
def exp2(x, _semantic=None):
    """2 to the power of x."""
    return calls.of_floats("exp2", [x], _semantic)


@core.extern
def exp10(x, _semantic=None):
    """10 to the power of x."""
    return calls.of_floats("exp10", [x], _semantic)


@core.extern
def expm1(x, _semantic=None):
    """exp(x) - 1."""
    return calls.of_floats("expm1", [x], _semantic)


@core.extern
def log(x, _semantic=None):
    """The natural logarithm."""
    return calls.of_floats("log", [x], _semantic)


@core.extern
def log2(x, _semantic=None):
    """The logarithm to base 2."""
    return calls.of_floats("log2", [x], _semantic)


@core.extern
def log10(x, _semantic=None):
    """The logarithm to base 10."""
    return calls.of_floats("log10", [x], _semantic)


@core.extern
def log1p(x, _semantic=None):
    """log(1 + x)."""
    return calls.of_floats("log1p", [x], _semantic)


@core.extern
def sin(x, _semantic=None):
    """The sine."""
    return calls.of_floats("sin", [x], _semantic)


@core.extern
def cos(x, _semantic=None):
    """The cosine."""
    return calls.of_floats("cos", [x], _semantic)


@core.extern
def tan(x, _semantic=None):
    """The tangent."""
    return calls.of_floats("tan", [x], _semantic)


@core.extern
def asin(x, _semantic=None):
    """The inverse sine."""
    return calls.of_floats("asin", [x], _semantic)


@core.extern
def acos(x, _semantic=None):
    """The inverse cosine."""
    return calls.of_floats("acos", [x], _semantic)


@core.extern
def atan(x, _semantic=None):
    """The inverse tangent."""
    return calls.of_floats("atan", [x], _semantic)


@core.extern
def sinh(x, _semantic=None):
    """The hyperbolic sine."""
    return calls.of_floats("sinh", [x], _semantic)


@core.extern
def cosh(x, _semantic=None):
    """The hyperbolic cosine."""
    return calls.of_floats("cosh", [x], _semantic)


@core.extern
def tanh(x, _semantic=None):
    """The hyperbolic tangent."""
    return calls.of_floats("tanh", [x], _semantic)


@core.extern
def asinh(x, _semantic=None):
    """The inverse hyperbolic sine."""
    return calls.of_floats("asinh", [x], _semantic)


@core.extern
def acosh(x, _semantic=None):
    """The inverse hyperbolic cosine."""
    return calls.of_floats("acosh", [x], _semantic)


@core.extern
def atanh(x, _semantic=None):
    """The inverse hyperbolic tangent."""
    return calls.of_floats("atanh", [x], _semantic)


@core.extern
def erf(x, _semantic=None):
    """The error function."""
    return calls.of_floats("erf", [x], _semantic)


@core.extern
def erfc(x, _semantic=None):
    """1 - erf(x)."""
    return calls.of_floats("erfc", [x], _semantic)


@core.extern
def erfinv(x, _semantic=None):
    """The inverse error function."""
    return calls.of_floats("erfinv", [x], _semantic)


@core.extern
def lgamma(x, _semantic=None):
    """The logarithm of the absolute value of the gamma function."""
    return calls.of_floats("lgamma", [x], _semantic)


@core.extern
def j0(x, _semantic=None):
    """The Bessel function of the first kind of order 0."""
    return calls.of_floats("j0", [x], _semantic)


@core.extern
def j1(x, _semantic=None):
    """The Bessel function of the first kind of order 1."""
    return calls.of_floats("j1", [x], _semantic)


@core.extern
def y0(x, _semantic=None):
    """The Bessel function of the second kind of order 0."""
    return calls.of_floats("y0", [x], _semantic)


@core.extern
def y1(x, _semantic=None):
    """The Bessel function of the second kind of order 1."""
    return calls.of_floats("y1", [x], _semantic)


@core.extern
def cyl_bessel_i0(x, _semantic=None):
    """The modified Bessel function of the first kind of order 0."""
    return calls.of_floats("i0", [x], _semantic)


@core.extern
def cyl_bessel_i1(x, _semantic=None):
    """The modified Bessel function of the first kind of order 1."""
    return calls.of_floats("i1", [x], _semantic)


@core.extern
def gelu_none(x, _semantic=None):
    """0.5 x (1 + erf(x / sqrt 2))."""
    return calls.of_floats("gelu_none", [x], _semantic)


@core.extern
def gelu_tanh(x, _semantic=None):
    """0.5 x (1 + tanh(0.79788456 (x + 0.044715 x^3)))."""
    return calls.of_floats("gelu_tanh", [x], _semantic)


@core.extern
def silu(x, _semantic=None):
    """x / (1 + exp(-x))."""
    return calls.of_floats("silu", [x], _semantic)


@core.extern
def fast_tanhf(x, _semantic=None):
    """The hyperbolic tangent."""
    return calls.of_floats("tanh", [x], _semantic)


@core.extern
def pow(x, y, _semantic=None):
    """x to the power of y, with the special cases of C's `pow`."""
    return calls.of_floats("pow", [x, y], _semantic)


@core.extern
def atan2(y, x, _semantic=None):
    """The angle of the point (x, y)."""
    return calls.of_floats("atan2", [y, x], _semantic)


@core.extern
def hypot(x, y, _semantic=None):
    """sqrt(x^2 + y^2) without overflow on the way."""
    return calls.of_floats("hypot", [x, y], _semantic)


@core.extern
def fmod(x, y, _semantic=None):
    """The exact remainder of x / y, with the sign of x."""
    return calls.of_floats("fmod", [x, y], _semantic)


@core.extern
def copysign(x, y, _semantic=None):
    """The size of x with the sign of y."""
    return calls.of_floats("copysign", [x, y], _semantic)


@core.extern
def nextafter(x, y, _semantic=None):
    """The next number of the operands' type after x towards y."""
    return calls.of_floats("nextafter", [x, y], _semantic)


@core.extern
def ldexp(x, n, _semantic=None):
    """x * 2^n for an integer n."""
    return calls.of_floats("ldexp", [x, n], _semantic, integers=1)


@core.extern
def ilogb(x, _semantic=None):
    """The exponent of x as int32; -2^31 for zero, 2^31 - 1 for infinity and NaN."""
    return calls.of_floats("ilogb", [x], _semantic, result=core.int32)


@core.extern
def fast_dividef(x, y, _semantic=None):
    """The quotient."""
    return calls.of_floats("div_rn", [x, y], _semantic)


@core.extern
def isnan(x, _semantic=None):
    """Whether x is NaN, as int1."""
    return calls.of_floats("isnan", [x], _semantic, result=core.int1)


@core.extern
def isinf(x, _semantic=None):
    """Whether x is an infinity, as int1."""
    return calls.of_floats("isinf", [x], _semantic, result=core.int1)


@core.extern
def isfinite(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return calls.of_floats("isfinite", [x], _semantic, result=core.int1)


@core.extern
def finitef(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return calls.of_floats("isfinite", [x], _semantic, result=core.int1)


@core.extern
def isfinited(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return calls.of_floats("isfinite", [x], _semantic, result=core.int1)


@core.extern
def signbit(x, _semantic=None):
    """Whether the sign bit of x is set, as int1."""
    return calls.of_floats("signbit", [x], _semantic, result=core.int1)


@core.extern
def popc(x, _semantic=None):
    """The number of bits set in an integer, as int32."""
    return calls.count_of("popc", x, _semantic)


@core.extern
def clz(x, _semantic=None):
    """The number of zeros above the highest bit set in an integer, as int32."""
    return calls.count_of("clz", x, _semantic)


@core.extern
def erfcx(x, _semantic=None):
    """exp(x^2) erfc(x)."""
    return calls.of_floats("erfcx", [x], _semantic)


@core.extern
def erfcinv(x, _semantic=None):
    """The inverse of erfc."""
    return calls.of_floats("erfcinv", [x], _semantic)


@core.extern
def normcdf(x, _semantic=None):
    """The normal distribution function."""
    return calls.of_floats("normcdf", [x], _semantic)


@core.extern
def normcdfinv(x, _semantic=None):
    """The quantile function of the normal distribution."""
    return calls.of_floats("normcdfinv", [x], _semantic)


@core.extern
def tgamma(x, _semantic=None):
    """The gamma function."""
    return calls.of_floats("tgamma", [x], _semantic)


@core.extern
def sinpi(x, _semantic=None):
    """sin(pi x)."""
    return calls.of_floats("sinpi", [x], _semantic)


@core.extern
def cospi(x, _semantic=None):
    """cos(pi x)."""
    return calls.of_floats("cospi", [x], _semantic)


@core.extern
def rcbrt(x, _semantic=None):
    """1 / cbrt(x)."""
    return calls.of_floats("rcbrt", [x], _semantic)


@core.extern
def logb(x, _semantic=None):
    """The exponent of x, as a float; -infinity for zero, infinity for infinities."""
    return calls.of_floats("logb", [x], _semantic)


@core.extern
def saturatef(x, _semantic=None):
    """x between 0 and 1; 0 for NaN."""
    return calls.of_floats("saturate", [x], _semantic)


@core.extern
def jn(n, x, _semantic=None):
    """The Bessel function of the first kind of the integer order n."""
    return calls.of_floats("jn", [x, n], _semantic, integers=1)


@core.extern
def yn(n, x, _semantic=None):
    """The Bessel function of the second kind of the integer order n."""
    return calls.of_floats("yn", [x, n], _semantic, integers=1)


@core.extern
def rhypot(x, y, _semantic=None):
    """1 / hypot(x, y)."""
    return calls.of_floats("rhypot", [x, y], _semantic)


@core.extern
def norm3d(x, y, z, _semantic=None):
    """sqrt(x^2 + y^2 + z^2) without overflow on the way."""
    return calls.of_floats("norm", [x, y, z], _semantic)


@core.extern
def norm4d(x, y, z, w, _semantic=None):
    """sqrt(x^2 + y^2 + z^2 + w^2) without overflow on the way."""
    return calls.of_floats("norm", [x, y, z, w], _semantic)


@core.extern
def rnorm3d(x, y, z, _semantic=None):
    """1 / sqrt(x^2 + y^2 + z^2) without overflow on the way."""
    return calls.of_floats("rnorm", [x, y, z], _semantic)


@core.extern
def rnorm4d(x, y, z, w, _semantic=None):
    """1 / sqrt(x^2 + y^2 + z^2 + w^2) without overflow on the way."""
    return calls.of_floats("rnorm", [x, y, z, w], _semantic)


@core.extern
def remainder(x, y, _semantic=None):
    """x less the multiple of y nearest to x (of two, the even one), exactly."""
    return calls.of_floats("remainder", [x, y], _semantic)


@core.extern
def fdim(x, y, _semantic=None):
    """x - y where x is greater, else 0."""
    return calls.of_floats("fdim", [x, y], _semantic)


@core.extern
def scalbn(x, n, _semantic=None):
    """x * 2^n for an integer n."""
    return calls.of_floats("ldexp", [x, n], _semantic, integers=1)


@core.extern
def fma(x, y, z, _semantic=None):
    """x * y + z, rounded once."""
    return calls.of_floats("fma_rn", [x, y, z], _semantic)


@core.extern
def llround(x, _semantic=None):
    """The nearest integer, halves away from zero, as int64."""
    return calls.of_floats("to_s64_ra", [x], _semantic, result=core.int64)


@core.extern
def rsqrt_rn(x, _semantic=None):
    """1 / sqrt(x), in float32 rounded to nearest."""
    return calls.of_floats("rsqrt_rn", [x], _semantic)


@core.extern
def fast_sinf(x, _semantic=None):
    """The sine."""
    return calls.of_floats("sin", [x], _semantic)


@core.extern
def fast_cosf(x, _semantic=None):
    """The cosine."""
    return calls.of_floats("cos", [x], _semantic)


@core.extern
def fast_tanf(x, _semantic=None):
    """The tangent."""
    return calls.of_floats("tan", [x], _semantic)


@core.extern
def fast_log2f(x, _semantic=None):
    """The logarithm to base 2."""
    return calls.of_floats("log2", [x], _semantic)


@core.extern
def fast_logf(x, _semantic=None):
    """The natural logarithm."""
    return calls.of_floats("log", [x], _semantic)


@core.extern
def fast_log10f(x, _semantic=None):
    """The logarithm to base 10."""
    return calls.of_floats("log10", [x], _semantic)


@core.extern
def fast_expf(x, _semantic=None):
    """e to the power of x."""
    return calls.of_floats("exp", [x], _semantic)


@core.extern
def fast_exp10f(x, _semantic=None):
    """10 to the power of x."""
    return calls.of_floats("exp10", [x], _semantic)


@core.extern
def fast_powf(x, y, _semantic=None):
    """x to the power of y."""
    return calls.of_floats("pow", [x, y], _semantic)


@core.extern
def rcp64h(x, _semantic=None):
    """1 / x in float64 without the low half of its bits."""
    return calls.converted("rcp64h", x, core.float64, core.float64, _semantic)


@core.extern
def ffs(x, _semantic=None):
    """The position of the lowest bit set in an integer, from 1, as int32; 0 where none is."""
    return calls.count_of("ffs", x, _semantic)


@core.extern
def brev(x, _semantic=None):
    """The bits of an integer in reverse order."""
    return calls.of_integers("brev", [x], _semantic)


@core.extern
def byte_perm(x, y, s, _semantic=None):
    """Of the eight bytes of x (the low ones) and y, four that the four low nibbles of s number; its high bit repeats a byte's sign."""
    return calls.of_integers("byte_perm", [x, y, s], _semantic)


@core.extern
def mulhi(x, y, _semantic=None):
    """The high half of an integer product."""
    return calls.of_integers("mulhi", [x, y], _semantic, signs=True)


@core.extern
def mul24(x, y, _semantic=None):
    """The low 32 bits of the product of the 24 low bits of two integers."""
    return calls.of_integers("mul24", [x, y], _semantic, signs=True)


@core.extern
def sad(x, y, z, _semantic=None):
    """|x - y| + z of integers."""
    return calls.of_integers("sad", [x, y, z], _semantic, signs=True)


@core.extern
def hadd(x, y, _semantic=None):
    """The average of two integers, rounded down, without overflow."""
    return calls.of_integers("hadd", [x, y], _semantic, signs=True)


@core.extern
def rhadd(x, y, _semantic=None):
    """The average of two integers, rounded up, without overflow."""
    return calls.of_integers("rhadd", [x, y], _semantic, signs=True)


@core.extern
def int_as_float(x, _semantic=None):
    """The bits of x as float32."""
    return calls.reinterpreted(x, core.int32, core.float32, _semantic)


@core.extern
def uint_as_float(x, _semantic=None):
    """The bits of x as float32."""
    return calls.reinterpreted(x, core.uint32, core.float32, _semantic)


@core.extern
def float_as_int(x, _semantic=None):
    """The bits of x as int32."""
    return calls.reinterpreted(x, core.float32, core.int32, _semantic)


@core.extern
def float_as_uint(x, _semantic=None):
    """The bits of x as uint32."""
    return calls.reinterpreted(x, core.float32, core.uint32, _semantic)


@core.extern
def longlong_as_double(x, _semantic=None):
    """The bits of x as float64."""
    return calls.reinterpreted(x, core.int64, core.float64, _semantic)


@core.extern
def double_as_longlong(x, _semantic=None):
    """The bits of x as int64."""
    return calls.reinterpreted(x, core.float64, core.int64, _semantic)


@core.extern
def double2loint(x, _semantic=None):
    """The low half of the bits of a float64, as int32."""
    return _semantic.cast(calls.reinterpreted(x, core.float64, core.int64, _semantic), core.int32)


@core.extern
def double2hiint(x, _semantic=None):
    """The high half of the bits of a float64, as int32."""
    bits = calls.reinterpreted(x, core.float64, core.int64, _semantic)
    return _semantic.cast(_semantic.ashr(bits, _semantic.full([], 32, core.int64)), core.int32)


@core.extern
def hiloint2double(high, low, _semantic=None):
    """A float64 of two halves of its bits."""
    high = _semantic.cast(_semantic.to_tensor(core._unwrap_if_constexpr(high)), core.int64)
    low = _semantic.cast(_semantic.bitcast(_semantic.to_tensor(core._unwrap_if_constexpr(low)), core.uint32), core.int64)
    high = _semantic.shl(high, _semantic.full([], 32, core.int64))
    return _semantic.bitcast(_semantic.or_(high, low), core.float64)


globals().update(rounded.functions())
