"""Maxima and minima of rows that hold NaN and infinities: NaN counts for nothing beside a number."""

import pytest
import torch
import triton
import triton.language as tl

INFINITE, NAN = float("inf"), float("nan")


@triton.jit
def extremes_kernel(x_ptr, high_ptr, low_ptr, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, BLOCK)[None, :]
    x = tl.load(x_ptr + i * columns + j, j < columns, other=float("nan"))
    tl.store(high_ptr + tl.arange(0, ROWS), tl.max(x, 1))
    tl.store(low_ptr + tl.arange(0, ROWS), tl.min(x, 1))


@triton.jit
def masked_kernel(x_ptr, high_ptr, columns, BLOCK: tl.constexpr):
    j = tl.arange(0, BLOCK)
    tl.store(high_ptr, tl.max(tl.load(x_ptr + j, j < columns, other=-float("inf")), 0))


def rows(columns: int, dtype: torch.dtype) -> torch.Tensor:
    x = torch.randn(16, columns).to(dtype)
    x[1] = NAN
    x[2] = -INFINITE
    x[3] = INFINITE
    x[4, ::2] = NAN
    x[5], x[5, -1] = NAN, -INFINITE
    x[6], x[6, -1] = NAN, INFINITE
    x[7], x[7, 0] = NAN, -3.0
    x[8], x[8, columns // 2] = -INFINITE, NAN
    x[9, 0] = NAN
    x[10, -1] = NAN
    x[11] = -5.0
    return x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("columns", [1, 2, 8, 16, 31, 64, 65, 500, 1024])
def test_rows(target, dtype, columns):
    x = rows(columns, dtype)
    high, low = torch.empty(16, dtype=dtype), torch.empty(16, dtype=dtype)
    extremes_kernel[(1,)](x, high, low, columns, ROWS=16, BLOCK=triton.next_power_of_2(columns))
    for row, largest, least in zip(x, high, low, strict=True):
        numbers = row[~row.isnan()]
        expected = (numbers.max(), numbers.min()) if len(numbers) else (torch.tensor(NAN, dtype=dtype),) * 2
        torch.testing.assert_close((largest, least), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("columns", [0, 1, 100, 1000, 1023, 1024])
@pytest.mark.parametrize("row", range(12))
def test_padded_with_the_least(target, row, columns):
    x = rows(1024, torch.float32)[row]
    out = torch.zeros(1)
    masked_kernel[(1,)](x, out, columns, BLOCK=1024)
    padded = torch.where(torch.arange(1024) < columns, x, -INFINITE)
    numbers = padded[~padded.isnan()]
    torch.testing.assert_close(out[0], numbers.max() if len(numbers) else torch.tensor(NAN), rtol=0, atol=0, equal_nan=True)
