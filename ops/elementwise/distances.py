"""Losses by the distance of an element from its target, and their gradients: formulas of aten/src/ATen/native/cpu/BinaryOpsKernel.cpp.

`g` is the gradient of the loss, `scale` what a mean divides it by.
"""

import triton
import triton.language as tl


@triton.jit
def squared_distance(x, target):
    return (x - target) * (x - target)


@triton.jit
def squared_distance_backward(g, x, target, scale):
    return 2 * scale * (x - target) * g


@triton.jit
def smooth_distance(x, target, beta):
    distance = tl.abs(x - target)
    return tl.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)


@triton.jit
def smooth_distance_backward(g, x, target, scale, beta):
    distance = x - target
    share = g * scale
    return tl.where(distance <= -beta, -share, tl.where(distance >= beta, share, distance * share / beta))


@triton.jit
def huber_distance(x, target, delta):
    distance = tl.abs(x - target)
    return tl.where(distance < delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))


@triton.jit
def huber_distance_backward(g, x, target, scale, delta):
    distance = x - target
    share = g * scale
    return tl.where(distance <= -delta, -share * delta, tl.where(distance >= delta, share * delta, distance * share))
