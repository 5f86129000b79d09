"""Functions of one operand. Floats are float32 or float64 here."""

import triton
import triton.language as tl

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def copy(x):
    return x


@triton.jit
def sqrt(x):
    return libdevice.sqrt(x)


@triton.jit
def rsqrt(x):
    return 1 / libdevice.sqrt(x)


@triton.jit
def reciprocal(x):
    return 1 / x


@triton.jit
def exp(x):
    return libdevice.exp(x)


@triton.jit
def exp2(x):
    return libdevice.exp2(x)


@triton.jit
def expm1(x):
    return libdevice.expm1(x)


@triton.jit
def log(x):
    return libdevice.log(x)


@triton.jit
def log2(x):
    return libdevice.log2(x)


@triton.jit
def log10(x):
    return libdevice.log10(x)


@triton.jit
def log1p(x):
    return libdevice.log1p(x)


@triton.jit
def sin(x):
    return libdevice.sin(x)


@triton.jit
def cos(x):
    return libdevice.cos(x)


@triton.jit
def tan(x):
    return libdevice.tan(x)


@triton.jit
def asin(x):
    return libdevice.asin(x)


@triton.jit
def acos(x):
    return libdevice.acos(x)


@triton.jit
def atan(x):
    return libdevice.atan(x)


@triton.jit
def sinh(x):
    return libdevice.sinh(x)


@triton.jit
def cosh(x):
    return libdevice.cosh(x)


@triton.jit
def asinh(x):
    return libdevice.asinh(x)


@triton.jit
def acosh(x):
    return libdevice.acosh(x)


@triton.jit
def atanh(x):
    return libdevice.atanh(x)


@triton.jit
def erf(x):
    return libdevice.erf(x)


@triton.jit
def erfc(x):
    return libdevice.erfc(x)


@triton.jit
def erfinv(x):
    return libdevice.erfinv(x)


@triton.jit
def lgamma(x):
    return libdevice.lgamma(x)


@triton.jit
def sinc(x):
    turned = x * 3.141592653589793
    return tl.where(x == 0, tl.full((), 1, x.dtype), libdevice.sin(turned) / turned)


@triton.jit
def floor(x):
    return libdevice.floor(x) if x.dtype.is_floating() else x


@triton.jit
def ceil(x):
    return libdevice.ceil(x) if x.dtype.is_floating() else x


@triton.jit
def trunc(x):
    return libdevice.trunc(x) if x.dtype.is_floating() else x


@triton.jit
def frac(x):
    return x - libdevice.trunc(x)


@triton.jit
def round(x):
    return libdevice.rint(x) if x.dtype.is_floating() else x


@triton.jit
def round_decimals(x, power):
    return libdevice.rint(x * power) / power


@triton.jit
def round_tens(x, power):
    return libdevice.rint(x / power) * power


@triton.jit
def abs(x):
    return tl.abs(x)


@triton.jit
def neg(x):
    return -x


@triton.jit
def sign(x):
    if x.dtype == tl.int1:
        return x
    else:
        return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@triton.jit
def nan_to_num(x, nan, high, low):
    x = tl.where(x == float("inf"), high, tl.where(x == float("-inf"), low, x))
    return tl.where(x != x, nan, x)


@triton.jit
def bitwise_not(x):
    return x ^ 1 if x.dtype == tl.int1 else ~x


@triton.jit
def deg2rad(x):
    return x * 0.017453292519943295


@triton.jit
def rad2deg(x):
    return x * 57.29577951308232
