"""Stores past the caches, on x86-64: where they are made, and that they store the same."""

import dataclasses
import re

import pytest
import torch
import triton
import triton.language as tl
from kernels.elementwise import add_kernel, gelu_erf, unary_kernel

from triton_spacemit.dialect import hosts

pytestmark = pytest.mark.skipif(not hosts.host_chip().streaming_stores, reason="the host has no stores past the caches")
CACHE = 1 << 16
BLOCK = 1024
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.bool, torch.int64)


@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr, HINT: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n), i < n, cache_modifier=HINT)


@triton.jit
def rows_kernel(x_ptr, out_ptr, out_stride, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    i, j = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    mask = (i < rows) & (j < columns)
    tl.store(out_ptr + i * out_stride + j, tl.load(x_ptr + i * columns + j, mask), mask, cache_modifier=".cs")


@triton.jit
def in_a_loop_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        tl.store(out_ptr + i, tl.load(x_ptr + i, i < n), i < n)


@triton.jit
def strided_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + 2 * i, tl.load(x_ptr + i, i < n), i < n, cache_modifier=".cs")


@triton.jit
def masked_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + i, i < n)
    tl.store(out_ptr + i, x, x > 0, cache_modifier=".cs")


@triton.jit
def centre_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    x = tl.exp(tl.load(x_ptr + i, i < n, other=0.0))
    tl.store(out_ptr + i, x - tl.sum(x, 0), i < n)


@triton.jit
def atomic_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + i, tl.load(x_ptr + i, i < n), i < n, cache_modifier=".cs")
    tl.atomic_add(out_ptr + n, 1.0)


@triton.jit
def increment(x):
    return x + 1


@pytest.fixture
def as_host(host, monkeypatch):
    """A function that makes the host a chip with other properties; kernels are compiled anew."""
    real = hosts.host_chip()

    def change(**properties):
        chip = dataclasses.replace(real, **properties)
        monkeypatch.setattr(hosts, "host_chip", lambda: chip)
        for kernel in (add_kernel, copy_kernel, unary_kernel):
            kernel.device_caches.clear()

    yield change
    change()


@pytest.fixture
def small_cache(as_host):
    as_host(last_cache_bytes=CACHE)


def aligned(elements: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Zeros that start with a line of the caches."""
    room = torch.zeros(elements + 64, dtype=dtype)
    return room[-room.data_ptr() // room.element_size() % 64 :][:elements]


def streams(kernel) -> bool:
    return "nontemporal" in kernel.asm["llir"] and bool(re.search(r"\bv?movnt", kernel.asm["asm"]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 1, 16])
@pytest.mark.parametrize("n", [5 * BLOCK, 5 * BLOCK - 1, 4 * BLOCK + 65, 3])
def test_asked_for(as_host, dtype, offset, n):
    as_host(last_cache_bytes=0)
    x = torch.randint(-100, 100, (n,)).to(dtype)
    room = aligned(offset + n + 8, dtype)
    out = room[offset : offset + n]
    kernel = copy_kernel[(triton.cdiv(n, BLOCK),)](x, out, n, BLOCK=BLOCK, HINT=".cs")
    assert streams(kernel)
    assert torch.equal(out, x)
    assert not room[:offset].any()
    assert not room[offset + n :].any()


@pytest.mark.parametrize("columns", [256, 200])
@pytest.mark.parametrize("stride", [256, 272, 257])
def test_rows_that_start_with_lines_or_not(host, columns, stride):
    x, out = torch.randn(30, columns), aligned(30 * stride)
    kernel = rows_kernel[(4,)](x, out, stride, 30, columns, ROWS=8, COLUMNS=256)
    assert streams(kernel)
    expected = torch.zeros(30, stride)
    expected[:, :columns] = x
    assert torch.equal(out.view(30, stride), expected)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("programs", [1, 5, 6, 40])
def test_more_than_the_cache_holds(small_cache, offset, programs):
    """Three blocks of float32 a program: five programs move 60 KiB, six 72 KiB."""
    n = programs * BLOCK - 7
    x, y, room = torch.randn(n), torch.randn(n), aligned(n + offset + 7)
    out = room[offset:]
    kernel = add_kernel[(programs,)](x, y, out, n, BLOCK=BLOCK)
    assert streams(kernel)
    assert re.search(r"icmp sgt i64 %\d+, 5\b", kernel.asm["llir"])
    assert torch.equal(out[:n], x + y)
    assert not out[n:].any()


def test_in_place(small_cache):
    """Where the loads read is written: known at run time only."""
    x = torch.randn(40 * BLOCK)
    expected = x + 1
    kernel = unary_kernel[(40,)](x, x, x.numel(), OP=increment, BLOCK=BLOCK)
    assert streams(kernel)
    assert torch.equal(x, expected)


@pytest.mark.parametrize("hint", ["", ".wb", ".cg", ".cs"])
def test_caches_of_unknown_size_are_never_exceeded(as_host, hint):
    """Nor does any other hint ask."""
    as_host(last_cache_bytes=0)
    x, out = torch.randn(BLOCK), torch.zeros(BLOCK)
    kernel = copy_kernel[(1,)](x, out, BLOCK, BLOCK=BLOCK, HINT=hint)
    assert streams(kernel) == (hint == ".cs")
    assert torch.equal(out, x)


REFUSED = {
    "loop of the program": (in_a_loop_kernel, {}),
    "strided": (strided_kernel, {}),
    "any mask": (masked_kernel, {}),
    "block that was stored": (centre_kernel, {}),
    "programs that may wait": (atomic_kernel, {}),
    "much to compute": (unary_kernel, {"OP": gelu_erf}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_where_not(small_cache, name):
    kernel, constants = REFUSED[name]
    compiled = kernel[(1,)](torch.randn(BLOCK), torch.zeros(2 * BLOCK), 1000, BLOCK=BLOCK, **constants)
    assert "nontemporal" not in compiled.asm["llir"]


@pytest.mark.parametrize(("kernel", "constants", "half"), [(add_kernel, {}, True), (unary_kernel, {"OP": gelu_erf}, False)])
def test_kernels_that_wait_for_memory_take_half_registers(as_host, kernel, constants, half):
    """Where the chip is faster so, and only there."""
    for halves in (True, False):
        as_host(half_registers=halves)
        x = torch.randn(BLOCK)
        tensors = [x] * (2 if kernel is add_kernel else 1)
        text = kernel[(1,)](*tensors, torch.empty(BLOCK), 1000, BLOCK=BLOCK, **constants).asm["llir"]
        assert ('"prefer-vector-width"="256"' in text) == (half and halves)
