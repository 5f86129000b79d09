"""Attention, forward: a block of queries a program, an online softmax over blocks of keys.

Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.attention.problem import SIZES, blocks, problem
from triton_spacemit.ops.attention.single import BLOCK_N, is_single, single
from triton_spacemit.ops.launching import Kernel


@triton.jit(do_not_specialize=[*SIZES, "out_batch", "out_head"])
def _attention(
    q,
    k,
    v,
    mask,
    out,
    logsumexp,
    scale: tl.float64,
    q_batch,
    q_head,
    q_row,
    q_dim,
    k_batch,
    k_head,
    k_row,
    k_dim,
    v_batch,
    v_head,
    v_row,
    v_dim,
    mask_batch,
    mask_head,
    mask_row,
    mask_key,
    out_batch,
    out_head,
    out_row,
    out_dim,
    queries,
    keys,
    heads,
    group,
    CAUSAL: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SUM: tl.constexpr,
):
    """Queries are in groups of `group` heads to one head of keys. `logsumexp` is (batch, queries, heads), contiguous."""
    first = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1).to(tl.int64)
    batch = tl.program_id(2).to(tl.int64)
    rows = first + tl.arange(0, BLOCK_M)
    wide_rows = rows.to(tl.int64)
    d = tl.arange(0, BLOCK_DIM).to(tl.int64)
    q += batch * q_batch + head * q_head
    k += batch * k_batch + head // group * k_head
    v += batch * v_batch + head // group * v_head
    if mask is not None:
        mask += batch * mask_batch + head * mask_head
    query = tl.load(q + wide_rows[:, None] * q_row + d[None, :] * q_dim, (rows[:, None] < queries) & (d[None, :] < DIM), 0)
    factor = (scale * 1.4426950408889634).to(SUM)  # powers of 2 from here on
    largest = tl.full((BLOCK_M,), -float("inf"), SUM)
    total = tl.zeros((BLOCK_M,), SUM)
    sums = tl.zeros((BLOCK_M, BLOCK_DIM), SUM)
    end = tl.minimum(first + BLOCK_M, keys) if CAUSAL else keys
    for start in range(0, end, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        wide_n = n.to(tl.int64)
        key = tl.load(k + wide_n[None, :] * k_row + d[:, None] * k_dim, (n[None, :] < keys) & (d[:, None] < DIM), 0)
        scores = tl.dot(query, key, out_dtype=SUM) * factor
        if mask is not None:
            bias = tl.load(
                mask + wide_rows[:, None] * mask_row + wide_n[None, :] * mask_key, (rows[:, None] < queries) & (n[None, :] < keys), 0
            )
            scores += bias.to(SUM) * 1.4426950408889634
        visible = n[None, :] < keys
        if CAUSAL:
            visible = visible & (n[None, :] <= rows[:, None])
        scores = tl.where(visible, scores, -float("inf"))
        new = tl.maximum(largest, tl.max(scores, 1))
        finite = tl.where(new == -float("inf"), 0, new)  # a row of which nothing is visible yet
        weights = tl.exp2(scores - finite[:, None])
        correction = tl.exp2(largest - finite)
        total = total * correction + tl.sum(weights, 1)
        value = tl.load(v + wide_n[:, None] * v_row + d[None, :] * v_dim, (n[:, None] < keys) & (d[None, :] < DIM), 0)
        sums = tl.dot(weights.to(value.dtype), value, sums * correction[:, None], out_dtype=SUM)
        largest = new
    # PyTorch gives 0 for a row without a visible key, and 0 as its logarithm.
    empty = (largest == -float("inf")) & (total == 0)
    log = tl.where(empty, 0, (largest + tl.log2(total)) * 0.6931471805599453)
    tl.store(logsumexp + (batch * queries + wide_rows) * heads + head, log, rows < queries)
    result = sums / tl.where(empty, 1, total)[:, None]
    out += batch * out_batch + head * out_head
    places = out + wide_rows[:, None] * out_row + d[None, :] * out_dim
    tl.store(places, result.to(out.dtype.element_ty), (rows[:, None] < queries) & (d[None, :] < DIM))


_KERNEL = Kernel(_attention)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> Any:
    """`softmax(query key^T * scale + attn_mask) value`, and the logarithm of the sum of exponentials of each row.

    query: (batch, heads, queries, dim); key, value: (batch, heads of keys, keys, dim), of the same dtype, where the number of heads is a
    multiple of that of keys; attn_mask: floating point, (queries, keys) or four dimensions, broadcast. Returns a tensor like `query` and a
    (batch, heads, queries) one, float32, or float64 of float64.
    """
    p = problem(query, key, value, dropout_p, is_causal, attn_mask, scale)
    if p is None:
        return NotImplemented
    out = torch.empty_like(query)
    logsumexp = query.new_empty(p.batch, p.queries, p.heads, dtype=p.sums)
    if p.keys == 0:
        out.zero_()
        logsumexp.zero_()
    elif out.numel():
        arguments = (
            p.query,
            p.key,
            p.value,
            p.mask,
            out,
            logsumexp,
            p.scale,
            *p.strides,
            *out.stride(),
            p.queries,
            p.keys,
            p.heads,
            p.group,
        )
        if is_single(p):
            single((p.heads, p.batch), *arguments, **p.constants, BLOCK_N=BLOCK_N)
        else:
            sizes = blocks(p)
            _KERNEL((-(-p.queries // sizes["BLOCK_M"]), p.heads, p.batch), *arguments, **p.constants, **sizes)
    return out, logsumexp.transpose(1, 2)
