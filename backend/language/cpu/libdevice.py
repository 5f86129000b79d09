"""`triton.language.extra.cpu.libdevice`: mathematical functions on float16, bfloat16, float32 and float64.

Operands of different types are promoted to the widest float type among them (float16 with bfloat16: float32); integers count as float32,
64-bit ones as float64. A result has the type of its operands unless the function says otherwise. The functions become vector code in the
compiler (`passes/math`), where their errors are stated; float16 and bfloat16 are computed in float32 and rounded once.

Functions of integers, of bits and of one given type take and give the types of their CUDA namesakes. Conversions from floats give
the nearest integer where a number is out of range. The suffixes `_rn`, `_rz`, `_rd` and `_ru` round to nearest even, towards zero, down and
up.
"""

from collections.abc import Callable
from typing import Any

from triton.language import core

_SYMBOL = "__xsmt_"
_RANK = {"bf16": 1, "fp16": 1, "fp32": 2, "fp64": 3}


def _float_type(dtypes: list[core.dtype]) -> core.dtype:
    """The type that operands of `dtypes` are computed in."""
    floats = []
    for dtype in dtypes:
        if dtype.is_int():
            floats.append(core.float64 if dtype.primitive_bitwidth > 32 else core.float32)
        elif dtype.is_fp8() or not dtype.is_floating():
            raise TypeError(f"libdevice functions take float16, bfloat16, float32, float64 or integers, not {dtype}")
        else:
            floats.append(dtype)
    if {dtype.name for dtype in floats} == {"fp16", "bf16"}:
        return core.float32
    return max(floats, key=lambda dtype: _RANK[dtype.name])


def _call(name: str, operands: list[Any], semantic: Any, result: core.dtype | None = None, integers: int = 0) -> core.tensor:
    """An element-wise call; the last `integers` operands stay int32, a number takes the type of the tensors."""
    operands = [core._unwrap_if_constexpr(operand) for operand in operands]
    count = len(operands) - integers
    typed = [operand.dtype for operand in operands[:count] if isinstance(operand, core.tensor)]
    dtype = _float_type(typed or [core.float32])
    operands = [semantic.to_tensor(operand) for operand in operands]
    kinds = [dtype] * count + [core.int32] * integers
    operands = [semantic.cast(operand, kind) for operand, kind in zip(operands, kinds, strict=True)]
    return _emit(name, _together(operands, semantic), result or dtype, semantic)


def _emit(name: str, operands: list[Any], result: core.dtype, semantic: Any) -> core.tensor:
    """The call of operands that already have one shape."""
    first = operands[0]
    type_ = first.type.with_element_ty(result) if first.type.is_block() else result
    handles, builder = [operand.handle for operand in operands], semantic.builder
    return core.tensor(builder.create_extern_elementwise("", "", _SYMBOL + name, handles, type_.to_ir(builder), True), type_)


def _together(operands: list[core.tensor], semantic: Any) -> list[core.tensor]:
    """The operands in their common shape."""
    shape = operands[0]
    for operand in operands[1:]:
        _, shape = semantic.broadcast_impl_value(operand, shape)
    return [semantic.broadcast_impl_value(operand, shape)[0] for operand in operands]


def _integers(name: str, operands: list[Any], semantic: Any, result: core.dtype | None = None, signs: bool = False) -> core.tensor:
    """A function of integers in their widest type, at least 32 bits; with `signs` it has another name (`u...`) for unsigned ones."""
    operands = [semantic.to_tensor(core._unwrap_if_constexpr(operand)) for operand in operands]
    for operand in operands:
        if not operand.dtype.is_int():
            raise TypeError(f"libdevice.{name} takes integers, not {operand.dtype}")
    wide = max(32, *(operand.dtype.primitive_bitwidth for operand in operands)) > 32
    unsigned = all(operand.dtype.is_int_unsigned() for operand in operands)
    kind = (core.uint64 if wide else core.uint32) if unsigned else (core.int64 if wide else core.int32)
    operands = _together([semantic.cast(operand, kind) for operand in operands], semantic)
    return _emit("u" + name if signs and unsigned else name, operands, result or kind, semantic)


