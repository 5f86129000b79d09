"""softmax and log_softmax over any dimension, and their backward.

A program takes some rows; a row is what is along the dimension, wherever its elements lie. Rows of up to 32768 elements, 1024 where they
are not neighbours, are one block, and their exponentials are computed once. Longer ones are gone through twice, with the largest element
and the sum of exponentials kept up as in Milakov and Gimelshein, Online normalizer calculation for softmax (2018).
"""

import functools
import math
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.sizes import power_of_four, power_of_four_within

_WHOLE = 1 << 15  # elements of a block


@triton.jit
def _forward(
    x, out, rows, length, outer_stride, row_stride, stride,
    WIDE: tl.constexpr, LOG: tl.constexpr, WHOLE: tl.constexpr, AXIS: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr,
):  # fmt: skip
    """`ROWS` rows: program (block of rows, outer index)."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    start = tl.program_id(1).to(tl.int64) * outer_stride + tl.expand_dims(row, AXIS) * row_stride
    if WHOLE:
        i = tl.arange(0, LENGTH).to(tl.int64)
        valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
        place = start + tl.expand_dims(i, 1 - AXIS) * stride
        block = tl.load(x + place, valid, float("-inf")).to(WIDE)
        block -= tl.expand_dims(tl.max(block, AXIS), AXIS)
        exponentials = tl.exp(block)
        total = tl.sum(exponentials, AXIS)
        if LOG:
            tl.store(out + place, block - tl.expand_dims(tl.log(total), AXIS), valid)
        else:
            tl.store(out + place, exponentials * tl.expand_dims(1 / total, AXIS), valid)
    else:
        largest = tl.full((ROWS,), float("-inf"), WIDE)
        total = tl.zeros((ROWS,), WIDE)
        for first in range(0, length, LENGTH):
            i = tl.cast(first, tl.int64) + tl.arange(0, LENGTH)
            valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
            block = tl.load(x + start + tl.expand_dims(i, 1 - AXIS) * stride, valid, float("-inf")).to(WIDE)
            new = tl.maximum(largest, tl.max(block, AXIS))
            # While all elements are -inf they have no distance from the largest, and there is nothing to add up.
            base = tl.where(new == float("-inf"), 0, new)
            total = total * tl.exp(largest - base) + tl.sum(tl.exp(block - tl.expand_dims(base, AXIS)), AXIS)
            largest = new
        for first in range(0, length, LENGTH):
            i = tl.cast(first, tl.int64) + tl.arange(0, LENGTH)
            valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
            place = start + tl.expand_dims(i, 1 - AXIS) * stride
            block = tl.load(x + place, valid, 0).to(WIDE) - tl.expand_dims(largest, AXIS)
            if LOG:
                tl.store(out + place, block - tl.expand_dims(tl.log(total), AXIS), valid)
            else:
                tl.store(out + place, tl.exp(block) * tl.expand_dims(1 / total, AXIS), valid)


@triton.jit
def _backward(
    grad, output, out, rows, length, outer_stride, row_stride, stride,
    WIDE: tl.constexpr, LOG: tl.constexpr, WHOLE: tl.constexpr, AXIS: tl.constexpr, ROWS: tl.constexpr, LENGTH: tl.constexpr,
):  # fmt: skip
    """The gradient of `ROWS` rows from that of their result and the result: program (block of rows, outer index)."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    start = tl.program_id(1).to(tl.int64) * outer_stride + tl.expand_dims(row, AXIS) * row_stride
    if WHOLE:
        i = tl.arange(0, LENGTH).to(tl.int64)
        valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
        place = start + tl.expand_dims(i, 1 - AXIS) * stride
        g = tl.load(grad + place, valid, 0).to(WIDE)
        y = tl.load(output + place, valid, 0).to(WIDE)
        total = tl.expand_dims(tl.sum(g if LOG else g * y, AXIS), AXIS)
        tl.store(out + place, g - tl.exp(y) * total if LOG else y * (g - total), valid)
    else:
        total = tl.zeros((ROWS,), WIDE)
        for first in range(0, length, LENGTH):
            i = tl.cast(first, tl.int64) + tl.arange(0, LENGTH)
            valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
            place = start + tl.expand_dims(i, 1 - AXIS) * stride
            g = tl.load(grad + place, valid, 0).to(WIDE)
            total += tl.sum(g if LOG else g * tl.load(output + place, valid, 0).to(WIDE), AXIS)
        for first in range(0, length, LENGTH):
            i = tl.cast(first, tl.int64) + tl.arange(0, LENGTH)
            valid = (tl.expand_dims(row, AXIS) < rows) & (tl.expand_dims(i, 1 - AXIS) < length)
            place = start + tl.expand_dims(i, 1 - AXIS) * stride
            g = tl.load(grad + place, valid, 0).to(WIDE)
            y = tl.load(output + place, valid, 0).to(WIDE)
            tl.store(out + place, g - tl.exp(y) * tl.expand_dims(total, AXIS) if LOG else y * (g - tl.expand_dims(total, AXIS)), valid)


