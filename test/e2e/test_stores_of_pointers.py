"""Stores through different pointers share a loop where their addresses are apart; where they are not, the later one counts."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def two(x, first, second, third, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    value = tl.load(x + i, i < n)
    tl.store(first + i, value + 1, i < n)
    tl.store(second + i, value * 2, i < n)
    tl.store(third + i, value - 5, i < n)


def _expected(x: torch.Tensor, places: list[int], n: int) -> torch.Tensor:
    value = x[:n].clone()
    out = x.clone()
    for place, stored in zip(places, (value + 1, value * 2, value - 5), strict=True):
        out[place : place + n] = stored
    return out


PLACES = [[200, 400, 600], [0, 200, 400], [200, 0, 400], [0, 0, 0], [200, 201, 400], [201, 200, 300], [100, 3, 1]]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("n", [1, 37, 128])
def test_the_later_store_counts(target, places, n):
    x = torch.arange(800, dtype=torch.float32)
    expected = _expected(x, places, n)
    two[(1,)](x, *(x[place:] for place in places), n, 128)
    assert torch.equal(x, expected)


@triton.jit
def every_second(x, out, n, STRIDE: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + STRIDE * i, i < n, other=-5) * 2, i < n)


@pytest.mark.parametrize("stride", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float16])
def test_elements_a_few_places_apart(target, stride, dtype):
    """The last one is the last of the tensor's memory."""
    for n in (1, 5, 16, 100, 1000):
        x, out = torch.arange(stride * (n - 1) + 1).remainder(997).to(dtype), torch.full((n + 8,), -1).to(dtype)
        for block in (4, 64, 256):
            every_second[(triton.cdiv(n, block),)](x, out.fill_(-1), n, stride, block)
            assert torch.equal(out[:n], x[::stride] * 2)
            assert (out[n:] == -1).all()
