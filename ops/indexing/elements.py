"""Indices for every element: gather, and scatter with its sums. Tensors are (outer, size, inner) around the dimension of the indices."""

import functools
import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import NARROW
from triton_spacemit.ops.indexing.operands import INDICES, VALUES, around, dimension, overlap, refuse
from triton_spacemit.ops.launching import Kernel, flag, raised
from triton_spacemit.ops.operands import computed, into

_LEAST = 2048  # elements of a program

#: Arguments that kernels are not compiled anew for; those of the inner loop's addresses are not among them.
_SIZES = ["outer", "rows", "inner", "outer_part", "inner_part"]
_STRIDES = ["source_outer", "index_outer", "index_row"]


@triton.jit(do_not_specialize=[*_SIZES, *_STRIDES, "size", "rows_part"])
def _gather(
    source,
    index,
    out,
    bad,
    size,
    source_outer,
    source_row,
    source_column,
    index_outer,
    index_row,
    index_column,
    outer,
    rows,
    inner,
    outer_part,
    rows_part,
    inner_part,
):
    """`out` is (outer, rows, inner), contiguous; a program has a part of each. Stores 1 to `bad` where an index is none of a row."""
    first_column = tl.program_id(0) * inner_part
    first_row = tl.program_id(1) * rows_part
    first_outer = tl.program_id(2) * outer_part
    for o in range(first_outer, tl.minimum(first_outer + outer_part, outer)):
        for i in range(first_row, tl.minimum(first_row + rows_part, rows)):
            indices = index + tl.cast(o, tl.int64) * index_outer + tl.cast(i, tl.int64) * index_row
            sources = source + tl.cast(o, tl.int64) * source_outer
            outs = out + (tl.cast(o, tl.int64) * rows + i) * inner
            for n in range(first_column, tl.minimum(first_column + inner_part, inner)):
                column = tl.cast(n, tl.int64)
                row = tl.load(indices + column * index_column).to(tl.int64)
                if (row >= 0) & (row < size):
                    tl.store(outs + column, tl.load(sources + row * source_row + column * source_column))
                else:
                    tl.store(bad, 1)


@triton.jit(do_not_specialize=[*_SIZES, *_STRIDES, "size", "source_row", "out_outer"])
def _scatter(
    out,
    index,
    source,
    bad,
    size,
    out_outer,
    out_row,
    out_column,
    index_outer,
    index_row,
    index_column,
    source_outer,
    source_row,
    source_column,
    outer,
    rows,
    inner,
    outer_part,
    inner_part,
    ADD: tl.constexpr,
):
    """A program has its part of outer and inner to itself and goes through the rows in order, so that sums do not depend on threads, and of
    several elements for one place the last one stays. Stores 1 to `bad` where an index is none of a row.
    """
    first_column = tl.program_id(0) * inner_part
    first_outer = tl.program_id(1) * outer_part
    for o in range(first_outer, tl.minimum(first_outer + outer_part, outer)):
        for i in range(0, rows):
            indices = index + tl.cast(o, tl.int64) * index_outer + tl.cast(i, tl.int64) * index_row
            sources = source + tl.cast(o, tl.int64) * source_outer + tl.cast(i, tl.int64) * source_row
            outs = out + tl.cast(o, tl.int64) * out_outer
            for n in range(first_column, tl.minimum(first_column + inner_part, inner)):
                column = tl.cast(n, tl.int64)
                row = tl.load(indices + column * index_column).to(tl.int64)
                if (row >= 0) & (row < size):
                    place = outs + row * out_row + column * out_column
                    value = tl.load(sources + column * source_column).to(out.dtype.element_ty)
                    if ADD:
                        value += tl.load(place)
                    tl.store(place, value)
                else:
                    tl.store(bad, 1)


_GATHER = Kernel(_gather)
_SCATTER = Kernel(_scatter)


class Loops(NamedTuple):
    """The loops of a kernel over (outer, rows, inner), and their strides. The innermost one is to be long, so a size of 1 goes outwards:
    `strides` are those of the indices and of what lies like them, `target` those of what the indices are for. `ordered`: the inner loop
    is that of the indices.
    """

    sizes: tuple[int, int, int]
    strides: tuple[tuple[int, ...], ...]
    target: tuple[int, int, int]
    ordered: bool


