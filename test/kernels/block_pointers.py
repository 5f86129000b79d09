"""Kernels with block pointers: copies with every kind of padding, and a matrix product that advances them in a loop."""

import torch
import triton
import triton.language as tl
from kernels import matmul
from kernels.case import Case, exact, random


@triton.jit
def load_block(block, PADDING: tl.constexpr):
    return tl.load(block, boundary_check=(0, 1), padding_option=PADDING)


@triton.jit
def pad_kernel(x_ptr, out_ptr, rows, columns, row_stride, column_stride, PADDING: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """A frame of one element on the top left and all that fits into the block on the bottom right is padding."""
    x = tl.make_block_ptr(x_ptr, (rows, columns), (row_stride, column_stride), (-1, -1), (ROWS, COLUMNS), (1, 0))
    out = tl.make_block_ptr(out_ptr, (ROWS, COLUMNS), (COLUMNS, 1), (0, 0), (ROWS, COLUMNS), (1, 0))
    tl.store(out, load_block(x, PADDING))


def pad(x: torch.Tensor, padding: str, block: tuple[int, int] = (32, 64)) -> torch.Tensor:
    out = torch.empty(block, dtype=x.dtype)
    pad_kernel[(1,)](x, out, *x.shape, *x.stride(), PADDING=padding, ROWS=block[0], COLUMNS=block[1])
    return out


def pad_reference(x: torch.Tensor, padding: str, block: tuple[int, int] = (32, 64)) -> torch.Tensor:
    value = {"": 0.0, "zero": 0.0, "nan": float("nan"), "inf": float("inf"), "neg_inf": -float("inf")}[padding]
    rows, columns = x.shape
    return torch.nn.functional.pad(x, (1, block[1] - columns - 1, 1, block[0] - rows - 1), value=value)


@triton.jit
def matmul_kernel(
    a_ptr,
    b_ptr,
    c_ptr,
    M,
    N,
    K,
    stride_am,
    stride_ak,
    stride_bk,
    stride_bn,
    stride_cm,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    m = tl.program_id(0) * BLOCK_M
    n = tl.program_id(1) * BLOCK_N
    a_block = tl.make_block_ptr(a_ptr, (M, K), (stride_am, stride_ak), (m, 0), (BLOCK_M, BLOCK_K), (1, 0))
    b_block = tl.make_block_ptr(
        b_ptr, shape=(K, N), strides=(stride_bk, stride_bn), offsets=(0, n), block_shape=(BLOCK_K, BLOCK_N), order=(0, 1)
    )
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for _ in range(0, K, BLOCK_K):
        a = load_block(a_block, "zero")
        b = tl.load(b_block, boundary_check=(0, 1), padding_option="zero")
        accumulator = tl.dot(a, b, accumulator)
        a_block = tl.advance(a_block, (0, BLOCK_K))
        b_block = tl.advance(b_block, (BLOCK_K, 0))
    c_block = tl.make_block_ptr(c_ptr, (M, N), (stride_cm, 1), (m, n), (BLOCK_M, BLOCK_N), (1, 0))
    tl.store(c_block, accumulator.to(c_block.dtype.element_ty), boundary_check=(0, 1))


def matmul_blocks(a: torch.Tensor, b: torch.Tensor, blocks: tuple[int, int, int] = (64, 64, 32)) -> torch.Tensor:
    (m, k), n = a.shape, b.shape[1]
    c = torch.empty((m, n), dtype=a.dtype)
    grid = (triton.cdiv(m, blocks[0]), triton.cdiv(n, blocks[1]))
    strides = (*a.stride(), *b.stride(), c.stride(0))
    matmul_kernel[grid](a, b, c, m, n, k, *strides, BLOCK_M=blocks[0], BLOCK_N=blocks[1], BLOCK_K=blocks[2])
    return c


@triton.jit
def reverse_blocks_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """Walks down a vector from behind its end: one pointer moves in a loop inside an `if`, with negative offsets."""
    source = tl.make_block_ptr(x_ptr, (n,), (1,), (0,), (BLOCK,), (0,))
    target = tl.make_block_ptr(out_ptr, (n,), (1,), (0,), (BLOCK,), (0,))
    blocks = tl.cdiv(n, BLOCK)
    if blocks > 1:
        source = tl.advance(source, ((blocks - 1) * BLOCK,))
    for _ in range(blocks):
        tl.store(target, tl.load(source, boundary_check=(0,)), boundary_check=(0,))
        source = tl.advance(source, (-BLOCK,))
        target = tl.advance(target, (BLOCK,))


def reverse_blocks(x: torch.Tensor, block: int = 16) -> torch.Tensor:
    """The blocks of `x`, whose length is a multiple of `block`, in reverse."""
    out = torch.empty_like(x)
    reverse_blocks_kernel[(1,)](x, out, x.numel(), BLOCK=block)
    return out


PAD = Case(
    "block_pointer_pad",
    pad,
    pad_reference,
    lambda dtype=torch.float32, size=(21, 40), seed=0, padding="nan": (random(*size, dtype=dtype, seed=seed), padding),
    exact,
)
MATMUL_BLOCKS = Case("matmul_block_pointers", matmul_blocks, matmul.reference, matmul.inputs, matmul.bound)
REVERSE_BLOCKS = Case(
    "block_pointer_reverse",
    reverse_blocks,
    lambda x: x.reshape(-1, 16).flip(0).reshape(-1),
    lambda dtype=torch.float32, size=96, seed=0: (random(size, dtype=dtype, seed=seed),),
    exact,
)
CASES = (PAD, MATMUL_BLOCKS, REVERSE_BLOCKS)
