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


@triton.jit
def integers_kernel(x_ptr, y_ptr, quotient_ptr, rest_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x, y = tl.load(x_ptr + offsets, mask), tl.load(y_ptr + offsets, mask, other=1)
    tl.store(quotient_ptr + offsets, x // y, mask)
    tl.store(rest_ptr + offsets, x % y, mask)


def _integers(dtype: np.dtype, count: int, seed: int) -> np.ndarray:
    """Of all sizes; and the ends of the type, powers of two and of ten, products, and what lies beside them."""
    draw, limits = np.random.default_rng(seed), np.iinfo(dtype)
    bits = limits.bits
    some = [0, 1, 3, 7, limits.max, limits.max // 3, *(1 << b for b in range(bits)), *(10**e for e in range(19))]
    some += [int(a) * int(b) for a, b in draw.integers(1, 1 << (bits // 2), (50, 2))]
    some = [(m + d) * s for m in some for d in (-1, 0, 1) for s in (1, -1)]
    special = np.array([v for v in some if limits.min <= v <= limits.max] + [limits.min], dtype=dtype)
    random = draw.integers(limits.min, limits.max, count, dtype=dtype, endpoint=True) >> draw.integers(0, bits, count).astype(dtype)
    x = np.concatenate([special, random])
    return draw.permutation(x)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integers(target: str, name: str) -> None:
    dtype = np.dtype(name)
    x, y = _integers(dtype, 20000, 0), _integers(dtype, 1000, 1)
    y = np.resize(y, len(x))  # not in step with x
    y[: len(y) // 4] = x[: len(y) // 4] // dtype.type(3) + dtype.type(1)  # quotients close to a whole number
    a, b = x.astype(object), y.astype(object)
    cut_off = [(abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)) if q else -1 for p, q in zip(a, b, strict=True)]
    rest = [p - r * q if q else p for p, q, r in zip(a, b, cut_off, strict=True)]
    modulus = 1 << np.iinfo(dtype).bits
    want = [np.array([int(v) % modulus for v in values], dtype=np.uint64) for values in (cut_off, rest)]
    tensors = [torch.from_numpy(v) for v in (x, y, np.empty_like(x), np.empty_like(x))]
    integers_kernel[(triton.cdiv(len(x), 1024),)](*tensors, len(x), BLOCK=1024)
    for got, expected in zip(tensors[2:], want, strict=True):
        wrong = (got.numpy().astype(np.uint64) & np.uint64(modulus - 1)) != expected
        assert not wrong.any(), (x[wrong][:3], y[wrong][:3], got.numpy()[wrong][:3])
