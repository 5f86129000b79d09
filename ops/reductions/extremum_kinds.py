"""The largest and the smallest as reductions (`kinds.py`): NaN is beyond both."""

import triton
import triton.language as tl

from triton_spacemit.ops.reductions.kinds import Reduction

_LONGEST = 1 << 16  # elements of a block where there are no sums

# A state is the extremum of the numbers, and how many elements are NaN.


@triton.jit
def _worst(KEPT: tl.constexpr, WIDE: tl.constexpr, MAXIMUM: tl.constexpr):
    """The number that every other one replaces."""
    if WIDE.is_floating():
        return tl.full((KEPT,), float("-inf") if MAXIMUM else float("inf"), WIDE)
    else:
        LAST: tl.constexpr = (1 << (WIDE.primitive_bitwidth - 1)) - 1
        return tl.full((KEPT,), -LAST - 1 if MAXIMUM else LAST, WIDE)


@triton.jit
def _smallest(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (_worst(KEPT, WIDE, True), tl.zeros((KEPT,), tl.int32))


@triton.jit
def _largest(KEPT: tl.constexpr, WIDE: tl.constexpr):
    return (_worst(KEPT, WIDE, False), tl.zeros((KEPT,), tl.int32))


@triton.jit
def _may_hold_nan(x, valid):
    """Whether some row of x may hold NaN: a sum with NaN is NaN, and costs an addition a step. So is a sum of both infinities."""
    if x.shape[1] > 1024:
        x = tl.where(valid, x, 0)  # a sum of zeros ends with the row, which is worth a selection where a block may be half empty
    total = tl.sum(x, 1)
    return tl.max((total != total).to(tl.int32), 0) != 0


@triton.jit
def _any_nan(x, valid):
    """Whether a row of x holds NaN, as 0 and 1."""
    found = tl.zeros((x.shape[0],), tl.int32)
    if x.dtype.is_floating():
        if _may_hold_nan(x, valid):
            found = tl.max((x != x).to(tl.int32), 1)
    return found


@triton.jit
def _max_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if PARAMETER == "abs":
        x = tl.where(valid, tl.abs(x), float("-inf"))
    return (tl.max(x, 1), _any_nan(x, valid))


@triton.jit
def _min_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if PARAMETER == "abs":
        x = tl.abs(x)
    return (tl.min(x, 1), _any_nan(x, valid))


@triton.jit
def _max_merge(a, b):
    return (tl.maximum(a[0], b[0]), a[1] | b[1])


@triton.jit
def _min_merge(a, b):
    return (tl.minimum(a[0], b[0]), a[1] | b[1])


@triton.jit
def _extremum(state, count, PARAMETER: tl.constexpr):
    if state[0].dtype.is_floating():
        return (tl.where(state[1] != 0, float("nan"), state[0]),)
    else:
        return (state[0],)


# Across, where a vector has an element of each result: a comparison and a choice, which x86 has as one instruction. NaN is found apart.


@triton.jit
def _larger(a, b):
    return tl.where(a > b, a, b)


@triton.jit
def _smaller(a, b):
    return tl.where(a < b, a, b)


@triton.jit
def _max_across_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if PARAMETER == "abs":
        x = tl.where(valid, tl.abs(x), float("-inf"))
    return (tl.reduce(x, 1, _larger), _any_nan(x, valid))


@triton.jit
def _min_across_block(x, valid, first, count, PARAMETER: tl.constexpr):
    if PARAMETER == "abs":
        x = tl.abs(x)
    return (tl.reduce(x, 1, _smaller), _any_nan(x, valid))


_MAX_ACROSS = Reduction(_smallest, _max_across_block, _max_merge, _extremum, "least", 2)
_MIN_ACROSS = Reduction(_largest, _min_across_block, _min_merge, _extremum, "greatest", 2)
MAX = Reduction(_smallest, _max_block, _max_merge, _extremum, "least", 2, _LONGEST, _MAX_ACROSS)
MIN = Reduction(_largest, _min_block, _min_merge, _extremum, "greatest", 2, _LONGEST, _MIN_ACROSS)


# The same with the place of the first of them: a state is the extremum of the numbers, its place, and the place of the first NaN.

_NOWHERE = tl.constexpr((1 << 63) - 1)


@triton.jit
def _smallest_nowhere(KEPT: tl.constexpr, WIDE: tl.constexpr):
    nowhere = tl.full((KEPT,), _NOWHERE, tl.int64)
    return (_worst(KEPT, WIDE, True), nowhere, nowhere)


@triton.jit
def _largest_nowhere(KEPT: tl.constexpr, WIDE: tl.constexpr):
    nowhere = tl.full((KEPT,), _NOWHERE, tl.int64)
    return (_worst(KEPT, WIDE, False), nowhere, nowhere)


@triton.jit
def _first_nan(x, valid, first):
    LAST: tl.constexpr = 0x7FFFFFFF
    found = tl.full((x.shape[0],), _NOWHERE, tl.int64)
    if x.dtype.is_floating():
        if _may_hold_nan(x, valid):
            place = tl.min(tl.where(x != x, tl.arange(0, x.shape[1])[None, :], LAST), 1)
            found = tl.where(place == LAST, found, first + place)
    return found


@triton.jit
def _argmax_block(x, valid, first, count, PARAMETER: tl.constexpr):
    value, place = tl.max(x, 1, return_indices=True)
    return (value, first + place, _first_nan(x, valid, first))


@triton.jit
def _argmin_block(x, valid, first, count, PARAMETER: tl.constexpr):
    value, place = tl.min(x, 1, return_indices=True)
    return (value, first + place, _first_nan(x, valid, first))


@triton.jit
def _argmax_merge(a, b):
    better = (b[0] > a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
    return (tl.where(better, b[0], a[0]), tl.where(better, b[1], a[1]), tl.minimum(a[2], b[2]))


@triton.jit
def _argmin_merge(a, b):
    better = (b[0] < a[0]) | ((b[0] == a[0]) & (b[1] < a[1]))
    return (tl.where(better, b[0], a[0]), tl.where(better, b[1], a[1]), tl.minimum(a[2], b[2]))


@triton.jit
def _with_place(state, count, PARAMETER: tl.constexpr):
    """PARAMETER: whether the extremum is wanted beside its place."""
    nan = state[2] != _NOWHERE
    place = tl.where(nan, state[2], state[1])
    if not PARAMETER:
        return (place,)
    elif state[0].dtype.is_floating():
        return (tl.where(nan, float("nan"), state[0]), place)
    else:
        return (state[0], place)


ARGMAX = Reduction(_smallest_nowhere, _argmax_block, _argmax_merge, _with_place, "least", 3, _LONGEST)
ARGMIN = Reduction(_largest_nowhere, _argmin_block, _argmin_merge, _with_place, "greatest", 3, _LONGEST)
