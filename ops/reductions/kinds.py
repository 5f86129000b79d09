"""What can be reduced: the functions of each reduction on its state (see `kernel.py`), and the number that changes no state.

Sums, truth values, variance; `extremum_kinds.py` has the largest and the smallest.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice
from triton.runtime.jit import JITFunction


@dataclass(frozen=True, eq=False)
class Reduction:
    """start(KEPT, WIDE), block(x, valid, first, count, PARAMETER), merge(a, b) and finish(state, count, PARAMETER) take and return tuples.

    In a block x[kept, element] the lanes that are not `valid` hold `other`: a number, or "least" or "greatest" for that of the dtype.
    `first` is the number of its first element and `count` how many there are. states: how many numbers a state is. longest: elements of a
    block along a row, which bounds the error of sums in it. across: what is reduced instead where neighbours in memory belong to different
    results.
    """

    start: JITFunction[Any]
    block: JITFunction[Any]
    merge: JITFunction[Any]
    finish: JITFunction[Any]
    other: float | str = 0
    states: int = 1
    longest: int = 4096
    across: "Reduction | None" = None

    def outside(self, dtype: torch.dtype) -> float:
        """The number of lanes that are outside the tensor."""
        if isinstance(self.other, str):
            least = self.other == "least"
            if dtype.is_floating_point:
                return float("-inf") if least else float("inf")
            if dtype is torch.bool:
                return 0 if least else 1
            return torch.iinfo(dtype).min if least else torch.iinfo(dtype).max
        return self.other


# Sums: one number, float64 or int64.


@triton.jit
def _total_of(WIDE: tl.constexpr):
    return tl.constexpr(tl.float64 if WIDE.is_floating() else tl.int64)


@triton.jit
def _zero(KEPT: tl.constexpr, WIDE: tl.constexpr):
    if WIDE.is_floating():
        return (tl.zeros((KEPT,), tl.float64),)
    else:
        return (tl.zeros((KEPT,), tl.int64),)


@triton.jit
def _one(KEPT: tl.constexpr, WIDE: tl.constexpr):
    if WIDE.is_floating():
        return (tl.full((KEPT,), 1, tl.float64),)
    else:
        return (tl.full((KEPT,), 1, tl.int64),)


@triton.jit
def _wide_sum(x):
    total = tl.sum(x, 1)
    if x.dtype.is_floating():
        return total.to(tl.float64)
    else:
        return total.to(tl.int64)


@triton.jit
def _sum_block(x, valid, first, count, PARAMETER: tl.constexpr):
    return (_wide_sum(x),)


@triton.jit
def _plus(a, b):
    return (a[0] + b[0],)


@triton.jit
def _itself(state, count, PARAMETER: tl.constexpr):
    return (state[0],)


@triton.jit
def _per_element(state, count, PARAMETER: tl.constexpr):
    return (state[0] / count,)


SUM = Reduction(_zero, _sum_block, _plus, _itself)
MEAN = Reduction(_zero, _sum_block, _plus, _per_element)


@triton.jit
def _nonzero_block(x, valid, first, count, PARAMETER: tl.constexpr):
    return (tl.sum((x != 0).to(tl.int32), 1).to(tl.int64),)


@triton.jit
def _no_elements(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (tl.zeros((KEPT,), tl.int64),)


NONZERO = Reduction(_no_elements, _nonzero_block, _plus, _itself)


@triton.jit
def _power_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if PARAMETER == 2:
        return (tl.sum(x * x, 1).to(tl.float64),)
    elif PARAMETER == 1:
        return (tl.sum(tl.abs(x), 1).to(tl.float64),)
    else:
        return (tl.sum(tl.where(valid, libdevice.pow(tl.abs(x), tl.full((), PARAMETER, x.dtype)), 0), 1).to(tl.float64),)


@triton.jit
def _root(state, count, PARAMETER: tl.constexpr):
    if PARAMETER == 2:
        return (tl.sqrt(state[0]),)
    elif PARAMETER == 1:
        return (state[0],)
    else:
        return (libdevice.pow(state[0], tl.full((), 1 / PARAMETER, tl.float64)),)


NORM = Reduction(_zero, _power_block, _plus, _root)


@triton.jit
def _times(a, b):
    return a * b


@triton.jit
def _product_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if x.dtype.is_floating():
        return (tl.reduce(x, 1, _times).to(tl.float64),)
    else:
        return (tl.reduce(x.to(tl.int64), 1, _times),)


@triton.jit
def _times_state(a, b):
    return (a[0] * b[0],)


PRODUCT = Reduction(_one, _product_block, _times_state, _itself, other=1)


# Truth: any is the largest of 0 and 1, all the smallest.


@triton.jit
def _false(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (tl.zeros((KEPT,), tl.int32),)


@triton.jit
def _true(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (tl.full((KEPT,), 1, tl.int32),)


@triton.jit
def _any_block(x, valid, first, count, PARAMETER: tl.constexpr):
    return (tl.max((x != 0).to(tl.int32), 1),)


@triton.jit
def _all_block(x, valid, first, count, PARAMETER: tl.constexpr):
    return (tl.min((x != 0).to(tl.int32), 1),)


@triton.jit
def _either(a, b):
    return (a[0] | b[0],)


@triton.jit
def _both(a, b):
    return (a[0] & b[0],)


ANY = Reduction(_false, _any_block, _either, _itself)
ALL = Reduction(_true, _all_block, _both, _itself, other=1)


# Variance: how many elements there are, their mean, and the sum of squared distances from it. Merged as in Chan, Golub and LeVeque,
# Updating formulae and a pairwise algorithm for computing sample variances (1979).


@triton.jit
def _no_moments(KEPT: tl.constexpr, WIDE: tl.constexpr):
    zero = tl.zeros((KEPT,), tl.float64)
    return (zero, zero, zero)


@triton.jit
def _moments_block(x, valid, first, count, PARAMETER: tl.constexpr):
    mean = tl.sum(x, 1) / tl.cast(count, x.dtype)
    distance = tl.where(valid, x - mean[:, None], 0)
    squares = tl.sum(distance * distance, 1)
    return (tl.full((x.shape[0],), 0, tl.float64) + count, mean.to(tl.float64), squares.to(tl.float64))


@triton.jit
def _moments_merge(a, b):
    count = a[0] + b[0]
    share = tl.where(count > 0, b[0] / count, 0)
    distance = b[1] - a[1]
    return (count, a[1] + distance * share, a[2] + b[2] + distance * distance * a[0] * share)


@triton.jit
def _variance(state, count, PARAMETER: tl.constexpr):
    """PARAMETER: the correction, and whether the root is wanted."""
    variance = state[2] / tl.maximum(state[0] - PARAMETER[0], 0)
    if PARAMETER[1]:
        variance = tl.sqrt(variance)
    return (variance, tl.where(state[0] > 0, state[1], float("nan")))


VARIANCE = Reduction(_no_moments, _moments_block, _moments_merge, _variance, 0, 3)


# The logarithm of a sum of exponentials: the largest number, and the sum of exponentials of distances from it.


@triton.jit
def _no_exponentials(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (tl.full((KEPT,), float("-inf"), WIDE), tl.zeros((KEPT,), tl.float64))


@triton.jit
def _finite(largest):
    """`largest`, and 0 instead of infinities, which have no distance from themselves."""
    return tl.where(tl.abs(largest) == float("inf"), 0, largest)


@triton.jit
def _exponentials_block(x, valid, first, count, PARAMETER: tl.constexpr):
    largest = tl.max(x, 1)
    return (largest, tl.sum(tl.exp(x - _finite(largest)[:, None]), 1).to(tl.float64))


@triton.jit
def _exponentials_merge(a, b):
    largest = tl.maximum(a[0], b[0])
    base = _finite(largest)
    return (largest, a[1] * tl.exp(a[0] - base).to(tl.float64) + b[1] * tl.exp(b[0] - base).to(tl.float64))


@triton.jit
def _logarithm(state, count, PARAMETER: tl.constexpr):
    return (tl.log(state[1]) + _finite(state[0]),)


LOG_SUM_EXP = Reduction(_no_exponentials, _exponentials_block, _exponentials_merge, _logarithm, "least", 2)
