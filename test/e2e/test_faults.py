"""Kernels that fault under QEMU: an exception names the kernel and the program, and the next launch works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from kernels.case import error_ratio
from kernels.elementwise import ADD

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs


@triton.jit
def null_kernel(address_ptr, out_ptr):
    address = tl.load(address_ptr)
    if tl.program_id(0) == 2:
        tl.store(out_ptr, tl.load(address.to(tl.pointer_type(tl.int32))))


@triton.jit
def divide_kernel(x_ptr, out_ptr):
    tl.store(out_ptr, 100 // tl.load(x_ptr + tl.program_id(0)))


@triton.jit
def assert_kernel(x_ptr):
    x = tl.load(x_ptr + tl.program_id(0) * 16 + tl.arange(0, 16))
    tl.device_assert(x < 40, "too large")


@triton.jit
def endless_kernel(x_ptr):
    while tl.load(x_ptr, volatile=True) == 0:
        pass


@triton.jit
def print_kernel(x_ptr):
    tl.device_print("value", tl.load(x_ptr + tl.program_id(0)))


def _still_works() -> None:
    inputs = ADD.inputs()
    assert error_ratio(ADD.run(*inputs), ADD.reference(*inputs), ADD.bound(*inputs)) <= 1


@pytest.mark.usefixtures("emulated")
class TestFaults:
    def test_null_pointer(self):
        with pytest.raises(DeviceError, match=r"null_kernel.*\(2, 0, 0\)"):
            null_kernel[(4,)](torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int32))
        _still_works()

    def test_division_by_zero(self):
        x = torch.tensor([3, 7, 0, 5], dtype=torch.int32)
        with pytest.raises(DeviceError, match=r"divide_kernel.*\(2, 0, 0\)"):
            divide_kernel[(4,)](x, torch.zeros(4, dtype=torch.int32))
        _still_works()

    def test_endless_loop(self):
        with knobs.scope():
            knobs.timeout = 1.0
            with pytest.raises(DeviceError, match="endless_kernel"):
                endless_kernel[(1,)](torch.zeros(1, dtype=torch.int32))
        _still_works()


def test_failed_assertion(target):
    """Names the condition's message, the program and the line; the programs before it are not blamed."""
    line = assert_kernel.starting_line_number + 3
    with pytest.raises(DeviceError, match="too large") as caught:
        assert_kernel[(4,)](torch.arange(64, dtype=torch.int32), debug=True)
    message = str(caught.value)
    assert "assert_kernel" in message
    assert "(2, 0, 0)" in message or "(3, 0, 0)" in message
    assert f"{Path(__file__).name}:{line}" in message
    _still_works()


def test_print_names_the_program(target, capfd):
    print_kernel[(3,)](torch.tensor([10, 20, 30], dtype=torch.int32))
    lines = capfd.readouterr().out.splitlines()
    for program, value in enumerate((10, 20, 30)):
        assert any(f"({program}, 0, 0)" in line and line.rstrip().endswith(str(value)) for line in lines)


def test_missing_qemu_says_what_to_install(tmp_path):
    """In a process of its own: a device is made once."""
    code = (
        "import torch; from triton_spacemit.backend import set_device; from kernels.elementwise import add;"
        "set_device('qemu', 'x60'); add(torch.ones(4), torch.ones(4))"
    )
    environment = os.environ | {
        "TRITON_SPACEMIT_QEMU": str(tmp_path / "none"),
        "TRITON_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert "DeviceError" in result.stderr
    assert "qemu-user" in result.stderr
