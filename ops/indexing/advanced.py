"""Several indices at once, as `x[i, :, j]`: reading, writing and adding.

The dimensions with an index become neighbours, as in PyTorch's TensorAdvancedIndexing.cpp: where they are, else in front of all others. A
tensor is then (outer, up to four dimensions with an index, inner), and the indices, broadcast, are a list of rows. A mask stands for the
places where it holds.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS, NARROW
from triton_spacemit.ops.elementwise.layout import broadcast, contiguous, expand, new_strides
from triton_spacemit.ops.indexing.operands import INDICES, overlap
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.sizes import power_of_two

_VALUES = FLOATS | INTEGERS | {torch.bool}
_MOST = 4  # dimensions with an index
_SHORT_ROWS = 8  # of fewer elements a row is not worth a loop of its own
_LARGEST_BLOCK = 4096
_FEW = 2048  # elements of a program

_SIZES = [f"{name}{i}" for name in ("size", "stride") for i in range(_MOST)]


@triton.jit
def _one(index, p, inside, size, stride):
    """What an index adds to the place of rows `p`, and whether it is right; those below zero count from the end."""
    i = tl.load(index + p, inside, 0)
    return tl.where(i < 0, i + size, i) * stride, (i >= -size) & (i < size)


@triton.jit
def _places(a, b, c, d, p, inside, size0, size1, size2, size3, stride0, stride1, stride2, stride3):
    """Where rows `p` are, and whether all their indices are right."""
    at, right = _one(a, p, inside, size0, stride0)
    if b is not None:
        more, fits = _one(b, p, inside, size1, stride1)
        at, right = at + more, right & fits
    if c is not None:
        more, fits = _one(c, p, inside, size2, stride2)
        at, right = at + more, right & fits
    if d is not None:
        more, fits = _one(d, p, inside, size3, stride3)
        at, right = at + more, right & fits
    return at, right


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "source_outer", "rows_each"])
def _read_rows(
    source, out, bad, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, source_outer: tl.int64, source_inner, count, inner,
    rows_each, BLOCK: tl.constexpr,
):  # fmt: skip
    """`out`, (outer, count, inner), a row at a time: program (block of columns, rows, outer). Stores 1 to `bad` where an index is wrong."""
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    first = tl.program_id(1) * rows_each
    outer = tl.program_id(2).to(tl.int64)
    for i in range(first, tl.minimum(first + rows_each, count)):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            values = tl.load(source + outer * source_outer + at + columns * source_inner, columns < inner)
            tl.store(out + (outer * count + row) * inner + columns, values, columns < inner)
        else:
            tl.store(bad, 1)


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "source_outer", "source_inner"])
def _read_elements(
    source, out, bad, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, source_outer: tl.int64, source_inner: tl.int64,
    count: tl.int64, inner: tl.int64, SINGLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The same with a block of elements of any rows at a time: program (block, outer). SINGLE: rows are one element each."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    outer = tl.program_id(1).to(tl.int64)
    inside = i < count * inner
    row = i if SINGLE else i // inner
    at, right = _places(a, b, c, d, row, inside, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
    if not SINGLE:
        at += i % inner * source_inner
    values = tl.load(source + outer * source_outer + at, inside & right, 0)
    tl.store(out + outer * count * inner + i, values, inside)
    if tl.max((inside & (right == 0)).to(tl.int32), 0) != 0:
        tl.store(bad, 1)


@triton.jit
def _sum(a, b):
    """Of truth values whether one of them holds."""
    if a.dtype == tl.int1:
        return a | b
    else:
        return a + b


@triton.jit(do_not_specialize=[*_SIZES, "count", "inner", "out_outer", "value_outer", "value_row"])
def _write_rows(
    out, values, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, out_outer: tl.int64, out_inner,
    value_outer: tl.int64, value_row: tl.int64, value_inner, count, inner, ADD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows of `values` over those of `out`, or added to them, one after the other: program (block of columns, outer)."""
    columns = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    outer = tl.program_id(1).to(tl.int64)
    for i in range(0, count):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            value = tl.load(values + outer * value_outer + row * value_row + columns * value_inner, columns < inner)
            value = value.to(out.dtype.element_ty)
            place = out + outer * out_outer + at + columns * out_inner
            if ADD:
                value = _sum(value, tl.load(place, columns < inner))
            tl.store(place, value, columns < inner)


