"""Blocks that a loop carries and a reduction reads."""

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
