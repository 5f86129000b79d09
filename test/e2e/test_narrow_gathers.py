"""Loads of fewer than 32 bits from places that are computed: on chips without an instruction for it, as parts of aligned words."""

import ctypes
import mmap
from collections.abc import Iterator

import pytest
import torch
import triton
import triton.language as tl

DTYPES = [torch.int8, torch.uint8, torch.bool, torch.int16, torch.float16, torch.bfloat16]


@triton.jit
def gather_kernel(x, index, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = tl.load(index + i, i < n, other=0)
    tl.store(out + i, tl.load(x + at, (i < n) & (at >= 0), other=1), i < n)


@triton.jit
def strided_kernel(x, out, stride, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i * stride))


def bits(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Every pattern of bits; of bool both."""
    whole = torch.randint(-(2**15), 2**15, (*shape, dtype.itemsize), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    whole = whole.to(torch.uint8) & (1 if dtype == torch.bool else 255)
    return whole.view(dtype).squeeze(-1)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_gather(target: str, dtype: torch.dtype, offset: int) -> None:
    n = 700
    x, out = bits(1000, dtype=dtype), torch.zeros(1024, dtype=torch.uint8).repeat(dtype.itemsize).view(dtype)
    index = torch.randint(-1, 900, (n,), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    at = index.long().clamp(min=0) + offset
    want = out.clone()
    want[:n] = x[at]
    want[:n][index < 0] = 1
    gather_kernel[(triton.cdiv(n, 256),)](x[offset:], index, out, n, BLOCK=256)
    assert same(out, want)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16], ids=str)
@pytest.mark.parametrize("stride", [2, 3, -1, -2])
def test_strided(target: str, dtype: torch.dtype, stride: int) -> None:
    x, out = bits(1024, dtype=dtype), torch.zeros(256, dtype=dtype)
    start = 0 if stride > 0 else 600
    strided_kernel[(1,)](x[start:], out, stride, BLOCK=256)
    assert same(out, x[start + stride * torch.arange(256)])


@pytest.fixture
def page() -> Iterator[torch.Tensor]:
    """Bytes of a page, beside which no memory may be touched."""
    size, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
    memory = mmap.mmap(-1, 3 * size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for beside in (address, address + 2 * size):
        assert libc.mprotect(ctypes.c_void_p(beside), size, 0) == 0
    yield torch.frombuffer(memory, dtype=torch.uint8, count=size, offset=size)
    for beside in (address, address + 2 * size):
        assert libc.mprotect(ctypes.c_void_p(beside), size, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16], ids=str)
def test_the_ends_of_memory(host: None, page: torch.Tensor, dtype: torch.dtype) -> None:
    x = page.view(dtype)
    page.copy_(bits(page.numel(), dtype=torch.uint8))
    last = x.numel() - 1
    index = torch.tensor([0, last, 1, last - 1, 2, last - 2, 3, last - 3] * 32, dtype=torch.int32)
    out = torch.zeros(256, dtype=dtype)
    gather_kernel[(1,)](x, index, out, 256, BLOCK=256)
    assert same(out, x[index.long()])
