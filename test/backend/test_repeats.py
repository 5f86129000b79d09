"""Launches again with the same numbers: what they pack is what a launch packs."""

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import packing, set_device
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.repeats import repeat

FORMS = {
    "pointers first": {"x": "*fp32", "y": "*fp32", "n": "i32", "scale": "fp32"},
    "pointers between": {"n": "i64", "x": "*fp32", "k": "i32", "y": "*fp32", "last": "fp64"},
    "no pointer": {"n": "i32", "scale": "bf16"},
    "nothing else": {"x": "*fp32"},
}


@pytest.mark.parametrize("arguments", FORMS.values(), ids=FORMS)
def test_slots_are_those_of_a_launch(arguments):
    pack, signature = packing.make_packer("kernel", arguments, set())
    numbers = {"i32": -7, "i64": 1 << 40, "fp32": 0.5, "fp64": -0.0, "bf16": 3.0}
    first, second = ([torch.zeros(4) if kind.startswith("*") else numbers[kind] for kind in arguments.values()] for _ in range(2))
    started = []
    run = repeat(signature, pack(tuple(first))[0], lambda grid, slots: started.append((grid, slots)))
    run((2, 3, 1), *(value.data_ptr() for value in second if isinstance(value, torch.Tensor)))
    assert started == [((2, 3, 1), pack(tuple(second))[0])]
    if any(kind.startswith("*") for kind in arguments.values()):
        assert started[0][1] != pack(tuple(first))[0]


@triton.jit
def _fill(out, value, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.zeros((BLOCK,), tl.float32) + value, i < n)


def test_a_repeated_launch_on_the_host():
    set_device("host")
    first, second = torch.zeros(2, 100)
    kernel = _fill[(4,)](first, 2.5, 100, BLOCK=32)
    run = kernel.run.repeated(kernel.function, (first, 2.5, 100))
    run((4, 1, 1), second.data_ptr())
    assert torch.equal(second, first)
    assert second[99] == 2.5
    run((1, 1, 1), first.zero_().data_ptr())
    assert first[31] == 2.5
    assert first[32] == 0


def test_a_repeated_launch_that_faults_says_so():
    set_device("host")
    out = torch.zeros(100)
    kernel = _fill[(4,)](out, 2.5, 100, BLOCK=32)
    run = kernel.run.repeated(kernel.function, (out, 2.5, 100))
    with pytest.raises(DeviceError, match="_fill"):
        run((4, 1, 1), 64)


def test_other_launches_are_not_repeated():
    set_device("null", "x60")
    out = torch.zeros(100)
    kernel = _fill[(4,)](out, 2.5, 100, BLOCK=32)
    assert kernel.run.repeated(kernel.function, (out, 2.5, 100)) is None
