"""Kernels of products: of matrices by four paths, of matrices of integers that no instruction multiplies, and of matrices and vectors.

A matrix is a tuple here: the address of its first element, the distances between rows and between columns, and how many there are of each.
A distance of 0 repeats an element. Numbers of rows and columns are 64-bit: times a distance they may be more than 32 bits have.
"""

import triton
import triton.language as tl
import triton.language.extra.smt as smt


@triton.jit
def _load(matrix, i, j):
    """The block of a matrix with rows `i` and columns `j`, zero outside of it."""
    base, i_stride, j_stride, rows, columns = matrix
    return tl.load(base + i[:, None] * i_stride + j[None, :] * j_stride, (i[:, None] < rows) & (j[None, :] < columns), 0)


@triton.jit
def _from(first, SIZE: tl.constexpr):
    """SIZE numbers."""
    return first + tl.arange(0, SIZE).to(tl.int64)


@triton.jit
def _dot(x, y, sums, SUM: tl.constexpr, MICRO_M: tl.constexpr, MICRO_N: tl.constexpr, MICRO_K: tl.constexpr):
    """`x @ y`, added to `sums` if there are any, in register tiles of at most MICRO_M x MICRO_N elements (0: as large as fits)."""
    result = tl.dot(x, y, sums, out_dtype=SUM)
    if MICRO_M:
        smt.compile_hint(result, "mr", MICRO_M)
        smt.compile_hint(result, "nr", MICRO_N)
        smt.compile_hint(result, "kr", MICRO_K)
    return result


@triton.jit
def _finish(sums, result, start, scales, i, j, ALPHA: tl.constexpr, BETA: tl.constexpr):
    """Store `alpha * sums + beta * start`. ALPHA, BETA: whether there is that factor, the first and the second of `scales`; BETA is None
    without `start`."""
    base, i_stride, j_stride, rows, columns = result
    if ALPHA:
        sums = sums * tl.load(scales)
    if BETA is not None:
        added = _load(start, i, j).to(sums.dtype)
        sums += added * tl.load(scales + 1) if BETA else added
    inside = (i[:, None] < rows) & (j[None, :] < columns)
    tl.store(base + i[:, None] * i_stride + j[None, :] * j_stride, sums.to(base.dtype.element_ty), inside)


