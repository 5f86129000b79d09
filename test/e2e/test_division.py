"""Vectors divided by one number, which is a product with its inverse where divisions are slow: rounded as a division nevertheless."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

INFINITE = float("inf")


@triton.jit
def quotient_kernel(x_ptr, divisor_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out_ptr + offsets, tl.load(x_ptr + offsets, mask) / tl.load(divisor_ptr), mask)


@triton.jit
def constant_kernel(x_ptr, out_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets)
    tl.store(out_ptr + offsets, x / 49.0 + x / 8.0)


def _numbers(dtype: torch.dtype, count: int) -> np.ndarray:
    """Of all sizes and both signs, special ones, and multiples of what is divided by."""
    kind, integer = (np.float32, np.uint32) if dtype == torch.float32 else (np.float64, np.uint64)
    x = np.random.default_rng(0).integers(0, np.iinfo(integer).max, count, dtype=integer).view(kind).copy()
    x[:1000] = np.arange(1000)
    x[1000:1010] = [-0.0, INFINITE, -INFINITE, np.nan, 1e-45, -1e-40, 3e38, -3e38, np.finfo(kind).max, np.finfo(kind).tiny]
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rounding(target: str, dtype: torch.dtype) -> None:
    x = _numbers(dtype, 5000)
    for divisor in (3.0, 49.0, -0.1, 1e-20, 1e-40, 1.5e38, 0.0, -0.0, INFINITE, float("nan"), *np.random.default_rng(1).uniform(1, 2, 8)):
        with np.errstate(all="ignore"):
            exact = x / x.dtype.type(divisor)
        out = torch.empty(5000, dtype=dtype)
        quotient_kernel[(5,)](torch.from_numpy(x), torch.tensor([divisor], dtype=dtype), out, 5000, BLOCK=1024)
        result = out.numpy()
        # The remainder of a tiny number has digits below the least number.
        tiny = np.abs(x) < np.finfo(x.dtype).tiny * 2.0 ** (np.finfo(x.dtype).nmant + 1)
        with np.errstate(all="ignore"):
            close = tiny & (np.abs(result - exact) <= np.spacing(np.abs(exact)))
        right = (result == exact) & (np.signbit(result) == np.signbit(exact)) | np.isnan(result) & np.isnan(exact)
        assert (right | close).all(), (divisor, x[~(right | close)][:3])


def test_constant(target: str) -> None:
    x = torch.arange(4096, dtype=torch.float32)
    out = torch.empty_like(x)
    constant_kernel[(1,)](x, out, BLOCK=4096)
    assert torch.equal(out, x / 49 + x / 8)
