"""Several indices at once, as `x[i, :, j]`: reading, writing and adding.

The dimensions with an index become neighbours, as in PyTorch's TensorAdvancedIndexing.cpp: where they are, else in front of all others. A
tensor is then (outer, up to four dimensions with an index, inner), and the indices, broadcast, are a list of rows. A mask stands for the
places where it holds.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS, NARROW
from triton_spacemit.ops.elementwise.layout import broadcast, contiguous, expand, new_strides
from triton_spacemit.ops.indexing.advanced_kernels import MOST, READ_ELEMENTS, READ_ROWS, WRITE_ELEMENTS, WRITE_ROWS
from triton_spacemit.ops.indexing.operands import INDICES, overlap
from triton_spacemit.ops.launching import flag, raised
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.sizes import power_of_two

_VALUES = FLOATS | INTEGERS | {torch.bool}
_SHORT_ROWS = 8  # of fewer elements a row is not worth a loop of its own
_LARGEST_BLOCK = 4096
_FEW = 2048  # elements of a program


class _Plan(NamedTuple):
    """What indices do to a tensor, found once for its shape and strides and for theirs.

    order: of the tensor's dimensions, so that those with an index are neighbours, `first` of others in front of them. shape: of the indices
    together. result: of what is read; strides: of a new such tensor, None where it is contiguous. numbers: for the kernels, the sizes and
    strides of dimensions with an index, and the outer and inner stride; None where the tensor is no (outer, .., inner) view.
    """

    order: tuple[int, ...]
    first: int
    shape: tuple[int, ...]
    result: tuple[int, ...]
    strides: tuple[int, ...] | None
    outer: int
    rows: int
    inner: int
    numbers: tuple[int, ...] | None


@functools.lru_cache(4096)
def _plan(sizes: tuple[int, ...], strides: tuple[int, ...], indices: tuple[Any, ...]) -> _Plan | None:
    """indices: for each dimension the shape and strides of its index, or None. None where PyTorch is to answer."""
    places = [place for place, index in enumerate(indices) if index is not None]
    given = [indices[place] for place in places]
    shape = broadcast([own for own, _ in given])
    if not 0 < len(given) <= MOST or shape is None:
        return None
    first = places[0]
    order = tuple(range(len(sizes)))
    if places[-1] - first + 1 != len(places):
        order, first = (*places, *(i for i in order if i not in places)), 0
    last = first + len(given)
    sizes, strides = tuple(sizes[i] for i in order), tuple(strides[i] for i in order)
    result = (*sizes[:first], *shape, *sizes[last:])
    operands: list[Any] = [(result, (*strides[:first], *(0,) * len(shape), *strides[last:]))]
    behind = len(sizes) - last
    operands += [((*own, *(1,) * behind), (*steps, *(0,) * behind)) for own, steps in given]
    new = new_strides(result, operands, [expand(own, steps, result) for own, steps in operands])
    outer, inner = _joined(sizes[:first], strides[:first]), _joined(sizes[last:], strides[last:])
    numbers = None
    if outer is not None and inner is not None:
        absent = MOST - len(given)
        numbers = (*sizes[first:last], *[1] * absent, *strides[first:last], *[0] * absent, outer, inner)
    return _Plan(
        order,
        first,
        shape,
        result,
        None if new == contiguous(result) else new,
        math.prod(sizes[:first]),
        math.prod(shape),
        math.prod(sizes[last:]),
        numbers,
    )


def _joined(sizes: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The stride of these dimensions as one; None where they are none."""
    joined, expected = 0, None
    for size, stride in zip(reversed(sizes), reversed(strides), strict=True):
        if size == 1:
            continue
        if expected is None:
            joined = stride
        elif stride != expected:
            return None
        expected = stride * size
    return joined


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


def _planned(tensor: torch.Tensor, each: Sequence[torch.Tensor | None]) -> _Plan | None:
    return _plan(tensor.shape, tensor.stride(), tuple([None if index is None else (index.shape, index.stride()) for index in each]))


