"""Cumulative sums."""

import math
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import into
from triton_spacemit.ops.sizes import power_of_four, power_of_four_within


@triton.jit
def _cumsum(
    x, out, rows, length, outer_stride, row_stride, stride,
    CAST: tl.constexpr, WIDE: tl.constexpr, AXIS: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr,
):  # fmt: skip
    """`ROWS` rows, a block at a time: program (block of rows, outer index). Sums are float64 or int64."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    start = tl.program_id(1).to(tl.int64) * outer_stride + tl.expand_dims(row, AXIS) * row_stride
    total = tl.zeros((ROWS,), WIDE)
    for first in range(0, length, LENGTH):
        i = tl.cast(first, tl.int64) + tl.arange(0, LENGTH)
        valid = tl.expand_dims(row < rows, AXIS) & tl.expand_dims(i < length, 1 - AXIS)
        place = start + tl.expand_dims(i, 1 - AXIS) * stride
        block = tl.load(x + place, valid, 0).to(CAST).to(WIDE)
        tl.store(out + place, tl.cumsum(block, AXIS) + tl.expand_dims(total, AXIS), valid)
        total += tl.sum(block, AXIS)


_CUMSUM = Kernel(_cumsum)


def cumsum(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """Sums of the elements up to each along `dim`; of integers and truth values they are int64 where no dtype is given. Contiguous."""
    dtype = dtype or (x.dtype if x.dtype in FLOATS else torch.int64)
    rank = max(x.dim(), 1)
    if x.dtype not in FLOATS | INTEGERS | {torch.bool} or dtype not in FLOATS | INTEGERS or not x.is_cpu or not -rank <= dim < rank:
        return NotImplemented
    out = torch.empty(x.shape, dtype=dtype)
    if not x.numel():
        return out
    dim %= rank
    length = x.shape[dim] if x.dim() else 1
    outer, inner = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    elements = min(power_of_four(length), 1024)
    if inner == 1:
        outer, rows, sizes = 1, outer, (outer, length, 0, length, 1)
        block = min(power_of_four_within(rows), max(1024 // elements, 1), 16)
    else:
        rows, sizes = inner, (inner, length, length * inner, 1, inner)
        block, elements = min(power_of_four(inner), 64), min(elements, 64)
    _CUMSUM(
        (-(-rows // block), outer), copies.contiguous(x), out, *sizes,
        CAST=getattr(tl, str(dtype).removeprefix("torch.")), WIDE=tl.float64 if dtype in FLOATS else tl.int64,
        AXIS=1 if inner == 1 else 0, ROWS=block, LENGTH=elements,
    )  # fmt: skip
    return out


def cumsum_out(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None, out: torch.Tensor) -> Any:
    """`cumsum` into `out`, whose dtype it has where none is given."""
    return into(out, cumsum(x, dim, dtype=dtype or out.dtype))


def cumsum_in_place(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """`cumsum` of x's dtype in place of x."""
    return cumsum_out(x, dim, dtype=dtype or x.dtype, out=x)