@triton.jit(do_not_specialize=[*_SIZES, "count", "out_outer", "value_outer", "value_row"])
def _write_elements(
    out, values, a, b, c, d, size0: tl.int64, size1: tl.int64, size2: tl.int64, size3: tl.int64,
    stride0: tl.int64, stride1: tl.int64, stride2: tl.int64, stride3: tl.int64, out_outer: tl.int64,
    value_outer: tl.int64, value_row: tl.int64, count, ADD: tl.constexpr,
):  # fmt: skip
    """The same of rows that are one element each: program (outer)."""
    outer = tl.program_id(0).to(tl.int64)
    for i in range(0, count):
        row = tl.cast(i, tl.int64)
        at, right = _places(a, b, c, d, row, True, size0, size1, size2, size3, stride0, stride1, stride2, stride3)
        if right:
            value = tl.load(values + outer * value_outer + row * value_row).to(out.dtype.element_ty)
            place = out + outer * out_outer + at
            if ADD:
                value = _sum(value, tl.load(place))
            tl.store(place, value)


_READ_ROWS, _READ_ELEMENTS = Kernel(_read_rows), Kernel(_read_elements)
_WRITE_ROWS, _WRITE_ELEMENTS = Kernel(_write_rows), Kernel(_write_elements)


class _Indexed(NamedTuple):
    """A tensor with the dimensions that have an index next to each other, `first` of others in front of them.

    rows: the indices, broadcast to `shape` and flat, int64. result: the shape of what is read.
    """

    tensor: torch.Tensor
    first: int
    indices: tuple[torch.Tensor, ...]
    rows: tuple[torch.Tensor, ...]
    shape: tuple[int, ...]
    result: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def around(self) -> torch.Tensor | None:
        """The tensor as (outer, dimensions with an index, inner); None where it is no such view."""
        sizes, last = self.tensor.shape, self.first + len(self.indices)
        try:
            return self.tensor.view(math.prod(sizes[: self.first]), *sizes[self.first : last], math.prod(sizes[last:]))
        except RuntimeError:
            return None

    def strides(self) -> tuple[int, ...]:
        """Of a new result, as PyTorch has them."""
        last = self.first + len(self.indices)
        own, behind = self.tensor.stride(), len(self.tensor.shape) - last
        steps = [(*own[: self.first], *(0,) * len(self.shape), *own[last:])]
        operands: list[Any] = [(self.result, steps[0])]
        for index in self.indices:
            operands.append(((*index.shape, *(1,) * behind), (*index.stride(), *(0,) * behind)))
            steps.append(expand(*operands[-1], self.result))
        return new_strides(self.result, operands, steps)


def _without_masks(tensor: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None] | None:
    """An index or None for each dimension; None where PyTorch raises."""
    found: list[torch.Tensor | None] = []
    for index in indices:
        if index is None or index.dtype in INDICES:
            found.append(index)
        elif index.dtype is torch.bool and tuple(index.shape) == tuple(tensor.shape[len(found) : len(found) + index.dim()]) and index.dim():
            found += index.nonzero().unbind(1)
        else:
            return None
    found += [None] * (tensor.dim() - len(found))
    return found if len(found) == tensor.dim() else None