def _converted(name: str, operand: Any, source: core.dtype, result: core.dtype, semantic: Any) -> core.tensor:
    """A conversion of one type to another, with a mode of rounding."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    return _emit(name, [semantic.cast(operand, source)], result, semantic)


def _reinterpreted(operand: Any, source: core.dtype, result: core.dtype, semantic: Any) -> core.tensor:
    """The same bits as a value of another type."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    return semantic.bitcast(semantic.cast(operand, source), result)


def _count(name: str, operand: Any, semantic: Any) -> core.tensor:
    """A function from integers to int32."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    if not operand.dtype.is_int():
        raise TypeError(f"libdevice.{name} takes integers, not {operand.dtype}")
    return _emit(name, [operand], core.int32, semantic)


@core.extern
def abs(x, _semantic=None):
    """The absolute value, of integers an integer."""
    x = _semantic.to_tensor(core._unwrap_if_constexpr(x))
    return _integers("iabs", [x], _semantic) if x.dtype.is_int() else _call("abs", [x], _semantic)


@core.extern
def floor(x, _semantic=None):
    """The greatest integer that is not above x, as a float."""
    return _call("floor", [x], _semantic)


@core.extern
def ceil(x, _semantic=None):
    """The least integer that is not below x, as a float."""
    return _call("ceil", [x], _semantic)


@core.extern
def trunc(x, _semantic=None):
    """The integer part of x, as a float."""
    return _call("trunc", [x], _semantic)


@core.extern
def round(x, _semantic=None):
    """The nearest integer, halves away from zero, as a float."""
    return _call("round", [x], _semantic)


@core.extern
def rint(x, _semantic=None):
    """The nearest integer, halves to even, as a float."""
    return _call("rint", [x], _semantic)


@core.extern
def nearbyint(x, _semantic=None):
    """The nearest integer, halves to even, as a float."""
    return _call("rint", [x], _semantic)


@core.extern
def llrint(x, _semantic=None):
    """The nearest integer, halves to even, as int64; the nearest int64 where it is out of range, the least one for NaN."""
    return _call("llrint", [x], _semantic, result=core.int64)


@core.extern
def sqrt(x, _semantic=None):
    """The square root."""
    return _call("sqrt", [x], _semantic)


@core.extern
def rsqrt(x, _semantic=None):
    """1 / sqrt(x)."""
    return _call("rsqrt", [x], _semantic)


@core.extern
def cbrt(x, _semantic=None):
    """The cube root."""
    return _call("cbrt", [x], _semantic)


@core.extern
def exp(x, _semantic=None):
    """e to the power of x."""
    return _call("exp", [x], _semantic)


@core.extern
def exp2(x, _semantic=None):
    """2 to the power of x."""
    return _call("exp2", [x], _semantic)


@core.extern
def exp10(x, _semantic=None):
    """10 to the power of x."""
    return _call("exp10", [x], _semantic)


@core.extern
def expm1(x, _semantic=None):
    """exp(x) - 1."""
    return _call("expm1", [x], _semantic)


@core.extern
def log(x, _semantic=None):
    """The natural logarithm."""
    return _call("log", [x], _semantic)


@core.extern
def log2(x, _semantic=None):
    """The logarithm to base 2."""
    return _call("log2", [x], _semantic)


@core.extern
def log10(x, _semantic=None):
    """The logarithm to base 10."""
    return _call("log10", [x], _semantic)


@core.extern
def log1p(x, _semantic=None):
    """log(1 + x)."""
    return _call("log1p", [x], _semantic)


@core.extern
def sin(x, _semantic=None):
    """The sine."""
    return _call("sin", [x], _semantic)


@core.extern
def cos(x, _semantic=None):
    """The cosine."""
    return _call("cos", [x], _semantic)


@core.extern
def tan(x, _semantic=None):
    """The tangent."""
    return _call("tan", [x], _semantic)


@core.extern
def asin(x, _semantic=None):
    """The inverse sine."""
    return _call("asin", [x], _semantic)


@core.extern
def acos(x, _semantic=None):
    """The inverse cosine."""
    return _call("acos", [x], _semantic)


@core.extern
def atan(x, _semantic=None):
    """The inverse tangent."""
    return _call("atan", [x], _semantic)


@core.extern
def sinh(x, _semantic=None):
    """The hyperbolic sine."""
    return _call("sinh", [x], _semantic)


@core.extern
def cosh(x, _semantic=None):
    """The hyperbolic cosine."""
    return _call("cosh", [x], _semantic)


@core.extern
def tanh(x, _semantic=None):
    """The hyperbolic tangent."""
    return _call("tanh", [x], _semantic)


@core.extern
def asinh(x, _semantic=None):
    """The inverse hyperbolic sine."""
    return _call("asinh", [x], _semantic)


@core.extern
def acosh(x, _semantic=None):
    """The inverse hyperbolic cosine."""
    return _call("acosh", [x], _semantic)


@core.extern
def atanh(x, _semantic=None):
    """The inverse hyperbolic tangent."""
    return _call("atanh", [x], _semantic)


@core.extern
def erf(x, _semantic=None):
    """The error function."""
    return _call("erf", [x], _semantic)


@core.extern
def erfc(x, _semantic=None):
    """1 - erf(x)."""
    return _call("erfc", [x], _semantic)


@core.extern
def erfinv(x, _semantic=None):
    """The inverse error function."""
    return _call("erfinv", [x], _semantic)


@core.extern
def lgamma(x, _semantic=None):
    """The logarithm of the absolute value of the gamma function."""
    return _call("lgamma", [x], _semantic)


@core.extern
def j0(x, _semantic=None):
    """The Bessel function of the first kind of order 0."""
    return _call("j0", [x], _semantic)


@core.extern
def j1(x, _semantic=None):
    """The Bessel function of the first kind of order 1."""
    return _call("j1", [x], _semantic)


@core.extern
def y0(x, _semantic=None):
    """The Bessel function of the second kind of order 0."""
    return _call("y0", [x], _semantic)


@core.extern
def y1(x, _semantic=None):
    """The Bessel function of the second kind of order 1."""
    return _call("y1", [x], _semantic)


@core.extern
def cyl_bessel_i0(x, _semantic=None):
    """The modified Bessel function of the first kind of order 0."""
    return _call("i0", [x], _semantic)


@core.extern
def cyl_bessel_i1(x, _semantic=None):
    """The modified Bessel function of the first kind of order 1."""
    return _call("i1", [x], _semantic)


@core.extern
def gelu_none(x, _semantic=None):
    """0.5 x (1 + erf(x / sqrt 2))."""
    return _call("gelu_none", [x], _semantic)


@core.extern
def gelu_tanh(x, _semantic=None):
    """0.5 x (1 + tanh(0.79788456 (x + 0.044715 x^3)))."""
    return _call("gelu_tanh", [x], _semantic)


@core.extern
def silu(x, _semantic=None):
    """x / (1 + exp(-x))."""
    return _call("silu", [x], _semantic)


@core.extern
def fast_tanhf(x, _semantic=None):
    """The hyperbolic tangent."""
    return _call("tanh", [x], _semantic)


@core.extern
def pow(x, y, _semantic=None):
    """x to the power of y, with the special cases of C's `pow`."""
    return _call("pow", [x, y], _semantic)


