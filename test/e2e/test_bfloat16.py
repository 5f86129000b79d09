"""Conversions between float32 and bfloat16, and what is computed between them, on every bit pattern or a sample with all special ones."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def narrow_kernel(x, out, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i).to(tl.bfloat16))


@triton.jit
def widen_kernel(x, out, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i).to(tl.float32))


@triton.jit
def chain_kernel(x, y, out, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a, b = tl.load(x + i), tl.load(y + i)
    tl.store(out + i, (a * b + a) * b - a)


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal bits, or both NaN."""
    kind = torch.int16 if found.dtype == torch.bfloat16 else torch.int32
    return bool(((found.view(kind) == expected.view(kind)) | (found.isnan() & expected.isnan())).all())


@pytest.mark.parametrize("block", [1, 4, 32, 1024])
def test_narrow(target: str, block: int) -> None:
    generator = torch.Generator().manual_seed(0)
    upper = torch.randint(0, 1 << 16, (64,), generator=generator)
    specials = torch.tensor([0x0000, 0x8000, 0x0001, 0x007F, 0x0080, 0x7F7F, 0x7F80, 0x7FC0, 0xFF80, 0xFFFF])
    lower = torch.tensor([0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x1234, 0xC000])
    codes = (torch.cat([upper, specials])[:, None] << 16 | lower).flatten()
    codes = codes.repeat(2)[:1024]
    x = torch.where(codes >= 1 << 31, codes - (1 << 32), codes).to(torch.int32).view(torch.float32)
    out = torch.empty(1024, dtype=torch.bfloat16)
    narrow_kernel[(1024 // block,)](x, out, BLOCK=block)
    assert same(out, x.bfloat16())


def test_widen(target: str) -> None:
    x = torch.arange(1 << 16).to(torch.uint16).view(torch.bfloat16)
    out = torch.empty(1 << 16)
    widen_kernel[(64,)](x, out, BLOCK=1024)
    assert same(out, x.float())


@pytest.mark.parametrize("block", [2, 1024])
def test_every_step_rounds(target: str, block: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1024, generator=generator).bfloat16() for _ in range(2))
    x[:4] = torch.tensor([float("inf"), float("nan"), 3e38, -0.0])
    out = torch.empty_like(x)
    chain_kernel[(1024 // block,)](x, y, out, BLOCK=block)
    assert same(out, (x * y + x) * y - x)
