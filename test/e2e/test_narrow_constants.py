"""Blocks of bfloat16 and float8 that are known when the kernel is compiled, and are not the same everywhere."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def lower_half(out, ramp, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, (i < N // 2).to(tl.float32).to(out.dtype.element_ty))
    tl.store(ramp + i, (i * 0.0078125 - 0.25).to(out.dtype.element_ty))


@pytest.mark.parametrize("n", [2, 8, 64, 256])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e5m2, torch.float8_e4m3fn], ids=str)
def test_half_of_a_block(target, dtype, n):
    out, ramp = torch.full((n,), 9.0).to(dtype), torch.full((n,), 9.0).to(dtype)
    lower_half[(1,)](out, ramp, N=n)
    i = torch.arange(n)
    assert torch.equal(out.float(), (i < n // 2).float())
    assert torch.equal(ramp.float(), (i * 0.0078125 - 0.25).to(dtype).float())
