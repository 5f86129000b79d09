"""The one kernel of reductions, and how a reduction is spread over programs.

A reduction is described by four functions on its state, a tuple of numbers: of nothing (`START`), of a block of elements (`BLOCK`), of two
parts (`MERGE`), and what results are made of the last one (`FINISH`). A program goes through its elements block by block. Blocks are
added up in float32, what blocks come to in float64: the error of a sum is that of some dozens of additions, however long it is. Where there
are fewer results than threads, several programs share a result; they store their states, and a second kernel merges these.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.abi import MAX_THREADS
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS, sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.reductions.geometry import Geometry, geometry
from triton_spacemit.ops.reductions.kinds import Reduction
from triton_spacemit.ops.sizes import power_of_four, power_of_four_within, power_of_two


@triton.jit
def _bits(value):
    """A number of a state as 64 bits."""
    if value.dtype.is_floating():
        return value.to(tl.float64).to(tl.int64, bitcast=True)
    return value.to(tl.int64)


@triton.jit
def _number(bits, like):
    """What `_bits` made 64 bits of, where it was of the dtype of `like`."""
    if like.dtype.is_floating():
        return bits.to(tl.float64, bitcast=True).to(like.dtype)
    return bits.to(like.dtype)


@triton.jit
def _store(results, out, second_out, places, valid):
    tl.store(out + places, results[0], valid)
    if second_out is not None:
        tl.store(second_out + places, results[1], valid)


@triton.jit
def _reduce(
    x,
    out,
    second_out,
    states,
    kept,
    outer,
    inner,
    kept_outer_stride,
    kept_stride,
    outer_stride,
    inner_stride,
    outer_part,
    inner_part,
    inner_parts,
    total,
    START: tl.constexpr,
    BLOCK: tl.constexpr,
    MERGE: tl.constexpr,
    FINISH: tl.constexpr,
    OTHER: tl.constexpr,
    CAST: tl.constexpr,
    WIDE: tl.constexpr,
    PARAMETER: tl.constexpr,
    KEPT: tl.constexpr,
    INNER: tl.constexpr,
):
    """A block of `KEPT` results, or of their states from a part of the elements: program (block of kept, outer kept, part)."""
    k = tl.program_id(0).to(tl.int64) * KEPT + tl.arange(0, KEPT)
    part = tl.program_id(2)
    first_outer = (part // inner_parts) * outer_part
    first_inner = (part % inner_parts) * inner_part
    last_inner = tl.minimum(first_inner + inner_part, inner)
    rows = x + tl.program_id(1).to(tl.int64) * kept_outer_stride + k[:, None] * kept_stride
    state = START(KEPT, WIDE)
    for i in range(first_outer, tl.minimum(first_outer + outer_part, outer)):
        for start in range(first_inner, last_inner, INNER):
            j = tl.cast(start, tl.int64) + tl.arange(0, INNER)
            valid = (k[:, None] < kept) & (j[None, :] < last_inner)
            block = tl.load(rows + tl.cast(i, tl.int64) * outer_stride + j[None, :] * inner_stride, valid, OTHER)
            count = tl.minimum(last_inner - start, INNER)
            state = MERGE(state, BLOCK(block.to(CAST).to(WIDE), valid, tl.cast(i, tl.int64) * inner + start, count, PARAMETER))
    places = tl.program_id(1).to(tl.int64) * kept + k
    if states is None:
        _store(FINISH(state, total, PARAMETER), out, second_out, places, k < kept)
    else:
        parts = tl.num_programs(2)
        results = tl.num_programs(1).to(tl.int64) * kept
        for i in tl.static_range(len(state)):
            tl.store(states + (i * results + places) * parts + part, _bits(state[i]), k < kept)


@triton.jit
def _reduce_rows(
    x,
    out,
    second_out,
    kept,
    inner,
    kept_outer_stride,
    kept_stride,
    inner_stride,
    rows_each,
    BLOCK: tl.constexpr,
    FINISH: tl.constexpr,
    OTHER: tl.constexpr,
    CAST: tl.constexpr,
    WIDE: tl.constexpr,
    PARAMETER: tl.constexpr,
    INNER: tl.constexpr,
):
    """`rows_each` results, of a row each that is one block: program (rows, outer kept)."""
    j = tl.arange(0, INNER)
    valid = (j < inner)[None, :]
    first = tl.program_id(0).to(tl.int64) * rows_each
    for k in range(first, tl.minimum(first + rows_each, kept)):
        row = x + tl.program_id(1).to(tl.int64) * kept_outer_stride + k * kept_stride
        block = tl.load(row + j.to(tl.int64)[None, :] * inner_stride, valid, OTHER)
        state = BLOCK(block.to(CAST).to(WIDE), valid, tl.cast(0, tl.int64), inner, PARAMETER)
        place = tl.program_id(1).to(tl.int64) * kept + k + tl.arange(0, 1)
        _store(FINISH(state, inner, PARAMETER), out, second_out, place, None)


@triton.jit
def _merge(
    states,
    out,
    second_out,
    results,
    count,
    parts,
    START: tl.constexpr,
    MERGE: tl.constexpr,
    FINISH: tl.constexpr,
    WIDE: tl.constexpr,
    PARAMETER: tl.constexpr,
    KEPT: tl.constexpr,
):
    """`KEPT` results of the states of all their parts."""
    k = tl.program_id(0).to(tl.int64) * KEPT + tl.arange(0, KEPT)
    state = START(KEPT, WIDE)
    for part in range(parts):
        other = ()
        for i in tl.static_range(len(state)):
            other = other + (  # type: ignore[assignment]
                _number(tl.load(states + (i * results + k) * parts + part, k < results, 0), state[i]),
            )
        state = MERGE(state, other)
    _store(FINISH(state, count, PARAMETER), out, second_out, k, k < results)


_TRITON = {dtype: getattr(tl, str(dtype).removeprefix("torch.")) for dtype in FLOATS | INTEGERS} | {torch.bool: tl.int1}
_WORTH_A_PROGRAM = 1 << 15  # elements; less is done sooner than another thread wakes
_ELEMENTS = 1 << 14  # of a program's rows


@functools.cache
def _kernels(kind: Reduction) -> tuple[Kernel, Kernel, Kernel]:
    functions = {"START": kind.start, "MERGE": kind.merge, "FINISH": kind.finish}
    rows = Kernel(_reduce_rows, BLOCK=kind.block, FINISH=kind.finish)
    return Kernel(_reduce, **functions, BLOCK=kind.block), Kernel(_merge, **functions), rows


def computed_in(dtype: torch.dtype) -> tl.dtype:
    """The type that elements are computed in: float32, and float64 of float64; int32, and int64 of int32 and int64."""
    if dtype.is_floating_point:
        return sum_type(dtype)
    return tl.int32 if dtype.itemsize < 4 else tl.int64


def _blocks(shape: Geometry, longest: int) -> tuple[int, int]:
    """Results and elements of each that a program takes at a time. Neighbours in memory are its vectors."""
    kept, inner = shape.kept[1][0], shape.reduced[1][0]
    if shape.across:
        # Wide tensors are read a KiB at a time, if there are programs enough.
        return min(power_of_four(kept), 256 if kept >= 1024 else 64), min(power_of_four(inner), 64)
    elements = min(power_of_four(inner), longest)
    return min(power_of_four_within(kept), 16, max(4096 // elements, 1)), elements


def _parts(shape: Geometry, programs: int, threads: int) -> tuple[int, int]:
    """Over how many programs each result's outer and inner loop is spread."""
    if programs >= threads:
        return 1, 1
    wanted = 1 << max(min(4 * threads // programs, shape.results * shape.count // _WORTH_A_PROGRAM), 1).bit_length() - 1
    outer = min(wanted, power_of_two(shape.reduced[0][0] + 1) // 2)
    return outer, wanted // outer


@dataclass(frozen=True)
class _Plan:
    """What a launch for tensors of one shape is. divisible: whether it depends on the number of threads. rows: the sizes where each result
    is of one block of neighbours, else empty.
    """

    results: int
    count: int
    kept_blocks: int
    sizes: tuple[int, ...]
    constants: dict[str, Any]
    shape: Geometry
    divisible: bool
    rows: tuple[int, ...]
    row_constants: dict[str, Any]


@functools.lru_cache(4096)
def _plan(kind: Reduction, shape: Geometry, stored: torch.dtype, dtype: torch.dtype, parameter: Any) -> _Plan:
    kept_block, inner_block = _blocks(shape, kind.longest)
    (outer_kept, outer_kept_stride), (kept, kept_stride) = shape.kept
    (outer, outer_stride), (inner, inner_stride) = shape.reduced
    kept_blocks = -(-kept // kept_block)
    constants = {
        "OTHER": kind.outside(stored),
        "CAST": _TRITON[dtype],
        "INNER": inner_block,
        "WIDE": computed_in(dtype),
        "PARAMETER": parameter,
    }
    is_rows = not shape.across and outer == 1 and 0 < inner <= inner_block
    return _Plan(
        shape.results,
        shape.count,
        kept_blocks,
        (kept, outer, inner, outer_kept_stride, kept_stride, outer_stride, inner_stride),
        constants | {"KEPT": kept_block},
        shape,
        divisible=kept_blocks * outer_kept < MAX_THREADS and shape.results * shape.count >= 2 * _WORTH_A_PROGRAM,
        rows=(kept, inner, outer_kept_stride, kept_stride, inner_stride) if is_rows else (),
        row_constants=constants | {"INNER": power_of_two(inner)},
    )


def reduce(
    kind: Reduction,
    x: torch.Tensor,
    dims: tuple[int, ...],
    out: torch.Tensor,
    second_out: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
    parameter: Any = None,
    ordered: bool = False,
) -> None:
    """Reduce `dims` of `x`, as a tensor of `dtype`, into contiguous tensors.

    ordered: elements are numbered in the order of the dimensions, rather than in any.
    """
    x, shape = geometry(x, dims, ordered)
    if shape.across:
        kind = kind.across or kind
    plan = _plan(kind, shape, x.dtype, dtype or x.dtype, parameter)
    if not plan.results:
        return
    run, merge, run_rows = _kernels(kind)
    outer_kept, outer, inner = shape.kept[0][0], shape.reduced[0][0], shape.reduced[1][0]
    if plan.divisible:
        outer_parts, inner_parts = _parts(shape, plan.kept_blocks * outer_kept, knobs.num_threads)
    else:
        outer_parts = inner_parts = 1
    parts = outer_parts * inner_parts
    if plan.rows and parts == 1:
        kept = shape.kept[1][0]
        each = max(1, min(-(-kept // knobs.num_threads), _ELEMENTS // inner))
        run_rows((-(-kept // each), outer_kept), x, out, second_out, *plan.rows, each, **plan.row_constants)
        return
    states = None if parts == 1 else torch.empty(kind.states * plan.results * parts, dtype=torch.int64)
    run(
        (plan.kept_blocks, outer_kept, parts),
        x,
        out,
        second_out,
        states,
        *plan.sizes,
        -(-outer // outer_parts),
        -(-inner // inner_parts),
        inner_parts,
        plan.count,
        **plan.constants,
    )
    if states is not None:
        block = min(power_of_two(plan.results), 64)
        wide = plan.constants["WIDE"]
        grid = (-(-plan.results // block),)
        merge(grid, states, out, second_out, plan.results, plan.count, parts, KEPT=block, WIDE=wide, PARAMETER=parameter)