@triton.jit
def matrix_product(
    a, b, out, start, scales, m, n, k, a_b, a_i, a_k, b_b, b_k, b_j, out_b, out_i, out_j, start_b, start_i, start_j,
    ALPHA: tl.constexpr, BETA: tl.constexpr, SUM: tl.constexpr, PATH: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PART_M: tl.constexpr, PART_N: tl.constexpr,
    MICRO_M: tl.constexpr, MICRO_N: tl.constexpr, MICRO_K: tl.constexpr,
):  # fmt: skip
    """`out = alpha * (a @ b) + beta * start` for a batch of m x k and k x n matrices; a program makes BLOCK_M x BLOCK_N elements.

    PATH says how: EVEN_K by one product of whole rows and columns (BLOCK_K is at least k); SPLIT_K by a sum of products of BLOCK_K steps.
    SPLIT_M and SPLIT_N have the threads of a program share its block, and B laid out for the product once for all of them: SPLIT_M
    takes parts of PART_M rows; SPLIT_N, parts of PART_M x PART_N elements, of which those that come first lay out a part of B each.
    """
    batch = tl.program_id(2).to(tl.int64)
    first_i, first_j = tl.program_id(0).to(tl.int64) * BLOCK_M, tl.program_id(1).to(tl.int64) * BLOCK_N
    left = (a + batch * a_b, a_i, a_k, m, k)
    right = (b + batch * b_b, b_k, b_j, k, n)
    result = (out + batch * out_b, out_i, out_j, m, n)
    added = (start + batch * start_b, start_i, start_j, m, n) if BETA is not None else None
    if PATH == "EVEN_K":
        i, j, steps = _from(first_i, BLOCK_M), _from(first_j, BLOCK_N), _from(0, BLOCK_K)
        sums = _dot(_load(left, i, steps), _load(right, steps, j), None, SUM, MICRO_M, MICRO_N, MICRO_K)
        _finish(sums, result, added, scales, i, j, ALPHA, BETA)
    elif PATH == "SPLIT_K":
        i, j = _from(first_i, BLOCK_M), _from(first_j, BLOCK_N)
        sums = tl.zeros((BLOCK_M, BLOCK_N), SUM)
        for first in range(0, k, BLOCK_K):
            steps = _from(first, BLOCK_K)
            sums = _dot(_load(left, i, steps), _load(right, steps, j), sums, SUM, MICRO_M, MICRO_N, MICRO_K)
        _finish(sums, result, added, scales, i, j, ALPHA, BETA)
    elif PATH == "SPLIT_M":
        j, steps = _from(first_j, BLOCK_N), _from(0, BLOCK_K)
        y = _load(right, steps, j)
        for part in smt.parallel(0, tl.cdiv(tl.minimum(BLOCK_M, m - first_i), PART_M)):
            i = _from(first_i + part * PART_M, PART_M)
            sums = _dot(_load(left, i, steps), y, None, SUM, MICRO_M, MICRO_N, MICRO_K)
            _finish(sums, result, added, scales, i, j, ALPHA, BETA)
    else:
        steps = _from(0, BLOCK_K)
        across = tl.cdiv(tl.minimum(BLOCK_N, n - first_j), PART_N).to(tl.int32)
        down = tl.cdiv(tl.minimum(BLOCK_M, m - first_i), PART_M).to(tl.int32)
        laid_out = smt.alloc(shape=[BLOCK_K, BLOCK_N], type=b.dtype.element_ty)
        ready = smt.mbarrier(flag=0, expect_count=across)
        for part in smt.parallel(0, across * down):
            column = part % across * PART_N
            i, j = _from(first_i + part // across * PART_M, PART_M), _from(first_j + column, PART_N)
            place = smt.view(laid_out, (0, column), (BLOCK_K, PART_N), (1, 1))
            if part < across:
                tl.store(place, _load(right, steps, j))
                smt.barrier_arrive(ready)
            else:
                smt.barrier_wait(ready, flag=1)
            sums = _dot(_load(left, i, steps), tl.load(place), None, SUM, MICRO_M, MICRO_N, MICRO_K)
            _finish(sums, result, added, scales, i, j, ALPHA, BETA)


@triton.jit
def integer_product(
    a, b, out, start, scales, m, n, k, a_b, a_i, a_k, b_b, b_k, b_j, out_b, out_i, out_j, start_b, start_i, start_j,
    ALPHA: tl.constexpr, BETA: tl.constexpr, SUM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The same of integers that `tl.dot` does not take: a column of A times a row of B at a time, modulo the integers' size."""
    batch = tl.program_id(2).to(tl.int64)
    i, j = _from(tl.program_id(0).to(tl.int64) * BLOCK_M, BLOCK_M), _from(tl.program_id(1).to(tl.int64) * BLOCK_N, BLOCK_N)
    left, right = a + batch * a_b, b + batch * b_b
    sums = tl.zeros((BLOCK_M, BLOCK_N), SUM)
    for first in range(0, k, BLOCK_K):
        for u in tl.static_range(BLOCK_K):
            step = (first + u).to(tl.int64)
            x = tl.load(left + i * a_i + step * a_k, (i < m) & (step < k), 0).to(SUM)
            y = tl.load(right + j * b_j + step * b_k, (j < n) & (step < k), 0).to(SUM)
            sums += x[:, None] * y[None, :]
    result = (out + batch * out_b, out_i, out_j, m, n)
    added = (start + batch * start_b, start_i, start_j, m, n) if BETA is not None else None
    _finish(sums, result, added, scales, i, j, ALPHA, BETA)


@triton.jit
def vector_product(
    a, x, out, start, scales, m, k, a_b, a_i, a_k, x_b, x_k, out_b, out_i, start_b, start_i,
    ALPHA: tl.constexpr, BETA: tl.constexpr, SUM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`out = alpha * (a @ x) + beta * start` for a batch of m x k matrices and vectors; a program makes BLOCK_M elements."""
    batch = tl.program_id(1).to(tl.int64)
    i = _from(tl.program_id(0).to(tl.int64) * BLOCK_M, BLOCK_M)
    matrix = (a + batch * a_b, a_i, a_k, m, k)
    sums = tl.zeros((BLOCK_M,), SUM)
    for first in range(0, k, BLOCK_K):
        steps = _from(first, BLOCK_K)
        y = tl.load(x + batch * x_b + steps * x_k, steps < k, 0)
        sums += tl.sum(_load(matrix, i, steps).to(SUM) * y[None, :].to(SUM), 1)
    if ALPHA:
        sums = sums * tl.load(scales)
    if BETA is not None:
        added = tl.load(start + batch * start_b + i * start_i, i < m, 0).to(SUM)
        sums += added * tl.load(scales + 1) if BETA else added
    tl.store(out + batch * out_b + i * out_i, sums.to(out.dtype.element_ty), i < m)
