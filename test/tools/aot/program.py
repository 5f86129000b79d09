"""Kernels that tests compile ahead of time. Run as a program, it launches some of them."""

import sys

import triton
import triton.language as tl
from triton.language.extra import smt


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + tl.load(y + i, i < n), i < n)


@triton.jit
def product(a, b, c, m, n, k, a_stride, b_stride, b_step, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i = tl.program_id(0) * M + tl.arange(0, M)[:, None]
    j = tl.program_id(1) * N + tl.arange(0, N)[None, :]
    sums = tl.zeros((M, N), tl.float32)
    for start in range(0, k, K):
        left, right = start + tl.arange(0, K)[None, :], start + tl.arange(0, K)[:, None]
        x = tl.load(a + i * a_stride + left, (i < m) & (left < k), 0)
        y = tl.load(b + right * b_stride + j * b_step, (right < k) & (j < n), 0)
        sums = tl.dot(x, y, sums)
    tl.store(c + i * n + j, sums, (i < m) & (j < n))


@triton.jit
def numbers(out, double, how: tl.float32, half, brain, byte, word, long, flag):
    """One parameter is called what the C function's own first one is."""
    tl.store(out, double)
    tl.store(out + 1, how)
    tl.store(out + 2, half)
    tl.store(out + 3, brain)
    tl.store(out + 4, byte)
    tl.store(out + 5, word)
    tl.store(out + 6, long)
    tl.store(out + 7, flag)


@triton.jit
def extents(out, n, m):
    tl.store(out, tl.num_programs(0))
    tl.store(out + 1, tl.num_programs(1))
    tl.store(out + 2, tl.num_programs(2))


@triton.jit
def meeting(out, n):
    """Everybody waits for all others, then adds up what they wrote."""
    bar = smt.mbarrier(expect_count=n)
    for i in smt.parallel(0, n):
        tl.store(out + i, i + 1)
        smt.barrier_arrive(bar)
        smt.barrier_wait(bar, flag=1)
        total = 0
        for j in range(n):
            total += tl.load(out + j)
        tl.store(out + n + i, total)


@triton.jit
def deadlock(out, n):
    bar = smt.mbarrier(expect_count=n + 1)
    for i in smt.parallel(0, n):
        smt.barrier_arrive(bar)
        smt.barrier_wait(bar, flag=1)
        tl.store(out + i, i)


@triton.jit
def wild(out, place):
    """Stores anywhere: `place` counts floats."""
    tl.store(out + place, 1.0)


@triton.jit
def endless(out, n):
    i = 0
    while i < n:
        tl.atomic_add(out, 1.0)
        i += tl.load(out).to(tl.int32) - tl.load(out).to(tl.int32)


#: What a benchmark says in turn: of three configurations the second is the fastest, then the third.
_times = iter((3.0, 1.0, 2.0, 3.0, 2.0, 1.0))


def measured(call, quantiles):
    call()
    return [next(_times)] * len(quantiles)


@triton.autotune([triton.Config({"BLOCK": block}) for block in (32, 64, 128)], key=["n"], do_bench=measured)
@triton.jit
def tuned(x, out, n, factor, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) * factor + 1.0, i < n)


if __name__ == "__main__":
    import torch

    if sys.argv[1:2] == ["fails"]:
        sys.exit(3)
    if sys.argv[1:2] == ["tuned"]:
        for n in (1000, 3000, 1000):
            tuned[lambda meta: (triton.cdiv(meta["n"], meta["BLOCK"]),)](torch.ones(n), torch.empty(n), n, 0.5)
        tuned.fn[(16,)](torch.ones(1000), torch.empty(1000), 1000, 0.5, BLOCK=64, enable_fp_fusion=False)
        sys.exit()

    for n in map(int, sys.argv[1:]):
        x = torch.ones(n + 4)
        add[(triton.cdiv(n, 64),)](x, x, torch.empty(n + 4), n, BLOCK=64)
        add[(triton.cdiv(n, 32),)](x[1:], x, torch.empty(n + 4), n, BLOCK=32)
        product[(triton.cdiv(n, 16), triton.cdiv(8, 16))](x, x, torch.empty(n, 8), n, 8, 0, 1, 1, 1, M=16, N=16, K=16)
