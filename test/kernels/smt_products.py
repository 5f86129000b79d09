"""Products in packed tiles, in the style of SpacemiT's kernel library."""

import triton
import triton.language as tl
import triton.language.extra.smt as smt


@triton.jit
def silu(x):
    return x / (1 + tl.exp(-x))


@triton.jit
def product(
    a_ptr, b_ptr, bias_ptr, c_ptr, alpha, beta, M, N, K, stride_az, stride_am, stride_ak, stride_bz, stride_bk, stride_bn, stride_cz,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, SUB_M: tl.constexpr, SUB_N: tl.constexpr, SUB_K: tl.constexpr,
    MICRO_M: tl.constexpr, MICRO_K: tl.constexpr, MICRO_N: tl.constexpr, PATH: tl.constexpr, EPILOGUE: tl.constexpr,
):  # fmt: skip
    """C[z] = A[z] @ B[z], contiguous C, by one of the four paths; with an epilogue of `addmm` or `silu`."""
    pid_m, pid_n, pid_z = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row, column = pid_m * BLOCK_M, pid_n * BLOCK_N
    element: tl.constexpr = a_ptr.dtype.element_ty
    total: tl.constexpr = tl.int32 if element == tl.int8 else element
    a_block = tl.make_block_ptr(a_ptr + pid_z * stride_az, (M, K), (stride_am, stride_ak), (row, 0), (BLOCK_M, BLOCK_K), (1, 0))
    b_block = tl.make_block_ptr(b_ptr + pid_z * stride_bz, (K, N), (stride_bk, stride_bn), (0, column), (BLOCK_K, BLOCK_N), (1, 0))
    c_base = c_ptr + pid_z * stride_cz
    if PATH == "SPLIT_M":
        b = smt.view(smt.descriptor_load(b_block, (0, 0)), (0, 0), (BLOCK_K, BLOCK_N), (MICRO_K, MICRO_N))
        for s in smt.parallel(0, tl.cdiv(min(BLOCK_M, M - row), SUB_M)):
            a = smt.view(smt.descriptor_load(a_block, (0, 0)), (s * SUB_M, 0), (SUB_M, BLOCK_K), (MICRO_M, MICRO_K))
            c = smt.view(smt.dot(a, b), (0, 0), (SUB_M, BLOCK_N), (1, 1))
            c_block = tl.make_block_ptr(c_base, (M, N), (N, 1), (row + s * SUB_M, column), (SUB_M, BLOCK_N), (1, 0))
            tl.store(c_block, c.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))
    elif PATH == "SPLIT_N":
        rows, columns = tl.cdiv(min(BLOCK_M, M - row), SUB_M), tl.cdiv(min(BLOCK_N, N - column), SUB_N)
        packed = smt.view(smt.alloc((BLOCK_K, BLOCK_N), element), (0, 0), (BLOCK_K, BLOCK_N), (MICRO_K, MICRO_N))
        ready = smt.mbarrier(flag=0, expect_count=columns)
        for s in smt.parallel(0, rows * columns):
            i, j = s // columns, s % columns
            a = smt.view(smt.descriptor_load(a_block, (0, 0)), (i * SUB_M, 0), (SUB_M, BLOCK_K), (MICRO_M, MICRO_K))
            part = smt.view(packed, (0, j * SUB_N), (BLOCK_K, SUB_N))
            if i == 0:
                b = smt.view(smt.descriptor_load(b_block, (0, 0)), (0, j * SUB_N), (BLOCK_K, SUB_N), (MICRO_K, MICRO_N))
                tl.store(part, b, boundary_check=(0, 1, 2, 3))
                smt.barrier_arrive(ready)
            else:
                smt.barrier_wait(ready, flag=1)
            c = smt.view(smt.dot(a, tl.load(part, boundary_check=(0, 1, 2, 3))), (0, 0), (SUB_M, SUB_N), (1, 1))
            c_block = tl.make_block_ptr(c_base, (M, N), (N, 1), (row + i * SUB_M, column + j * SUB_N), (SUB_M, SUB_N), (1, 0))
            tl.store(c_block, c.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))
    else:
        if PATH == "SPLIT_K":
            acc = smt.view(tl.zeros((BLOCK_M, BLOCK_N), total), (0, 0), (BLOCK_M, BLOCK_N), (MICRO_M, MICRO_N))
            for k in range(tl.cdiv(K, SUB_K)):
                a = smt.view(smt.descriptor_load(a_block, (0, 0)), (0, k * SUB_K), (BLOCK_M, SUB_K), (MICRO_M, MICRO_K))
                b = smt.view(smt.descriptor_load(b_block, (0, 0)), (k * SUB_K, 0), (SUB_K, BLOCK_N), (MICRO_K, MICRO_N))
                acc += smt.dot(a, b)
        else:
            a = smt.view(smt.descriptor_load(a_block, (0, 0)), (0, 0), (BLOCK_M, BLOCK_K), (MICRO_M, MICRO_K))
            b = smt.view(smt.descriptor_load(b_block, (0, 0)), (0, 0), (BLOCK_K, BLOCK_N), (MICRO_K, MICRO_N))
            acc = smt.dot(a, b)
        c = smt.view(acc, (0, 0), (BLOCK_M, BLOCK_N), (1, 1))
        if EPILOGUE == "addmm":
            bias = tl.make_block_ptr(bias_ptr, (M, N), (N, 1), (row, column), (BLOCK_M, BLOCK_N), (1, 0))
            c = c * alpha + tl.load(bias, boundary_check=(0, 1)) * beta
        elif EPILOGUE == "silu":
            c = silu(c.to(tl.float32))
        c_block = tl.make_block_ptr(c_base, (M, N), (N, 1), (row, column), (BLOCK_M, BLOCK_N), (1, 0))
        tl.store(c_block, c.to(c_ptr.dtype.element_ty), boundary_check=(0, 1))


