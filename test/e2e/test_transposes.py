"""Blocks that are read along one dimension and stored along another, on the host transposed in registers."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def across(x, y, out, rows, columns, ADD: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """out[i, j] = x[j, i] * 2, with y[i, j] added."""
    i = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    j = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    inside = (i < rows) & (j < columns)
    value = tl.load(x + i + rows * j, inside) * 2
    if ADD:
        value += tl.load(y + columns * i + j, inside)
    tl.store(out + columns * i + j, value, inside)


@pytest.mark.parametrize("shape", [(64, 64), (33, 100), (1, 257), (100, 1)])
@pytest.mark.parametrize("blocks", [(16, 32), (64, 16)])
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32, torch.float64])
def test_every_element_is_where_it_belongs(host, shape, blocks, add, dtype):
    rows, columns = shape
    x, y = (torch.arange(rows * columns).add(n).remainder(1009).to(dtype) for n in (0, 7))
    out = torch.full((rows * columns + 64,), -1).to(dtype)
    across[(triton.cdiv(rows, blocks[0]), triton.cdiv(columns, blocks[1]))](x, y, out, rows, columns, add, *blocks)
    expected = x.view(columns, rows).t() * 2 + (y.view(rows, columns) if add else 0)
    assert torch.equal(out[: rows * columns].view(rows, columns), expected)
    assert (out[rows * columns :] == -1).all()


@triton.jit
def over_itself(x, shift, N: tl.constexpr):
    """Block semantics: all of the block is read before any of it is written."""
    i = tl.arange(0, N)[:, None]
    j = tl.arange(0, N)[None, :]
    tl.store(x + shift + N * i + j, tl.load(x + i + N * j) + 1)


@pytest.mark.parametrize("shift", [0, 5])
def test_a_block_is_transposed_over_itself(host, shift):
    size = 32
    x = torch.arange(size * size + 8, dtype=torch.float32)
    expected = x.clone()
    expected[shift : shift + size * size] = (x[: size * size].view(size, size).t() + 1).flatten()
    over_itself[(1,)](x, shift, size)
    np.testing.assert_array_equal(x, expected)


@triton.jit
def rows_of_flat(x, out, n, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
    """out[k] = 1000 * row + column + x[row]: what generated code makes of a flat index."""
    k = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = k // COLUMNS, k % COLUMNS
    tl.store(out + k, tl.load(x + row, k < n) + (1000 * row + column), k < n)


@pytest.mark.parametrize(("columns", "block"), [(96, 32), (32, 32), (80, 32), (7, 64), (256, 1024), (48, 16)])
def test_rows_and_columns_of_a_flat_index(host, columns, block):
    rows = 13
    x, out = torch.arange(rows, dtype=torch.int32) * 7, torch.zeros(rows * columns, dtype=torch.int32)
    rows_of_flat[(triton.cdiv(rows * columns, block),)](x, out, rows * columns, columns, block)
    expected = x[:, None] + 1000 * torch.arange(rows)[:, None] + torch.arange(columns)[None, :]
    assert torch.equal(out.view(rows, columns), expected.int())
