"""Fused attention, forward: one block of queries a program, an online softmax over blocks of keys."""

import torch
import triton
import triton.language as tl
from kernels.case import Case, epsilon, random


@triton.jit
def attention_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    log_sum_ptr,
    scale,
    stride_qh,
    stride_qm,
    stride_kh,
    stride_kn,
    stride_vh,
    stride_vn,
    stride_oh,
    stride_om,
    length,
    CAUSAL: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    first = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1)
    rows = first + tl.arange(0, BLOCK_M)
    columns = tl.arange(0, BLOCK_N)
    d = tl.arange(0, DIM)
    q = tl.load(q_ptr + head * stride_qh + rows[:, None] * stride_qm + d[None, :], rows[:, None] < length, other=0.0)
    k_ptrs = k_ptr + head * stride_kh + columns[None, :] * stride_kn + d[:, None]
    v_ptrs = v_ptr + head * stride_vh + columns[:, None] * stride_vn + d[None, :]
    largest = tl.full((BLOCK_M,), -float("inf"), tl.float32)
    total = tl.zeros((BLOCK_M,), tl.float32)
    accumulator = tl.zeros((BLOCK_M, DIM), tl.float32)
    scale *= 1.4426950408889634  # powers of 2 from here on
    if CAUSAL:
        end = tl.minimum(first + BLOCK_M, length)
    else:
        end = length
    for start in range(0, end, BLOCK_N):
        keys = start + columns
        k = tl.load(k_ptrs + start * stride_kn, keys[None, :] < length, other=0.0)
        v = tl.load(v_ptrs + start * stride_vn, keys[:, None] < length, other=0.0)
        visible = keys[None, :] < length
        if CAUSAL:
            visible = visible & (keys[None, :] <= rows[:, None])
        scores = tl.where(visible, tl.dot(q, k) * scale, -float("inf"))
        new_largest = tl.maximum(largest, tl.max(scores, 1))
        p = tl.exp2(scores - new_largest[:, None])
        correction = tl.exp2(largest - new_largest)
        total = total * correction + tl.sum(p, 1)
        accumulator = tl.dot(p.to(v.dtype), v, accumulator * correction[:, None])
        largest = new_largest
    tl.store(log_sum_ptr + head * length + rows, largest + tl.log2(total), rows < length)
    out = accumulator / total[:, None]
    out_ptrs = out_ptr + head * stride_oh + rows[:, None] * stride_om + d[None, :]
    tl.store(out_ptrs, out.to(out_ptr.dtype.element_ty), rows[:, None] < length)


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False, blocks: tuple[int, int] = (32, 32)) -> torch.Tensor:
    """Of contiguous [batch, heads, length, dim] tensors, `dim` a power of two."""
    batch, heads, length, dim = q.shape
    out = torch.empty_like(q)
    log_sum = torch.empty(batch, heads, length, dtype=torch.float32)
    strides = [t.stride(i) for t in (q, k, v, out) for i in (1, 2)]
    attention_kernel[(triton.cdiv(length, blocks[0]), batch * heads)](
        q, k, v, out, log_sum, dim**-0.5, *strides, length, CAUSAL=causal, DIM=dim, BLOCK_M=blocks[0], BLOCK_N=blocks[1]
    )
    return out


def _weights(q: torch.Tensor, k: torch.Tensor, causal: bool) -> torch.Tensor:
    scores = q.double() @ k.double().transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -float("inf"))
    return torch.softmax(scores, -1)


def reference(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False) -> torch.Tensor:
    return _weights(q, k, causal) @ v.double()


def bound(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """Scores have an absolute error of float32 dot products, which exp turns into a relative one of the weights; these are rounded to
    the type of v; numerator and denominator are sums of `length` terms; then the result's own rounding.
    """
    size = (q.double().abs() @ k.double().abs().transpose(-1, -2)).amax() * q.shape[-1] ** -0.5
    relative = epsilon(torch.float32) * (2 * size * (q.shape[-1] + 3) + 2 * q.shape[-2] + 16) + epsilon(v.dtype)
    exact = reference(q, k, v, causal)
    return _weights(q, k, causal) @ v.double().abs() * relative + exact.abs() * epsilon(q.dtype)


def inputs(
    dtype: torch.dtype = torch.float32, size: tuple[int, int, int, int] = (1, 2, 100, 32), seed: int = 0
) -> tuple[torch.Tensor, ...]:
    return tuple(random(*size, dtype=dtype, seed=seed + i) for i in range(3))


ATTENTION = Case("attention", attention, reference, inputs, bound)
ATTENTION_CAUSAL = Case("attention_causal", attention, reference, lambda **kwargs: (*inputs(**kwargs), True), bound)
CASES = (ATTENTION, ATTENTION_CAUSAL)
