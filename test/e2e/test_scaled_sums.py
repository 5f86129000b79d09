"""Loops that add up scaled products of bytes: the same numbers whether they stay in registers or, where that would be wrong, do not."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from targets import TARGETS, cache, cache_folder, choose

__all__ = ["cache", "cache_folder"]


@pytest.fixture(params=TARGETS)
def target(request):
    choose(*request.param)


@triton.jit
def scaled_kernel(
    a_ptr, b_ptr, rows_ptr, columns_ptr, start_ptr, out_ptr, turns, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, START: tl.constexpr,
    KIND: tl.constexpr,
):  # fmt: skip
    """`acc += dot(a, b) * rows * columns` for each turn. A lies in words of 8 steps, B in columns of K steps.

    KIND: "plain"; "stored", where each turn doubles the next one's scales of columns; "mixed", where `acc` is also added up by rows.
    """
    i, j, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    at = i[:, None] * N + j[None, :]
    acc = tl.load(start_ptr + at) if START else tl.zeros((M, N), tl.float32)
    number = 1.0
    for turn in range(turns):
        a = tl.load(a_ptr + turn * M * K + i[:, None] * 8 + (k // 8 * (M * 8) + k % 8)[None, :])
        b = tl.load(b_ptr + turn * N * K + k[:, None] + j[None, :] * K)
        scales = tl.load(columns_ptr + turn * N + j)
        scale = tl.load(rows_ptr + turn * M + i)[:, None] * scales[None, :]
        sums = tl.dot(a, b, out_dtype=tl.int32).to(tl.float32)
        if KIND == "mixed":
            acc = tl.fma(sums, scale, tl.sum(acc, 1)[:, None] + tl.zeros((M, N), tl.float32))
        else:
            acc = tl.fma(sums, scale * number, acc)
        if KIND == "stored":
            tl.store(columns_ptr + (turn + 1) * N + j, scales + scales)
        number += 1.0
    tl.store(out_ptr + at, acc)


def expected(a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray, start: np.ndarray, kind: str) -> np.ndarray:
    """As the kernel rounds: 64 bits of mantissa hold the product of 24 by 24 bits, and rounding twice goes wrong once in 2^40."""
    acc, columns = start.copy(), columns.copy()
    for turn in range(len(a)):
        scale = rows[turn][:, None] * columns[turn]
        sums = a[turn].astype(np.int64) @ b[turn].astype(np.int64)
        if kind == "mixed":
            acc = np.broadcast_to(acc.astype(np.float64).sum(1, keepdims=True).astype(np.float32), acc.shape)
        else:
            scale = scale * np.float32(turn + 1)
        acc = (sums.astype(np.longdouble) * scale.astype(np.longdouble) + acc.astype(np.longdouble)).astype(np.float32)
        if kind == "stored":
            columns[turn + 1] = columns[turn] * 2
    return acc


@pytest.mark.parametrize("kind", ["plain", "stored", "mixed"])
@pytest.mark.parametrize("start", [False, True])
def test_turns(target, start, kind):
    generator = np.random.default_rng(0)
    for m, n, k, turns in ((4, 16, 32, 3), (8, 16, 16, 1), (8, 32, 32, 5), (4, 8, 64, 0), (16, 16, 16, 2)):
        a, b = generator.integers(-128, 128, (turns, m, k), dtype=np.int8), generator.integers(-128, 128, (turns, k, n), dtype=np.int8)
        rows = generator.random((turns, m), dtype=np.float32)
        columns = np.concatenate([generator.random((turns, n), dtype=np.float32), np.zeros((1, n), np.float32)])
        begin = generator.random((m, n), dtype=np.float32) if start else np.zeros((m, n), np.float32)
        words = a.reshape(turns, m, k // 8, 8).transpose(0, 2, 1, 3).copy()
        tensors = [torch.from_numpy(each.copy()) for each in (words, b.transpose(0, 2, 1), rows, columns, begin)]
        out = torch.full((m, n), 7.0)
        scaled_kernel[(1,)](*tensors, out, turns, M=m, N=n, K=k, START=start, KIND=kind)
        wanted = expected(a, b, rows, columns, begin, kind)
        if kind == "mixed":  # the order in which rows are added up is not given
            np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-5, atol=1e-3 * np.abs(wanted).max(initial=1))
        else:
            np.testing.assert_array_equal(out.numpy(), wanted)


@triton.jit
def in_lanes_kernel(x_ptr, out_ptr, COUNT: tl.constexpr, SHIFT: tl.constexpr):
    """A block of elements at known places, stored beside or over what it is read from."""
    i = tl.arange(0, COUNT)
    x = tl.load(x_ptr + i // 16 * 4 + i % 4)
    tl.store(out_ptr + SHIFT + i, x + x)
    tl.store(out_ptr + SHIFT + COUNT + i, x)


@pytest.mark.parametrize("count", [16, 64, 256])
@pytest.mark.parametrize("shift", [0, 3, 64])
def test_stores_in_lanes(target, count, shift):
    """Also where the stores go over what was loaded, which is then what it was before them."""
    x = torch.arange(1, 1025, dtype=torch.float32)
    i = torch.arange(count)
    read = x[i // 16 * 4 + i % 4]
    for same in (False, True):
        source = x.clone()
        out = source if same else torch.zeros(1024)
        wanted = out.clone()
        wanted[shift : shift + count], wanted[shift + count : shift + 2 * count] = 2 * read, read
        in_lanes_kernel[(1,)](source, out, COUNT=count, SHIFT=shift)
        assert torch.equal(out, wanted), (count, shift, same)
