"""Gradients of activation functions: `g` is the gradient of the result. Formulas are those of aten/src/ATen/native/cpu/Activation.cpp."""

import triton
import triton.language as tl

from triton_spacemit.backend.language.cpu import libdevice


@triton.jit
def gelu_backward_none(g, x):
    spread = 0.5 * (1 + tl.erf(x * 0.7071067811865476))
    density = libdevice.exp(-0.5 * x * x) * 0.3989422804014327
    return g * (spread + x * density)


@triton.jit
def gelu_backward_tanh(g, x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    t = libdevice.tanh(inner)
    slope = (1 - t * t) * (0.7978845608028654 * (1 + 3 * 0.044715 * x * x))
    return g * (0.5 * (1 + t) + 0.5 * x * slope)


@triton.jit
def silu_backward(g, x):
    s = 1 / (1 + libdevice.exp(-x))
    return g * s * (1 + x * (1 - s))


@triton.jit
def sigmoid_backward(g, y):
    return g * (1 - y) * y


@triton.jit
def tanh_backward(g, y):
    return g * (1 - y * y)


@triton.jit
def threshold_backward(g, x, limit):
    return tl.where(x <= limit, tl.zeros_like(g), g)


@triton.jit
def hardsigmoid_backward(g, x):
    return tl.where((x > -3) & (x < 3), g * (1 / 6), tl.zeros_like(g))


@triton.jit
def hardswish_backward(g, x):
    return tl.where(x <= -3, tl.zeros_like(g), tl.where(x < 3, g * (x / 3 + 0.5), g))


@triton.jit
def hardtanh_backward(g, x, low, high):
    return tl.where((x <= low) | (x >= high), tl.zeros_like(g), g)


@triton.jit
def leaky_relu_backward(g, x, slope):
    return tl.where(x > 0, g, g * slope)


leaky_relu_backward_true = leaky_relu_backward_false = leaky_relu_backward  # a slope that keeps signs is the same for results


@triton.jit
def prelu_backward(g, x, weight):
    return tl.where(x > 0, g, g * weight)


@triton.jit
def prelu_weight_backward(g, x):
    return tl.where(x > 0, tl.zeros_like(g), g * x)


@triton.jit
def elu_backward_false(g, alpha, scale, input_scale, x):
    return tl.where(x <= 0, g * input_scale * (alpha * scale) * libdevice.exp(x * input_scale), g * scale)


@triton.jit
def elu_backward_true(g, alpha, scale, input_scale, y):
    return tl.where(y <= 0, g * input_scale * (y + alpha * scale), g * scale)


@triton.jit
def softplus_backward(g, x, beta, threshold):
    scaled = x * beta
    z = libdevice.exp(scaled)
    return tl.where(scaled > threshold, g, g * z / (z + 1))


@triton.jit
def mish_backward(g, x):
    s = 1 / (1 + libdevice.exp(-x))
    t = libdevice.tanh(libdevice.log1p(libdevice.exp(x)))
    return g * (t + x * s * (1 - t * t))


@triton.jit
def log_sigmoid_backward(g, x, decay):
    share = decay / (1 + decay)
    return g * tl.where(x < 0, 1 - share, share)


@triton.jit
def shrink_backward(g, x, limit):
    return tl.where((x >= -limit) & (x <= limit), tl.zeros_like(g), g)


@triton.jit
def logit_backward(g, x):
    return tl.where((x < 0) | (x > 1), float("nan"), g / (x * (1 - x)))


@triton.jit
def logit_clamped_backward(g, x, margin):
    return tl.where((x < margin) | (x > 1 - margin), tl.zeros_like(g), g / (x * (1 - x)))


@triton.jit
def native_dropout_backward(g, mask, scale):
    return tl.where(mask, g * scale, g * 0)
