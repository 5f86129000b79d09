"""Products of bytes by SpacemiT's matrix instructions: exact for any sizes, layouts and values, in loops, on threads, beside other work."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from kernels.matmul import matmul_kernel

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

pytestmark = pytest.mark.qemu


def bytes_(generator: np.random.Generator, rows: int, columns: int, across: bool = False) -> torch.Tensor:
    """Random bytes, the extremes among them, in a matrix whose rows are longer; `across`: stored transposed."""
    shape = (columns, rows) if across else (rows, columns)
    whole = generator.integers(-128, 128, (shape[0] + 1, shape[1] + 3), dtype=np.int8)
    whole[generator.random(whole.shape) < 0.1] = -128
    made = torch.from_numpy(whole)[: shape[0], : shape[1]]
    return made.t() if across else made


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(a.numpy().astype(np.int32) @ b.numpy().astype(np.int32))


def multiply(a: torch.Tensor, b: torch.Tensor, blocks: tuple[int, int, int], **options: object) -> tuple[torch.Tensor, str]:
    """The product by the plain kernel, and the kernel's assembly."""
    (m, k), n = a.shape, b.shape[1]
    c = torch.full((m, n), 7, dtype=torch.int32)
    grid = (triton.cdiv(m, blocks[0]) * triton.cdiv(n, blocks[1]),)
    sizes = dict(zip(("BLOCK_M", "BLOCK_N", "BLOCK_K"), blocks, strict=True))
    strides = (*a.stride(), *b.stride(), *c.stride())
    kernel = matmul_kernel[grid](a, b, c, m, n, k, *strides, **sizes, GROUP=4, ACCUMULATOR=tl.int32, EPILOGUE=None, **options)
    return c, kernel.asm["asm"]


