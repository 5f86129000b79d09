"""Activation functions. Floats are float32 or float64 here; formulas are those of aten/src/ATen/native/cpu/Activation.cpp."""

import triton
import triton.language as tl

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def gelu_none(x):
    return 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))


@triton.jit
def gelu_tanh(x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1 + libdevice.tanh(inner))


@triton.jit
def sigmoid(x):
    return 1 / (1 + libdevice.exp(-x))


@triton.jit
def silu(x):
    return x / (1 + libdevice.exp(-x))


@triton.jit
def relu(x):
    return tl.where(x < 0, tl.zeros_like(x), x)


@triton.jit
def tanh(x):
    return libdevice.tanh(x)


@triton.jit
def hardsigmoid(x):
    inner = tl.minimum(tl.maximum(x + 3, 0.0, propagate_nan=tl.PropagateNan.ALL), 6.0, propagate_nan=tl.PropagateNan.ALL)
    return inner * (1 / 6)


@triton.jit
def hardswish(x):
    inner = tl.minimum(tl.maximum(x + 3, 0.0, propagate_nan=tl.PropagateNan.ALL), 6.0, propagate_nan=tl.PropagateNan.ALL)
    return x * inner * (1 / 6)


@triton.jit
def at_least(x, low):
    """NaN stays; the limit is a number."""
    return tl.where(x < low, low, x)


@triton.jit
def at_most(x, high):
    return tl.where(x > high, high, x)


@triton.jit
def hardtanh(x, low, high):
    return at_most(at_least(x, low), high)


@triton.jit
def leaky_relu(x, slope):
    return tl.where(x > 0, x, x * slope)


@triton.jit
def prelu(x, weight):
    return tl.where(x > 0, x, x * weight)


@triton.jit
def elu(x, alpha, scale, input_scale):
    return tl.where(x < 0, libdevice.expm1(x * input_scale) * (alpha * scale), x * scale)


@triton.jit
def softplus(x, beta, threshold):
    scaled = x * beta
    return tl.where(scaled > threshold, x, libdevice.log1p(libdevice.exp(scaled)) / beta)


@triton.jit
def mish(x):
    return x * libdevice.tanh(libdevice.log1p(libdevice.exp(x)))


@triton.jit
def decay(x):
    """exp(-|x|), which log_sigmoid keeps for its gradient."""
    return libdevice.exp(-tl.abs(x))


@triton.jit
def log_sigmoid(x):
    return tl.where(x > 0, tl.zeros_like(x), x) - libdevice.log1p(libdevice.exp(-tl.abs(x)))


@triton.jit
def threshold(x, limit, value):
    return tl.where(x <= limit, value, x)


@triton.jit
def softshrink(x, limit):
    return tl.where(x > limit, x - limit, tl.where(x < -limit, x + limit, x * 0))


@triton.jit
def hardshrink(x, limit):
    return tl.where((x >= -limit) & (x <= limit), x * 0, x)


@triton.jit
def logit(x):
    return libdevice.log(x / (1 - x))


@triton.jit
def logit_clamped(x, margin):
    x = tl.where(x < margin, margin, tl.where(x > 1 - margin, 1 - margin, x))
    return libdevice.log(x / (1 - x))