@triton.jit
def attention(
    q_ptr, k_ptr, v_ptr, out_ptr, Q, KV, HEAD, scale, CAUSAL: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, D: tl.constexpr,
    MICRO_M: tl.constexpr, MICRO_K: tl.constexpr, MICRO_N: tl.constexpr,
):  # fmt: skip
    """One head a program of axis 1: softmax(q @ k^T * scale) @ v, all of it in packed blocks; q is [Q, HEAD], k and v are [KV, HEAD]."""
    start, head = tl.program_id(0) * BLOCK_M, tl.program_id(1)
    q_block = tl.make_block_ptr(q_ptr + head * Q * HEAD, (Q, HEAD), (HEAD, 1), (start, 0), (BLOCK_M, D), (1, 0))
    k_block = tl.make_block_ptr(k_ptr + head * KV * HEAD, (KV, HEAD), (HEAD, 1), (0, 0), (BLOCK_N, D), (1, 0))
    v_block = tl.make_block_ptr(v_ptr + head * KV * HEAD, (KV, HEAD), (HEAD, 1), (0, 0), (BLOCK_N, D), (1, 0))
    rows: tl.constexpr = BLOCK_M // MICRO_M
    columns: tl.constexpr = BLOCK_N // MICRO_N
    offs_m = tl.reshape(start + tl.arange(0, BLOCK_M), (rows, 1, MICRO_M, 1))
    offs_n = tl.arange(0, BLOCK_N)
    largest = tl.full((rows, MICRO_M), float("-inf"), tl.float32)
    total = tl.zeros((rows, MICRO_M), tl.float32)
    acc = tl.zeros((rows, D // MICRO_N, MICRO_M, MICRO_N), tl.float32)
    q = smt.view(smt.descriptor_load(q_block, (0, 0)), (0, 0), (BLOCK_M, D), (MICRO_M, MICRO_K))
    for first in range(0, KV, BLOCK_N):
        k = smt.view(smt.descriptor_load(k_block, (first, 0)), (0, 0), (BLOCK_N, D), (MICRO_N, MICRO_K))
        scores = smt.dot(q, tl.permute(k, (1, 0, 3, 2))).to(tl.float32) * scale
        here = tl.reshape(first + offs_n, (1, columns, 1, MICRO_N))
        mask = here < KV
        if CAUSAL:
            mask = mask & (offs_m >= here)
        scores = tl.where(mask, scores, -1.0e6)
        new = tl.maximum(largest, tl.max(tl.max(scores, axis=3), axis=1))
        p = tl.exp(scores - tl.reshape(new, (rows, 1, MICRO_M, 1)))
        alpha = tl.exp(largest - new)
        total = total * alpha + tl.sum(tl.sum(p, axis=3), axis=1)
        acc = acc * tl.reshape(alpha, (rows, 1, MICRO_M, 1))
        v = smt.view(smt.descriptor_load(v_block, (first, 0)), (0, 0), (BLOCK_N, D), (MICRO_K, MICRO_N))
        p = smt.view(p.to(v.dtype), (0, 0), (BLOCK_M, BLOCK_N), (MICRO_M, MICRO_K))
        acc += smt.dot(p, v)
        largest = new
    out = smt.view(acc, (0, 0), (BLOCK_M, D), (1, 1)) / tl.reshape(total, (BLOCK_M,))[:, None]
    out_block = tl.make_block_ptr(out_ptr + head * Q * HEAD, (Q, HEAD), (HEAD, 1), (start, 0), (BLOCK_M, D), (1, 0))
    tl.store(out_block, out.to(out_ptr.dtype.element_ty), boundary_check=(0, 1))
