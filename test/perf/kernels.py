"""Kernels of the benchmarks that the tests have no form of with outputs given, and their launches."""

from collections.abc import Callable

import torch
import triton
import triton.language as tl
from kernels.attention import attention_kernel
from kernels.elementwise import add_kernel, unary_kernel
from kernels.matmul import matmul_kernel

Launch = Callable[[], object]


@triton.jit
def empty_kernel(a_ptr, b_ptr, out_ptr, n, scale):
    pass


@triton.jit
def softmax_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    x = tl.load(x_ptr + row + offsets, mask, other=-float("inf"))
    numerator = tl.exp(x - tl.max(x, 0))
    tl.store(out_ptr + row + offsets, numerator / tl.sum(numerator, 0), mask)


@triton.jit
def layer_norm_row_kernel(x_ptr, w_ptr, b_ptr, out_ptr, stride, columns, eps, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    x = tl.load(x_ptr + row + offsets, mask, other=0.0)
    centred = tl.where(mask, x - tl.sum(x, 0) / columns, 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, 0) / columns + eps)
    y = centred * scale * tl.load(w_ptr + offsets, mask) + tl.load(b_ptr + offsets, mask)
    tl.store(out_ptr + row + offsets, y, mask)


@triton.jit
def sum_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * stride + offsets, offsets < columns, other=0.0)
    tl.store(out_ptr + tl.program_id(0), tl.sum(x, 0))


@triton.jit
def argmax_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + tl.program_id(0) * stride + offsets, offsets < columns, other=-float("inf"))
    tl.store(out_ptr + tl.program_id(0), tl.argmax(x, 0))


def add(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor, block: int) -> Launch:
    n = x.numel()
    return lambda: add_kernel[(triton.cdiv(n, block),)](x, y, out, n, BLOCK=block)


def unary(x: torch.Tensor, out: torch.Tensor, op: triton.JITFunction, block: int) -> Launch:
    n = x.numel()
    return lambda: unary_kernel[(triton.cdiv(n, block),)](x, out, n, OP=op, BLOCK=block)


def by_row(kernel: triton.JITFunction, *tensors: torch.Tensor, extra: tuple[float, ...] = ()) -> Launch:
    """`tensors`: the input first."""
    rows, columns = tensors[0].shape
    block = triton.next_power_of_2(columns)
    return lambda: kernel[(rows,)](*tensors, columns, columns, *extra, BLOCK=block)


def matmul(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, blocks: tuple[int, int, int], accumulator: tl.dtype, **options: bool
) -> Launch:
    (m, k), n = a.shape, b.shape[1]
    grid = (triton.cdiv(m, blocks[0]) * triton.cdiv(n, blocks[1]),)
    sizes = dict(zip(("BLOCK_M", "BLOCK_N", "BLOCK_K"), blocks, strict=True))
    strides = (*a.stride(), *b.stride(), *c.stride())
    return lambda: matmul_kernel[grid](a, b, c, m, n, k, *strides, **sizes, GROUP=4, ACCUMULATOR=accumulator, EPILOGUE=None, **options)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor, log_sum: torch.Tensor, causal: bool, blocks: tuple[int, int]
) -> Launch:
    batch, heads, length, dim = q.shape
    strides = [t.stride(i) for t in (q, k, v, out) for i in (1, 2)]
    grid = (triton.cdiv(length, blocks[0]), batch * heads)
    sizes = {"CAUSAL": causal, "DIM": dim, "BLOCK_M": blocks[0], "BLOCK_N": blocks[1]}
    return lambda: attention_kernel[grid](q, k, v, out, log_sum, dim**-0.5, *strides, length, **sizes)
