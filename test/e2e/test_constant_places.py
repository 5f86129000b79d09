"""Stores and loads whose mask or places are constants: LLVM knows them, turns them into something else, and that must be the same."""

import ctypes
import itertools
import random
from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend.devices import Signature, get_device
from triton_spacemit.backend.elf import ElfObject
from triton_spacemit.dialect.hosts import host_chip
from triton_spacemit.passes import codegen

GUARD = 77  # what lies around the elements that are stored

# what is computed, and what is stored of it
NARROWED = [
    (torch.int64, torch.int32),
    (torch.int64, torch.int16),
    (torch.int64, torch.int8),
    (torch.int32, torch.int16),
    (torch.int32, torch.int8),
    (torch.int16, torch.int8),
    (torch.float64, torch.float32),
    (torch.float32, torch.float16),
    (torch.float32, torch.bfloat16),
    (torch.int32, torch.int32),
    (torch.int8, torch.int8),
]


def identity(types: tuple[torch.dtype, ...]) -> str:
    return "-".join(str(type_).removeprefix("torch.") for type_ in types)


@triton.jit
def masked_kernel(x, y, FIRST: tl.constexpr, COUNT: tl.constexpr, N: tl.constexpr, ROW: tl.constexpr):
    """Row m of y gets the lanes of x that are set in the number FIRST + m."""
    i = tl.arange(0, N)
    for m in tl.static_range(COUNT):
        tl.store(y + m * ROW + i, tl.load(x + i).to(y.dtype.element_ty), mask=((FIRST + m) >> i) & 1 == 1)


@triton.jit
def masked_list_kernel(x, y, z, MASKS: tl.constexpr, N: tl.constexpr, ROW: tl.constexpr):
    """The same for the masks of a list; row m of z gets the lanes of x that are set, and elsewhere -1."""
    i = tl.arange(0, N)
    for m in tl.static_range(len(MASKS)):
        chosen = (tl.full((N,), MASKS[m], tl.int64) >> i) & 1 == 1
        tl.store(y + m * ROW + i, tl.load(x + i).to(y.dtype.element_ty), mask=chosen)
        tl.store(z + m * ROW + i, tl.load(x + i, mask=chosen, other=-1))


def numbers(n: int, kind: torch.dtype) -> torch.Tensor:
    """Numbers that fit a byte, from one that is not 0 on, with something in the bits above it where there are any."""
    low = torch.arange(n) % 100 + 1
    return (low + 0x7700 if kind in (torch.int32, torch.int64) else low).to(kind)


def chosen(n: int, masks: list[int]) -> torch.Tensor:
    return torch.tensor([[mask >> i & 1 == 1 for i in range(n)] for mask in masks])


def expected_rows(x: torch.Tensor, kind: torch.dtype, masks: list[int], row: int) -> torch.Tensor:
    rows = torch.full((len(masks), row), GUARD, dtype=kind)
    inside = rows[:, : len(x)]
    inside.copy_(torch.where(chosen(len(x), masks), x.to(kind), inside))
    return rows


@pytest.mark.parametrize("types", NARROWED, ids=identity)
@pytest.mark.parametrize("n", [2, 4, 8])
def test_all_masks_of_short_blocks(target: str, types: tuple[torch.dtype, torch.dtype], n: int) -> None:
    x, masks, row = numbers(n, types[0]), list(range(1 << n)), 2 * n + 8
    if target != "host":
        masks = masks[-40:]
    y = torch.full((len(masks), row), GUARD, dtype=types[1])
    masked_kernel[(1,)](x, y, FIRST=masks[0], COUNT=len(masks), N=n, ROW=row)
    assert torch.equal(y, expected_rows(x, types[1], masks, row))


