"""Products with few columns, whose left operand is read where it is, whatever the distance of its elements along k."""

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs

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


@triton.jit
def single_product_kernel(a, b, start, c, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows, columns, steps = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    stored = (rows[:, None] < m) & (columns[None, :] < n)
    left = tl.load(a + rows[:, None] * k + steps[None, :], (rows[:, None] < m) & (steps[None, :] < k), other=0)
    right = tl.load(b + steps[:, None] * n + columns[None, :], (steps[:, None] < k) & (columns[None, :] < n), other=0)
    total = tl.dot(left, right) + tl.load(start + rows[:, None] * n + columns[None, :], stored, other=0)
    tl.store(c + rows[:, None] * n + columns[None, :], total, stored)


def _single_product(m: int, n: int, k: int) -> float:
    """Checks it in blocks of 64, and gives its weighted instructions where they are counted."""
    a, b, start = torch.ones(m, k), torch.randn(k, n), torch.randn(m, n)
    c = torch.full((m + 2, n), 7.0)
    launch = lambda: single_product_kernel[(1,)](a, b, start, c, m, n, k, M=64, N=64, K=64)  # noqa: E731
    launch()
    torch.testing.assert_close(c[:m], start + b.sum(0), rtol=1e-5, atol=1e-4)
    assert (c[m:] == 7).all()
    return count(launch).weighted if knobs.device == "qemu" else 0


@pytest.mark.parametrize("sizes", [(64, 64, 64), (5, 64, 64), (64, 33, 64), (61, 7, 9), (1, 1, 1)])
def test_a_product_on_its_own(target: str, sizes: tuple[int, int, int]) -> None:
    _single_product(*sizes)


@pytest.mark.qemu
def test_only_what_is_stored_of_a_product_is_computed() -> None:
    with knobs.scope():
        set_device("qemu", "x60")
        whole = _single_product(64, 64, 64)
        assert _single_product(12, 64, 64) < whole / 3
        assert _single_product(64, 32, 64) < whole * 0.6