@functools.lru_cache(4096)
def _planned(dim: int, threads: int, dims: tuple[int, ...], *layouts: Any) -> tuple[Loops, list[int], tuple[int, ...], int] | None:
    """For tensors of these shapes and strides, the first one the target: the loops, their parts and grid, and the target's size.

    dims: those to cut, where the inner loop is not that of the indices. None where a tensor is no view of three dimensions around `dim`.
    """
    views = []
    for shape, strides in layouts:
        tensor = torch.empty_strided(shape, strides, device="meta")
        view = around(tensor, dim)
        if view.untyped_storage()._cdata != tensor.untyped_storage()._cdata:  # what is below autograd knows of no views
            return None
        views.append(view)
    loops = _loops(*views)
    return loops, *_parts(loops.sizes, (0,) if loops.ordered and len(layouts) > 2 else dims), views[0].shape[1]


def _loops(target: torch.Tensor, *tensors: torch.Tensor) -> Loops:
    outer, rows, inner = tensors[0].shape
    to_outer, to_row, to_column = target.stride()
    strides = [tensor.stride() for tensor in tensors]
    if inner > 1:
        return Loops((outer, rows, inner), tuple(strides), (to_outer, to_row, to_column), False)
    if rows > 1:
        return Loops((outer, 1, rows), tuple((o, 0, i) for o, i, _ in strides), (to_outer, to_row, 0), True)
    return Loops((1, 1, outer), tuple((0, 0, o) for o, _, _ in strides), (0, to_row, to_outer), False)


