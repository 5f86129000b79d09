"""Blocks that a loop carries and a reduction reads."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def row_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """Sums, squares, largest and smallest of a row that is read in blocks; a block that is also stored; one that starts elsewhere."""
    total = tl.zeros([BLOCK], tl.float32)
    squares = tl.zeros([BLOCK], tl.float32)
    kept = tl.zeros([BLOCK], tl.float32)
    biased = tl.full([BLOCK], 1.0, tl.float32)
    largest = tl.full([BLOCK], 0.5, tl.float32)
    smallest = tl.full([BLOCK], float("inf"), tl.float32)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        mask = offsets < columns
        x = tl.load(x_ptr + offsets, mask, other=0.0)
        total += x
        squares = x * x + squares
        kept += x
        biased += x
        largest = tl.maximum(largest, x)
        smallest = tl.minimum(smallest, tl.where(mask, x, float("inf")))
    tl.store(out_ptr, tl.sum(total, 0))
    tl.store(out_ptr + 1, tl.sum(squares, 0))
    tl.store(out_ptr + 2, tl.max(largest, 0))
    tl.store(out_ptr + 3, tl.min(smallest, 0))
    tl.store(out_ptr + 4, tl.sum(biased, 0))
    tl.store(out_ptr + 5, tl.sum(kept, 0))
    tl.store(out_ptr + 6 + tl.arange(0, BLOCK), kept)


def test_row(target: str) -> None:
    x = torch.randint(-9, 10, (1000,), generator=torch.Generator().manual_seed(0)).float()  # sums are exact
    for sign, columns in ((1, 1000), (-1, 1000), (1, 128), (1, 0)):
        row = sign * x[:columns]
        out = torch.empty(6 + 128)
        row_kernel[(1,)](row, out, columns, BLOCK=128)
        padded = torch.cat([row, torch.zeros(-columns % 128)]).view(-1, 128)
        smallest = row.min().item() if columns else float("inf")
        expected = [row.sum(), row.square().sum(), max([0.5, *row.tolist()]), smallest, row.sum() + 128, row.sum()]
        assert out[:6].tolist() == [float(value) for value in expected]
        assert out[6:].tolist() == padded.sum(0).tolist()


@triton.jit
def matrix_kernel(x_ptr, columns_ptr, rows_ptr, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Column sums of blocks of rows, as for a weight's gradient, and the largest of each row of a block."""
    offsets = tl.arange(0, COLUMNS)
    total = tl.zeros([ROWS, COLUMNS], tl.int32)
    largest = tl.full([ROWS, COLUMNS], -(2**31), tl.int32)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)
        x = tl.load(x_ptr + row[:, None] * COLUMNS + offsets[None, :], (row < rows)[:, None], other=0)
        total += x
        largest = tl.maximum(largest, x)
    tl.store(columns_ptr + offsets, tl.sum(total, 0))
    tl.store(rows_ptr + tl.arange(0, ROWS), tl.max(largest, 1))


def test_matrix(target: str) -> None:
    x = torch.randint(-99, 100, (150, 64), dtype=torch.int32, generator=torch.Generator().manual_seed(1))
    columns, rows = torch.empty(64, dtype=torch.int32), torch.empty(64, dtype=torch.int32)
    matrix_kernel[(1,)](x, columns, rows, 150, ROWS=64, COLUMNS=64)
    assert columns.tolist() == x.sum(0).tolist()
    padded = torch.cat([x, torch.zeros(42, 64, dtype=torch.int32)]).view(3, 64, 64)
    assert rows.tolist() == padded.amax((0, 2)).tolist()


@triton.jit
def columns_kernel(x_ptr, sums_ptr, largest_ptr, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ACROSS: tl.constexpr):
    """Sums and largest elements of columns as generated code takes them: blocks of columns by rows, which a mask leaves as they are.

    ACROSS: columns are rows in memory.
    """
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[:, None]
    total = tl.full([COLUMNS, ROWS], 0, tl.float32)
    largest = tl.full([COLUMNS, ROWS], float("-inf"), tl.float32)
    for start in range(0, rows, ROWS):
        row = start + tl.arange(0, ROWS)[None, :]
        mask = (row < rows) & (column < columns)
        offsets = row * columns + column if ACROSS else column * rows + row
        x = tl.broadcast_to(tl.load(x_ptr + offsets, mask, other=0.0), [COLUMNS, ROWS])
        total = tl.where(mask, total + x, total)
        largest = tl.where(mask & ((x > largest) | (x != x)), x, largest)
    place = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    tl.store(sums_ptr + place, tl.sum(total, 1), place < columns)
    tl.store(largest_ptr + place, tl.max(largest, 1), place < columns)


@pytest.mark.parametrize("across", [True, False], ids=["across memory", "along memory"])
@pytest.mark.parametrize("block", [(16, 64), (16, 16), (64, 64), (128, 8)], ids=str)
@pytest.mark.parametrize("shape", [(50, 70), (128, 64), (3, 130), (0, 5)], ids=str)
def test_columns(target: str, shape: tuple[int, int], block: tuple[int, int], across: bool) -> None:
    (rows, columns), (in_turns, at_once) = shape, block
    x = torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(2)).float()  # sums are exact
    sums, largest = torch.empty(columns), torch.empty(columns)
    held = x.contiguous() if across else x.T.contiguous()
    columns_kernel[(triton.cdiv(columns, at_once),)](held, sums, largest, rows, columns, in_turns, at_once, across)
    assert sums.tolist() == x.sum(0).tolist()
    assert largest.tolist() == (x.amax(0) if rows else torch.full((columns,), float("-inf"))).tolist()


def test_nothing_added_to_nan_and_negative_zeros(target: str) -> None:
    """A masked element adds nothing, so that infinities and NaN behind the mask do not matter, and those before it are kept."""
    x = torch.full((20, 16), -0.0)
    x[3, 1], x[4, 2], x[5, 3] = float("inf"), float("nan"), -2.5
    sums, largest = torch.empty(16), torch.empty(16)
    columns_kernel[(1,)](x, sums, largest, 20, 16, 16, 16, True)
    assert sums.isnan().nonzero().flatten().tolist() == [2]
    assert sums[[0, 1, 3]].tolist() == [0.0, float("inf"), -2.5]


@triton.jit
def product_kernel(x_ptr, out_ptr, turns, SIZE: tl.constexpr):
    """Sums of matrices that lie by columns, and what a product adds to them."""
    i, j = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    total = tl.zeros([SIZE, SIZE], tl.float32)
    for turn in range(turns):
        total += tl.load(x_ptr + turn * SIZE * SIZE + j * SIZE + i)
    left = tl.load(x_ptr + i * SIZE + j)
    tl.store(out_ptr + i * SIZE + j, tl.dot(left, left, total))


def test_product_that_adds_to_columns(target: str) -> None:
    x, out = torch.randint(-9, 10, (3, 32, 32), generator=torch.Generator().manual_seed(3)).float(), torch.empty(32, 32)
    product_kernel[(1,)](x, out, 3, 32)
    assert torch.equal(out, x.transpose(1, 2).sum(0) + x[0] @ x[0])
