"""Scans of long rows, which are read and written as segments of registers: every size, direction, type and place."""

import pytest
import torch
import triton
import triton.language as tl

SIZES = [1, 63, 64, 65, 500, 1000, 1024]


@triton.jit
def largest(a, b):
    return tl.maximum(a, b)


@triton.jit
def scan_kernel(x_ptr, out_ptr, rows, columns, stride, KIND: tl.constexpr, REVERSE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, BLOCK)[None, :]
    mask = (i < rows) & (j < columns)
    x = tl.load(x_ptr + i * stride + j, mask, other=1 if KIND == "product" else 0 if KIND == "sum" else float("-inf"))
    if KIND == "sum":
        y = tl.cumsum(x, 1, reverse=REVERSE)
    elif KIND == "product":
        y = tl.cumprod(x, 1, reverse=REVERSE)
    else:
        y = tl.associative_scan(x, 1, largest, reverse=REVERSE)
    tl.store(out_ptr + i * stride + j, y, mask)


@triton.jit
def computed_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """What is scanned is computed, and so is what is stored."""
    j = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + j, j < columns, other=0)
    tl.store(out_ptr + j, tl.cumsum(x * 2, 0) + x, j < columns)


@triton.jit
def strided_kernel(x_ptr, out_ptr, x_stride, out_stride, BLOCK: tl.constexpr):
    j = tl.arange(0, BLOCK)
    tl.store(out_ptr + j * out_stride, tl.cumsum(tl.load(x_ptr + j * x_stride), 0))


@triton.jit
def twice_kernel(x_ptr, out_ptr, sum_ptr, BLOCK: tl.constexpr):
    """The result is stored, and needed again; between scan and store is another store."""
    j = tl.arange(0, BLOCK)
    scanned = tl.cumsum(tl.load(x_ptr + j), 0)
    tl.store(x_ptr + j, tl.load(x_ptr + j) + 1)
    tl.store(out_ptr + j, scanned)
    tl.store(sum_ptr, tl.sum(scanned, 0))


def whole(rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers whose sums are exact in every order."""
    return torch.randint(-3, 4, (rows, columns), generator=torch.Generator().manual_seed(columns)).to(dtype)


def expected(x: torch.Tensor, kind: str, reverse: bool) -> torch.Tensor:
    x = x.flip(1) if reverse else x
    y = {"sum": torch.cumsum, "product": torch.cumprod, "largest": lambda x, d: torch.cummax(x, d)[0]}[kind](x, 1)
    return (y.flip(1) if reverse else y).to(x.dtype)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("kind", ["sum", "product", "largest"])
def test_rows(target, kind, columns, reverse):
    x = torch.ones(3, columns) if kind == "product" else whole(3, columns, torch.float32)
    if kind == "product":
        x[:, ::7], x[:, ::5] = -1, 2
        x[:, 3::5] = 0.5
    out = torch.full_like(x, -7)
    block = triton.next_power_of_2(columns)
    scan_kernel[(1,)](x, out, 3, columns, columns, KIND=kind, REVERSE=reverse, ROWS=2 if columns == 1 else 4, BLOCK=block)
    for row in range(2 if columns == 1 else 3):
        scan_kernel[(1,)](x[row], out[row], 1, columns, columns, KIND=kind, REVERSE=reverse, ROWS=1, BLOCK=block)
    rows = slice(0, 2 if columns == 1 else 3)
    torch.testing.assert_close(out[rows], expected(x, kind, reverse)[rows], rtol=0, atol=0)


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float64], ids=str
)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_types(target, dtype, reverse):
    x = whole(1, 1000, dtype) if dtype.is_floating_point else torch.ones(1, 1000, dtype=dtype)
    out = torch.empty_like(x)
    scan_kernel[(1,)](x, out, 1, 1000, 1000, KIND="sum", REVERSE=reverse, ROWS=1, BLOCK=1024)
    exact = expected(x.long() if not dtype.is_floating_point else x.double(), "sum", reverse)
    torch.testing.assert_close(out, exact.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("distance", [0, 1, 64, 100])
def test_in_place_and_overlapping(target, distance):
    """Every element is read before any is written."""
    x = whole(1, 1200, torch.float32)[0]
    exact = x.clone()
    exact[distance : distance + 1000] = x[:1000].cumsum(0)
    scan_kernel[(1,)](x, x[distance:], 1, 1000, 1000, KIND="sum", REVERSE=False, ROWS=1, BLOCK=1024)
    torch.testing.assert_close(x, exact, rtol=0, atol=0)


@pytest.mark.parametrize("columns", [1000, 1024])
def test_computed(target, columns):
    x = whole(1, columns, torch.float32)[0]
    out = torch.empty_like(x)
    computed_kernel[(1,)](x, out, columns, BLOCK=1024)
    torch.testing.assert_close(out, 2 * x.cumsum(0) + x, rtol=0, atol=0)


@pytest.mark.parametrize(("x_stride", "out_stride"), [(1, 2), (2, 1), (3, 3), (-1, 1), (1, -1)])
def test_strides(target, x_stride, out_stride):
    x, out = whole(1, 1600, torch.float32)[0], torch.zeros(1600)
    first, start = (511 if x_stride < 0 else 0), (511 if out_stride < 0 else 0)
    strided_kernel[(1,)](x[first:], out[start:], x_stride, out_stride, BLOCK=512)
    places = torch.arange(512)
    exact = torch.zeros(1600)
    exact[start + places * out_stride] = x[first + places * x_stride].cumsum(0)
    torch.testing.assert_close(out, exact, rtol=0, atol=0)


def test_needed_again(target):
    x = whole(1, 512, torch.float32)[0]
    before, out, total = x.clone(), torch.empty(512), torch.empty(1)
    twice_kernel[(1,)](x, out, total, BLOCK=512)
    torch.testing.assert_close(out, before.cumsum(0), rtol=0, atol=0)
    torch.testing.assert_close(x, before + 1, rtol=0, atol=0)
    torch.testing.assert_close(total[0], before.cumsum(0).sum(), rtol=0, atol=0)
