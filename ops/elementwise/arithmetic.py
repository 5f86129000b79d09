"""Arithmetic of two and three operands, of floats, integers and truth values, as in aten/src/ATen/native/cpu/BinaryOpsKernel.cpp."""

import triton
import triton.language as tl

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def add(a, b):
    if a.dtype == tl.int1:
        return a | b
    else:
        return a + b


@triton.jit
def add_scaled(a, b, alpha):
    if a.dtype == tl.int1:
        return a | (b & alpha)
    else:
        return a + b * alpha


@triton.jit
def sub(a, b):
    return a - b


@triton.jit
def sub_scaled(a, b, alpha):
    return a - b * alpha


@triton.jit
def mul(a, b):
    if a.dtype == tl.int1:
        return a & b
    else:
        return a * b


@triton.jit
def div(a, b):
    return a / b


@triton.jit
def _quotient(a, b):
    """Of integers, towards zero. The least integer by -1 wraps around; the processor would refuse it."""
    if a.dtype.is_int_signed():
        return tl.where(b == -1, -a, a // tl.where(b == -1, tl.full((), 1, b.dtype), b))
    else:
        return a // b


@triton.jit
def _rest(a, b):
    """Of integers, with the sign of a."""
    return a - _quotient(a, b) * b


@triton.jit
def fmod(a, b):
    if a.dtype.is_floating():
        return libdevice.fmod(a, b)
    else:
        return _rest(a, b)


@triton.jit
def remainder(a, b):
    rest = fmod(a, b)
    return tl.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


@triton.jit
def div_trunc(a, b):
    if a.dtype.is_floating():
        return libdevice.trunc(a / b)
    else:
        return _quotient(a, b)


@triton.jit
def div_floor(a, b):
    if a.dtype.is_floating():
        rest = libdevice.fmod(a, b)
        quotient = (a - rest) / b
        quotient = tl.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)
        whole = libdevice.floor(quotient)
        whole = tl.where(quotient - whole > 0.5, whole + 1, whole)
        whole = tl.where(quotient == 0, libdevice.copysign(tl.zeros_like(quotient), a / b), whole)
        return tl.where(b == 0, a / b, whole)
    else:
        quotient = _quotient(a, b)
        rest = a - quotient * b
        return tl.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)


@triton.jit
def maximum(a, b):
    if a.dtype.is_floating():
        return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif a.dtype == tl.int1:
        return a | b
    else:
        return tl.maximum(a, b)


@triton.jit
def minimum(a, b):
    if a.dtype.is_floating():
        return tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    elif a.dtype == tl.int1:
        return a & b
    else:
        return tl.minimum(a, b)


@triton.jit
def fmax(a, b):
    if a.dtype == tl.int1:
        return a | b
    else:
        return tl.maximum(a, b)


@triton.jit
def fmin(a, b):
    if a.dtype == tl.int1:
        return a & b
    else:
        return tl.minimum(a, b)


@triton.jit
def clamp(x, low, high):
    return minimum(maximum(x, low), high)


@triton.jit
def clamp_min(x, low):
    return maximum(x, low)


@triton.jit
def clamp_max(x, high):
    return minimum(x, high)


@triton.jit
def lerp(a, b, weight):
    return tl.where(tl.abs(weight) < 0.5, a + weight * (b - a), b - (b - a) * (1 - weight))


@triton.jit
def mul_scaled(a, b, alpha):
    return alpha * (a * b)


@triton.jit
def addcmul(a, b, c):
    return a + b * c


@triton.jit
def addcmul_scaled(a, b, c, value):
    return a + value * b * c


@triton.jit
def addr(a, b, c, beta, alpha):
    return beta * a + alpha * (b * c)


@triton.jit
def addcdiv(a, b, c):
    return a + b / c


@triton.jit
def addcdiv_scaled(a, b, c, value):
    return a + value * b / c


@triton.jit
def atan2(a, b):
    return libdevice.atan2(a, b)


@triton.jit
def hypot(a, b):
    return libdevice.hypot(a, b)


@triton.jit
def copysign(a, b):
    return libdevice.copysign(a, b)


@triton.jit
def xlogy(a, b):
    return tl.where(b != b, b, tl.where(a == 0, tl.zeros_like(b), a * libdevice.log(b)))


@triton.jit
def logaddexp(a, b):
    higher = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    return tl.where((a == b) & (tl.abs(a) == float("inf")), a, higher + libdevice.log1p(libdevice.exp(-tl.abs(a - b))))


@triton.jit
def heaviside(x, values):
    if x.dtype == tl.int1:
        return x | values
    else:
        return tl.where(x == 0, values, (x > 0).to(x.dtype))


@triton.jit
def square(x):
    return mul(x, x)


@triton.jit
def cube(x):
    return mul(mul(x, x), x)


@triton.jit
def inverse_square(x):
    return 1 / (x * x)


@triton.jit
def pow(base, exponent):
    if base.dtype.is_floating():
        return libdevice.pow(base, exponent)
    else:
        return _whole_power(base, exponent)


@triton.jit
def _whole_power(base, exponent):
    """By squares, a turn for each bit of the exponent; a negative exponent leaves 1 and -1, and of the others 0."""
    square, rest = base + exponent * 0, exponent + base * 0  # a number takes the shape of the other
    base, exponent, result = square, rest, square * 0 + 1
    bits: tl.constexpr = base.dtype.primitive_bitwidth
    for _ in tl.static_range(bits):
        result = tl.where(rest & 1 != 0, result * square, result)
        square = square * square
        rest = rest >> 1
    if base.dtype.is_int_signed():
        unit = tl.where(exponent & 1 != 0, base, tl.full((), 1, base.dtype))
        return tl.where(exponent < 0, tl.where((base == 1) | (base == -1), unit, tl.zeros_like(unit)), result)
    else:
        return result


@triton.jit
def bitwise_and(a, b):
    return a & b


@triton.jit
def bitwise_or(a, b):
    return a | b


@triton.jit
def bitwise_xor(a, b):
    return a ^ b


@triton.jit
def bitwise_left_shift(a, b):
    out_of_range = (b < 0) | (b >= a.dtype.primitive_bitwidth)
    return tl.where(out_of_range, tl.zeros_like(a), a << tl.where(out_of_range, tl.zeros_like(b), b))


@triton.jit
def bitwise_right_shift(a, b):
    most: tl.constexpr = a.dtype.primitive_bitwidth - a.dtype.is_int_signed()
    out_of_range = (b < 0) | (b >= most)
    if a.dtype.is_int_signed():
        return a >> tl.where(out_of_range, tl.full((), most, b.dtype), b)
    else:
        return tl.where(out_of_range, tl.zeros_like(a), a >> tl.where(out_of_range, tl.zeros_like(b), b))


@triton.jit
def squared_error(a, b):
    return (a - b) * (a - b)
