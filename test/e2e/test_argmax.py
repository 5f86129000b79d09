"""Reductions that choose an element: argmax and argmin with ties, infinities, zeros of both signs and NaN, and functions like them."""

from typing import Any

import pytest
import torch
import triton
import triton.language as tl

INFINITE = float("inf")


@triton.jit
def rows_kernel(x_ptr, value_ptr, index_ptr, columns, LARGEST: tl.constexpr, LEFT: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows, offsets = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    fill = -float("inf") if LARGEST else float("inf")
    x = tl.load(x_ptr + rows[:, None] * columns + offsets[None, :], (offsets < columns)[None, :], other=fill)
    if LARGEST:
        value, index = tl.max(x, 1, return_indices=True, return_indices_tie_break_left=LEFT)
    else:
        value, index = tl.min(x, 1, return_indices=True, return_indices_tie_break_left=LEFT)
    tl.store(value_ptr + rows, value)
    tl.store(index_ptr + rows, index)


def _rows(x: torch.Tensor, largest: bool = True, left: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    rows, columns = x.shape
    value, index = torch.empty(rows, dtype=x.dtype), torch.full((rows,), -1, dtype=torch.int32)
    rows_kernel[(1,)](x, value, index, columns, LARGEST=largest, LEFT=left, ROWS=rows, BLOCK=triton.next_power_of_2(columns))
    return value, index.long()


def _special_rows(columns: int) -> torch.Tensor:
    """Without NaN: random, ties at both ends, one value, infinities alone and amid, zeros of both signs."""
    generator = torch.Generator().manual_seed(columns)
    rows = torch.randn(8, columns, generator=generator)
    rows[1] = torch.randint(-2, 3, (columns,), generator=generator).float()
    rows[2] = 0.25
    rows[3], rows[4] = -INFINITE, INFINITE
    rows[5, columns // 2 :] = INFINITE
    rows[5, : columns // 2] = -INFINITE
    rows[6] = torch.where(torch.arange(columns) % 3 == 0, -0.0, 0.0)
    rows[7, -1] = rows[7].abs().max() + 1
    return rows


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("columns", [1, 3, 16, 100, 1000, 1024])
def test_rows(target: str, columns: int, largest: bool) -> None:
    """The first of equal ones."""
    x = _special_rows(columns)
    value, index = _rows(x, largest)
    expected = x.numpy().argmax(1) if largest else x.numpy().argmin(1)
    assert index.tolist() == expected.tolist()
    assert value.tolist() == x.gather(1, index[:, None])[:, 0].tolist()


@pytest.mark.parametrize("largest", [True, False])
def test_any_of_equal_ones(target: str, largest: bool) -> None:
    x = _special_rows(1000)
    value, index = _rows(x, largest, left=False)
    best = x.amax(1) if largest else x.amin(1)
    assert value.tolist() == best.tolist()
    assert x.gather(1, index[:, None])[:, 0].tolist() == best.tolist()


@pytest.mark.parametrize("columns", [16, 128, 1024])
def test_nan(target: str, columns: int) -> None:
    """The function drops a NaN on its left and takes one on its right: in a row the result is an element of it, and no number left
    beside it is larger unless NaN is the result. Where all are NaN or -inf, that is what is found.
    """
    nan = float("nan")
    x = _special_rows(columns)
    x[0, columns // 3] = nan
    x[1, ::2] = nan
    x[2, :-1] = nan
    x[3, ::2] = nan
    x[4] = nan
    x[5, 0] = nan
    x[6, -1] = nan
    value, index = _rows(x)
    chosen = x.gather(1, index[:, None])[:, 0]
    torch.testing.assert_close(value, chosen, rtol=0, atol=0, equal_nan=True)
    largest = x.nan_to_num(-INFINITE, INFINITE, -INFINITE).amax(1)
    assert bool((value.isnan() | (value == largest)).all())
    assert value[4].isnan()


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_types(target: str, dtype: torch.dtype) -> None:
    x = (torch.randn(4, 300, generator=torch.Generator().manual_seed(1)) * 40).to(dtype)
    x = torch.cat([x, x[:, :212]], 1)  # ties
    value, index = _rows(x)
    assert index.tolist() == x.double().numpy().argmax(1).tolist()
    assert value.tolist() == x.amax(1).tolist()


@triton.jit
def columns_kernel(x_ptr, out_ptr, start, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Down the columns, from an offset on, with a function that takes the later of equal ones, and a third operand that goes along."""
    rows, offsets = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    x = tl.load(x_ptr + rows[:, None] * COLUMNS + offsets[None, :])
    index = tl.broadcast_to((start + rows)[:, None], x.shape)
    _, found, doubled = tl.reduce((x, index, 2 * x), 0, later_smallest)
    tl.store(out_ptr + offsets, found)
    tl.store(out_ptr + COLUMNS + offsets, doubled.to(tl.int32))


@triton.jit
def later_smallest(value1, index1, twice1, value2, index2, twice2):
    right = (value2 < value1) | ((value2 == value1) & (index2 > index1))
    return tl.where(right, value2, value1), tl.where(right, index2, index1), tl.where(right, twice2, twice1)


def test_own_function(target: str) -> None:
    x = torch.randint(-3, 4, (64, 32), generator=torch.Generator().manual_seed(2)).float()
    out = torch.empty(2, 32, dtype=torch.int32)
    columns_kernel[(1,)](x, out, 100, ROWS=64, COLUMNS=32)
    expected = 63 - x.flip(0).numpy().argmin(0)
    assert out[0].tolist() == (100 + expected).tolist()
    assert out[1].tolist() == (2 * x.amin(0)).int().tolist()


@triton.jit
def grouped_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """Reductions of several kinds over one block, which share a loop."""
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < columns, other=0.0)
    tl.store(out_ptr, tl.argmax(x, 0).to(tl.float32))
    tl.store(out_ptr + 1, tl.sum(x, 0))
    tl.store(out_ptr + 2, tl.argmin(x, 0).to(tl.float32))
    tl.store(out_ptr + 3, tl.max(x, 0))


def test_beside_other_reductions(target: str) -> None:
    x = torch.randint(-50, 50, (777,), generator=torch.Generator().manual_seed(3)).float()
    out = torch.empty(4)
    grouped_kernel[(1,)](x, out, 777, BLOCK=1024)
    assert out.tolist() == [int(x.numpy().argmax()), x.sum(), int(x.numpy().argmin()), x.max()]


@triton.jit
def running_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """The largest of a row of any length, in blocks: indices start at the block."""
    best, where = -float("inf"), 0
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + offsets, offsets < columns, other=-float("inf"))
        value, index = tl.reduce((x, offsets), 0, largest)
        where = tl.where(value > best, index, where)
        best = tl.maximum(best, value)
    tl.store(out_ptr, where)


@triton.jit
def largest(value1, index1, value2, index2):
    left = (value1 > value2) | ((value1 == value2) & (index1 < index2))
    return tl.where(left, value1, value2), tl.where(left, index1, index2)


def test_blocks_of_a_row(target: str) -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(4)).round(decimals=1)
    out = torch.empty(1, dtype=torch.int32)
    running_kernel[(1,)](x, out, 5000, BLOCK=512)
    assert out.item() == int(x.numpy().argmax())


@triton.jit
def permuted_kernel(x_ptr, index_ptr, out_ptr, BLOCK: tl.constexpr):
    """Indices from memory, in no order: ties go to the least of them."""
    offsets = tl.arange(0, BLOCK)
    _, index = tl.reduce((tl.load(x_ptr + offsets), tl.load(index_ptr + offsets)), 0, largest)
    tl.store(out_ptr, index)


def test_indices_in_no_order(target: str) -> None:
    generator = torch.Generator().manual_seed(5)
    x: Any = torch.randint(0, 4, (256,), generator=generator).float()
    index = torch.randperm(256, generator=generator).int()
    out = torch.empty(1, dtype=torch.int32)
    permuted_kernel[(1,)](x, index, out, BLOCK=256)
    assert out.item() == index[x == x.max()].min().item()