@pytest.mark.parametrize("types", NARROWED, ids=identity)
@pytest.mark.parametrize("n", [16, 64])
def test_masks_of_longer_blocks(target: str, types: tuple[torch.dtype, torch.dtype], n: int) -> None:
    """One lane, all but one, one in each part that a register may hold, none, all, and others."""
    draw = random.Random(n)
    full = (1 << n) - 1
    masks = [0, full, 1, 1 << (n - 1), 1 << (n // 2), full ^ 1, full >> 1, 1 | 1 << (n // 2), (1 << (n // 4)) - 1]
    masks = [*masks, *(1 << draw.randrange(n) for _ in range(4)), *(draw.getrandbits(n) for _ in range(4))]
    masks = [mask - (1 << 64) if mask >> 63 else mask for mask in masks]
    x, row = numbers(n, types[0]), n + 16
    y, z = torch.full((len(masks), row), GUARD, dtype=types[1]), torch.zeros(len(masks), row, dtype=types[0])
    masked_list_kernel[(1,)](x, y, z, MASKS=tuple(masks), N=n, ROW=row)
    assert torch.equal(y, expected_rows(x, types[1], masks, row))
    assert torch.equal(z[:, :n], torch.where(chosen(n, masks), x, torch.tensor(-1).to(types[0])))


@triton.jit
def one_turn_kernel(x, y, LAST: tl.constexpr, N: tl.constexpr):
    """The mask depends on a loop, whose one turn LLVM finds."""
    i = tl.arange(0, N)
    for turn in range(0, 1):
        tl.store(y + i, tl.load(x + i).to(y.dtype.element_ty), mask=i == LAST - turn)


@pytest.mark.parametrize("types", NARROWED, ids=identity)
def test_masks_that_become_constant(target: str, types: tuple[torch.dtype, torch.dtype]) -> None:
    x = numbers(16, types[0])
    y = torch.full((24,), GUARD, dtype=types[1])
    one_turn_kernel[(1,)](x, y, LAST=13, N=16)
    want = torch.full((24,), GUARD, dtype=types[1])
    want[13] = x[13].to(types[1])
    assert torch.equal(y, want)


def levels() -> dict[str, tuple[str, str]]:
    """CPU and features of what this machine runs besides its own code."""
    if host_chip().is_riscv:
        return {}
    found, have = {"sse2": ("x86-64", "")}, host_chip().features.split(",")
    if "+avx2" in have:
        found["avx2"] = "haswell", ""
    if all(feature in have for feature in ("+avx512bw", "+avx512vl", "+avx512dq", "+avx512cd")):
        found["avx512"] = "skylake-avx512", ""
        found["avx512 by halves"] = "skylake-avx512", "+prefer-256-bit"
        found["avx512 without bytes and words"] = "x86-64", "+avx512f"
    return found


@pytest.mark.parametrize("level", levels())
@pytest.mark.parametrize("types", NARROWED[1:6:2], ids=identity)
def test_levels_of_x86(host: None, types: tuple[torch.dtype, torch.dtype], level: str) -> None:
    n, row = 8, 24
    masks = list(range(1 << n))
    x, y = numbers(n, types[0]), torch.full((len(masks), row), GUARD, dtype=types[1])
    kernel = masked_kernel.warmup(x, y, FIRST=0, COUNT=len(masks), N=n, ROW=row, grid=(1,))
    cpu, features = levels()[level]
    device = get_device("host", "host")
    binary = codegen.compile_object(kernel.asm["llir"], replace(host_chip(), cpu=cpu, features=features))
    loaded = device.load(ElfObject(binary, "masked_kernel").artifact())
    try:
        slots = bytes((ctypes.c_uint64 * 2)(x.data_ptr(), y.data_ptr()))
        device.launch(loaded, (1, 1, 1), slots, (x, y), Signature(("*i64", "*i8"), (0, 1)))
    finally:
        device.unload(loaded)
    assert torch.equal(y, expected_rows(x, types[1], masks, row))


@triton.jit
def permuted_kernel(x, stored, loaded, PLACES: tl.constexpr, BITS: tl.constexpr, N: tl.constexpr):
    """Row r: lane i goes to, and comes from, the place that BITS bits of PLACES[r] from i * BITS on name."""
    i = tl.arange(0, N)
    for r in tl.static_range(len(PLACES)):
        places = (tl.full((N,), PLACES[r], tl.int64) >> (i * BITS)) & (N - 1)
        tl.store(stored + r * N + places, tl.load(x + i))
        tl.store(loaded + r * N + i, tl.load(x + places))


@triton.jit
def rotated_kernel(x, stored, loaded, FACTOR: tl.constexpr, SHIFT: tl.constexpr, N: tl.constexpr):
    i = tl.arange(0, N)
    places = (i * FACTOR + SHIFT) % N
    tl.store(stored + places, tl.load(x + i))
    tl.store(loaded + i, tl.load(x + places))


KINDS = [torch.float64, torch.float32, torch.bfloat16, torch.int8, torch.bool]


def in_places(x: torch.Tensor, places: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    stored = torch.zeros_like(x)
    stored[places] = x
    return stored, x[places]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: identity((kind,)))
@pytest.mark.parametrize("n", [4, 16])
def test_permutations(target: str, kind: torch.dtype, n: int) -> None:
    """All of two and of four places, some of more, and places that several lanes share when they load."""
    draw = random.Random(n)
    orders = list(itertools.permutations(range(n))) if n < 8 else [draw.sample(range(n), n) for _ in range(12)]
    width = n.bit_length() - 1
    codes = [sum(place << (i * width) for i, place in enumerate(order)) for order in orders]
    codes = [code - (1 << 64) if code >> 63 else code for code in codes]
    x = torch.arange(1, n + 1).to(kind) if kind is not torch.bool else torch.arange(n) % 3 == 0
    stored, loaded = torch.zeros(2, len(orders), n).to(kind)
    permuted_kernel[(1,)](x, stored, loaded, PLACES=tuple(codes), BITS=width, N=n)
    for row, order in enumerate(orders):
        want = in_places(x, list(order))
        assert torch.equal(stored[row], want[0]), order
        assert torch.equal(loaded[row], want[1]), order


@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: identity((kind,)))
@pytest.mark.parametrize("factor", [1, 3, -1])
@pytest.mark.parametrize("n", [32, 256])
def test_permutations_of_registers(target: str, kind: torch.dtype, factor: int, n: int) -> None:
    x = (torch.arange(n) % 120 + 1).to(kind)
    stored, loaded = torch.zeros(2, n).to(kind)
    rotated_kernel[(1,)](x, stored, loaded, FACTOR=factor % n, SHIFT=7, N=n)
    want = in_places(x, [(i * factor + 7) % n for i in range(n)])
    assert torch.equal(stored, want[0])
    assert torch.equal(loaded, want[1])