def _rows(plan: _Plan, each: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """The indices, broadcast and flat, int64; and None for dimensions that a kernel has and the tensor does not."""
    rows: list[torch.Tensor | None] = []
    for index in each:
        if index is not None:
            index = index if index.shape == plan.shape else index.expand(plan.shape)
            rows.append(index if index.dtype is torch.int64 and index.is_contiguous() else index.to(torch.int64).contiguous())
    return rows + [None] * (MOST - len(rows))


def index(source: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:
    """`source[indices]`: elements at indices of int32 and int64, broadcast, and where masks hold; None takes a dimension whole."""
    if not computed(_VALUES, source) or not all(index is None or index.is_cpu for index in indices):
        return NotImplemented
    each = _without_masks(source, indices)
    plan = None if each is None else _planned(source, each)
    if each is None or plan is None or plan.rows and not source.numel():
        return NotImplemented
    out = torch.empty(plan.result, dtype=source.dtype)
    if out.numel() and not _read(plan, source, each, out):
        return NotImplemented
    return out if plan.strides is None else copies.copy(torch.empty_strided(plan.result, plan.strides, dtype=source.dtype), out)


def _with_indices_together(plan: _Plan, tensor: torch.Tensor, each: Sequence[torch.Tensor | None]) -> tuple[torch.Tensor, list[Any], _Plan]:
    """A contiguous copy of `tensor` with its dimensions in the plan's order, and index and plan of it."""
    copy, others = copies.contiguous(tensor.permute(plan.order)), [each[i] for i in plan.order]
    new = _planned(copy, others)
    assert new is not None
    return copy, others, new


def _read(plan: _Plan, source: torch.Tensor, each: Sequence[torch.Tensor | None], out: torch.Tensor) -> bool:
    """Whether all indices are right; `out` is contiguous."""
    if plan.numbers is None:
        source, each, plan = _with_indices_together(plan, source, each)
        assert plan.numbers is not None
    bad = flag()
    arguments = (source, out, bad, *_rows(plan, each), *plan.numbers, plan.rows, plan.inner)
    if plan.inner < _SHORT_ROWS:
        block = min(power_of_two(plan.rows * plan.inner), _FEW)
        READ_ELEMENTS((-(-plan.rows * plan.inner // block), plan.outer), *arguments, SINGLE=plan.inner == 1, BLOCK=block)
    else:
        block = min(power_of_two(plan.inner), _LARGEST_BLOCK)
        blocks = -(-plan.inner // block)
        rows = max(1, min(_LARGEST_BLOCK * 4 // block, -(-plan.rows * blocks * plan.outer // (4 * knobs.num_threads))))
        READ_ROWS((blocks, -(-plan.rows // rows), plan.outer), *arguments, rows, BLOCK=block)
    return not raised(bad)


index_out = out_form(index)


def index_put_(
    base: torch.Tensor, indices: Sequence[torch.Tensor | None], values: torch.Tensor, accumulate: bool = False, unsafe: bool = False
) -> Any:
    """`values`, broadcast, over elements of `base` at `indices`, or added to them, in order: of several for one place the last stays."""
    given = [index for index in indices if index is not None]
    if values.dtype is not base.dtype or not computed(_VALUES, base, values) or not all(index.is_cpu for index in given):
        return NotImplemented
    if overlap(base, values, *given):
        return NotImplemented
    each = _without_masks(base, indices)
    plan = None if each is None else _planned(base, each)
    if each is None or plan is None or not _broadcasts(values, plan.result) or plan.rows and not base.numel():
        return NotImplemented
    if not all(index is None or _right(index, size) for index, size in zip(each, base.shape, strict=True)):
        return NotImplemented
    if plan.rows * plan.outer * plan.inner:
        kept = torch.float32 if accumulate and base.dtype in NARROW else base.dtype  # sums of narrow floats are rounded once
        if plan.numbers is not None and kept is base.dtype:
            _write(plan, base, each, values, accumulate)
        else:
            copy, others, new = _with_indices_together(plan, base.to(kept), each)
            _write(new, copy, others, values, accumulate)
            copies.copy(base.permute(plan.order), copy)
    return base


def _broadcasts(values: torch.Tensor, shape: tuple[int, ...]) -> bool:
    return values.shape == shape or broadcast([values.shape, shape]) == shape


def _right(index: torch.Tensor, size: int) -> bool:
    """Whether every index is that of a row, from the beginning or from the end."""
    if not index.numel():
        return True
    low, high = torch.aminmax(index)
    return low.item() >= -size and high.item() < size


def _write(plan: _Plan, out: torch.Tensor, each: Sequence[torch.Tensor | None], values: torch.Tensor, add: bool) -> None:
    """All indices are right."""
    assert plan.numbers is not None
    *numbers, to_outer, to_inner = plan.numbers
    if values.shape == plan.result and values.is_contiguous():
        sources, (from_outer, from_row, from_inner) = values, (plan.rows * plan.inner, plan.inner, 1)
    else:
        sources = values.expand(plan.result).reshape(plan.outer, plan.rows, plan.inner)
        from_outer, from_row, from_inner = sources.stride()
    arguments = (out, sources, *_rows(plan, each), *numbers, to_outer)
    if plan.inner == 1:
        WRITE_ELEMENTS((plan.outer,), *arguments, from_outer, from_row, plan.rows, ADD=add)
        return
    block = min(power_of_two(plan.inner), _LARGEST_BLOCK)
    while block > 32 and -(-plan.inner // block) * plan.outer < knobs.num_threads:
        block //= 2
    rest = (to_inner, from_outer, from_row, from_inner, plan.rows, plan.inner)
    WRITE_ROWS((-(-plan.inner // block), plan.outer), *arguments, *rest, ADD=add, BLOCK=block)
