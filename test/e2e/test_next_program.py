"""What the next program reads and writes is asked for on the host, where a program goes through its rows more than once."""

import re
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from kernels.case import error_ratio, random

from triton_spacemit.backend import set_device
from triton_spacemit.dialect.chips import get_chip

ROWS, COLUMNS, BLOCK = 7, 777, 1024


@triton.jit
def centred_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    x = tl.load(x_ptr + row + offsets, mask, other=0.0)
    tl.store(out_ptr + row + offsets, x - tl.sum(x, 0) / columns, mask)


@triton.jit
def doubled_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(0) * stride
    tl.store(out_ptr + row + offsets, 2 * tl.load(x_ptr + row + offsets, mask), mask)


@triton.jit
def same_row_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    x = tl.load(x_ptr + offsets, mask, other=0.0)
    tl.store(out_ptr + offsets, x - tl.sum(x, 0) / columns, mask)


@triton.jit
def second_axis_kernel(x_ptr, out_ptr, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    row = tl.program_id(1) * stride
    x = tl.load(x_ptr + row + offsets, mask, other=0.0)
    tl.store(out_ptr + row + offsets, x - tl.sum(x, 0) / columns, mask)


@triton.jit
def sum_and_difference_kernel(x_ptr, y_ptr, first_ptr, second_ptr, BLOCK: tl.constexpr):
    """Two stores that share a loop, but where their addresses meet: then they have loops of their own."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + offsets), tl.load(y_ptr + offsets)
    tl.store(first_ptr + offsets, x + y)
    tl.store(second_ptr + offsets, x - y)


@pytest.fixture(autouse=True)
def _host() -> None:
    if not get_chip("host").asks_ahead:
        pytest.skip("this machine's chip asks for nothing ahead")
    set_device("host")


def asked(kernel: Any) -> tuple[set[str], torch.Tensor, torch.Tensor]:
    """What memory is asked for to do (0: be read, 1: be written), and input and output of a launch."""
    x, out = random(ROWS, COLUMNS), torch.zeros(ROWS, COLUMNS)
    compiled = kernel[(ROWS,)](x, out, COLUMNS, COLUMNS, BLOCK=BLOCK)
    return set(re.findall(r"call void @llvm\.prefetch\.p0\(ptr \S+ i32 (\d)", compiled.asm["llir"])), x, out


def test_rows_that_are_read_twice() -> None:
    what, x, out = asked(centred_row_kernel)
    assert what == {"0", "1"}
    expected = x.double() - x.double().mean(1, keepdim=True)
    bound = x.double().abs() * 2**-23 + x.double().abs().sum(1, keepdim=True) * 2**-23
    assert error_ratio(out, expected, bound) <= 1


def test_rows_that_are_read_once() -> None:
    """Memory is busy all the time."""
    what, x, out = asked(doubled_row_kernel)
    assert what == set()
    assert torch.equal(out, 2 * x)


def test_loops_that_hardly_ever_run_do_not_count() -> None:
    x, y, first, second = random(4 * BLOCK), random(4 * BLOCK), torch.zeros(4 * BLOCK), torch.zeros(4 * BLOCK)
    compiled = sum_and_difference_kernel[(4,)](x, y, first, second, BLOCK=BLOCK)
    assert "llvm.prefetch" not in compiled.asm["llir"]
    assert torch.equal(first, x + y)
    assert torch.equal(second, x - y)


@pytest.mark.parametrize("kernel", [same_row_kernel, second_axis_kernel])
def test_programs_that_follow_each_other_on_one_row(kernel: Any) -> None:
    assert asked(kernel)[0] == set()
