"""Strides that are known at run time only: neighbours, one element for all, apart, and backwards, in every mixture of loads and stores.

Arguments annotated with `int` are no constants to Triton, even where they are 1. Numbers are small integers, so results are exact, and
whole storages are compared: what is not to be written stays.
"""

import ctypes
import itertools
import mmap
from collections.abc import Iterator

import pytest
import torch
import triton
import triton.language as tl

STRIDES = (1, 0, 2, -1)
FILL = 99.0


def integers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-9, 10, shape, generator=torch.Generator().manual_seed(seed)).float()


def along(base: torch.Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """Elements of the 1-D `base`, which fit into it; strides may be negative. As a tensor of its own."""
    return base[positions(shape, strides)]


def positions(shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.Tensor:
    """Where elements lie in a storage, the first one at a multiple of 16: Triton compiles nothing anew for another alignment."""
    places = torch.zeros(shape, dtype=torch.int64)
    for d, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        places += (torch.arange(extent) * stride).reshape([-1 if e == d else 1 for e in range(len(shape))])
    places -= places.min()
    return places - places.flatten()[0] % -16


def first(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Where the first element lies in a storage that `positions` index."""
    return int(positions(shape, strides).flatten()[0])


@triton.jit
def add_one(x, y, out, sx: int, sy: int, so: int, n: int, tiles: int, BLOCK: tl.constexpr):
    programs = tl.num_programs(0)
    for j in range(0, tiles):
        i = (tl.program_id(0) + j * programs) * BLOCK + tl.arange(0, BLOCK)
        mask = i < n
        tl.store(out + i * so, tl.load(x + i * sx, mask=mask) + tl.load(y + i * sy, mask=mask), mask=mask)


@pytest.mark.parametrize("n", [1, 100, 512])
@pytest.mark.parametrize("out_stride", [1, 2, -1])
def test_one_dimension(target: str, n: int, out_stride: int) -> None:
    for sx, sy in itertools.product(STRIDES, STRIDES):
        x, y, out = integers(2 * n + 16), integers(2 * n + 16, seed=1), torch.full((2 * n + 16,), FILL)
        want = out.clone()
        want[positions((n,), (out_stride,))] = along(x, (n,), (sx,)) + along(y, (n,), (sy,))
        starts = [first((n,), (s,)) for s in (sx, sy, out_stride)]
        add_one[(2,)](x[starts[0] :], y[starts[1] :], out[starts[2] :], sx, sy, out_stride, n, 4, BLOCK=64)
        assert torch.equal(out, want), (sx, sy)


def test_one_element_stored_by_all_lanes(target: str) -> None:
    x, y, out = integers(1), integers(1, seed=1), torch.full((64,), FILL)
    add_one[(1,)](x, y, out, 0, 0, 0, 200, 4, BLOCK=64)
    assert torch.equal(out, torch.cat([x + y, torch.full((63,), FILL)]))


@triton.jit
def add_rows(x, y, out, sx0: int, sx1: int, sy0: int, sy1: int, so0: int, so1: int, m: int, n: int, M: tl.constexpr, N: tl.constexpr):
    i, j = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    mask = (i < m) & (j < n)
    tl.store(out + i * so0 + j * so1, tl.load(x + i * sx0 + j * sx1, mask) - tl.load(y + i * sy0 + j * sy1, mask, other=3.0), mask)


@triton.jit
def add_rows_by_block_pointers(
    x, y, out, sx0: int, sx1: int, sy0: int, sy1: int, so0: int, so1: int, m: int, n: int, M: tl.constexpr, N: tl.constexpr
):
    a = tl.make_block_ptr(x, (m, n), (sx0, sx1), (0, 0), (M, N), (1, 0))
    b = tl.make_block_ptr(y, (m, n), (sy0, sy1), (0, 0), (M, N), (1, 0))
    c = tl.make_block_ptr(out, (m, n), (so0, so1), (0, 0), (M, N), (1, 0))
    tl.store(c, tl.load(a, boundary_check=(0, 1)) - tl.load(b, boundary_check=(0, 1)), boundary_check=(0, 1))


LAYOUTS = ((100, 1), (1, 16), (0, 1), (1, 0), (200, 2), (100, -1), (-100, 1), (0, 0))


@pytest.mark.parametrize("kernel", [add_rows, add_rows_by_block_pointers], ids=["pointers", "block-pointers"])
@pytest.mark.parametrize("block", [(16, 128), (16, 8)], ids=str)
def test_two_dimensions(target: str, kernel, block: tuple[int, int]) -> None:
    shape = (13, min(97, block[1] - 1))
    for a, b, c in itertools.product(LAYOUTS, LAYOUTS, ((100, 1), (1, 16), (100, -1))):
        if (LAYOUTS.index(a) * 3 + LAYOUTS.index(b) + c[0]) % 5:
            continue  # enough of the pairs
        x, y, out = integers(4096), integers(4096, seed=1), torch.full((4096,), FILL)
        want = out.clone()
        want[positions(shape, c)] = along(x, shape, a) - along(y, shape, b)
        starts = [first(shape, s) for s in (a, b, c)]
        kernel[(1,)](x[starts[0] :], y[starts[1] :], out[starts[2] :], *a, *b, *c, *shape, M=block[0], N=block[1])
        assert torch.equal(out, want), (a, b, c)


@triton.jit
def reduce_rows(x, sums, most, places, total, s0: int, s1: int, m: int, n: int, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr):
    i, j = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    block = tl.load(x + i * s0 + j * s1, (i < m) & (j < n), other=0.0)
    at = tl.arange(0, N if AXIS == 0 else M)
    tl.store(sums + at, tl.sum(block, AXIS))
    tl.store(most + at, tl.max(block, AXIS))
    tl.store(places + at, tl.argmax(block, AXIS))
    tl.store(total, tl.sum(block))


@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(target: str, axis: int) -> None:
    m, n, M, N = 13, 97, 16, 128
    for strides in LAYOUTS:
        x = integers(4096)
        extent = (N, M)[axis]
        sums, most, places, total = torch.zeros(extent), torch.zeros(extent), torch.zeros(extent, dtype=torch.int32), torch.zeros(1)
        start = first((m, n), strides)
        reduce_rows[(1,)](x[start:], sums, most, places, total, *strides, m, n, M=M, N=N, AXIS=axis)
        block = torch.zeros(M, N)
        block[:m, :n] = along(x, (m, n), strides)
        assert torch.equal(sums, block.sum(axis)), strides
        assert torch.equal(most, block.amax(axis)), strides
        assert torch.equal(places.long(), torch.from_numpy(block.numpy().argmax(axis))), strides
        assert total.item() == block.sum().item(), strides


@triton.jit
def update(x, y, sx: int, sy: int, n: int, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    loaded = tl.load(x + i * sx, i < n)
    tl.store(y + i * sy, loaded * 2, i < n)
    tl.store(y + i * sy + 1, loaded + 1, i < n)


@pytest.mark.parametrize("shift", [0, 1, -1, 3])
def test_updates_of_what_was_loaded(target: str, shift: int) -> None:
    """Loaded and stored at the same elements, or a few further on, with strides that meet and that do not."""
    n = 200
    for sx, sy in itertools.product(STRIDES, (1, 2, -1)):
        memory = integers(2000)
        want, x_start, y_start = memory.clone(), 800, 800 + shift
        i = torch.arange(n)
        loaded = memory[x_start + i * sx].clone()
        want[y_start + i * sy] = loaded * 2
        want[y_start + i * sy + 1] = loaded + 1
        update[(1,)](memory[x_start:], memory[y_start:], sx, sy, n, BLOCK=256)
        assert torch.equal(memory, want), (sx, sy)


@triton.jit
def accumulate(x, out, s0: int, s1: int, turns: int, n: int, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(turns):
        total = total * 2 + tl.load(x + k * s0 + i * s1, i < n, other=1.0)
    tl.store(out + i, total)


def test_carried_block(target: str) -> None:
    turns, n, block = 3, 100, 128
    for strides in LAYOUTS:
        x, out, want = integers(4096), torch.zeros(block), torch.zeros(block)
        for row in along(x, (turns, n), strides):
            want = want * 2 + 1
            want[:n] += row - 1
        accumulate[(1,)](x[first((turns, n), strides) :], out, *strides, turns, n, BLOCK=block)
        assert torch.equal(out, want), strides


@triton.jit
def costly(x, out, sx: int, so: int, n: int, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i * so, tl.sin(tl.load(x + i * sx, i < n)), i < n)


@pytest.mark.parametrize("strides", list(itertools.product(STRIDES, (1, 2, -1))), ids=str)
def test_loop_that_computes_much(target: str, strides: tuple[int, int]) -> None:
    n = 300
    x, out = integers(2 * n + 16), torch.full((2 * n + 16,), FILL)
    want = out.double()
    want[positions((n,), strides[1:])] = along(x, (n,), strides[:1]).double().sin()
    costly[(3,)](x[first((n,), strides[:1]) :], out[first((n,), strides[1:]) :], *strides, n, BLOCK=128)
    assert (out.double() - want).abs().max() <= 2**-23  # an ulp of what lies between 0.5 and 1; what is not written is equal
    assert ((out == FILL) == (want == FILL)).all()


@pytest.fixture
def last_of_memory() -> Iterator[torch.Tensor]:
    """A tensor of one page, behind which no memory may be touched."""
    page, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)
    memory = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(address + page), page, 0) == 0
    yield torch.frombuffer(memory, dtype=torch.float32, count=page // 4)
    assert libc.mprotect(ctypes.c_void_p(address + page), page, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@pytest.mark.parametrize("n", [1, 40, 64, 256])
def test_nothing_behind_the_last_element_is_touched(host: None, last_of_memory: torch.Tensor, n: int) -> None:
    """With stride 0, lanes that were taken for neighbours would lie behind it; so would those in front of it with stride -1."""
    last_of_memory.copy_(integers(last_of_memory.numel()))
    end, y, out = last_of_memory.numel(), integers(n), torch.zeros(n)
    for stride in (0, -1):
        add_one[(1,)](last_of_memory[end - 1 :], y, out, stride, 1, 1, n, 4, BLOCK=64)
        assert torch.equal(out, last_of_memory[end - 1 + stride * torch.arange(n)] + y), stride
    add_one[(1,)](y, y, last_of_memory[end - n :], 1, 0, 1, n, 4, BLOCK=64)
    assert torch.equal(last_of_memory[end - n :], y + y[0])


@triton.jit
def copy_with_default(x, out, sx: int, n: int, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i * sx))
    tl.store(out + BLOCK + i, tl.load(x + 1 + i * sx, i < n, other=5.0))


def test_loads_stay_in_their_version(host: None, last_of_memory: torch.Tensor) -> None:
    """Of the last element, by one vector without a mask; and of none, behind it, under a mask that no lane passes."""
    last_of_memory.copy_(integers(last_of_memory.numel()))
    out = torch.zeros(32)
    copy_with_default[(1,)](last_of_memory[-1:], out, 0, 0, BLOCK=16)
    assert torch.equal(out, torch.cat([last_of_memory[-1].expand(16), torch.full((16,), 5.0)]))