@core.extern
def atan2(y, x, _semantic=None):
    """The angle of the point (x, y)."""
    return _call("atan2", [y, x], _semantic)


@core.extern
def hypot(x, y, _semantic=None):
    """sqrt(x^2 + y^2) without overflow on the way."""
    return _call("hypot", [x, y], _semantic)


@core.extern
def fmod(x, y, _semantic=None):
    """The exact remainder of x / y, with the sign of x."""
    return _call("fmod", [x, y], _semantic)


@core.extern
def copysign(x, y, _semantic=None):
    """The size of x with the sign of y."""
    return _call("copysign", [x, y], _semantic)


@core.extern
def nextafter(x, y, _semantic=None):
    """The next number of the operands' type after x towards y."""
    return _call("nextafter", [x, y], _semantic)


@core.extern
def ldexp(x, n, _semantic=None):
    """x * 2^n for an integer n."""
    return _call("ldexp", [x, n], _semantic, integers=1)


@core.extern
def ilogb(x, _semantic=None):
    """The exponent of x as int32; -2^31 for zero, 2^31 - 1 for infinity and NaN."""
    return _call("ilogb", [x], _semantic, result=core.int32)


@core.extern
def fast_dividef(x, y, _semantic=None):
    """The quotient."""
    return _call("div_rn", [x, y], _semantic)


