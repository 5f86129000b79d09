"""Tensors one behind the other: `cat`."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.indexing.operands import dimension
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, into
from triton_spacemit.ops.sizes import power_of_four

_VALUES = FLOATS | INTEGERS | {torch.bool}
_TOGETHER = 4  # tensors of one launch
_LARGEST_BLOCK = 4096
_WORTH_A_PROGRAM = 1 << 15  # elements


@triton.jit
def _copy(source, length, place, part, parts, BLOCK: tl.constexpr):
    """A part of the elements of a row."""
    each = tl.cdiv(tl.cdiv(length, parts), BLOCK) * BLOCK
    for start in range(part * each, tl.minimum(part * each + each, length), BLOCK):
        j = start + tl.arange(0, BLOCK)
        tl.store(place + j, tl.load(source + j, j < length), j < length)


@triton.jit(do_not_specialize=["rows", "rows_each", "a_length", "b_length", "c_length", "d_length", "row_length", "first"])
def _join(
    out, a, b, c, d, rows, rows_each, a_length: tl.int64, b_length: tl.int64, c_length: tl.int64, d_length: tl.int64,
    row_length: tl.int64, first: tl.int64, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows of up to four tensors behind each other, from element `first` of the result's rows on: program (part of a row, rows)."""
    part, parts = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    begin = tl.program_id(1) * rows_each
    for i in range(begin, tl.minimum(begin + rows_each, rows)):
        row = tl.cast(i, tl.int64)
        place = out + row * row_length + first
        _copy(a + row * a_length, a_length, place, part, parts, BLOCK)
        if b is not None:
            _copy(b + row * b_length, b_length, place + a_length, part, parts, BLOCK)
        if c is not None:
            _copy(c + row * c_length, c_length, place + a_length + b_length, part, parts, BLOCK)
        if d is not None:
            _copy(d + row * d_length, d_length, place + a_length + b_length + c_length, part, parts, BLOCK)


_JOIN = Kernel(_join)


def _join_rows(sources: Sequence[torch.Tensor], lengths: Sequence[int], rows: int, out: torch.Tensor) -> None:
    """`out`, (rows, sum of lengths), from contiguous tensors of as many rows."""
    whole = sum(lengths)
    programs = max(1, min(4 * knobs.num_threads, rows * whole // _WORTH_A_PROGRAM))
    each = -(-rows // programs)
    down = -(-rows // each)
    block = min(power_of_four(max(lengths)), _LARGEST_BLOCK)
    first = 0
    for begin in range(0, len(sources), _TOGETHER):
        own = lengths[begin : begin + _TOGETHER]
        missing = _TOGETHER - len(own)
        grid = (max(1, programs // down), down)
        operands = (*sources[begin : begin + _TOGETHER], *[None] * missing)
        _JOIN(grid, out, *operands, rows, each, *own, *[0] * missing, whole, first, BLOCK=block)
        first += sum(own)


def cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Any:
    """`tensors` behind each other along `dim`, of the dtype they are promoted to. Vectors without elements count for nothing else."""
    if not tensors or not computed(_VALUES, *tensors):
        return NotImplemented
    dtype = tensors[0].dtype
    if any(tensor.dtype is not dtype for tensor in tensors):
        dtype = _promoted(tensors)
    given = [tensor for tensor in tensors if tensor.dim() != 1 or tensor.shape[0]]
    if not given:
        return torch.empty(0, dtype=dtype) if dimension(tensors[0], dim) is not None else NotImplemented
    if not given[0].dim() or dtype not in _VALUES:
        return NotImplemented
    place, shape = dimension(given[0], dim), list(given[0].shape)
    if place is None or any(tensor.dim() != len(shape) for tensor in given):
        return NotImplemented
    before, behind = shape[:place], shape[place + 1 :]
    if any(list(tensor.shape[:place]) != before or list(tensor.shape[place + 1 :]) != behind for tensor in given[1:]):
        return NotImplemented
    shape[place] = sum(tensor.shape[place] for tensor in given)
    order = _order(given, len(tensors) == len(given))
    out = torch.empty([shape[i] for i in order], dtype=dtype)
    if out.numel():
        place = order.index(place)
        sources = [tensor for tensor in given if tensor.numel()]
        sources = [tensor.permute(order).to(dtype).contiguous() for tensor in sources]
        inner = math.prod(out.shape[place + 1 :])
        lengths = [tensor.shape[place] * inner for tensor in sources]
        _join_rows(sources, lengths, math.prod(out.shape[:place]), out)
    return out.permute([order.index(i) for i in range(len(order))])


def _promoted(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """As PyTorch's `result_type` of many tensors: those with dimensions count most, which all are here."""
    return functools.reduce(torch.promote_types, [tensor.dtype for tensor in tensors])


def _order(tensors: Sequence[torch.Tensor], all_of_them: bool) -> list[int]:
    """The dimensions of a result from the outermost on: channels are last where all tensors have them there."""
    formats = {torch._prims_common.suggest_memory_format(tensor) for tensor in tensors}
    if formats == {torch.channels_last} and all_of_them:
        return [0, 2, 3, 1]
    if formats == {torch.channels_last_3d} and all_of_them:
        return [0, 2, 3, 4, 1]
    return list(range(tensors[0].dim()))


def cat_out(tensors: Sequence[torch.Tensor], dim: int = 0, *, out: torch.Tensor) -> Any:
    """`cat` into `out`, of a dtype that the result can be cast to."""
    memory = out.untyped_storage().data_ptr()
    if memory and any(tensor.untyped_storage().data_ptr() == memory for tensor in tensors):
        return NotImplemented
    result = cat(tensors, dim)
    if result is NotImplemented or not torch.can_cast(result.dtype, out.dtype):
        return NotImplemented
    if out.shape != result.shape:
        torch._prims_common.wrappers._maybe_resize_out(out, result.shape, torch._prims_common.suggest_memory_format(result))
    return into(out, result.to(out.dtype))
