"""Attention, backward: the gradients of queries by blocks of queries, then those of keys and values by blocks of keys.

Weights are computed again from the logarithms that the forward pass left. With `P = exp(scores - logsumexp)` and `G` the gradient of the
output, `dV = P^T G`, `dS = P * (G V^T - rowsum(G * output))`, `dQ = scale dS K`, `dK = scale dS^T Q`. Dao, "FlashAttention-2", 2023.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.attention.problem import SIZES, blocks, problem
from triton_spacemit.ops.launching import Kernel

_GRADIENT_SIZES = [*SIZES, "g_batch", "g_head", "log_batch", "log_head"]


@triton.jit(do_not_specialize=[*_GRADIENT_SIZES, "out_batch", "out_head"])
def _gradient_of_queries(
    q,
    k,
    v,
    mask,
    out,
    gradient,
    logsumexp,
    q_gradient,
    products,
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
    g_batch,
    g_head,
    g_row,
    g_dim,
    log_batch,
    log_head,
    log_row,
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
    """Also stores the rows' `products`, sum(gradient * out), as (batch, heads, queries)."""
    first = tl.program_id(0) * BLOCK_M
    head = tl.program_id(1).to(tl.int64)
    batch = tl.program_id(2).to(tl.int64)
    rows = first + tl.arange(0, BLOCK_M)
    wide_rows = rows.to(tl.int64)
    d = tl.arange(0, BLOCK_DIM).to(tl.int64)
    q += batch * q_batch + head * q_head
    k += batch * k_batch + head // group * k_head
    v += batch * v_batch + head // group * v_head
    out += batch * out_batch + head * out_head
    gradient += batch * g_batch + head * g_head
    if mask is not None:
        mask += batch * mask_batch + head * mask_head
    inside = (rows[:, None] < queries) & (d[None, :] < DIM)
    query = tl.load(q + wide_rows[:, None] * q_row + d[None, :] * q_dim, inside, 0)
    g = tl.load(gradient + wide_rows[:, None] * g_row + d[None, :] * g_dim, inside, 0)
    result = tl.load(out + wide_rows[:, None] * out_row + d[None, :] * out_dim, inside, 0)
    product = tl.sum(g.to(SUM) * result.to(SUM), 1)
    tl.store(products + (batch * heads + head) * queries + rows, product, rows < queries)
    log = tl.load(logsumexp + batch * log_batch + head * log_head + wide_rows * log_row, rows < queries, 0) * 1.4426950408889634
    factor = scale.to(SUM)
    sums = tl.zeros((BLOCK_M, BLOCK_DIM), SUM)
    end = tl.minimum(first + BLOCK_M, keys) if CAUSAL else keys
    for start in range(0, end, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        wide_n = n.to(tl.int64)
        inside_columns = (n[None, :] < keys) & (d[:, None] < DIM)
        key_columns = tl.load(k + wide_n[None, :] * k_row + d[:, None] * k_dim, inside_columns, 0)
        value_columns = tl.load(v + wide_n[None, :] * v_row + d[:, None] * v_dim, inside_columns, 0)
        scores = tl.dot(query, key_columns, out_dtype=SUM) * (factor * 1.4426950408889634)
        if mask is not None:
            bias = tl.load(
                mask + wide_rows[:, None] * mask_row + wide_n[None, :] * mask_key, (rows[:, None] < queries) & (n[None, :] < keys), 0
            )
            scores += bias.to(SUM) * 1.4426950408889634
        visible = n[None, :] < keys
        if CAUSAL:
            visible = visible & (n[None, :] <= rows[:, None])
        weights = tl.where(visible, tl.exp2(scores - log[:, None]), 0)
        change = weights * (tl.dot(g, value_columns, out_dtype=SUM) - product[:, None])
        key = tl.load(k + wide_n[:, None] * k_row + d[None, :] * k_dim, (n[:, None] < keys) & (d[None, :] < DIM), 0)
        sums = tl.dot(change.to(key.dtype), key, sums, out_dtype=SUM)
    row = (batch * queries + wide_rows) * heads + head
    tl.store(q_gradient + row[:, None] * DIM + d[None, :], (sums * factor).to(q_gradient.dtype.element_ty), inside)


@triton.jit(do_not_specialize=_GRADIENT_SIZES)
def _gradients_of_keys(
    q,
    k,
    v,
    mask,
    gradient,
    logsumexp,
    products,
    k_gradient,
    v_gradient,
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
    g_batch,
    g_head,
    g_row,
    g_dim,
    log_batch,
    log_head,
    log_row,
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
    """Blocks of scores lie across, keys by queries, so that no product's first operand is a transpose."""
    first = tl.program_id(0) * BLOCK_N
    key_head = tl.program_id(1).to(tl.int64)
    batch = tl.program_id(2).to(tl.int64)
    n = first + tl.arange(0, BLOCK_N)
    wide_n = n.to(tl.int64)
    d = tl.arange(0, BLOCK_DIM).to(tl.int64)
    inside = (n[:, None] < keys) & (d[None, :] < DIM)
    key = tl.load(k + batch * k_batch + key_head * k_head + wide_n[:, None] * k_row + d[None, :] * k_dim, inside, 0)
    value = tl.load(v + batch * v_batch + key_head * v_head + wide_n[:, None] * v_row + d[None, :] * v_dim, inside, 0)
    factor = scale.to(SUM)
    key_sums = tl.zeros((BLOCK_N, BLOCK_DIM), SUM)
    value_sums = tl.zeros((BLOCK_N, BLOCK_DIM), SUM)
    begin = first // BLOCK_M * BLOCK_M if CAUSAL else 0  # queries before the first key see none of this block
    for head in range(key_head * group, (key_head + 1) * group):
        for start in range(begin, queries, BLOCK_M):
            rows = start + tl.arange(0, BLOCK_M)
            wide_rows = rows.to(tl.int64)
            q_head_base = q + batch * q_batch + head * q_head
            g_head_base = gradient + batch * g_batch + head * g_head
            inside_columns = (rows[None, :] < queries) & (d[:, None] < DIM)
            query_columns = tl.load(q_head_base + wide_rows[None, :] * q_row + d[:, None] * q_dim, inside_columns, 0)
            g_columns = tl.load(g_head_base + wide_rows[None, :] * g_row + d[:, None] * g_dim, inside_columns, 0)
            log = tl.load(logsumexp + batch * log_batch + head * log_head + wide_rows * log_row, rows < queries, 0) * 1.4426950408889634
            product = tl.load(products + (batch * heads + head) * queries + wide_rows, rows < queries, 0)
            scores = tl.dot(key, query_columns, out_dtype=SUM) * (factor * 1.4426950408889634)
            visible = (rows[None, :] < queries) & (n[:, None] < keys)
            if mask is not None:
                mask_base = mask + batch * mask_batch + head * mask_head
                bias = tl.load(mask_base + wide_rows[None, :] * mask_row + wide_n[:, None] * mask_key, visible, 0)
                scores += bias.to(SUM) * 1.4426950408889634
            if CAUSAL:
                visible = visible & (n[:, None] <= rows[None, :])
            weights = tl.where(visible, tl.exp2(scores - log[None, :]), 0)
            inside_rows = (rows[:, None] < queries) & (d[None, :] < DIM)
            g = tl.load(g_head_base + wide_rows[:, None] * g_row + d[None, :] * g_dim, inside_rows, 0)
            value_sums = tl.dot(weights.to(g.dtype), g, value_sums, out_dtype=SUM)
            change = weights * (tl.dot(value, g_columns, out_dtype=SUM) - product[None, :])
            query = tl.load(q_head_base + wide_rows[:, None] * q_row + d[None, :] * q_dim, inside_rows, 0)
            key_sums = tl.dot(change.to(query.dtype), query, key_sums, out_dtype=SUM)
    row = ((batch * keys + wide_n) * (heads // group) + key_head)[:, None] * DIM + d[None, :]
    tl.store(k_gradient + row, (key_sums * factor).to(k_gradient.dtype.element_ty), inside)
    tl.store(v_gradient + row, value_sums.to(v_gradient.dtype.element_ty), inside)


_QUERIES = Kernel(_gradient_of_queries)
_KEYS = Kernel(_gradients_of_keys)


def attention_backward(
    grad_out: torch.Tensor | None,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> Any:
    """The gradients of query, key and value, in their dtype, from that of `attention`'s first result and from both results."""
    if grad_out is None:  # PyTorch's undefined tensor, for a gradient of zero
        return None, None, None
    p = problem(query, key, value, dropout_p, is_causal, attn_mask, scale)
    if p is None or not grad_out.shape == out.shape == query.shape or not grad_out.dtype == out.dtype == query.dtype:
        return NotImplemented
    if logsumexp.shape != query.shape[:3] or logsumexp.dtype != p.sums:
        return NotImplemented
    query_gradient = query.new_empty(p.batch, p.queries, p.heads, p.dim)
    key_gradient, value_gradient = (key.new_empty(p.batch, p.keys, key.shape[1], p.dim) for _ in range(2))
    if query.numel() and p.keys:
        products = query.new_empty(p.batch, p.heads, p.queries, dtype=p.sums)
        constants = p.constants | blocks(p, backward=True)
        ends = (*grad_out.stride(), *logsumexp.stride(), p.queries, p.keys, p.heads, p.group)
        _QUERIES(
            (-(-p.queries // constants["BLOCK_M"]), p.heads, p.batch),
            *(p.query, p.key, p.value, p.mask, out, grad_out, logsumexp, query_gradient, products),
            *(p.scale, *p.strides, *out.stride(), *ends),
            **constants,
        )
        _KEYS(
            (-(-p.keys // constants["BLOCK_N"]), key.shape[1], p.batch),
            *(p.query, p.key, p.value, p.mask, grad_out, logsumexp, products, key_gradient, value_gradient),
            *(p.scale, *p.strides, *ends),
            **constants,
        )
    else:
        for gradient in (query_gradient, key_gradient, value_gradient):
            gradient.zero_()
    return query_gradient.transpose(1, 2), key_gradient.transpose(1, 2), value_gradient.transpose(1, 2)
