"""Products that a loop accumulates, by where its turns' operands lie; and those whose start is a carried block times a number a row."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def turns_kernel(
    a_ptr,
    b_ptr,
    out_ptr,
    K,
    stride_a,
    stride_b,
    next_a,
    next_b,
    bend,
    M: tl.constexpr,
    N: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Turn t takes A's columns from `t next_a` on, of rows `stride_a + bend t` apart, and B's rows from `t next_b` on."""
    k = tl.arange(0, BLOCK)
    rows, columns = tl.arange(0, M), tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for turn in range(0, tl.cdiv(K, BLOCK)):
        wanted = K - turn * BLOCK
        a = tl.load(a_ptr + turn * next_a + rows[:, None] * (stride_a + bend * turn) + k[None, :], k[None, :] < wanted, other=0.0)
        b = tl.load(b_ptr + (turn * next_b + k[:, None]) * stride_b + columns[None, :], k[:, None] < wanted, other=0.0)
        total = tl.dot(a, b, total)
    tl.store(out_ptr + rows[:, None] * N + columns[None, :], total)


def _numbers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).float()  # products and sums are exact


@pytest.mark.parametrize("k", [0, 16, 250, 256, 300])
@pytest.mark.parametrize("stride_b", [40, 64])  # 64: B's rows meet in few sets of the first cache, and are copied
@pytest.mark.parametrize(
    ("next_a", "next_b", "bend"),
    [(32, 32, 0), (0, 32, 0), (32, 0, 0), (64, 32, 0), (32, 48, 0), (-32, 32, 0), (32, 32, 4)],
    ids=["behind", "same A", "same B", "gaps of A", "gaps of B", "backwards", "other strides"],
)
def test_turns(target: str, next_a: int, next_b: int, bend: int, stride_b: int, k: int) -> None:
    rows, columns, block = 20, 40, 32
    turns = triton.cdiv(k, block)
    stride_a = 704
    a, b = _numbers(64 * (stride_a + bend * 10), seed=0), _numbers(512, stride_b, seed=1)
    first = 320 if next_a < 0 else 0
    out = torch.full((32, 64), torch.nan)
    wide = torch.zeros(512 * stride_b + 64)
    wide[: b.numel()] = b.flatten()
    turns_kernel[(1,)](a[first:], wide, out, k, stride_a, stride_b, next_a, next_b, bend, M=32, N=64, BLOCK=block)
    expected = torch.zeros(rows, columns)
    for turn in range(turns):
        steps = min(block, k - turn * block)
        left = a.as_strided((rows, steps), (stride_a + bend * turn, 1), first + turn * next_a)
        expected += left @ b[turn * next_b : turn * next_b + steps, :columns]
    assert torch.equal(out[:rows, :columns], expected)


@triton.jit
def scaled_kernel(a_ptr, b_ptr, factor_ptr, out_ptr, other_ptr, turns, KIND: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    rows, columns, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, 16)
    total = tl.full((M, N), 1.0, tl.float32)
    before = tl.zeros((M, N), tl.float32)
    for turn in range(turns):
        a = tl.load(a_ptr + turn * M * 16 + rows[:, None] * 16 + k[None, :])
        b = tl.load(b_ptr + turn * 16 * N + k[:, None] * N + columns[None, :])
        if KIND == "row" or KIND == "kept":
            factor = tl.load(factor_ptr + turn * M + rows)[:, None]
        elif KIND == "scalar":
            factor = tl.load(factor_ptr + turn)
        elif KIND == "column":
            factor = tl.load(factor_ptr + turn * M + columns)[None, :]
        elif KIND == "element":
            factor = tl.load(factor_ptr + rows[:, None] + columns[None, :])
        elif KIND == "own sums":
            factor = (tl.sum(total, 1) * 0.0 + 2.0)[:, None]
        if KIND == "kept":
            before += total
        total = tl.dot(a, b, total * factor)
    places = rows[:, None] * N + columns[None, :]
    tl.store(out_ptr + places, total)
    tl.store(other_ptr + places, before)


@pytest.mark.parametrize("rows", [16, 64])  # 64: the last register tile has rows of its own
@pytest.mark.parametrize("kind", ["row", "scalar", "column", "element", "own sums", "kept"])
def test_starts_that_are_scaled(target: str, kind: str, rows: int) -> None:
    turns, columns = 3, 32
    a, b = _numbers(turns, rows, 16, seed=0), _numbers(turns, 16, columns, seed=1)
    factors = torch.randint(-2, 3, (turns * rows + columns + rows,), generator=torch.Generator().manual_seed(2)).float()
    out, other = torch.empty(rows, columns), torch.empty(rows, columns)
    scaled_kernel[(1,)](a, b, factors, out, other, turns, KIND=kind, M=rows, N=columns)
    total, before = torch.ones(rows, columns), torch.zeros(rows, columns)
    for turn in range(turns):
        factor = {
            "scalar": factors[turn],
            "column": factors[turn * rows : turn * rows + columns],
            "element": factors[torch.arange(rows)[:, None] + torch.arange(columns)],
            "own sums": torch.tensor(2.0),
        }.get(kind, factors[turn * rows : (turn + 1) * rows, None])
        before += total
        total = total * factor + a[turn] @ b[turn]
    assert torch.equal(out, total)
    assert torch.equal(other, before if kind == "kept" else torch.zeros(rows, columns))
