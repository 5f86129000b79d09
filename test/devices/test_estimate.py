"""Estimates of cycles: the code that is followed computes the same, traffic is that which one counts by hand, what cannot be is refused."""

import functools
import struct

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
from kernels import elementwise
from kernels.case import random
from perf import kernels

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.estimate import estimate
from triton_spacemit.backend.estimate.blocks import blocks_of, cycles
from triton_spacemit.backend.estimate.compressed import branch, expand, i_type, jal, r_type, s_type
from triton_spacemit.backend.estimate.instructions import decode
from triton_spacemit.backend.estimate.tracing import _taken_addresses
from triton_spacemit.dialect.chips import CHIPS
from triton_spacemit.dialect.timings import X60, Kind

LINE = X60.hierarchy.line


@triton.jit
def copy(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n), mask=i < n)


@triton.jit
def gather(x, indices, y, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + tl.load(indices + i)))


@triton.jit
def every(x, y, STEP: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + STEP * i))


@triton.jit
def masked(x, y, keep, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    wanted = tl.load(keep + i) != 0
    tl.store(y + i, tl.load(x + i, mask=wanted, other=0.0))


@triton.jit
def turns(x, y, n, times, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for _ in range(times):
        for start in range(0, n, BLOCK):
            total += tl.load(x + start + tl.arange(0, BLOCK))
    tl.store(y + tl.arange(0, BLOCK), total)


@triton.jit
def strip(a, b, c, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    for row in smt.parallel(0, 4):
        at = row * BLOCK + i
        tl.store(c + at, tl.load(a + at) + tl.load(b + at))


@pytest.fixture(autouse=True)
def _x60():
    set_device("qemu", "x60")


def _aligned(elements: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Zeros that begin with a page."""
    memory = torch.zeros(elements * dtype.itemsize + 4096, dtype=torch.uint8)
    start = -memory.data_ptr() % 4096
    return memory[start : start + elements * dtype.itemsize].view(dtype)


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_what_is_followed_computes_the_same_and_executes_as_many_instructions(chip):
    set_device("qemu", chip)
    x = random(3, 1000)
    a, b = random(70, 45), random(45, 33, seed=1)
    out, c = torch.empty_like(x), torch.empty(70, 33)
    launches = {
        "gelu": (kernels.unary(x, out, elementwise.gelu_erf, 256), out),
        "product": (kernels.matmul(a, b, c, (32, 32, 32), tl.float32), c),
        "softmax": (kernels.by_row(kernels.softmax_row_kernel, x, out), out),
    }
    for name, (launch, result) in launches.items():
        launch()
        expected = result.clone()
        result.zero_()
        made = estimate(launch)
        assert torch.equal(result, expected), name
        # Stubs of functions that are called stay where they are: three instructions a call, of which a product has few.
        assert 0 <= count(launch).instructions - made.instructions <= 30, name
        assert made.cycles >= made.computing > 0
        assert made.cycles == pytest.approx(made.computing + made.waiting_l2 + made.waiting_memory)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float16, torch.bfloat16])
def test_matrix_instructions_and_small_types_are_followed(dtype):
    a = torch.randint(-9, 9, (40, 72)).to(dtype)
    b = torch.randint(-9, 9, (72, 24)).to(dtype)
    c = torch.empty(40, 24, dtype=torch.int32 if dtype == torch.int8 else torch.float32)
    launch = kernels.matmul(a, b, c, (32, 32, 32), tl.int32 if dtype == torch.int8 else tl.float32)
    launch()
    c.zero_()
    assert estimate(launch).instructions > 0
    assert torch.equal(c.double(), a.double() @ b.double())


def test_a_copy_reads_each_line_once_and_writes_it_back():
    n = 1 << 19  # four times what the second cache holds
    x, y = _aligned(n), _aligned(n)
    launch = lambda: copy[(n // 4096,)](x, y, n, BLOCK=4096)  # noqa: E731
    launch()
    made = estimate(launch, warm=True)
    assert made.memory_read_bytes == pytest.approx(4 * n, rel=0.01)
    assert made.memory_bytes == pytest.approx(8 * n, rel=0.01)
    # What is measured of K1 for a copy of that size, 1.62 bytes a cycle (rvv-bench-results, memcpy on the X60).
    assert 4 * n / made.cycles == pytest.approx(1.62, rel=0.15)
    assert made.waiting_memory > made.computing


def test_what_fits_the_first_cache_is_fetched_once():
    n = 1 << 11
    x, y = _aligned(n), _aligned(n)
    launch = lambda: copy[(1,)](x, y, n, BLOCK=2048)  # noqa: E731
    launch()
    cold, warm = estimate(launch), estimate(launch, warm=True)
    # Lines that stores fill one behind the other are not read: only the first of them is. The others hold arguments and the stack.
    assert 4 * n + LINE <= cold.memory_read_bytes <= 4 * n + 4 * LINE
    assert (warm.l1_bytes, warm.memory_bytes) == (0, 0)
    assert warm.cycles < cold.cycles
    assert 4 * n / warm.cycles == pytest.approx(5.0, rel=0.15)  # bytes a cycle of K1's memcpy with LMUL 4; 5.1 with 8


@pytest.mark.parametrize(("kilobytes", "fits"), [(24, True), (40, False)])
def test_old_lines_make_place_for_new_ones(kilobytes, fits):
    """With lines replaced by age, all are missed in every turn as soon as there is one too many."""
    n, times = kilobytes << 8, 4
    x, y = _aligned(n), _aligned(256)
    launch = lambda: turns[(1,)](x, y, n, times, BLOCK=256)  # noqa: E731
    launch()
    lines = estimate(launch).l1_bytes // LINE
    fetched = n * 4 // LINE * (1 if fits else times)
    assert fetched <= lines <= fetched * 1.05 + 40


def test_elements_at_a_distance_by_index_and_under_a_mask_touch_their_own_lines():
    x, y, n = _aligned(1 << 16), _aligned(256), 256
    indices, keep = _aligned(n, torch.int32), _aligned(n, torch.int32)
    indices.copy_(torch.arange(n) * 32)  # every second line
    keep[::64] = 1
    index_lines = out_lines = n * 4 // LINE
    cases = {
        "distance": (lambda: every[(1,)](x, y, STEP=32, BLOCK=n), n),
        "index": (lambda: gather[(1,)](x, indices, y, BLOCK=n), n + index_lines),
        "mask": (lambda: masked[(1,)](x, y, keep, BLOCK=n), 4 + index_lines),
    }
    for name, (launch, lines) in cases.items():
        launch()
        read = estimate(launch).memory_read_bytes // LINE
        assert lines <= read <= lines + out_lines // 8 + 4, (name, read, lines)


def test_lines_that_nobody_foresees_cost_more_than_those_in_a_row():
    x, y, n = _aligned(1 << 20), _aligned(4096), 4096
    generator = torch.Generator().manual_seed(0)
    here, there = _aligned(n, torch.int32), _aligned(n, torch.int32)
    here.copy_(torch.arange(n) * 16)
    there.copy_(torch.randperm(1 << 16, generator=generator)[:n] * 16)
    results = []
    for indices in (here, there):
        launch = functools.partial(gather[(1,)], x, indices, y, BLOCK=n)
        launch()
        results.append(estimate(launch))
    row, anywhere = results
    assert row.memory_read_bytes == pytest.approx(anywhere.memory_read_bytes, rel=0.05)
    assert anywhere.cycles > 1.3 * row.cycles


def test_operands_whose_rows_crowd_the_caches_are_copied_first():
    """Rows of B that are 4 KiB apart share a sixteenth of the sets of each cache. Without a copy, the product takes twice as long."""
    a = random(128, 256)
    results = {}
    for columns in (1024, 1040):
        b = random(256, columns, seed=1)[:, :128]
        c = torch.empty(128, 128)
        launch = kernels.matmul(a, b, c, (128, 128, 64), tl.float32)
        launch()
        assert torch.allclose(c.double(), a.double() @ b.double(), rtol=1e-4, atol=1e-4)
        results[columns] = estimate(launch, warm=True)
    crowded, spread = results[1024], results[1040]
    assert crowded.instructions > spread.instructions  # by which it would be the worse one
    assert crowded.cycles < 1.4 * spread.cycles  # 1.1, and 2.0 where they are read in place


def test_bodies_that_the_runtime_calls_are_followed():
    a, b, c = random(4, 256), random(4, 256, seed=1), torch.zeros(4, 256)
    launch = lambda: strip[(1,)](a, b, c, BLOCK=256)  # noqa: E731
    launch()
    made = estimate(launch)
    assert torch.equal(c, a + b)
    assert made.accesses >= 3 * 4 * 256 // 64  # LMUL 8 at most


def test_a_fault_in_code_that_is_followed_names_its_line():
    x, y = _aligned(256), _aligned(256)
    wild = _aligned(256, torch.int32)
    wild.fill_(1 << 30)
    gather[(1,)](x, torch.zeros_like(wild), y, BLOCK=256)
    with pytest.raises(DeviceError, match=r"kernel 'gather'.*test_estimate\.py:\d+"):
        estimate(lambda: gather[(1,)](x, wild, y, BLOCK=256))
    assert estimate(lambda: gather[(1,)](x, torch.zeros_like(wild), y, BLOCK=256)).instructions > 0


def test_dependent_operations_wait_for_each_other_and_others_do_not():
    def time_of(*words: int) -> float:
        code = struct.pack(f"<{len(words)}I", *words)
        (block,) = blocks_of(list(decode(code, len(code))), [])
        return cycles(block, X60, 256)

    vset = 0x0D007057  # vsetvli zero, zero, e32, m1, ta, ma
    add = lambda to, left, right: 0x02001057 | left << 20 | right << 15 | to << 7  # noqa: E731, vfadd.vv
    assert time_of(vset, *(add(8 + i, 16, 17) for i in range(8))) == pytest.approx(8.5, abs=1.1)
    assert time_of(vset, *(add(8 + i + 1, 8 + i, 17) for i in range(8))) == pytest.approx(7 * 5 + 1.5, abs=1.1)


def test_addresses_are_computed_of_what_a_register_holds_by_then():
    words = [0x00000517, 0x00850593, 0x00000513, 0x00C50593]  # auipc a0, 0; addi a1, a0, 8; addi a0, zero, 0; addi a1, a0, 12
    code = bytearray(b"".join(word.to_bytes(4, "little") for word in words))
    assert _taken_addresses(list(decode(code, len(code)))) == {8}


def test_compressed_instructions_are_those_that_they_stand_for():
    """Pairs of the manual's forms, written out by hand."""
    pairs = {
        0x0505: i_type(0x13, 0, 10, 10, 1),  # c.addi a0, 1
        0x4501: i_type(0x13, 0, 10, 0, 0),  # c.li a0, 0
        0x852E: r_type(0x33, 0, 10, 0, 11),  # c.mv a0, a1
        0x952E: r_type(0x33, 0, 10, 10, 11),  # c.add a0, a1
        0x8D0D: r_type(0x33, 0, 10, 10, 11, 32),  # c.sub a0, a1
        0x6108: i_type(0x03, 3, 10, 10, 0),  # c.ld a0, 0(a0)
        0xE10C: s_type(0x23, 3, 10, 11, 0),  # c.sd a1, 0(a0)
        0x60A2: i_type(0x03, 3, 1, 2, 8),  # c.ldsp ra, 8(sp)
        0xE406: s_type(0x23, 3, 2, 1, 8),  # c.sdsp ra, 8(sp)
        0x1141: i_type(0x13, 0, 2, 2, -16),  # c.addi sp, -16
        0x7139: i_type(0x13, 0, 2, 2, -64),  # c.addi16sp -64
        0x0028: i_type(0x13, 0, 10, 2, 8),  # c.addi4spn a0, 8
        0x8082: i_type(0x67, 0, 0, 1, 0),  # ret
        0x9902: i_type(0x67, 0, 1, 18, 0),  # c.jalr s2
        0xBFDD: jal(0, -10),  # c.j
        0xD97D: branch(0, 10, 0, -10),  # c.beqz a0
        0xF97D: branch(1, 10, 0, -10),  # c.bnez a0
        0x050E: i_type(0x13, 1, 10, 10, 3),  # c.slli a0, 3
        0x8111: i_type(0x13, 5, 10, 10, 4),  # c.srli a0, 4
        0x8511: i_type(0x13, 5, 10, 10, 0x404),  # c.srai a0, 4
        0x893D: i_type(0x13, 7, 10, 10, 15),  # c.andi a0, 15
        0x2505: i_type(0x1B, 0, 10, 10, 1),  # c.addiw a0, 1
        0x2108: i_type(0x07, 3, 10, 10, 0),  # c.fld fa0, 0(a0)
        0x6505: 1 << 12 | 10 << 7 | 0x37,  # c.lui a0, 1
    }
    for half, word in pairs.items():
        assert expand(half) == word, f"{half:#06x}: {expand(half):#010x} is not {word:#010x}"
    with pytest.raises(ValueError, match="reserved"):
        expand(0x0000)


def test_do_bench_and_autotune_give_estimates():
    n = 4096
    x, y = _aligned(n), _aligned(n)
    launch = lambda: copy[(2,)](x, y, n, BLOCK=2048)  # noqa: E731
    launch()
    milliseconds = estimate(launch).milliseconds
    assert triton.testing.do_bench(launch) == pytest.approx(milliseconds, rel=0.05)
    assert triton.testing.do_bench(launch, quantiles=(0.2, 0.5)) == [pytest.approx(milliseconds, rel=0.05)] * 2
    with pytest.raises(DeviceError, match="launches no kernel"):
        triton.testing.do_bench(lambda: x + y)
    configs = [triton.Config({"STEP": step}) for step in (1, 64)]
    tuned = triton.autotune(configs, key=["n"])(_by_columns)
    tuned[(1,)](x, y, n)
    assert tuned.best_config.kwargs["STEP"] == 1  # as many instructions, and 64 times the lines


@triton.jit
def _by_columns(x, y, n, STEP: tl.constexpr):
    for start in range(0, 64):
        i = start * (64 // STEP) + tl.arange(0, 64) * STEP if STEP > 1 else start * 64 + tl.arange(0, 64)
        tl.store(y + i, tl.load(x + i) + 1.0)


def test_what_has_no_estimate_is_refused_by_name():
    set_device("qemu", "x100")
    with pytest.raises(DeviceError, match=r"nothing is known of the time of instructions on x100; .*x60"):
        estimate(lambda: None)
    set_device("host")
    with pytest.raises(DeviceError, match="estimated on the qemu device; the active one is 'host'"):
        estimate(lambda: None)


def test_every_kind_has_a_time_on_every_chip_that_has_any():
    for chip in CHIPS.values():
        if chip.timing is not None:
            assert set(chip.timing.kinds) == set(Kind), chip.name
            assert all(row.cycles > 0 and row.latency > 0 for row in chip.timing.kinds.values())


def test_a_session_leaves_the_device_as_it_was():
    x, y = _aligned(64), _aligned(64)
    launch = lambda: copy[(1,)](x, y, 64, BLOCK=64)  # noqa: E731
    launch()
    first = count(launch)
    estimate(launch)
    assert count(launch) == first
    assert get_device("qemu", "x60").chip is CHIPS["x60"]