@core.extern
def isnan(x, _semantic=None):
    """Whether x is NaN, as int1."""
    return _call("isnan", [x], _semantic, result=core.int1)


@core.extern
def isinf(x, _semantic=None):
    """Whether x is an infinity, as int1."""
    return _call("isinf", [x], _semantic, result=core.int1)


@core.extern
def isfinite(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return _call("isfinite", [x], _semantic, result=core.int1)


@core.extern
def finitef(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return _call("isfinite", [x], _semantic, result=core.int1)


@core.extern
def isfinited(x, _semantic=None):
    """Whether x is neither NaN nor an infinity, as int1."""
    return _call("isfinite", [x], _semantic, result=core.int1)


@core.extern
def signbit(x, _semantic=None):
    """Whether the sign bit of x is set, as int1."""
    return _call("signbit", [x], _semantic, result=core.int1)


@core.extern
def popc(x, _semantic=None):
    """The number of bits set in an integer, as int32."""
    return _count("popc", x, _semantic)


@core.extern
def clz(x, _semantic=None):
    """The number of zeros above the highest bit set in an integer, as int32."""
    return _count("clz", x, _semantic)


@core.extern
def erfcx(x, _semantic=None):
    """exp(x^2) erfc(x)."""
    return _call("erfcx", [x], _semantic)


@core.extern
def erfcinv(x, _semantic=None):
    """The inverse of erfc."""
    return _call("erfcinv", [x], _semantic)


@core.extern
def normcdf(x, _semantic=None):
    """The normal distribution function."""
    return _call("normcdf", [x], _semantic)


@core.extern
def normcdfinv(x, _semantic=None):
    """The quantile function of the normal distribution."""
    return _call("normcdfinv", [x], _semantic)


@core.extern
def tgamma(x, _semantic=None):
    """The gamma function."""
    return _call("tgamma", [x], _semantic)


@core.extern
def sinpi(x, _semantic=None):
    """sin(pi x)."""
    return _call("sinpi", [x], _semantic)


@core.extern
def cospi(x, _semantic=None):
    """cos(pi x)."""
    return _call("cospi", [x], _semantic)


@core.extern
def rcbrt(x, _semantic=None):
    """1 / cbrt(x)."""
    return _call("rcbrt", [x], _semantic)


@core.extern
def logb(x, _semantic=None):
    """The exponent of x, as a float; -infinity for zero, infinity for infinities."""
    return _call("logb", [x], _semantic)


@core.extern
def saturatef(x, _semantic=None):
    """x between 0 and 1; 0 for NaN."""
    return _call("saturate", [x], _semantic)


@core.extern
def jn(n, x, _semantic=None):
    """The Bessel function of the first kind of the integer order n."""
    return _call("jn", [x, n], _semantic, integers=1)


@core.extern
def yn(n, x, _semantic=None):
    """The Bessel function of the second kind of the integer order n."""
    return _call("yn", [x, n], _semantic, integers=1)


@core.extern
def rhypot(x, y, _semantic=None):
    """1 / hypot(x, y)."""
    return _call("rhypot", [x, y], _semantic)


@core.extern
def norm3d(x, y, z, _semantic=None):
    """sqrt(x^2 + y^2 + z^2) without overflow on the way."""
    return _call("norm", [x, y, z], _semantic)


@core.extern
def norm4d(x, y, z, w, _semantic=None):
    """sqrt(x^2 + y^2 + z^2 + w^2) without overflow on the way."""
    return _call("norm", [x, y, z, w], _semantic)


@core.extern
def rnorm3d(x, y, z, _semantic=None):
    """1 / sqrt(x^2 + y^2 + z^2) without overflow on the way."""
    return _call("rnorm", [x, y, z], _semantic)


@core.extern
def rnorm4d(x, y, z, w, _semantic=None):
    """1 / sqrt(x^2 + y^2 + z^2 + w^2) without overflow on the way."""
    return _call("rnorm", [x, y, z, w], _semantic)


@core.extern
def remainder(x, y, _semantic=None):
    """x less the multiple of y nearest to x (of two, the even one), exactly."""
    return _call("remainder", [x, y], _semantic)


@core.extern
def fdim(x, y, _semantic=None):
    """x - y where x is greater, else 0."""
    return _call("fdim", [x, y], _semantic)


@core.extern
def scalbn(x, n, _semantic=None):
    """x * 2^n for an integer n."""
    return _call("ldexp", [x, n], _semantic, integers=1)


@core.extern
def fma(x, y, z, _semantic=None):
    """x * y + z, rounded once."""
    return _call("fma_rn", [x, y, z], _semantic)


@core.extern
def llround(x, _semantic=None):
    """The nearest integer, halves away from zero, as int64."""
    return _call("to_s64_ra", [x], _semantic, result=core.int64)


@core.extern
def rsqrt_rn(x, _semantic=None):
    """1 / sqrt(x), in float32 rounded to nearest."""
    return _call("rsqrt_rn", [x], _semantic)


@core.extern
def fast_sinf(x, _semantic=None):
    """The sine."""
    return _call("sin", [x], _semantic)


@core.extern
def fast_cosf(x, _semantic=None):
    """The cosine."""
    return _call("cos", [x], _semantic)


@core.extern
def fast_tanf(x, _semantic=None):
    """The tangent."""
    return _call("tan", [x], _semantic)


@core.extern
def fast_log2f(x, _semantic=None):
    """The logarithm to base 2."""
    return _call("log2", [x], _semantic)


@core.extern
def fast_logf(x, _semantic=None):
    """The natural logarithm."""
    return _call("log", [x], _semantic)


@core.extern
def fast_log10f(x, _semantic=None):
    """The logarithm to base 10."""
    return _call("log10", [x], _semantic)


@core.extern
def fast_expf(x, _semantic=None):
    """e to the power of x."""
    return _call("exp", [x], _semantic)


@core.extern
def fast_exp10f(x, _semantic=None):
    """10 to the power of x."""
    return _call("exp10", [x], _semantic)


@core.extern
def fast_powf(x, y, _semantic=None):
    """x to the power of y."""
    return _call("pow", [x, y], _semantic)


@core.extern
def rcp64h(x, _semantic=None):
    """1 / x in float64 without the low half of its bits."""
    return _converted("rcp64h", x, core.float64, core.float64, _semantic)


@core.extern
def ffs(x, _semantic=None):
    """The position of the lowest bit set in an integer, from 1, as int32; 0 where none is."""
    return _count("ffs", x, _semantic)


@core.extern
def brev(x, _semantic=None):
    """The bits of an integer in reverse order."""
    return _integers("brev", [x], _semantic)


@core.extern
def byte_perm(x, y, s, _semantic=None):
    """Of the eight bytes of x (the low ones) and y, four that the four low nibbles of s number; its high bit repeats a byte's sign."""
    return _integers("byte_perm", [x, y, s], _semantic)


@core.extern
def mulhi(x, y, _semantic=None):
    """The high half of an integer product."""
    return _integers("mulhi", [x, y], _semantic, signs=True)


@core.extern
def mul24(x, y, _semantic=None):
    """The low 32 bits of the product of the 24 low bits of two integers."""
    return _integers("mul24", [x, y], _semantic, signs=True)


@core.extern
def sad(x, y, z, _semantic=None):
    """|x - y| + z of integers."""
    return _integers("sad", [x, y, z], _semantic, signs=True)


@core.extern
def hadd(x, y, _semantic=None):
    """The average of two integers, rounded down, without overflow."""
    return _integers("hadd", [x, y], _semantic, signs=True)


@core.extern
def rhadd(x, y, _semantic=None):
    """The average of two integers, rounded up, without overflow."""
    return _integers("rhadd", [x, y], _semantic, signs=True)


@core.extern
def int_as_float(x, _semantic=None):
    """The bits of x as float32."""
    return _reinterpreted(x, core.int32, core.float32, _semantic)


@core.extern
def uint_as_float(x, _semantic=None):
    """The bits of x as float32."""
    return _reinterpreted(x, core.uint32, core.float32, _semantic)


@core.extern
def float_as_int(x, _semantic=None):
    """The bits of x as int32."""
    return _reinterpreted(x, core.float32, core.int32, _semantic)


@core.extern
def float_as_uint(x, _semantic=None):
    """The bits of x as uint32."""
    return _reinterpreted(x, core.float32, core.uint32, _semantic)


@core.extern
def longlong_as_double(x, _semantic=None):
    """The bits of x as float64."""
    return _reinterpreted(x, core.int64, core.float64, _semantic)


@core.extern
def double_as_longlong(x, _semantic=None):
    """The bits of x as int64."""
    return _reinterpreted(x, core.float64, core.int64, _semantic)


@core.extern
def double2loint(x, _semantic=None):
    """The low half of the bits of a float64, as int32."""
    return _semantic.cast(_reinterpreted(x, core.float64, core.int64, _semantic), core.int32)


@core.extern
def double2hiint(x, _semantic=None):
    """The high half of the bits of a float64, as int32."""
    bits = _reinterpreted(x, core.float64, core.int64, _semantic)
    return _semantic.cast(_semantic.ashr(bits, _semantic.full([], 32, core.int64)), core.int32)


@core.extern
def hiloint2double(high, low, _semantic=None):
    """A float64 of two halves of its bits."""
    high = _semantic.cast(_semantic.to_tensor(core._unwrap_if_constexpr(high)), core.int64)
    low = _semantic.cast(_semantic.bitcast(_semantic.to_tensor(core._unwrap_if_constexpr(low)), core.uint32), core.int64)
    high = _semantic.shl(high, _semantic.full([], 32, core.int64))
    return _semantic.bitcast(_semantic.or_(high, low), core.float64)


def _define(name: str, function: Callable[..., core.tensor], description: str) -> None:
    function.__name__, function.__doc__ = name, description
    globals()[name] = core.extern(function)


def _define_arithmetic(mode: str, rounded: str) -> None:
    """Arithmetic rounded in one direction."""

    def unary(function: str) -> Callable[..., core.tensor]:
        return lambda x, _semantic=None: _call(f"{function}_{mode}", [x], _semantic)

    def binary(function: str) -> Callable[..., core.tensor]:
        return lambda x, y, _semantic=None: _call(f"{function}_{mode}", [x, y], _semantic)

    for function, result in {"add": "sum", "sub": "difference", "mul": "product", "div": "quotient"}.items():
        _define(f"{function}_{mode}", binary(function), f"The {result}, {rounded}.")
    _define(f"sqrt_{mode}", unary("sqrt"), f"The square root, {rounded}.")
    _define(f"rcp_{mode}", lambda x, _semantic=None: _call(f"div_{mode}", [1.0, x], _semantic), f"1 / x, {rounded}.")
    _define(f"fma_{mode}", lambda x, y, z, _semantic=None: _call(f"fma_{mode}", [x, y, z], _semantic), f"x * y + z, {rounded} once.")


def _define_conversions(mode: str, rounded: str) -> None:
    """Conversions between types, rounded in one direction: double2float, double2int, float2ull, ll2float and so on."""

    def conversion(function: str, source: core.dtype, result: core.dtype) -> Callable[..., core.tensor]:
        return lambda x, _semantic=None: _converted(f"{function}_{mode}", x, source, result, _semantic)

    def define(name: str, function: str, source: core.dtype, result: core.dtype) -> None:
        _define(f"{name}_{mode}", conversion(function, source, result), f"A value of {source} as {result}, {rounded}.")

    define("double2float", "narrow", core.float64, core.float32)
    for wide, real, bits in (("double", core.float64, 64), ("float", core.float32, 32)):
        for name, integer in {"int": core.int32, "uint": core.uint32, "ll": core.int64, "ull": core.uint64}.items():
            letter = "s" if integer.is_int_signed() else "u"
            define(f"{wide}2{name}", f"to_{letter}{integer.primitive_bitwidth}", real, integer)
            if mode == "rn" or integer.primitive_bitwidth == 64 or bits == 32:  # 32 bits are exact in float64
                define(f"{name}2{wide}", f"{letter}_to_f{bits}", integer, real)


for _mode, _rounded in {"rn": "rounded to nearest even", "rz": "rounded towards zero", "rd": "rounded down", "ru": "rounded up"}.items():
    _define_arithmetic(_mode, _rounded)
    _define_conversions(_mode, _rounded)