_FORWARD, _BACKWARD = Kernel(_forward), Kernel(_backward)


@functools.lru_cache(4096)
def _plan(shape: tuple[int, ...], dim: int, dtype: torch.dtype) -> tuple[tuple[int, int], tuple[int, ...], dict[str, Any]] | None:
    """Grid, sizes and constants; None where there is no such dimension."""
    rank = max(len(shape), 1)
    if not -rank <= dim < rank:
        return None
    dim %= rank
    length = shape[dim] if shape else 1
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
    constants: dict[str, Any] = {"WIDE": sum_type(dtype)}
    if inner == 1:
        # A row's elements are neighbours: they are the vectors, and rows of few elements share a program.
        rows, outer, sizes = outer, 1, (outer, length, 0, length, 1)
        elements = min(power_of_four(length), _WHOLE)
        block = min(power_of_four_within(rows), max(1024 // elements, 1), 16)
    else:
        # Neighbours are of different rows: a vector has an element of each.
        rows, sizes = inner, (inner, length, length * inner, 1, inner)
        elements = min(triton.next_power_of_2(max(length, 1)), _WHOLE // 32)
        block = min(power_of_four(inner), 256 if elements <= 64 else 64)
    constants |= {"WHOLE": length <= elements, "AXIS": 1 if inner == 1 else 0, "ROWS": block, "LENGTH": elements}
    return (-(-rows // block), outer), sizes, constants


def _softmax(x: torch.Tensor, dim: int, half_to_float: bool, log: bool) -> Any:
    plan = _plan(x.shape, dim, x.dtype)
    if plan is None or half_to_float or not computed(FLOATS, x):
        return NotImplemented
    out = torch.empty(x.shape, dtype=x.dtype)
    if out.numel():
        grid, sizes, constants = plan
        _FORWARD(grid, copies.contiguous(x), out, *sizes, LOG=log, **constants)
    return out


def _gradient(grad: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype, log: bool) -> Any:
    plan = _plan(output.shape, dim, output.dtype)
    if plan is None or grad.shape != output.shape or not grad.dtype == output.dtype == input_dtype or not computed(FLOATS, grad, output):
        return NotImplemented
    out = torch.empty(output.shape, dtype=output.dtype)
    if out.numel():
        grid, sizes, constants = plan
        _BACKWARD(grid, copies.contiguous(grad), copies.contiguous(output), out, *sizes, LOG=log, **constants)
    return out


def softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> Any:
    """`exp(x) / sum(exp(x))` along `dim`, of x's dtype, contiguous."""
    return _softmax(x, dim, half_to_float, False)


softmax_out = out_form(softmax)


def softmax_backward(grad_output: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype) -> Any:
    """`output * (grad - sum(grad * output))` along `dim`."""
    return _gradient(grad_output, output, dim, input_dtype, False)


softmax_backward_out = out_form(softmax_backward, "grad_input")


def log_softmax(x: torch.Tensor, dim: int, half_to_float: bool) -> Any:
    """`x - log(sum(exp(x)))` along `dim`, of x's dtype, contiguous."""
    return _softmax(x, dim, half_to_float, True)


log_softmax_out = out_form(log_softmax)


def log_softmax_backward(grad_output: torch.Tensor, output: torch.Tensor, dim: int, input_dtype: torch.dtype) -> Any:
    """`grad - exp(output) * sum(grad)` along `dim`."""
    return _gradient(grad_output, output, dim, input_dtype, True)


log_softmax_backward_out = out_form(log_softmax_backward)
