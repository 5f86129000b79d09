"""Loads that are windows of one block, as the taps of a convolution: the same results whatever the block's size and wherever it ends."""

import pytest
import torch
import triton
import triton.language as tl
from random_kernels import other_cores

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

INFINITE = float("inf")


@triton.jit
def convolution_kernel(
    x_ptr, w_ptr, out_ptr, height, width, HIGH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr
):
    """`HIGH` x `WIDE` taps, with zeros around the image."""
    i, j = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((ROWS, BLOCK), tl.float32)
    for di in tl.static_range(HIGH):
        for dj in tl.static_range(WIDE):
            y, x = i + (di - HIGH // 2), j + (dj - WIDE // 2)
            inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
            total += tl.load(x_ptr + y[:, None] * width + x[None, :], inside, other=0.0) * tl.load(w_ptr + di * WIDE + dj)
    tl.store(out_ptr + i[:, None] * width + j[None, :], total, (i[:, None] < height) & (j[None, :] < width))


def convolve(x, w, out, rows: int, block: int) -> None:
    grid = (triton.cdiv(x.shape[0], rows), triton.cdiv(x.shape[1], block))
    convolution_kernel[grid](x, w, out, *x.shape, HIGH=w.shape[0], WIDE=w.shape[1], ROWS=rows, BLOCK=block)


def expected(x, w):
    """Every tap in turn, in float64."""
    high, wide = w.shape
    padded = torch.nn.functional.pad(x.double(), (wide // 2, wide // 2, high // 2, high // 2))
    return sum(padded[i : i + x.shape[0], j : j + x.shape[1]] * w[i, j].double() for i in range(high) for j in range(wide))


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (7, 40), (8, 32), (9, 33), (16, 64), (23, 56), (40, 100), (64, 128)], ids=lambda size: str(size)
)
@pytest.mark.parametrize(("rows", "block"), [(8, 32), (32, 64)])
def test_convolution(target, height, width, rows, block):
    """The image lies in the middle of numbers that would be seen: what is beside it, or behind it, is not in any result."""
    around = torch.full((height * width + 400,), float("nan"))
    x = around[200:-200].view(height, width).normal_()
    w, out = torch.randn(3, 3), torch.full((height * width + 64,), 7.0)
    convolve(x, w, out[:-64].view(height, width), rows, block)
    torch.testing.assert_close(out[:-64].view(height, width).double(), expected(x, w), atol=1e-5, rtol=1e-5)
    assert (out[-64:] == 7).all()


@pytest.mark.parametrize("shape", [(3, 1), (5, 5), (2, 3)])
def test_other_windows(target, shape):
    x, w = torch.randn(37, 70), torch.randn(*shape)
    out = torch.empty_like(x)
    convolve(x, w, out, 16, 32)
    high, wide = shape
    padded = torch.nn.functional.pad(x.double(), (wide // 2, wide, high // 2, high))
    taps = ((i, j) for i in range(high) for j in range(wide))
    wanted = sum(padded[i : i + 37, j : j + 70] * w[i, j].double() for i, j in taps)
    torch.testing.assert_close(out.double(), wanted, atol=2e-5, rtol=1e-5)


def test_infinities_and_nan_times_zeros(target):
    """A tap outside of the image is a zero, whose product with infinity is NaN."""
    x, w = torch.randn(24, 56), torch.ones(3, 3)
    w[0, 0], x[5, 5] = INFINITE, float("nan")
    out = torch.empty_like(x)
    convolve(x, w, out, 8, 64)
    wanted = expected(x, w)
    assert torch.equal(out.isnan(), wanted.isnan())
    assert torch.equal(out.isinf(), wanted.isinf())


@pytest.mark.parametrize("distance", [0, 1, -1, 56, -57, 56 * 24, -56 * 24])
def test_where_the_result_meets_the_image(target, distance):
    """A program stores over what it has loaded: it sees the image as it was. One program, as another one would see the result."""
    memory = torch.randn(3 * 56 * 24 + 200)
    start = 56 * 24 + 100
    x = memory[start : start + 56 * 24].view(24, 56)
    wanted = expected(x.clone(), torch.full((3, 3), 0.5))
    out = memory[start + distance : start + distance + 56 * 24].view(24, 56)
    convolution_kernel[(1, 1)](x, torch.full((3, 3), 0.5), out, 24, 56, HIGH=3, WIDE=3, ROWS=32, BLOCK=64)
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=1e-5)


@triton.jit
def pool_kernel(x_ptr, out_ptr, height, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """The largest of three rows, -infinity outside, and of rows that begin at the third."""
    i, j = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    best = tl.full((ROWS, BLOCK), -float("inf"), tl.float32)
    for di in tl.static_range(3):
        y = i + di + 2
        x = tl.load(x_ptr + y[:, None] * width + j[None, :], (y < height)[:, None] & (j < width)[None, :], other=-float("inf"))
        best = tl.maximum(best, x)
    tl.store(out_ptr + i[:, None] * width + j[None, :], best, (i[:, None] < height) & (j[None, :] < width))


@pytest.mark.parametrize("height", [8, 20, 32])
def test_other_numbers_outside(target, height):
    x = torch.randn(height, 45)
    out = torch.empty_like(x)
    pool_kernel[(1,)](x, out, height, 45, ROWS=32, BLOCK=64)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 4), value=-INFINITE)
    assert torch.equal(out, torch.stack([padded[d + 2 : d + 2 + height] for d in range(3)]).amax(0))


@triton.jit
def between_kernel(x_ptr, out_ptr, other_ptr, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """A store of something else stands between the loads and their sum's."""
    i, j = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    place = i[:, None] * width + j[None, :]
    first = tl.load(x_ptr + place)
    second = tl.load(x_ptr + place + width)
    tl.store(other_ptr + place, first * 0.0 + 3.0)
    tl.store(out_ptr + place, first + second)


@pytest.mark.parametrize("meets", [False, True])
def test_store_between(target, meets):
    x = torch.randn(17, 32)
    before = x.clone()
    out, other = torch.empty(16, 32), x if meets else torch.empty(16, 32)
    between_kernel[(1,)](x, out, other, 32, ROWS=16, BLOCK=32)
    assert torch.equal(out, before[:-1] + before[1:])


@triton.jit
def far_taps_kernel(x_ptr, out_ptr, height, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Three rows of taps, which lie 12 elements apart.."""
    i, j = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    total = tl.zeros((ROWS, BLOCK), tl.float64)
    for di in tl.static_range(3):
        for dj in tl.static_range(2):
            y, x = i + (di - 1), j + dj * 12
            inside = ((y >= 0) & (y < height))[:, None] & (x < width)[None, :]
            total += tl.load(x_ptr + y[:, None] * width + x[None, :], inside, other=0.0)
    tl.store(out_ptr + i[:, None] * width + j[None, :], total, (i[:, None] < height) & (j[None, :] < width))


@triton.jit
def sort_kernel(x_ptr, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    tl.store(x_ptr + place, tl.sort(tl.load(x_ptr + place)))


@pytest.mark.qemu
def test_rows_that_are_not_there_are_as_wide_as_windows_reach(cache):
    """Of float64 on a core with registers of 128 bits the last tap begins behind a vector and a half."""
    x = torch.randn(16, 64, dtype=torch.float64)
    out = torch.empty_like(x)
    with other_cores.registered("rvv128"), knobs.scope():
        set_device("qemu", "rvv128")
        sort_kernel[(1,)](torch.full((64,), float("nan"), dtype=torch.float64), BLOCK=64)
        far_taps_kernel[(1,)](x, out, *x.shape, ROWS=16, BLOCK=64)
    padded = torch.nn.functional.pad(x, (0, 12, 1, 1))
    torch.testing.assert_close(out, sum(padded[i : i + 16, j : j + 64] for i in range(3) for j in (0, 12)))
