"""Tensors one behind the other: `cat`."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, into, memory_format
from triton_spacemit.ops.sizes import power_of_four

_VALUES = FLOATS | INTEGERS | {torch.bool}
_TOGETHER = 4  # tensors of one launch
_LARGEST_BLOCK = 4096
_STREAMED = 1 << 24  # bytes of a result that, with what it is made of, no cache would keep
_WORTH_A_PROGRAM = 1 << 15  # elements


@triton.jit
def _copy(source, length, place, part, parts, STREAM: tl.constexpr, BLOCK: tl.constexpr):
    """A part of the elements of a row. STREAM: past the caches."""
    each = tl.cdiv(tl.cdiv(length, parts), BLOCK) * BLOCK
    for start in range(part * each, tl.minimum(part * each + each, length), BLOCK):
        j, left = tl.arange(0, BLOCK), length - start  # `start` plus a block might wrap around, for which there would be a mask
        tl.store(place + start + j, tl.load(source + start + j, j < left), j < left, cache_modifier=STREAM)


@triton.jit(do_not_specialize=["rows", "rows_each", "a_length", "b_length", "c_length", "d_length", "row_length", "first"])
def _join(
    out, a, b, c, d, rows, rows_each, a_length: tl.int64, b_length: tl.int64, c_length: tl.int64, d_length: tl.int64,
    row_length: tl.int64, first: tl.int64, STREAM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows of up to four tensors behind each other, from element `first` of the result's rows on: program (part of a row, rows)."""
    part, parts = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    begin = tl.program_id(1) * rows_each
    for i in range(begin, tl.minimum(begin + rows_each, rows)):
        row = tl.cast(i, tl.int64)
        place = out + row * row_length + first
        _copy(a + row * a_length, a_length, place, part, parts, STREAM, BLOCK)
        if b is not None:
            _copy(b + row * b_length, b_length, place + a_length, part, parts, STREAM, BLOCK)
        if c is not None:
            _copy(c + row * c_length, c_length, place + a_length + b_length, part, parts, STREAM, BLOCK)
        if d is not None:
            _copy(d + row * d_length, d_length, place + a_length + b_length + c_length, part, parts, STREAM, BLOCK)


_JOIN = Kernel(_join)


def _join_rows(sources: Sequence[torch.Tensor], lengths: Sequence[int], rows: int, out: torch.Tensor) -> None:
    """`out`, (rows, sum of lengths), from contiguous tensors of as many rows."""
    whole = sum(lengths)
    programs = max(1, min(4 * knobs.num_threads, rows * whole // _WORTH_A_PROGRAM))
    each = -(-rows // programs)
    down = -(-rows // each)
    block = min(power_of_four(max(lengths)), _LARGEST_BLOCK)
    stream = ".cs" if out.nbytes >= _STREAMED else ""
    first = 0
    for begin in range(0, len(sources), _TOGETHER):
        own = lengths[begin : begin + _TOGETHER]
        missing = _TOGETHER - len(own)
        grid = (max(1, programs // down), down)
        operands = (*sources[begin : begin + _TOGETHER], *[None] * missing)
        _JOIN(grid, out, *operands, rows, each, *own, *[0] * missing, whole, first, STREAM=stream, BLOCK=block)
        first += sum(own)


def cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Any:
    """`tensors` behind each other along `dim`, of the dtype they are promoted to. Vectors without elements count for nothing else."""
    if not tensors or not computed(_VALUES, *tensors):
        return NotImplemented
    dtype = tensors[0].dtype
    if any(tensor.dtype is not dtype for tensor in tensors):
        dtype = _promoted(tensors)
    plan = _plan(dim, tuple([(tensor.shape, tensor.stride()) for tensor in tensors]))
    if plan is None:
        return NotImplemented
    shape, order, lengths, rows = plan
    out = torch.empty(shape, dtype=dtype)
    if out.numel():
        sources = tensors if order is None else [tensor.permute(order) for tensor in tensors]
        sources = [copies.contiguous(tensor.to(dtype)) for tensor in sources if tensor.numel()]
        _join_rows(sources, lengths, rows, out)
    return out if order is None else out.permute([order.index(i) for i in range(len(order))])


@functools.lru_cache(4096)
def _plan(dim: int, layouts: tuple[Any, ...]) -> tuple[list[int], list[int] | None, list[int], int] | None:
    """For tensors of these shapes and strides: the shape of the result, with its dimensions in `order` where it is not None; how much of a
    row is of each tensor that has elements; the number of rows. None where PyTorch raises.
    """
    given = [shape for shape, _ in layouts if len(shape) != 1 or shape[0]]
    rank = len(given[0]) if given else 1
    if not rank or not -rank <= dim < rank:
        return None
    if not given:
        return [0], None, [], 1
    place, shape = dim % rank, list(given[0])
    if any(len(own) != rank or own[:place] != given[0][:place] or own[place + 1 :] != given[0][place + 1 :] for own in given[1:]):
        return None
    shape[place] = sum(own[place] for own in given)
    formats = {memory_format(torch.empty_strided(own, strides, device="meta")) for own, strides in layouts}
    last = formats in ({torch.channels_last}, {torch.channels_last_3d})
    order = [0, *range(2, rank), 1] if last else list(range(rank))
    shape, position = [shape[i] for i in order], order.index(place)
    inner = math.prod(shape[position + 1 :])
    lengths = [own[place] * inner for own in given if math.prod(own)]
    return shape, order if last else None, lengths, math.prod(shape[:position])


def _promoted(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    """As PyTorch's `result_type` of many tensors: those with dimensions count most, which all are here."""
    return functools.reduce(torch.promote_types, [tensor.dtype for tensor in tensors])


def cat_out(tensors: Sequence[torch.Tensor], dim: int = 0, *, out: torch.Tensor) -> Any:
    """`cat` into `out`, of a dtype that the result can be cast to."""
    memory = out.untyped_storage().data_ptr()
    if memory and any(tensor.untyped_storage().data_ptr() == memory for tensor in tensors):
        return NotImplemented
    result = cat(tensors, dim)
    if result is NotImplemented or not torch.can_cast(result.dtype, out.dtype):
        return NotImplemented
    if out.shape != result.shape:
        torch._prims_common.wrappers._maybe_resize_out(out, result.shape, memory_format(result))
    return into(out, result.to(out.dtype))
