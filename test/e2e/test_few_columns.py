"""Products with few columns, whose left operand is read where it is, whatever the distance of its elements along k."""

import pytest
import torch
import triton
import triton.language as tl

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int8]


@triton.jit
def product_kernel(a, b, c, m, n, k, stride_am, stride_ak, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows, columns, steps = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = tl.zeros((M, N), tl.int32 if a.dtype.element_ty == tl.int8 else tl.float32)
    for start in range(0, k, K):
        at = start + steps
        left = tl.load(a + rows[:, None] * stride_am + at[None, :] * stride_ak, (rows[:, None] < m) & (at[None, :] < k), other=0)
        right = tl.load(b + at[:, None] * n + columns[None, :], (at[:, None] < k) & (columns[None, :] < n), other=0)
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total, (rows[:, None] < m) & (columns[None, :] < n))


@pytest.mark.parametrize("distances", ["rows", "columns", "apart"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", [(32, 8, 64), (13, 5, 39), (7, 1, 33)])
def test_few_columns(target: str, sizes: tuple[int, int, int], dtype: torch.dtype, distances: str) -> None:
    m, n, k = sizes
    generator = torch.Generator().manual_seed(0)
    whole = torch.randint(-8, 8, {"rows": (m, k), "columns": (k, m), "apart": (m, 3 * k)}[distances], generator=generator).to(dtype)
    a = {"rows": whole, "columns": whole.t(), "apart": whole[:, ::3]}[distances]
    b = torch.randint(-8, 8, (k, n), generator=generator).to(dtype)
    c = torch.full((m, n), 7, dtype=torch.int32 if dtype == torch.int8 else torch.float32)
    M, N, K = 32, triton.next_power_of_2(n), 32
    product_kernel[(1,)](a, b, c, m, n, k, *a.stride(), M=M, N=N, K=K)
    assert torch.equal(c.double(), a.double() @ b.double())  # small integers: every sum is exact
