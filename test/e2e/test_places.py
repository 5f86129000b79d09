"""Masks of one place: what counts the elements, compared with a scalar that may be any number."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def one_hot_kernel(target_ptr, out_ptr, columns, EQUAL: tl.constexpr, FIRST: tl.constexpr, BLOCK: tl.constexpr):
    """A row for each target; 1 where the column's number, which counts from `FIRST`, is the target."""
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    target = tl.load(target_ptr + row)
    hit = column + FIRST == target if EQUAL else column + FIRST != target
    tl.store(out_ptr + row * columns + column, tl.where(hit, 1.0, 2.0), column < columns)


@triton.jit
def diagonal_kernel(target_ptr, out_ptr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Another number in each row: it is no scalar, but of a row's vector."""
    row, column = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    hit = column[None, :] == tl.load(target_ptr + row)[:, None]
    tl.store(out_ptr + row[:, None] * BLOCK + column[None, :], tl.where(hit, 1.0, 2.0))


TARGETS = [0, 1, 31, 32, 127, 128, 129, 255, 256, 1000, 1023, 1024, -1, -128, -(2**31), 2**31 - 1]
FAR = [2**32, 2**32 + 5, 2**63 - 1, -(2**63), -(2**63) + 7, 2**40 + 31]


def _expected(target: torch.Tensor, columns: int, first: int, equal: bool) -> torch.Tensor:
    hit = target.long()[:, None] == torch.arange(first, first + columns)
    return torch.where(hit if equal else ~hit, 1.0, 2.0)


@pytest.mark.parametrize("columns", [1, 33, 1000, 1024])
@pytest.mark.parametrize(("first", "equal"), [(0, True), (0, False), (-7, True)])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_one_place(target, dtype, first, equal, columns):
    numbers = torch.tensor(TARGETS + FAR * (dtype == torch.int64), dtype=dtype)
    out = torch.full((len(numbers), columns), -1.0)
    one_hot_kernel[(len(numbers),)](numbers, out, columns, EQUAL=equal, FIRST=first, BLOCK=1024)
    assert torch.equal(out, _expected(numbers, columns, first, equal))


def test_a_place_in_each_row(target):
    numbers = torch.tensor(TARGETS[:4] * 2, dtype=torch.int32)
    out = torch.full((8, 256), -1.0)
    diagonal_kernel[(1,)](numbers, out, ROWS=8, BLOCK=256)
    assert torch.equal(out, _expected(numbers, 256, 0, True))


@triton.jit
def value_at_place_kernel(x_ptr, target_ptr, sum_ptr, first_ptr, second_ptr, INSIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Values of which a sum needs the one at a place, or all others, and which stores behind it need whole."""
    column, target = tl.arange(0, BLOCK), tl.load(target_ptr)
    value = tl.exp2(tl.load(x_ptr + column))
    hit = column == target if INSIDE else column != target
    total = tl.sum(tl.where(hit, value, 0.0))
    tl.store(sum_ptr, total)
    tl.store(first_ptr + column, value / total)
    tl.store(second_ptr + column, value)


@pytest.mark.parametrize("block", [16, 512, 4096])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("place", [0, 15, 333, 5000])
def test_values_are_needed_beside_the_place(target, place, inside, block):
    """What the branch around a place computes is not stored on the way: other vectors' values are needed behind the loop."""
    x = torch.randint(-4, 5, (block,)).float()
    total, first, second = torch.empty(1), torch.full((block,), -1.0), torch.full((block,), -1.0)
    value_at_place_kernel[(1,)](x, torch.tensor([place]), total, first, second, INSIDE=inside, BLOCK=block)
    value = torch.exp2(x)
    hit = (torch.arange(block) == place) == inside
    assert torch.equal(second, value)
    assert torch.equal(total, value[hit].sum().view(1))
    torch.testing.assert_close(first, value / value[hit].sum(), rtol=1e-6, atol=0)