def _parts(sizes: tuple[int, ...], dims: tuple[int, ...]) -> tuple[list[int], tuple[int, ...]]:
    """The part of each dimension that a program has, and the grid. `dims` are cut, first ones first, while programs are long and few."""
    if math.prod(sizes) <= _LEAST:
        return list(sizes), (1, 1, 1)
    parts = list(sizes)
    for dim in dims:
        rest = math.prod(parts) // parts[dim]
        programs = math.prod(-(-size // part) for size, part in zip(sizes, parts, strict=True))
        wanted = min(-(-4 * knobs.num_threads // programs), -(-math.prod(parts) // _LEAST))
        if wanted > 1:
            parts[dim] = max(-(-parts[dim] // wanted), 1, -(-_LEAST // rest) if rest < _LEAST else 1)
    return parts, tuple(-(-size // part) for size, part in zip(sizes, parts, strict=True))


def gather_blocks(source: torch.Tensor, index: torch.Tensor, out: torch.Tensor, dim: int = 1) -> bool:
    """`out` gets the elements of `source` at `index` along `dim`; whether all indices are those of rows. `out` is contiguous, not empty."""
    planned = _planned(dim, knobs.num_threads, (0, 1, 2), (source.shape, source.stride()), (index.shape, index.stride()))
    if planned is None:
        return gather_blocks(around(source, dim), around(index, dim), out)
    loops, parts, grid, size = planned
    bad = flag()
    _GATHER(grid[::-1], source, index, out, bad, size, *loops.target, *loops.strides[0], *loops.sizes, *parts)
    return not raised(bad)


def _fits(index: torch.Tensor, tensor: torch.Tensor, but: int | None) -> bool:
    """Whether `index` has as many dimensions as `tensor` and is nowhere larger, dimension `but` left out; a scalar has one."""
    if index.shape == tensor.shape:
        return True
    sizes, others = index.shape or (1,), tensor.shape or (1,)
    return len(sizes) == len(others) and all(size <= other or i == but for i, (size, other) in enumerate(zip(sizes, others, strict=True)))


def _part(tensor: torch.Tensor, index: torch.Tensor, but: int | None) -> torch.Tensor:
    """The first elements of `tensor`, as many as `index` has in each dimension; dimension `but` whole."""
    if index.shape == tensor.shape:
        return tensor
    if not tensor.dim():
        return tensor.view(1)
    for i, size in enumerate(index.shape or (1,)):
        if i != but and size != tensor.shape[i]:
            tensor = tensor.narrow(i, 0, size)
    return tensor


def gather(source: torch.Tensor, dim: int, index: torch.Tensor, *, sparse_grad: bool = False) -> Any:
    """Along `dim`, the elements of `source` at `index`, which has the result's shape."""
    place = dimension(source, dim)
    if place is None or not computed(VALUES, source) or not index.is_cpu:
        return NotImplemented
    if index.numel() == 0:  # of any dtype
        return source.new_empty(index.shape)
    if index.dtype not in INDICES or not _fits(index, source, place):
        return NotImplemented
    out = source.new_empty(index.shape)
    right = gather_blocks(_part(source, index, place), index, out, place)
    return out if right else NotImplemented


def gather_out(source: torch.Tensor, dim: int, index: torch.Tensor, *, sparse_grad: bool = False, out: torch.Tensor) -> Any:
    """`gather` into `out`."""
    if overlap(out, source, index):
        return NotImplemented
    refuse(torch.gather, source, dim, index, out=out)
    return into(out, gather(source, dim, index))


def _is_within(value: float, info: torch.iinfo) -> bool:
    """Whether a number, without its fraction, is one of an integer dtype."""
    return math.isfinite(value) and info.min <= math.trunc(value) <= info.max


def _is_mistake(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any) -> bool:
    """Whether PyTorch is to answer."""
    place = dimension(base, dim)
    if place is None or not computed(VALUES, base) or not computed(INDICES, index):
        return True
    if isinstance(source, torch.Tensor):
        if source.dtype != base.dtype or not source.is_cpu or index.numel() and not _fits(index, source, None):
            return True
    elif isinstance(source, complex) or not base.is_floating_point() and not _is_within(source, torch.iinfo(base.dtype)):
        return True
    if index.numel() == 0:
        return False
    return not _fits(index, base, place)


def _write(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any, add: bool) -> Any:
    """Scatters into `base`. `NotImplemented` where an index is none of a row; then the rest is written."""
    if index.numel() == 0:
        return base
    place = dimension(base, dim)
    assert place is not None
    part = _part(base, index, place)
    # Sums of narrow floats are rounded once.
    kept = torch.float32 if add and base.dtype in NARROW else base.dtype
    out = copies.clone(part, kept) if kept != base.dtype or not part.is_contiguous() else part
    values = (
        source
        if isinstance(source, torch.Tensor)
        else torch.tensor(source if kept.is_floating_point else math.trunc(source), dtype=kept).expand(index.shape)
    )
    right = _scatter_blocks(out, index, _part(values, index, None), place, add)
    if out is not part:
        copies.copy(part, out)
    return base if right else NotImplemented


def _scatter_blocks(out: torch.Tensor, index: torch.Tensor, source: torch.Tensor, dim: int, add: bool) -> bool:
    """The elements of `source` over those of `out` at `index` along `dim`, or added to them; whether all indices are those of rows.

    `out` is a view of three dimensions around `dim`.
    """
    layouts = ((tensor.shape, tensor.stride()) for tensor in (out, index, source))
    planned = _planned(dim, knobs.num_threads, (0, 2), *layouts)
    if planned is None:
        return _scatter_blocks(around(out, dim), around(index, dim), around(source, dim), 1, add)
    loops, (outer_part, _, inner_part), grid, size = planned
    bad = flag()
    strides = (*loops.target, *loops.strides[0], *loops.strides[1])
    _SCATTER((grid[2], grid[0]), out, index, source, bad, size, *strides, *loops.sizes, outer_part, inner_part, ADD=add)
    return not raised(bad)


def _new(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any, add: bool) -> Any:
    if _is_mistake(base, dim, index, source):
        return NotImplemented
    return _write(copies.clone(base), dim, index, source, add)


def _in_place(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any, add: bool) -> Any:
    read = (index, source) if isinstance(source, torch.Tensor) else (index,)
    if overlap(base, *read) or _is_mistake(base, dim, index, source):
        return NotImplemented
    refuse(torch.scatter_add if add else torch.scatter, base, dim, index, source)
    return _write(base, dim, index, source, add)


def _out(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any, add: bool, out: torch.Tensor) -> Any:
    if out is base:
        return _in_place(base, dim, index, source, add)
    read = (index, source) if isinstance(source, torch.Tensor) else (index,)
    if overlap(out, base, *read) or _is_mistake(base, dim, index, source):
        return NotImplemented
    refuse(torch.scatter_add if add else torch.scatter, base, dim, index, source, out=out)
    return into(out, _new(base, dim, index, source, add))


def scatter(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any) -> Any:
    """`base`, with the elements of `source` (a tensor or a number) at `index` along `dim`: of several for one place the last."""
    return _new(base, dim, index, source, False)


def scatter_(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any) -> Any:
    """`scatter` in place."""
    return _in_place(base, dim, index, source, False)


def scatter_out(base: torch.Tensor, dim: int, index: torch.Tensor, source: Any, *, out: torch.Tensor) -> Any:
    """`scatter` into `out`."""
    return _out(base, dim, index, source, False, out)


def scatter_add(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor) -> Any:
    """`base` plus the elements of `source` at `index` along `dim`, in their order, whatever the number of threads."""
    return _new(base, dim, index, source, True)


def scatter_add_(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor) -> Any:
    """`scatter_add` in place."""
    return _in_place(base, dim, index, source, True)


def scatter_add_out(base: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`scatter_add` into `out`."""
    return _out(base, dim, index, source, True, out)
