"""One-dimensional indices: rows of a tensor are read, or added to, each at once."""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import NARROW
from triton_spacemit.ops.indexing.elements import gather_blocks
from triton_spacemit.ops.indexing.operands import INDICES, VALUES, all_within, around, dimension, overlap, refuse
from triton_spacemit.ops.launching import Kernel, flag, raised
from triton_spacemit.ops.operands import computed, into
from triton_spacemit.ops.sizes import power_of_two

_LARGEST_BLOCK = 4096
_SHORT_ROWS = 8  # of fewer elements a row is not worth a loop of its own


@triton.jit
def _select_rows(
    source,
    index,
    out,
    bad,
    size,
    source_outer,
    source_row,
    source_column,
    index_stride,
    count,
    inner,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """`out` is (outer, count, inner), contiguous. Stores 1 to `bad` where an index is none of a row."""
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    first = tl.program_id(1) * ROWS
    outer = tl.program_id(2).to(tl.int64)
    for i in range(first, tl.minimum(first + ROWS, count)):
        row = tl.load(index + tl.cast(i, tl.int64) * index_stride).to(tl.int64)
        inside = (row >= 0) & (row < size)
        if inside:
            values = tl.load(source + outer * source_outer + row * source_row + columns.to(tl.int64) * source_column, columns < inner)
            tl.store(out + (outer * count + i) * inner + columns, values, columns < inner)
        else:
            tl.store(bad, 1)


@triton.jit
def _add_rows(
    out,
    index,
    source,
    scales,
    alpha,
    size,
    skipped,
    index_stride,
    source_outer,
    source_row,
    source_column,
    count,
    inner,
    BLOCK: tl.constexpr,
):
    """`out`, (outer, size, inner) and contiguous, gets `source` times the number at `alpha` added at rows `index`, one after the other; the
    row's number in `scales` divides it. A program has a block of columns to itself.
    """
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    outer = tl.program_id(1).to(tl.int64)
    kept = out.dtype.element_ty
    for i in range(0, count):
        wide = tl.cast(i, tl.int64)
        row = tl.load(index + wide * index_stride).to(tl.int64)
        if (row >= 0) & (row < size) & (row != skipped):
            places = source + outer * source_outer + wide * source_row + columns.to(tl.int64) * source_column
            values = tl.load(places, columns < inner, 0).to(kept)
            if scales is not None:
                values = (values / tl.load(scales + row)).to(kept)
            if alpha is not None:
                values *= tl.load(alpha)
            place = out + (outer * size + row) * inner + columns
            tl.store(place, tl.load(place, columns < inner, 0) + values, columns < inner)


_SELECT = Kernel(_select_rows)
_ADD = Kernel(_add_rows)


def _select(source: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor | None:
    """A new tensor, (outer, count, inner), of the rows of `source` along `dim`; None where an index is none of a row."""
    three = around(source, dim)
    outer, size, inner = three.shape
    count = index.numel()
    out = source.new_empty(outer, count, inner)
    if not out.numel():
        return out if count == 0 or all_within(index, size) else None
    if inner < _SHORT_ROWS:
        return out if gather_blocks(three, index.view(1, count, 1).expand(outer, count, inner), out) else None
    bad = flag()
    block = min(power_of_two(inner), _LARGEST_BLOCK)
    blocks = -(-inner // block)
    rows = max(1, min(_LARGEST_BLOCK * 4 // block, -(-count * blocks * outer // (4 * knobs.num_threads))))
    grid = (blocks, -(-count // rows), outer)
    _SELECT(grid, three, index, out, bad, size, *three.stride(), index.stride(0), count, inner, ROWS=rows, BLOCK=block)
    return None if raised(bad) else out


def _is_of_rows(index: torch.Tensor, source: torch.Tensor) -> bool:
    """Whether `index` is a vector, or a scalar, of int32 or int64; a scalar `source` has one row to select."""
    return computed(INDICES, index) and index.dim() <= 1 and (source.dim() > 0 or index.numel() == 1)


def index_select(source: torch.Tensor, dim: int, index: torch.Tensor) -> Any:
    """`source` with, along `dim`, its rows at `index`, a vector or a scalar of int32 or int64."""
    place = dimension(source, dim)
    if place is None or not computed(VALUES, source) or not _is_of_rows(index, source):
        return NotImplemented
    out = _select(source, index.reshape(-1), place)
    if out is None:
        return NotImplemented
    shape = list(source.shape)
    if shape:
        shape[place] = index.numel()
    return out.view(shape)


def index_select_out(source: torch.Tensor, dim: int, index: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`index_select` into `out`."""
    if overlap(out, source, index) or not _is_of_rows(index, source):
        return NotImplemented
    refuse(torch.index_select, source, dim, index, out=out)
    return into(out, index_select(source, dim, index))


def embedding(
    weight: torch.Tensor, indices: torch.Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """The rows of `weight`, (number, dim), at `indices` of any shape. The other arguments are about gradients."""
    if weight.dim() != 2 or not computed(VALUES, weight) or not computed(INDICES, indices):
        return NotImplemented
    out = _select(weight, indices.reshape(-1), 0)
    return NotImplemented if out is None else out.view(*indices.shape, weight.shape[1])


def embedding_dense_backward(
    grad: torch.Tensor, indices: torch.Tensor, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Any:
    """The gradient of `weight`, (num_weights, dim), from `grad`, (.., dim): sums of its rows at the same index, in the order they come.

    Nothing is added to row `padding_idx`, nor at an index that is none of a row. With `scale_grad_by_freq` each sum is divided by how many
    times its index occurs.
    """
    if not computed(VALUES, grad) or not grad.is_floating_point() or not computed(INDICES, indices) or num_weights < 0:
        return NotImplemented
    if grad.shape[:-1] != indices.shape or not grad.dim():
        return NotImplemented
    index = indices.reshape(-1)
    dim = grad.shape[-1]
    out = copies.zeros((num_weights, dim), torch.float32 if grad.dtype in NARROW else grad.dtype)
    scales = None
    if scale_grad_by_freq:
        scales = grad.new_zeros(num_weights, dtype=torch.int32)
        _add(scales.view(1, -1, 1), index, torch.ones((), dtype=torch.int32).expand(1, index.numel(), 1), padding_idx)
    _add(out.view(1, num_weights, dim), index, grad.reshape(1, -1, dim), padding_idx, scales)
    return copies.converted(out, grad.dtype)


def _add(
    out: torch.Tensor,
    index: torch.Tensor,
    source: torch.Tensor,
    skipped: int = -1,
    scales: torch.Tensor | None = None,
    alpha: torch.Tensor | None = None,
) -> None:
    """`source`, (outer, count, inner), is added to `out`, contiguous and (outer, size, inner)."""
    outer, size, inner = out.shape
    if source.numel():
        block = min(power_of_two(inner), _LARGEST_BLOCK)
        while block > 32 and -(-inner // block) * outer < knobs.num_threads:
            block //= 2
        _ADD(
            (-(-inner // block), outer),
            *(out, index, source, scales, alpha, size, skipped, index.stride(0), *source.stride(), index.numel(), inner),
            BLOCK=block,
        )


def _sum_of_rows(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, alpha: float) -> torch.Tensor | None:
    """A new contiguous tensor: `base` with `source` added. None where PyTorch is to answer."""
    place = dimension(base, dim)
    if place is None or index.dim() > 1 or not computed(VALUES, base, source) or base.dtype != source.dtype or not computed(INDICES, index):
        return None
    if not isinstance(alpha, int) and not base.is_floating_point():
        return None
    shape = list(base.shape)
    if shape:
        shape[place] = index.numel()
    if shape != list(source.shape) or not shape and index.numel() != 1 or not all_within(index, base.shape[place] if shape else 1):
        return None
    wide = torch.float32 if base.dtype in NARROW else base.dtype
    out = copies.clone(base, wide)
    _add(around(out, place), index.reshape(-1), around(source, place), alpha=None if alpha == 1 else torch.tensor([alpha], dtype=wide))
    return copies.converted(out, base.dtype)


def index_add(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, alpha: float = 1) -> Any:
    """`base` plus `alpha` times the rows of `source`, which have the places `index` along `dim`."""
    result = _sum_of_rows(base, dim, index, source, alpha)
    return NotImplemented if result is None else result


def index_add_(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, alpha: float = 1) -> Any:
    """`index_add` in place."""
    if overlap(base, index, source):
        return NotImplemented
    refuse(torch.index_add, base, dim, index, source, alpha=alpha)
    result = _sum_of_rows(base, dim, index, source, alpha)
    return NotImplemented if result is None else copies.copy(base, result)


def index_add_out(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, alpha: float = 1, out: torch.Tensor) -> Any:
    """`index_add` into `out`."""
    if overlap(out, index, source) or base.dtype != source.dtype:
        return NotImplemented
    refuse(torch.index_add, base, dim, index, source, alpha=alpha, out=out)
    return into(out, index_add(base, dim, index, source, alpha=alpha))
