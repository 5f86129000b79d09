"""Kernels through the whole plugin, on every device: what the launcher, the driver and the frontend's own conversions add."""

import pytest
import torch
import triton
import triton.language as tl
from triton import knobs

from triton_spacemit.backend import set_device
from triton_spacemit.backend.errors import ArgumentError


@triton.jit
def arguments(out, t, flag, small, half, brain, double):
    tl.store(out, tl.load(t[0]) + t[1])
    tl.store(out + 1, flag.to(tl.float32))
    tl.store(out + 2, small)
    tl.store(out + 3, half)
    tl.store(out + 4, brain)
    tl.store(out + 5, double.to(tl.float32))


@triton.jit
def convert(x, out, BLOCK: tl.constexpr):
    index = tl.arange(0, BLOCK)
    tl.store(out + index, tl.load(x + index).to(out.dtype.element_ty))


@triton.jit
def fill(out, n, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + index, index, index < n)


@pytest.fixture(params=["host", "qemu"])
def device(request):
    set_device(request.param)
    return request.param


def test_arguments_of_every_kind_arrive(device):
    out = torch.zeros(6)
    arguments[(1,)](out, (torch.tensor([2.0]), 3), True, -7, 0.1, 0.2, 0.3)
    expected = torch.tensor([5.0, 1.0, -7.0, 0.1, 0.2, 0.3])
    assert torch.equal(out, expected)


def test_declared_types_are_rounded_to(device):
    @triton.jit
    def typed(out, half: tl.float16, brain: tl.bfloat16, double: tl.float64):
        tl.store(out, half)
        tl.store(out + 1, brain)
        tl.store(out + 2, (double - 0.1).to(tl.float32))

    out = torch.zeros(3)
    typed[(1,)](out, 0.1, 0.1, 0.1)
    assert torch.equal(out, torch.tensor([torch.tensor(0.1).half().item(), torch.tensor(0.1).bfloat16().item(), 0.0]))


def test_fp8e4b15_is_float16_without_its_high_exponent_bit(device):
    bits = torch.arange(256, dtype=torch.int16)
    expected = ((bits & 0x80) << 8 | (bits & 0x7F) << 7).view(torch.float16)
    out = torch.zeros(256, dtype=torch.float16)
    convert[(1,)](triton.reinterpret(bits.to(torch.uint8).view(torch.int8), tl.float8e4b15), out, BLOCK=256)
    assert torch.equal(out.view(torch.int16), expected.view(torch.int16))


def test_to_fp8e4b15_rounds_to_the_nearest_and_saturates(device):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(256, generator=generator) * 2).half()
    out = torch.zeros(256, dtype=torch.int8)
    convert[(1,)](x, triton.reinterpret(out, tl.float8e4b15), BLOCK=256)
    back = torch.zeros(256, dtype=torch.float16)
    convert[(1,)](triton.reinterpret(out, tl.float8e4b15), back, BLOCK=256)
    clamped = x.double().clamp(-1.75, 1.75)
    # Three bits of mantissa: half a step is 2^-4 of the value, or 2^-18 below the smallest normal number, 2^-14.
    assert bool(((back.double() - clamped).abs() <= (clamped.abs() * 2**-4).clamp(min=2**-18)).all())
    assert torch.equal(back.signbit(), x.signbit())


def test_switching_the_device_in_one_process():
    outs = []
    for name, chip in (("host", None), ("qemu", "x60"), ("qemu", "a100"), ("host", None)):
        set_device(name, chip)
        outs.append(torch.zeros(100, dtype=torch.int32))
        fill[(2,)](outs[-1], 100, BLOCK=64)
    assert all(torch.equal(out, torch.arange(100, dtype=torch.int32)) for out in outs)


def test_an_empty_grid_does_nothing(device):
    out = torch.full((4,), 9, dtype=torch.int32)
    fill[(0,)](out, 4, BLOCK=4)
    assert out.tolist() == [9] * 4


def test_a_grid_beyond_int32_is_refused():
    set_device("host")
    with pytest.raises(ArgumentError, match="the grid of kernel 'fill'"):
        fill[(1, 1 << 40)](torch.zeros(4, dtype=torch.int32), 4, BLOCK=4)


def test_a_tensor_elsewhere_is_refused_by_name(device):
    with pytest.raises(ArgumentError, match="argument 'out' of kernel 'fill' is a tensor on device 'meta'"):
        fill[(1,)](torch.zeros(4, device="meta", dtype=torch.int32), 4, BLOCK=4)


def test_launch_hooks_see_the_kernel():
    set_device("host")
    seen = []

    def enter(metadata):
        seen.append(metadata.get()["name"])

    knobs.runtime.launch_enter_hook.add(enter)
    try:
        fill[(1,)](torch.zeros(4, dtype=torch.int32), 4, BLOCK=4)
    finally:
        knobs.runtime.launch_enter_hook.remove(enter)
    assert seen == ["fill"]


def test_a_compiled_kernel_is_launched_with_all_or_the_runtime_arguments(device):
    out = torch.zeros(4, dtype=torch.int32)
    kernel = fill.warmup(out, 4, BLOCK=4, grid=(1,))
    for values in ((out, 4, 4), (out, 4)):
        out.zero_()
        kernel[(1, 1, 1)](*values)
        assert out.tolist() == [0, 1, 2, 3]


def test_autotune_picks_the_fastest(device):
    @triton.autotune([triton.Config({"REPEATS": 2000}), triton.Config({"REPEATS": 1})], key=["n"])
    @triton.jit
    def tuned(out, n, BLOCK: tl.constexpr, REPEATS: tl.constexpr):
        index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        for i in range(REPEATS):
            tl.store(out + index, index + i, index < n)
        tl.store(out + index, index, index < n)

    out = torch.zeros(4096, dtype=torch.int32)
    tuned[(4,)](out, 4096, BLOCK=1024)
    assert torch.equal(out, torch.arange(4096, dtype=torch.int32))
    assert tuned.best_config.kwargs == {"REPEATS": 1}
