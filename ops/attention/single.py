"""Attention of one query: keys and values are read once, row by row; a product of blocks would bring keys into its own order first."""

import triton
import triton.language as tl

from triton_spacemit.ops.attention.problem import SIZES, Problem
from triton_spacemit.ops.launching import Kernel

BLOCK_N = 32  # keys whose scores are computed at a time


@triton.jit
def _more_keys(
    query,
    k,
    v,
    mask,
    start,
    end,
    factor,
    k_row,
    k_dim,
    v_row,
    v_dim,
    mask_key,
    largest,
    total,
    sums,
    d,
    ALL: tl.constexpr,
    BLOCK_N: tl.constexpr,
    DIM: tl.constexpr,
):
    """The online softmax with BLOCK_N more keys; ALL: none of them is behind the end."""
    n = start + tl.arange(0, BLOCK_N)
    wide_n = n.to(tl.int64)
    if ALL:
        visible = tl.full((BLOCK_N,), True, tl.int1)
        inside = tl.full((BLOCK_N, 1), True, tl.int1) & (d[None, :] < DIM)
    else:
        visible = n < end
        inside = visible[:, None] & (d[None, :] < DIM)
    key = tl.load(k + wide_n[:, None] * k_row + d[None, :] * k_dim, inside, 0).to(query.dtype)
    scores = tl.sum(key * query[None, :], 1) * factor
    if mask is not None:
        scores += tl.load(mask + wide_n * mask_key, visible, 0).to(query.dtype) * 1.4426950408889634
    if not ALL:
        scores = tl.where(visible, scores, -float("inf"))
    new = tl.maximum(largest, tl.max(scores, 0))
    finite = tl.where(new == -float("inf"), 0, new)  # nothing is visible yet
    weights = tl.exp2(scores - finite)
    correction = tl.exp2(largest - finite)
    value = tl.load(v + wide_n[:, None] * v_row + d[None, :] * v_dim, inside, 0).to(query.dtype)
    return new, total * correction + tl.sum(weights, 0), sums * correction + tl.sum(weights[:, None] * value, 0)


@triton.jit(do_not_specialize=[*SIZES, "out_batch", "out_head"])
def _attention_of_one(
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
    BLOCK_N: tl.constexpr,
    SUM: tl.constexpr,
):
    """The arguments of `forward._attention`, of which those of rows of queries are not used."""
    head = tl.program_id(0).to(tl.int64)
    batch = tl.program_id(1).to(tl.int64)
    d = tl.arange(0, BLOCK_DIM).to(tl.int64)
    k += batch * k_batch + head // group * k_head
    v += batch * v_batch + head // group * v_head
    if mask is not None:
        mask += batch * mask_batch + head * mask_head
    query = tl.load(q + batch * q_batch + head * q_head + d * q_dim, d < DIM, 0).to(SUM)
    factor = (scale * 1.4426950408889634).to(SUM)  # powers of 2 from here on
    largest = tl.full((), -float("inf"), SUM)
    total = tl.zeros((), SUM)
    sums = tl.zeros((BLOCK_DIM,), SUM)
    end = tl.minimum(1, keys) if CAUSAL else keys
    whole = end // BLOCK_N * BLOCK_N
    for start in range(0, whole, BLOCK_N):
        largest, total, sums = _more_keys(
            query, k, v, mask, start, end, factor, k_row, k_dim, v_row, v_dim, mask_key, largest, total, sums, d, True, BLOCK_N, DIM
        )
    if whole < end:
        largest, total, sums = _more_keys(
            query, k, v, mask, whole, end, factor, k_row, k_dim, v_row, v_dim, mask_key, largest, total, sums, d, False, BLOCK_N, DIM
        )
    empty = (largest == -float("inf")) & (total == 0)
    tl.store(logsumexp + batch * heads + head, tl.where(empty, 0, (largest + tl.log2(total)) * 0.6931471805599453))
    result = sums / tl.where(empty, 1, total)
    tl.store(out + batch * out_batch + head * out_head + d * out_dim, result.to(out.dtype.element_ty), d < DIM)


single = Kernel(_attention_of_one)


def is_single(p: Problem) -> bool:
    """Whether there is one query, and keys and values are rows in memory."""
    return p.queries == 1 and p.key.stride(3) == p.value.stride(3) == 1
