"""Offsets of pointers that are narrower than 32 bits: a signed one may be negative, an unsigned one is not."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def scatter(x, index, out, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + tl.load(index + i), tl.load(x + i))


@triton.jit
def gather_twice(x, index, other, out, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, tl.load(x + tl.load(index + i) + tl.load(other + i)))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16], ids=str)
def test_offsets(target, dtype):
    n = 64
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    lowest = -n // 2 if dtype.is_signed else 0
    x, index = torch.arange(n, dtype=torch.int32) + 5, (order + lowest).to(dtype)
    out = torch.zeros(n, dtype=torch.int32)
    scatter[(1,)](x, index, out[-lowest:], N=n)
    want = torch.zeros_like(out)
    want[order] = x
    assert torch.equal(out, want)
    wide = torch.arange(4 * n, dtype=torch.int32)
    gather_twice[(1,)](wide[n:], index, index, out, N=n)
    assert torch.equal(out, wide[n + 2 * (order + lowest)])
