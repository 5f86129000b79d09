"""Layer and RMS norm of rows whose elements are neighbours and have a weight each: a program takes its rows one by one."""

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.sizes import power_of_two

WHOLE = 4096  # elements of a row that are one block


@triton.jit
def _forward(
    x, out, weight, bias, mean, rstd, rows, inner, rows_each,
    EPS: tl.constexpr, RMS: tl.constexpr, WIDE: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Of rows that are one block each."""
    j = tl.arange(0, INNER)
    begin = tl.program_id(0).to(tl.int64) * rows_each
    for row in range(begin, tl.minimum(begin + rows_each, rows)):
        block = tl.load(x + row * inner + j, j < inner, 0).to(WIDE)
        if not RMS:
            shift = tl.sum(block, 0) / inner
            block = tl.where(j < inner, block - shift, 0)
        scale = 1 / tl.sqrt(tl.sum(block * block, 0) / inner + EPS)
        block *= scale
        if weight is not None:
            block *= tl.load(weight + j, j < inner, 0).to(WIDE)
        if bias is not None:
            block += tl.load(bias + j, j < inner, 0).to(WIDE)
        # The elements first: with a store before it, the row would have to be kept.
        tl.store(out + row * inner + j, block, j < inner)
        if not RMS:
            tl.store(mean + row, shift)
        tl.store(rstd + row, scale)


@triton.jit
def _row_part(grad, x, weight, j, row, inner, shift, scale, WIDE: tl.constexpr):
    """Of a part of a row: gradients, the same with weights, and normalised elements."""
    g = tl.load(grad + row * inner + j, j < inner, 0).to(WIDE)
    element = tl.where(j < inner, (tl.load(x + row * inner + j, j < inner, 0).to(WIDE) - shift) * scale, 0)
    weighted = g
    if weight is not None:
        weighted = g * tl.load(weight + j, j < inner, 0).to(WIDE)
    return g, weighted, element


@triton.jit
def _row_results(
    grad, x, weight, j, row, inner, shift, scale, mean, mean_product, out, weight_sums, bias_sums, WIDE: tl.constexpr
):  # fmt: skip
    """Write the gradients of a part of a row and add to the sums for the weights. What a store may have changed is read anew."""
    own = tl.program_id(0).to(tl.int64) * inner + j
    if out is not None:
        _, weighted, element = _row_part(grad, x, weight, j, row, inner, shift, scale, WIDE)
        tl.store(out + row * inner + j, (weighted - mean - element * mean_product) * scale, j < inner)
    if weight_sums is not None:
        g, _, element = _row_part(grad, x, weight, j, row, inner, shift, scale, WIDE)
        tl.store(weight_sums + own, tl.load(weight_sums + own, j < inner, 0) + g * element, j < inner)
    if bias_sums is not None:
        g = tl.load(grad + row * inner + j, j < inner, 0).to(WIDE)
        tl.store(bias_sums + own, tl.load(bias_sums + own, j < inner, 0) + g, j < inner)


@triton.jit
def _backward(
    grad, x, weight, mean, rstd, out, weight_sums, bias_sums, rows, inner, rows_each,
    RMS: tl.constexpr, WIDE: tl.constexpr, WHOLE: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """Gradients of `rows_each` rows that are groups, each element with a weight of its own. The sums [program, inner] are 0 at first."""
    begin = tl.program_id(0).to(tl.int64) * rows_each
    for row in range(begin, tl.minimum(begin + rows_each, rows)):
        scale = tl.load(rstd + row).to(WIDE)
        shift = tl.cast(0, WIDE)
        if not RMS:
            shift = tl.load(mean + row).to(WIDE)
        if WHOLE:
            j = tl.arange(0, INNER)
            g, weighted, element = _row_part(grad, x, weight, j, row, inner, shift, scale, WIDE)
            product = tl.sum(weighted * element, 0) / inner
            total = tl.sum(weighted, 0) / inner
            if RMS:
                total = tl.cast(0, WIDE)
            _row_results(grad, x, weight, j, row, inner, shift, scale, total, product, out, weight_sums, bias_sums, WIDE)
        else:
            total = tl.cast(0, WIDE)
            product = tl.cast(0, WIDE)
            for first in range(0, inner, INNER):
                g, weighted, element = _row_part(grad, x, weight, first + tl.arange(0, INNER), row, inner, shift, scale, WIDE)
                product += tl.sum(weighted * element, 0)
                if not RMS:
                    total += tl.sum(weighted, 0)
            product /= inner
            total /= inner
            for first in range(0, inner, INNER):
                j = first + tl.arange(0, INNER)
                _row_results(grad, x, weight, j, row, inner, shift, scale, total, product, out, weight_sums, bias_sums, WIDE)


_FORWARD, _BACKWARD = Kernel(_forward), Kernel(_backward)


def programs(count: int) -> int:
    """Over how many programs so many rows are spread."""
    return -(-count // _each(count))


def _each(count: int) -> int:
    return -(-count // min(count, 4 * knobs.num_threads))


def forward(
    x: torch.Tensor, out: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, mean: torch.Tensor | None,
    rstd: torch.Tensor | None, count: int, inner: int, eps: float, rms: bool,
) -> None:  # fmt: skip
    """Write the normalised elements of `count` rows of up to `WHOLE` elements, and mean and rstd of each."""
    _FORWARD(
        (programs(count),), x, out, weight, bias, mean, rstd, count, inner, _each(count),
        EPS=eps, RMS=rms, WIDE=sum_type(x.dtype), INNER=power_of_two(inner),
    )  # fmt: skip


def backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor | None, mean: torch.Tensor | None, rstd: torch.Tensor,
    out: torch.Tensor | None, weight_sums: torch.Tensor | None, bias_sums: torch.Tensor | None, count: int, inner: int, rms: bool,
) -> None:  # fmt: skip
    """Write the gradients of rows of any length, and add each program's sums for the weights to [programs, inner]."""
    _BACKWARD(
        (programs(count),), grad, x, weight, mean, rstd, out, weight_sums, bias_sums, count, inner, _each(count),
        RMS=rms, WIDE=sum_type(x.dtype), WHOLE=inner <= WHOLE, INNER=min(power_of_two(inner), WHOLE),
    )  # fmt: skip