def _indexed(tensor: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> _Indexed | None:
    """None where PyTorch is to answer."""
    if not computed(_VALUES, tensor) or not all(index is None or index.is_cpu for index in indices):
        return None
    each = _without_masks(tensor, indices)
    if each is None:
        return None
    places = [place for place, index in enumerate(each) if index is not None]
    given = tuple(index for index in each if index is not None)
    shape = broadcast([tuple(index.shape) for index in given])
    if not 0 < len(given) <= _MOST or shape is None:
        return None
    first = places[0]
    if places[-1] - first + 1 != len(places):
        tensor = tensor.permute(*places, *(i for i in range(tensor.dim()) if i not in places))
        first = 0
    sizes = tensor.shape
    result = (*sizes[:first], *shape, *sizes[first + len(given) :])
    rows = tuple(index.to(torch.int64).expand(shape).reshape(-1) for index in given)
    return _Indexed(tensor, first, given, rows, shape, result)


def _absent(values: Sequence[Any], missing: Any) -> tuple[Any, ...]:
    """The values, and as many missing ones as a kernel has places for more."""
    return (*values, *[missing] * (_MOST - len(values)))


def index(source: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:
    """`source[indices]`: elements at indices of int32 and int64, broadcast, and where masks hold; None takes a dimension whole."""
    found = _indexed(source, indices)
    if found is None or any(tensor.shape[0] > 1 << 31 for tensor in found.rows):
        return NotImplemented
    out = torch.empty(found.result, dtype=source.dtype)
    if found.count and not source.numel():
        return NotImplemented
    if out.numel() and not _read(found, out):
        return NotImplemented
    strides = found.strides()
    if strides != contiguous(found.result):
        return torch.empty_strided(found.result, strides, dtype=source.dtype).copy_(out)
    return out


def _read(found: _Indexed, out: torch.Tensor) -> bool:
    """Whether all indices are right; `out` is contiguous."""
    view = found.around()
    if view is None:
        view = found._replace(tensor=found.tensor.contiguous()).around()
        assert view is not None
    (outer, *sizes, inner), (to_outer, *strides, to_inner) = view.shape, view.stride()
    bad = torch.zeros(1, dtype=torch.int32)
    arguments = (view, out, bad, *_absent(found.rows, None), *_absent(sizes, 1), *_absent(strides, 0), to_outer, to_inner)
    if inner < _SHORT_ROWS:
        block = min(power_of_two(found.count * inner), _FEW)
        grid = (-(-found.count * inner // block), outer)
        _READ_ELEMENTS(grid, *arguments, found.count, inner, SINGLE=inner == 1, BLOCK=block)
    else:
        block = min(power_of_two(inner), _LARGEST_BLOCK)
        blocks = -(-inner // block)
        rows = max(1, min(_LARGEST_BLOCK * 4 // block, -(-found.count * blocks * outer // (4 * knobs.num_threads))))
        _READ_ROWS((blocks, -(-found.count // rows), outer), *arguments, found.count, inner, rows, BLOCK=block)
    return not bad.item()


index_out = out_form(index)


def index_put_(
    base: torch.Tensor, indices: Sequence[torch.Tensor | None], values: torch.Tensor, accumulate: bool = False, unsafe: bool = False
) -> Any:
    """`values`, broadcast, over the elements of `base` at `indices`, or added to them; in order, so of several for one place the last stays."""
    given = [index for index in indices if index is not None]
    if values.dtype is not base.dtype or not values.is_cpu or overlap(base, values, *given):
        return NotImplemented
    found = _indexed(base, indices)
    if found is None or broadcast([tuple(values.shape), found.result]) != found.result or found.count and not base.numel():
        return NotImplemented
    sizes = found.tensor.shape[found.first : found.first + len(found.rows)]
    if not all(_right(rows, size) for rows, size in zip(found.rows, sizes, strict=True)):
        return NotImplemented
    if math.prod(found.result):
        kept = torch.float32 if accumulate and base.dtype in NARROW else base.dtype  # sums of narrow floats are rounded once
        view = found.around() if kept is base.dtype else None
        if view is not None:
            _write(found, view, values, accumulate)
        else:
            copy = found._replace(tensor=found.tensor.to(kept).contiguous())
            view = copy.around()
            assert view is not None
            _write(copy, view, values, accumulate)
            found.tensor.copy_(copy.tensor)
    return base


def _right(rows: torch.Tensor, size: int) -> bool:
    """Whether every index is that of a row, from the beginning or from the end."""
    if not rows.numel():
        return True
    low, high = torch.aminmax(rows)
    return low.item() >= -size and high.item() < size


def _write(found: _Indexed, out: torch.Tensor, values: torch.Tensor, add: bool) -> None:
    """`out`: (outer, dimensions with an index, inner). All indices are right."""
    (outer, *sizes, inner), (to_outer, *strides, to_inner) = out.shape, out.stride()
    sources = values.expand(found.result).reshape(outer, found.count, inner)
    from_outer, from_row, from_inner = sources.stride()
    arguments = (out, sources, *_absent(found.rows, None), *_absent(sizes, 1), *_absent(strides, 0), to_outer)
    if inner == 1:
        _WRITE_ELEMENTS((outer,), *arguments, from_outer, from_row, found.count, ADD=add)
        return
    block = min(power_of_two(inner), _LARGEST_BLOCK)
    while block > 32 and -(-inner // block) * outer < knobs.num_threads:
        block //= 2
    rest = (to_inner, from_outer, from_row, from_inner, found.count, inner)
    _WRITE_ROWS((-(-inner // block), outer), *arguments, *rest, ADD=add, BLOCK=block)
