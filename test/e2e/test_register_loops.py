"""Loops whose blocks stay in registers: as right as NumPy, whatever way the lanes take; and no such loop where it may not be."""

from pathlib import Path

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from triton import knobs as triton_knobs

from triton_spacemit.backend import set_device
from triton_spacemit.ops.quantised.vectors import has_vectors
from triton_spacemit.passes import remarks
from triton_spacemit.passes.loops import register_blocks

HOST = pytest.param("host", id="host")
CHIPS = [pytest.param(name, marks=pytest.mark.qemu) for name in ("x60", "a100")]
SIZES = {"x60": (4, 16, 8), "a100": (8, 32, 16), "host": (8, 16, 8)}  # a row of units of the register tile, and its steps of k


def bytes_(seed: int, *shape: int) -> torch.Tensor:
    made = np.random.default_rng(seed).integers(-128, 128, shape, dtype=np.int8)
    made.flat[::5] = -128
    return torch.from_numpy(made)


@pytest.fixture(autouse=True)
def cache(tmp_path):
    """Its own, so that kernels are compiled and their remarks heard."""
    with triton_knobs.cache.scope():
        triton_knobs.cache.dir = str(tmp_path)
        yield


@triton.jit(do_not_specialize=["turns"])
def scaled_sums(a, b, starts, scales, out, turns, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, STEPS: tl.constexpr):
    """Products of STEPS * K steps from `starts`, one a row; each row times its scale; halves of the rows change places; summed up."""
    row, column, step = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = tl.full((M, N), 1.5, tl.float32)
    for _ in range(turns):
        sums = tl.broadcast_to(tl.load(starts + row)[:, None], (M, N))
        for s in tl.static_range(STEPS):
            left = tl.load(a + s * M * K + row[:, None] * K + step[None, :])
            right = tl.load(b + s * N * K + column[None, :] * K + step[:, None])
            sums = tl.dot(left, right, sums, out_dtype=tl.int32)
        upper, lower = tl.split(sums.to(tl.float32).reshape(2, M // 2 * N).permute(1, 0))
        other = tl.join(lower, upper).permute(1, 0).reshape(M, N)
        total += other * tl.load(scales + row)[:, None]
        a += STEPS * M * K
        b += STEPS * N * K
        starts += M
        scales += M
    tl.store(out + row[:, None] * N + column[None, :], total)


def run(kernel, *args, **constants) -> tuple[list[str], str]:
    """What is remarked of loops, and the assembly."""
    heard: list[str] = []
    kernel.device_caches.clear()
    with remarks.heard(lambda location, text: heard.append(text)):
        compiled = kernel[(1,)](*args, **constants)
    return [text for text in heard if "in registers" in text], compiled.asm["asm"]


@pytest.mark.parametrize("turns", [0, 1, 7])
@pytest.mark.parametrize("chip", CHIPS)
def test_scaled_sums(chip: str, turns: int) -> None:
    set_device("qemu", chip)
    (m, n, k), steps = SIZES[chip], 3
    a, b = bytes_(turns, turns + 1, steps, m, k), bytes_(turns + 1, turns + 1, steps, n, k)
    generator = np.random.default_rng(turns)
    starts = torch.from_numpy(generator.integers(-(2**31), 2**31, (turns + 1, m), dtype=np.int32))
    scales = torch.from_numpy(generator.standard_normal((turns + 1, m)).astype(np.float32))
    out = torch.zeros(m, n)
    said, code = run(scaled_sums, a, b, starts, scales, out, turns, M=m, N=n, K=k, STEPS=steps)
    assert said == ["loop in registers"]
    assert code.count("smt.vmadot\t") == steps * (m // SIZES[chip][0]) * 4
    expected = np.full((m, n), 1.5)
    with np.errstate(over="ignore"):
        for t in range(turns):
            sums = np.einsum("smk,snk->mn", a[t].numpy().astype(np.int32), b[t].numpy().astype(np.int32))
            sums = (sums.astype(np.int32) + starts[t].numpy()[:, None]).astype(np.float32)
            expected += np.concatenate([sums[m // 2 :], sums[: m // 2]]).astype(np.float64) * scales[t].numpy()[:, None]
    assert np.allclose(out.numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@triton.jit(do_not_specialize=["turns"])
def carried_bytes(a, b, out, turns, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, BIAS: tl.constexpr):
    """B is computed from unsigned bytes, and a block of integers carried beside one of floats that takes its sums in another turn."""
    row, column, step = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    before, total = tl.zeros((M, N), tl.int32), tl.zeros((M, N), tl.float32)
    for _ in range(turns):
        total = total * 0.5 + before.to(tl.float32)
        raw = tl.load(b + tl.arange(0, N * K)).to(tl.uint8, bitcast=True)
        right = ((raw >> 3) ^ 21).to(tl.int8, bitcast=True).reshape(N, K).trans(1, 0)
        before = tl.dot(tl.load(a + row[:, None] * K + step[None, :]), right, tl.full((M, N), BIAS, tl.int32), out_dtype=tl.int32)
        a += M * K
        b += N * K
    tl.store(out + row[:, None] * N + column[None, :], total + before.to(tl.float32))


@pytest.mark.parametrize("chip", CHIPS)
def test_carried(chip: str) -> None:
    set_device("qemu", chip)
    (m, n, k), turns = SIZES[chip], 5
    n //= 2 if chip == "a100" else 1
    a, b = bytes_(1, turns, m, k), bytes_(2, turns, n, k)
    out = torch.zeros(m, n)
    said, _ = run(carried_bytes, a, b, out, turns, M=m, N=n, K=k, BIAS=-7)
    assert said == ["loop in registers"]
    before, total = np.zeros((m, n)), np.zeros((m, n))
    for t in range(turns):
        total = total * 0.5 + before
        right = (b[t].numpy().view(np.uint8) >> 3) ^ 21
        before = a[t].numpy().astype(np.int64) @ right.astype(np.int64).T - 7
    assert np.array_equal(out.numpy(), (total + before).astype(np.float32))


@triton.jit(do_not_specialize=["turns"])
def sums_of_bytes(a, b, out, turns, distance, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, WAY: tl.constexpr):
    """What keeps a loop out of registers, one by one."""
    row, column, step = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = tl.zeros((M * N,), tl.float32)
    for _ in range(turns):
        if WAY == "mask":
            left = tl.load(a + row[:, None] * K + step[None, :], (row < M - 1)[:, None], 0)
        else:
            left = tl.load(a + row[:, None] * K + step[None, :])
        if WAY == "across":
            right = tl.load(b + column[None, :] + step[:, None] * N)
        else:
            right = tl.load(b + column[None, :] * (distance if WAY == "stride" else K) + step[:, None])
        sums = tl.dot(left, right, out_dtype=tl.int32)
        if WAY == "turned":
            sums = sums.reshape(N, M).trans(1, 0)
        if WAY == "reduced":
            sums = tl.broadcast_to(tl.sum(sums, 1)[:, None], (M, N))
        total += sums.to(tl.float32).reshape(M * N)
        if WAY == "store":
            tl.store(a + M * K + row[:, None] * K + step[None, :], left ^ 1)
        a += M * K
        b += N * K
    tl.store(out + tl.arange(0, M * N), total)


@pytest.mark.qemu
@pytest.mark.parametrize("way", ["", "mask", "across", "stride", "turned", "reduced", "store"])
def test_not_in_registers(way: str) -> None:
    """Each is as right as the plain one, which is in registers."""
    set_device("qemu", "x60")
    (m, n, k), turns = SIZES["x60"], 3
    a, b = bytes_(3, turns + 1, m, k), bytes_(4, turns, n, k)
    lefts = a.numpy().astype(np.int64)
    rights = (b.reshape(turns, k, n) if way == "across" else b.transpose(1, 2)).numpy().astype(np.int64)
    out = torch.zeros(m, n)
    said, _ = run(sums_of_bytes, a, b, out, turns, k, M=m, N=n, K=k, WAY=way)
    assert (said == ["loop in registers"]) == (not way)
    expected = np.zeros((m, n))
    for turn in range(turns):
        left = lefts[0] ^ (turn % 2) if way == "store" else lefts[turn]
        sums = (left * (np.arange(m) < m - 1)[:, None] if way == "mask" else left) @ rights[turn]
        if way == "turned":
            sums = np.ascontiguousarray(sums.reshape(n, m).T)
        expected += (np.broadcast_to(sums.sum(1)[:, None], (m, n)) if way == "reduced" else sums).reshape(m, n)
    assert np.array_equal(out.numpy(), expected.astype(np.float32))


@pytest.mark.qemu
def test_checked_accesses() -> None:
    """A read behind the storage is refused, with its line."""
    set_device("qemu", "x60")
    m, n, k = SIZES["x60"]
    a, b, out = bytes_(5, 2, m, k), bytes_(6, 2, n, k), torch.zeros(m, n)
    with pytest.raises(RuntimeError, match="load"):
        carried_bytes[(1,)](a, b, out, 3, M=m, N=n, K=k, BIAS=0, sanitize=True)
    said, _ = run(carried_bytes, a, b, out, 2, M=m, N=n, K=k, BIAS=1, sanitize=True)
    assert said == ["loop in registers"]
    assert out.any()


@triton.jit(do_not_specialize=["turns"])
def of_either_sign(a, b, out, turns, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, ACROSS: tl.constexpr):
    """The sum of products of bytes, from 5 on; B column by column, or row by row with `ACROSS`."""
    row, column, step = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    total = tl.zeros((M * N,), tl.float32)
    for _ in range(turns):
        left = tl.load(a + row[:, None] * K + step[None, :])
        if ACROSS:
            right = tl.load(b + step[:, None] * N + column[None, :])
        else:
            right = tl.load(b + column[None, :] * K + step[:, None])
        sums = smt.dot(left, right, tl.full((M, N), 5, tl.int32))
        total += sums.to(tl.float32).reshape(M * N)
        a += M * K
        b += N * K
    tl.store(out + tl.arange(0, M * N), total)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("signs", ["ss", "su", "us", "uu"])
@pytest.mark.parametrize("chip", [*CHIPS, HOST])
def test_signs(chip: str, signs: str, across: bool) -> None:
    """Bytes of either sign in either operand, in whatever way they lie: in registers where an instruction takes them so."""
    set_device(*(("host",) if chip == "host" else ("qemu", chip)))
    (m, n, k), turns = SIZES[chip], 3
    dtypes = [torch.uint8 if sign == "u" else torch.int8 for sign in signs]
    a, b = bytes_(7, turns, m, k).view(dtypes[0]), bytes_(8, turns, n, k).view(dtypes[1])
    out = torch.zeros(m, n)
    said, _ = run(of_either_sign, a, b, out, turns, M=m, N=n, K=k, ACROSS=across)
    rights = (b.reshape(turns, k, n) if across else b.transpose(1, 2)).numpy().astype(np.int64)
    expected = sum(left @ right + 5 for left, right in zip(a.numpy().astype(np.int64), rights, strict=True))
    assert np.array_equal(out.numpy(), expected.astype(np.float32))
    if chip != "host":
        assert (said == ["loop in registers"]) == (not across)
    elif has_vectors():
        assert (said == ["loop in registers"]) == (signs != "uu")
    with pytest.raises(triton.CompilationError, match=r"multiplies plain blocks \[M, K\] and \[K, N\] of int8 and uint8"):
        of_either_sign[(1,)](a.float(), b, out, turns, M=m, N=n, K=k, ACROSS=across)


@pytest.mark.parametrize("chip", [CHIPS[0], HOST])
def test_long_turns(chip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code grows with a turn, so that those of very many multiplications are products of their own."""
    set_device(*(("host",) if chip == "host" else ("qemu", chip)))
    m, n, k = SIZES[chip]
    steps = 3
    for most, held in ((48, True), (11, False)):
        monkeypatch.setattr(register_blocks, "_MULTIPLICATIONS", most)
        a, b, out = bytes_(9, 2, steps, m, k), bytes_(10, 2, steps, n, k), torch.zeros(m, n)
        starts, scales = torch.zeros(2, m, dtype=torch.int32), torch.ones(2, m)
        triton_knobs.cache.dir = str(tmp_path / str(most))
        said, _ = run(scaled_sums, a, b, starts, scales, out, 2, M=m, N=n, K=k, STEPS=steps)
        sums = np.einsum("tsmk,tsnk->mn", a.numpy().astype(np.int64), b.numpy().astype(np.int64))
        assert np.array_equal(out.numpy(), np.concatenate([sums[m // 2 :], sums[: m // 2]]) + 1.5)
        if chip != "host" or has_vectors():
            assert said == (["loop in registers"] if held else [f"loop not in registers: a turn has more than {most} multiplications"])


@triton.jit
def doubled_starts(a_ptr, b_ptr, starts_ptr, out_ptr, turns, WAY: tl.constexpr):
    """Products of 4 x 32 and 32 x 16, whose columns' bytes lie by eights, with starts added up of two blocks."""
    row, column, k = tl.arange(0, 4), tl.arange(0, 16), tl.arange(0, 32)
    total = tl.zeros((4, 16), tl.float32)
    for _ in range(0, turns):
        first = tl.broadcast_to(tl.load(starts_ptr + row)[:, None], (4, 16))
        second = first
        if WAY == "others":
            second = tl.broadcast_to(tl.load(starts_ptr + 4 + row)[:, None], (4, 16))
        if WAY == "columns":
            first = tl.broadcast_to(tl.load(starts_ptr + column)[None, :], (4, 16))
            second = first
        b = tl.load(b_ptr + tl.arange(0, 512)).reshape(4, 16, 8).trans(0, 2, 1).reshape(32, 16)
        total += smt.dot(tl.load(a_ptr + row[:, None] * 32 + k[None, :]), b, first + second).to(tl.float32)
        a_ptr += 128
        b_ptr += 512
        starts_ptr += 16
    tl.store(out_ptr + row[:, None] * 16 + column[None, :], total)


@pytest.mark.parametrize("way", ["same", "others", "columns"])
def test_doubled_starts(way: str) -> None:
    """What a sum begins with, where it is added up of two lanes: a half in each, if it is twice the same for all columns of a row."""
    set_device("host")
    a, b = bytes_(11, 5, 4, 32), bytes_(12, 5, 4, 16, 8).view(torch.uint8)
    starts, out = torch.from_numpy(np.random.default_rng(13).integers(-9999, 9999, (5, 16), dtype=np.int32)), torch.zeros(4, 16)
    said, assembly = run(doubled_starts, a, b, starts, out, 5, WAY=way)
    columns = b.transpose(2, 3).reshape(5, 32, 16)
    first, second = starts[:, :4, None], starts[:, 4:8, None]
    begin = {"same": 2 * first, "others": first + second, "columns": 2 * starts[:, None, :]}[way]
    assert torch.equal(out.double(), (a.double() @ columns.double() + begin).sum(0))
    if has_vectors():
        assert said == ["loop in registers"]
        assert (assembly.count("vpaddd") == 4) == (way == "same")  # one for each row, of the two lanes
