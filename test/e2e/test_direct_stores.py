"""Products whose tiles store the result where the program does: where that is legal, and the nearest programs in which it is not.

Numbers are small integers, so results are exact.
"""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def product_kernel(
    a_ptr, b_ptr, out_ptr, other_ptr, rows, columns, K, stride_a, stride_b, stride_out,
    START: tl.constexpr, READS: tl.constexpr, M: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = START + a @ b. READS: out's elements, read before the loop or behind it, go to `other` behind the store."""
    i, j, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, BLOCK)
    places, inside = out_ptr + i[:, None] * stride_out + j[None, :], (i[:, None] < rows) & (j[None, :] < columns)
    total = tl.full((M, N), START, tl.float32)
    if READS == "before":
        old = tl.load(places, inside, other=0.0)
    for turn in range(0, tl.cdiv(K, BLOCK)):
        step = turn * BLOCK + k
        a = tl.load(a_ptr + i[:, None] * stride_a + step[None, :], (i[:, None] < rows) & (step[None, :] < K), other=0.0)
        b = tl.load(b_ptr + step[:, None] * stride_b + j[None, :], (step[:, None] < K) & (j[None, :] < columns), other=0.0)
        total = tl.dot(a, b, total)
    if READS == "behind":
        old = tl.load(places, inside, other=0.0)
    tl.store(places, total, inside)
    if READS != "nothing":
        tl.store(other_ptr + i[:, None] * N + j[None, :], old + 1.0)


def _numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


def _launch(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor, reads: str = "nothing", start: float = 0.0) -> torch.Tensor:
    """The product into `out`, in one block; gives what the kernel has read of `out`, plus 1."""
    (rows, k), columns = a.shape, b.shape[1]
    m, n = max(16, triton.next_power_of_2(rows)), max(16, triton.next_power_of_2(columns))
    other = torch.zeros(m, n)
    strides = a.stride(0), b.stride(0), out.stride(0)
    product_kernel[(1,)](a, b, out, other, rows, columns, k, *strides, START=start, READS=reads, M=m, N=n, BLOCK=32)
    return other[:rows, :columns]


@pytest.mark.parametrize("rows", [1, 20, 61])
@pytest.mark.parametrize("columns", [8, 33, 64])
@pytest.mark.parametrize("k", [40, 600])  # 600: several chunks of turns
def test_nothing_around_the_result_is_written(target: str, rows: int, columns: int, k: int) -> None:
    a, b, around = _numbers(rows, k), _numbers(k, columns, seed=1), torch.full((rows + 20, columns + 70), 7.5)
    _launch(a, b, around[2 : 2 + rows, 3 : 3 + columns])
    expected = torch.full_like(around, 7.5)
    expected[2 : 2 + rows, 3 : 3 + columns] = a @ b
    assert torch.equal(around, expected)


@pytest.mark.parametrize("k", [0, 40, 600])
def test_start_in_memory(target: str, k: int) -> None:
    a, b, out = _numbers(20, max(1, k))[:, :k], _numbers(max(1, k), 40, seed=1)[:k], torch.zeros(20, 40)
    _launch(a, b, out, start=2.0)
    assert torch.equal(out, 2 + a @ b)


@pytest.mark.parametrize("shift", [-64, 0, 1])
@pytest.mark.parametrize("over", ["a", "b"])
@pytest.mark.parametrize("k", [64, 600])
def test_result_where_operands_are_read(target: str, over: str, shift: int, k: int) -> None:
    """The result lies where an operand does, or a little beside it."""
    rows, columns = 60, 64
    a, b = _numbers(rows, k), _numbers(k, columns, seed=1)
    operand = a if over == "a" else b
    memory = torch.zeros(operand.numel() + 8192)
    memory[1024 : 1024 + operand.numel()] = operand.flatten()
    inside = memory[1024:].as_strided(operand.shape, operand.stride())
    out = memory.as_strided((rows, columns), (columns, 1), 1024 + shift)
    expected = a @ b
    _launch(inside if over == "a" else a, inside if over == "b" else b, out)
    assert torch.equal(out, expected)


def test_result_over_what_earlier_chunks_have_read(target: str) -> None:
    a, b = _numbers(60, 600), _numbers(600, 64, seed=1)
    expected = a @ b
    _launch(a, b, b[:60])
    assert torch.equal(b[:60], expected)


@pytest.mark.parametrize("reads", ["before", "behind"])
def test_reads_of_the_result(target: str, reads: str) -> None:
    a, b, out = _numbers(60, 64), _numbers(64, 64, seed=1), _numbers(60, 64, seed=2)
    old = out.clone()
    assert torch.equal(_launch(a, b, out, reads), old + 1)
    assert torch.equal(out, a @ b)
