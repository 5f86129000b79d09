"""Stores behind each other, which may share a loop where no element is stored by both and nothing reads what the first has stored."""

import pytest
import torch
import triton
import triton.language as tl

ROWS, COLUMNS, STRIDE = 16, 32, 64


@triton.jit
def pair_kernel(x_ptr, out_ptr, rows, DISTANCE: tl.constexpr, BETWEEN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Two blocks that lie a distance apart, from the halves of x; with BETWEEN the second is what the first store has left there."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    place, mask = i * 64 + j, i < rows
    first, second = tl.load(x_ptr + place, mask), tl.load(x_ptr + place + COLUMNS, mask)
    tl.store(out_ptr + place, first - second, mask)
    if BETWEEN:
        second = tl.load(out_ptr + place, mask)
    tl.store(out_ptr + place + DISTANCE, first + second, mask)


def pair(x: torch.Tensor, out: torch.Tensor, rows: int, distance: int, between: bool) -> torch.Tensor:
    """The same, one store after the other, on flat tensors."""
    out = out.clone()
    places = (torch.arange(rows)[:, None] * STRIDE + torch.arange(COLUMNS)).flatten()
    first, second = x[places], x[places + COLUMNS]
    out[places] = first - second
    out[places + distance] = first + (out[places] if between else second)
    return out


@pytest.mark.parametrize("between", [False, True], ids=["", "load between"])
@pytest.mark.parametrize("rows", [0, 1, 5, ROWS])
@pytest.mark.parametrize("distance", [0, 1, 31, 32, 33, 63, 64, 96, 1024])
def test_distances(target, distance, rows, between):
    x = torch.randn(ROWS * STRIDE)
    out = torch.zeros(2 * ROWS * STRIDE + STRIDE)
    expected = pair(x, out, rows, distance, between)
    pair_kernel[(1,)](x, out, rows, DISTANCE=distance, BETWEEN=between, ROWS=ROWS, COLUMNS=COLUMNS)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


@pytest.mark.parametrize("shift", [-64, -32, -1, 0, 1, 32, 64, 100])
def test_over_what_is_read(target, shift):
    """Both loads come before both stores, wherever these go."""
    x = torch.randn(3 * ROWS * STRIDE)
    start = ROWS * STRIDE
    expected = x.clone()
    expected[start + shift :] = pair(x[start:].clone(), x[start + shift :], ROWS, COLUMNS, False)
    pair_kernel[(1,)](x[start:], x[start + shift :], ROWS, DISTANCE=COLUMNS, BETWEEN=False, ROWS=ROWS, COLUMNS=COLUMNS)
    torch.testing.assert_close(x, expected, rtol=0, atol=0)


@triton.jit
def to_the_argument_kernel(out_ptr, other_ptr, n, BLOCK: tl.constexpr):
    """Stores to where an argument points, behind it, there again, and to another one."""
    i = tl.arange(0, BLOCK)
    tl.store(out_ptr + i, i + 1, i < n)
    tl.store(out_ptr + n + i, i + 2, i < n)
    tl.store(out_ptr + i, i + 3, i < n)
    tl.store(other_ptr + i, i + 4, i < n)


@pytest.mark.parametrize("n", [0, 5, 1000, 1024])
def test_to_the_argument(target, n):
    out, other = torch.zeros(2048, dtype=torch.int32), torch.zeros(1024, dtype=torch.int32)
    to_the_argument_kernel[(1,)](out, other, n, BLOCK=1024)
    i = torch.arange(n, dtype=torch.int32)
    assert torch.equal(out, torch.cat([i + 3, i + 2, torch.zeros(2048 - 2 * n, dtype=torch.int32)]))
    assert torch.equal(other, torch.cat([i + 4, torch.zeros(1024 - n, dtype=torch.int32)]))


@triton.jit
def two_pointers_kernel(x_ptr, first_ptr, second_ptr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STRIDE: tl.constexpr):
    """The halves of a row turned by each other, as rotary embeddings do, each stored through a pointer of its own."""
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    place = i * STRIDE + j
    first, second = tl.load(x_ptr + place), tl.load(x_ptr + place + COLUMNS)
    tl.store(first_ptr + place, first - second)
    tl.store(second_ptr + place, first + second)


@pytest.mark.parametrize("stride", [64, 96, 80])  # a period that is a power of two, one that is none, and one with no room for a third row
@pytest.mark.parametrize("shift", [0, 1, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 128, 1000, 4000])
@pytest.mark.parametrize("sign", [-1, 1])
def test_two_pointers(target, stride, shift, sign):
    """Rows of one lie between the rows of the other, or meet them: the second store comes behind the first in whole."""
    x, out = torch.randn(ROWS * stride), torch.zeros(12000)
    places = (torch.arange(ROWS)[:, None] * stride + torch.arange(COLUMNS)).flatten()
    start, other = 5000, 5000 + sign * shift
    expected = out.clone()
    expected[start + places] = x[places] - x[places + COLUMNS]
    expected[other + places] = x[places] + x[places + COLUMNS]
    two_pointers_kernel[(1,)](x, out[start:], out[other:], ROWS=ROWS, COLUMNS=COLUMNS, STRIDE=stride)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