@pytest.mark.parametrize("chip", ["x60", "a100"])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn", "tt"])
def test_any_size(chip: str, layout: str) -> None:
    """Sizes around those of tiles, of blocks, of turns of the loop over k and of chunks of them."""
    set_device("qemu", chip)
    generator = np.random.default_rng(ord(layout[0]) + 2 * ord(layout[1]))
    for blocks in ((64, 32, 64), (16, 64, 32), (32, 16, 128)):
        for turns in (3, 3, 3, 3, 20):  # the last of several chunks
            m, n, k = (int(generator.integers(1, most * block)) for most, block in zip((3, 3, turns), blocks, strict=True))
            a, b = bytes_(generator, m, k, layout[0] == "t"), bytes_(generator, k, n, layout[1] == "t")
            c, code = multiply(a, b, blocks)
            assert "smt.vmadot\t" in code
            assert torch.equal(c, product(a, b)), (m, n, k)


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_smallest_blocks(chip: str) -> None:
    """Of one instruction's tile, and of less, which vectors multiply."""
    set_device("qemu", chip)
    generator = np.random.default_rng(0)
    least = (4, 4, 8) if chip == "x60" else (8, 8, 16)
    for blocks in (least, tuple(2 * extent for extent in least), (least[0], 4 * least[1], least[2])):
        a, b = bytes_(generator, 13, 37), bytes_(generator, 37, 21)
        c, code = multiply(a, b, blocks)
        assert "smt.vmadot\t" in code
        assert torch.equal(c, product(a, b)), blocks
    for position in range(3):
        blocks = tuple(extent // 2 if i == position else extent for i, extent in enumerate(least))
        a, b = bytes_(generator, 13, 37), bytes_(generator, 37, 21)
        c, code = multiply(a, b, blocks)
        assert "smt.vmadot" not in code
        assert torch.equal(c, product(a, b)), blocks


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_threads(threads: int) -> None:
    set_device("qemu", "x60")
    generator = np.random.default_rng(threads)
    a, b = bytes_(generator, 100, 70), bytes_(generator, 70, 90)
    with knobs.scope():
        knobs.threads = threads
        c, _ = multiply(a, b, (16, 16, 64))
    assert torch.equal(c, product(a, b))


def test_not_allowed() -> None:
    set_device("qemu", "x60")
    generator = np.random.default_rng(1)
    a, b = bytes_(generator, 50, 60), bytes_(generator, 60, 70)
    c, code = multiply(a, b, (32, 32, 32), allow_ime=False)
    assert "vwmacc" in code
    assert "smt.vmadot" not in code
    assert torch.equal(c, product(a, b))


@triton.jit
def mixed_kernel(a_ptr, b_ptr, scale_ptr, out_ptr, rest_ptr, turns, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """Computed operands, a start that is not zero, a loop that does more than the product, and scaled results."""
    i, j, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = (i[:, None] * N + j[None, :]).to(tl.int32)
    rest = tl.zeros((M,), tl.int32)
    for turn in range(turns):
        a = tl.load(a_ptr + (i[:, None] * K + k[None, :]) + turn * M * K)
        b = tl.load(b_ptr + (k[:, None] * N + j[None, :]) + turn * K * N)
        doubled = a + a
        total = tl.dot(doubled, tl.where(b > 0, b, -b), total)
        rest += tl.sum(doubled.to(tl.int32), 1)
    scaled = total.to(tl.float32) * tl.load(scale_ptr + i)[:, None]
    tl.store(out_ptr + i[:, None] * N + j[None, :], scaled)
    tl.store(rest_ptr + i, rest)


@pytest.mark.parametrize("chip", ["x60", "a100"])
@pytest.mark.parametrize("turns", [0, 1, 5])
def test_beside_other_work(chip: str, turns: int) -> None:
    set_device("qemu", chip)
    generator = np.random.default_rng(turns)
    m, n, k = 16, 32, 64
    a, b = generator.integers(-128, 128, (turns, m, k), dtype=np.int8), generator.integers(-128, 128, (turns, k, n), dtype=np.int8)
    scale = generator.random(m, dtype=np.float32)
    out, rest = torch.empty(m, n), torch.empty(m, dtype=torch.int32)
    tensors = (torch.from_numpy(a.copy()), torch.from_numpy(b.copy()), torch.from_numpy(scale))
    code = mixed_kernel[(1,)](*tensors, out, rest, turns, M=m, N=n, K=k).asm["asm"]
    assert "smt.vmadot\t" in code
    doubled = (a + a).astype(np.int32)
    sums = np.arange(m * n, dtype=np.int32).reshape(m, n) + (doubled @ np.where(b > 0, b, -b).astype(np.int32)).sum(0, dtype=np.int32)
    assert np.array_equal(out.numpy(), sums.astype(np.float32) * scale[:, None])
    assert np.array_equal(rest.numpy(), doubled.sum((0, 2), dtype=np.int32))


@triton.jit
def wrapping_kernel(a_ptr, b_ptr, c_ptr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    at = i[:, None] * BLOCK + i[None, :]
    c = tl.dot(tl.load(a_ptr + at), tl.load(b_ptr + at), tl.load(c_ptr + at))
    tl.store(c_ptr + at, c)


def test_sums_wrap_around() -> None:
    set_device("qemu", "x60")
    a = torch.full((16, 16), -128, dtype=torch.int8)
    c = torch.full((16, 16), 2**31 - 1, dtype=torch.int32)
    wrapping_kernel[(1,)](a, a, c, BLOCK=16)
    assert torch.equal(c, torch.full((16, 16), -(2**31) + 16 * 2**14 - 1, dtype=torch.int32))


@triton.jit
def scaled_blocks_kernel(a_ptr, sa_ptr, b_ptr, sb_ptr, c_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, GROUP: tl.constexpr):
    """Sums of bytes over blocks along k, each times a scale of its row of A and one of its column of B; B is stored transposed."""
    i, j = tl.program_id(0) * BM + tl.arange(0, BM), tl.program_id(1) * BN + tl.arange(0, BN)
    k = tl.arange(0, GROUP)
    total = tl.zeros((BM, BN), tl.float32)
    for block in range(K // GROUP):
        a = tl.load(a_ptr + i[:, None] * K + block * GROUP + k[None, :], i[:, None] < M, other=0)
        b = tl.load(b_ptr + j[None, :] * K + block * GROUP + k[:, None], j[None, :] < N, other=0)
        sa = tl.load(sa_ptr + i * (K // GROUP) + block, i < M, other=0.0)
        sb = tl.load(sb_ptr + block * N + j, j < N, other=0.0)
        total = tl.fma(tl.dot(a, b).to(tl.float32), sa[:, None] * sb[None, :], total)
    tl.store(c_ptr + i[:, None] * N + j[None, :], total, (i[:, None] < M) & (j[None, :] < N))


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_scaled_blocks(chip: str) -> None:
    """As quantised weights are multiplied: sums of a block are exact, and each step rounds as float32's fused multiply-add."""
    set_device("qemu", chip)
    generator = np.random.default_rng(3)
    m, n, k, group = 21, 37, 256, 32
    a, b = bytes_(generator, m, k).contiguous(), bytes_(generator, n, k).contiguous()
    sa, sb = (torch.from_numpy(generator.random(shape, dtype=np.float32)) for shape in ((m, k // group), (k // group, n)))
    c = torch.empty(m, n)
    kernel = scaled_blocks_kernel[(2, 2)](a, sa, b, sb, c, m, n, k, BM=16, BN=32, GROUP=group)
    assert "smt.vmadot\t" in kernel.asm["asm"]
    expected = np.zeros((m, n), dtype=np.float32)
    for block in range(k // group):
        part = slice(block * group, (block + 1) * group)
        sums = a.numpy()[:, part].astype(np.int64) @ b.numpy()[:, part].astype(np.int64).T
        scale = sa.numpy()[:, block, None] * sb.numpy()[block]
        # 64 bits of mantissa hold the product of 19 by 24 bits; adding and rounding twice goes wrong once in 2^40
        exact = sums.astype(np.longdouble) * scale.astype(np.longdouble) + expected.astype(np.longdouble)
        expected = exact.astype(np.float32)
    assert np.array_equal(c.numpy(), expected)
