"""Batch norm of channels that lie last, by several threads: each goes through whole rows of memory.

A first kernel finds mean and variance of each channel in its rows. A second merges those of all rows, and normalises its own.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.dtypes import sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.reductions.moments import merged, moments, move_running

_BLOCK = {"GROUPS": 64, "INNER": 64}  # which the first cache holds
_LEAST_ROWS = 256  # of a program


@triton.jit
def _part_moments(x, means, variances, columns, rows, each, WIDE: tl.constexpr, GROUPS: tl.constexpr, INNER: tl.constexpr):
    """Of each column in rows that begin at each * program: program (block of columns, rows)."""
    column = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    first = tl.program_id(1).to(tl.int64) * each
    start = first * columns + tl.expand_dims(column, 0)
    mean, variance = moments(x, start, column, columns, 1, tl.minimum(each, rows - first), 0, columns, False, WIDE, 0, GROUPS, INNER)
    place = tl.program_id(1).to(tl.int64) * columns + column
    tl.store(means + place, mean, column < columns)
    tl.store(variances + place, variance, column < columns)


@triton.jit
def _normalise_part(
    x, out, weight, bias, mean, rstd, running_mean, running_var, momentum: tl.float64, means, variances, columns, rows, each, parts,
    EPS: tl.constexpr, WIDE: tl.constexpr, GROUPS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Those rows, with the moments of all rows; the program of the first ones stores these."""
    column = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)
    there = column < columns
    shift, squares = tl.zeros((GROUPS,), tl.float64), tl.zeros((GROUPS,), tl.float64)
    for part in range(0, parts):
        seen = (tl.cast(part, tl.int64) * each).to(tl.float64)
        place = tl.cast(part, tl.int64) * columns + column
        count = tl.minimum(seen + each, rows) - seen
        own, variance = tl.load(means + place, there, 0), tl.load(variances + place, there, 0)
        shift, squares = merged(shift, squares, seen, own, variance * count, count)
    variance = squares / rows
    scale = 1 / tl.sqrt(variance + EPS)
    if tl.program_id(1) == 0:
        tl.store(mean + column, shift, there)
        tl.store(rstd + column, scale, there)
        move_running(running_mean, running_var, column, there, shift, variance, rows, momentum)
    shift, scale = shift.to(WIDE)[None, :], scale.to(WIDE)[None, :]
    first = tl.program_id(1).to(tl.int64) * each
    x += first * columns
    out += first * columns
    own_rows = tl.minimum(each, rows - first)
    for begin in range(0, own_rows, INNER):
        i = tl.cast(begin, tl.int64) + tl.arange(0, INNER)
        inside = (i < own_rows)[:, None] & there[None, :]
        block = (tl.load(x + i[:, None] * columns + column[None, :], inside, 0).to(WIDE) - shift) * scale
        if weight is not None:
            block *= tl.load(weight + column, there, 0).to(WIDE)[None, :]
        if bias is not None:
            block += tl.load(bias + column, there, 0).to(WIDE)[None, :]
        tl.store(out + i[:, None] * columns + column[None, :], block, inside)


_MOMENTS, _NORMALISE = Kernel(_part_moments), Kernel(_normalise_part)


def normalise(x: torch.Tensor, out: torch.Tensor, operands: tuple[Any, ...], columns: int, rows: int, eps: float, threads: int) -> None:
    """operands: weight, bias, mean, rstd, running mean and variance, and their momentum."""
    each = max(-(-rows // (4 * threads)), _LEAST_ROWS)
    parts = -(-rows // each)
    means, variances = torch.empty((2, parts, columns), dtype=torch.float64)
    grid = (-(-columns // _BLOCK["GROUPS"]), parts)
    wide = sum_type(x.dtype)
    _MOMENTS(grid, x, means, variances, columns, rows, each, WIDE=wide, **_BLOCK)
    _NORMALISE(grid, x, out, *operands, means, variances, columns, rows, each, parts, EPS=eps, WIDE=wide, **_BLOCK)
