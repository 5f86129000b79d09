"""Comparisons and logic, whose results are truth values, and what chooses by truth values."""

import triton
import triton.language as tl

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def eq(a, b):
    return a == b


@triton.jit
def ne(a, b):
    return a != b


@triton.jit
def lt(a, b):
    return a < b


@triton.jit
def le(a, b):
    return a <= b


@triton.jit
def gt(a, b):
    return a > b


@triton.jit
def ge(a, b):
    return a >= b


@triton.jit
def logical_and(a, b):
    return (a != 0) & (b != 0)


@triton.jit
def logical_or(a, b):
    return (a != 0) | (b != 0)


@triton.jit
def logical_xor(a, b):
    return (a != 0) ^ (b != 0)


@triton.jit
def logical_not(a):
    return a == 0


@triton.jit
def isnan(a):
    return a != a


@triton.jit
def isinf(a):
    return tl.abs(a) == float("inf") if a.dtype.is_floating() else a != a


@triton.jit
def isposinf(a):
    return a == float("inf") if a.dtype.is_floating() else a != a


@triton.jit
def isneginf(a):
    return a == float("-inf") if a.dtype.is_floating() else a != a


@triton.jit
def signbit(a):
    if a.dtype.is_floating():
        return libdevice.signbit(a) != 0
    elif a.dtype == tl.int1:
        return a != a
    else:
        return a < 0


@triton.jit
def where(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def masked_fill(a, mask, value):
    return tl.where(mask, value, a)
