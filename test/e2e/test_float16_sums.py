"""Products of float16 whose kernel allows sums in float16."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def product_kernel(a, b, c, SIZE: tl.constexpr, IMPRECISE: tl.constexpr):
    i = tl.arange(0, SIZE)
    square = i[:, None] * SIZE + i[None, :]
    c_block = tl.dot(tl.load(a + square), tl.load(b + square), out_dtype=tl.float16, max_num_imprecise_acc=IMPRECISE)
    tl.store(c + square, c_block)


@pytest.mark.parametrize("imprecise", [0, 32])
def test_error_of_the_sums(target: str, imprecise: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(32, 32, generator=generator).half() for _ in range(2))
    c = torch.empty(32, 32, dtype=torch.float16)
    product_kernel[(1,)](a, b, c, SIZE=32, IMPRECISE=imprecise)
    exact = a.double() @ b.double()
    # Every sum rounds once in float16, or float32 rounds so little that only the result's own rounding is seen.
    size = a.double().abs() @ b.double().abs()
    bound = 2**-11 * (32 * size if imprecise else exact.abs()) + 2**-24 * 32 * size + 2**-24
    assert bool(((c.double() - exact).abs() <= bound).all())
