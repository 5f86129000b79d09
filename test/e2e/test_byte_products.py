"""Products of bytes: exact whatever the sizes, layouts and values; the host multiplies them by fours where it can."""

import pytest
import torch
import triton
import triton.language as tl

BLOCK = 32


@triton.jit
def product_kernel(a, b, c, m, n, k, stride_am, stride_ak, stride_bk, stride_bn, ALONE: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), tl.int32)
    for start in range(0, k, BLOCK):
        steps = start + tl.arange(0, BLOCK)
        left = tl.load(a + (rows % m)[:, None] * stride_am + steps[None, :] * stride_ak, steps[None, :] < k, other=0)
        right = tl.load(b + steps[:, None] * stride_bk + (columns % n)[None, :] * stride_bn, steps[:, None] < k, other=0)
        if ALONE:
            total += tl.dot(left, right + right)
        else:
            total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total, (rows[:, None] < m) & (columns[None, :] < n))


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", [(32, 32, 32), (33, 47, 65), (5, 70, 31)])
def test_product(target: str, sizes: tuple[int, int, int], transposed: tuple[bool, bool], alone: bool) -> None:
    m, n, k = sizes
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, across: bool) -> torch.Tensor:
        # The extremes most of all: 128 above the least byte does not fit into a signed one.
        values = torch.tensor([-128, 127, -1, 0, 1, 77], dtype=torch.int8)
        shape = (columns, rows) if across else (rows, columns)
        made = values[torch.randint(0, len(values), shape, generator=generator)]
        return made.t() if across else made

    a, b = matrix(m, k, transposed[0]), matrix(k, n, transposed[1])
    c = torch.full((m, n), 7, dtype=torch.int32)
    grid = (triton.cdiv(m, BLOCK), triton.cdiv(n, BLOCK))
    product_kernel[grid](a, b, c, m, n, k, *a.stride(), *b.stride(), ALONE=alone, BLOCK=BLOCK)
    right = (b + b if alone else b).to(torch.int32)  # bytes wrap around
    assert torch.equal(c, a.to(torch.int32) @ right)
