"""Mean and variance in one pass: those of blocks, merged as in Chan, Golub and LeVeque (1979)."""

import triton
import triton.language as tl


@triton.jit
def merged(mean, squares, seen, other_mean, other_squares, count):
    """Mean of `seen` and `count` elements, and the sum of their squared distances from it, from those of each."""
    share = count / (seen + count)
    between = other_mean - mean
    return mean + between * share, squares + other_squares + between * between * seen * share


@triton.jit
def move_running(running_mean, running_var, group, there, mean, variance, count, momentum):
    """Running mean and variance, or None, of the groups that are `there`, towards those of `count` elements."""
    if running_mean is not None:
        old = tl.load(running_mean + group, there, 0).to(tl.float64)
        tl.store(running_mean + group, old + (mean - old) * momentum, there)
    if running_var is not None:
        old = tl.load(running_var + group, there, 0).to(tl.float64)
        tl.store(running_var + group, old * (1 - momentum) + variance * count / (count - 1) * momentum, there)


@triton.jit
def block_of(
    start, group, groups, i, first, inner, outer_stride, inner_stride, AXIS: tl.constexpr, INNER: tl.constexpr
):  # fmt: skip
    """`INNER` elements of each group from (i, first) on: their numbers, whether they are there, and their places."""
    j = tl.cast(first, tl.int64) + tl.arange(0, INNER)
    valid = tl.expand_dims(group < groups, AXIS) & tl.expand_dims(j < inner, 1 - AXIS)
    return j, valid, start + tl.cast(i, tl.int64) * outer_stride + tl.expand_dims(j, 1 - AXIS) * inner_stride


@triton.jit
def moments(
    x, start, group, groups, outer, inner, outer_stride, inner_stride,
    RMS: tl.constexpr, WIDE: tl.constexpr, AXIS: tl.constexpr, GROUPS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Mean and variance of each group, float64; RMS: 0 and the mean square.

    The mean is that of the sum: where sums are exact, as those of a few narrow numbers, it is the nearest, which merged means may miss.
    """
    total = tl.zeros((GROUPS,), tl.float64)
    seen = tl.zeros((GROUPS,), tl.float64)
    mean = tl.zeros((GROUPS,), tl.float64)
    squares = tl.zeros((GROUPS,), tl.float64)
    for i in range(outer):
        for first in range(0, inner, INNER):
            j, valid, place = block_of(start, group, groups, i, first, inner, outer_stride, inner_stride, AXIS, INNER)
            block = tl.load(x + place, valid, 0).to(WIDE)
            count = tl.minimum(inner - first, INNER)
            if RMS:
                squares += tl.sum(block * block, AXIS).to(tl.float64)
            else:
                block_sum = tl.sum(block, AXIS)
                block_mean = block_sum / count.to(WIDE)
                distance = tl.where(valid, block - tl.expand_dims(block_mean, AXIS), 0)
                block_squares = tl.sum(distance * distance, AXIS)
                mean, squares = merged(mean, squares, seen, block_mean.to(tl.float64), block_squares.to(tl.float64), count)
                total += block_sum.to(tl.float64)
                seen += count
    number = tl.cast(outer, tl.int64) * inner
    return total / number, squares / number
