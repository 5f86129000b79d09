"""`triton.language.extra.cpu.libdevice`: mathematical functions on float16, bfloat16, float32 and float64.

Operands of different types are promoted to the widest float type among them (float16 with bfloat16: float32); integers count as float32,
64-bit ones as float64. A result has the type of its operands unless the function says otherwise. The functions become vector code in the
compiler (`passes/math`), where their errors are stated; float16 and bfloat16 are computed in float32 and rounded once.
"""

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
    shape = operands[0]
    for operand in operands[1:]:
        _, shape = semantic.broadcast_impl_value(operand, shape)
    operands = [semantic.broadcast_impl_value(operand, shape)[0] for operand in operands]
    kind = result or dtype
    type_ = shape.type.with_element_ty(kind) if shape.type.is_block() else kind
    handles, builder = [operand.handle for operand in operands], semantic.builder
    return core.tensor(builder.create_extern_elementwise("", "", _SYMBOL + name, handles, type_.to_ir(builder), True), type_)


def _count(name: str, operand: Any, semantic: Any) -> core.tensor:
    """A function from integers to int32."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    if not operand.dtype.is_int():
        raise TypeError(f"libdevice.{name} takes integers, not {operand.dtype}")
    type_ = operand.type.with_element_ty(core.int32) if operand.type.is_block() else core.int32
    return core.tensor(
        semantic.builder.create_extern_elementwise("", "", _SYMBOL + name, [operand.handle], type_.to_ir(semantic.builder), True), type_
    )


@core.extern
def abs(x, _semantic=None):
    """The absolute value."""
    return _call("abs", [x], _semantic)


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
def div_rn(x, y, _semantic=None):
    """The quotient, rounded to nearest even."""
    return _call("div_rn", [x, y], _semantic)


@core.extern
def fast_dividef(x, y, _semantic=None):
    """The quotient."""
    return _call("div_rn", [x, y], _semantic)


@core.extern
def div_rz(x, y, _semantic=None):
    """The quotient, rounded towards zero."""
    return _call("div_rz", [x, y], _semantic)


@core.extern
def div_rd(x, y, _semantic=None):
    """The quotient, rounded down."""
    return _call("div_rd", [x, y], _semantic)


@core.extern
def div_ru(x, y, _semantic=None):
    """The quotient, rounded up."""
    return _call("div_ru", [x, y], _semantic)


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
