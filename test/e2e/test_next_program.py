"""What the next program reads and writes is asked for on the host, where a program goes through its rows more than once."""

import re
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
import triton.language.extra.smt as smt
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


@triton.jit(do_not_specialize=["strips", "panels", "blocks"])
def strips_kernel(a_ptr, b_ptr, out_ptr, strips, panels, blocks, ANEW: tl.constexpr):
    """Products of panels of 4 rows with strips of 16 columns, 32 steps a block; with ANEW each panel has a strip of its own."""
    row, column, k = tl.arange(0, 4), tl.arange(0, 16), tl.arange(0, 32)
    for strip in range(0, strips):
        for panel in range(0, panels):
            number = strip * panels + panel if ANEW else strip
            a, b = a_ptr + panel * blocks * 128, b_ptr + number * blocks * 512
            total = tl.zeros((4, 16), tl.int32)
            for _ in range(0, blocks):
                words = tl.load(b + tl.arange(0, 512)).reshape(8, 16, 4).trans(0, 2, 1).reshape(32, 16)
                total = smt.dot(tl.load(a + row[:, None] * 32 + k[None, :]), words, total)
                a += 128
                b += 512
            tl.store(out_ptr + ((strip * panels + panel) * 4 + row[:, None]) * 16 + column[None, :], total)


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize(("strips", "panels", "blocks"), [(3, 5, 7), (1, 1, 1), (2, 1, 4), (4, 70, 2), (0, 2, 2)])
def test_strips_that_all_panels_read(anew: bool, strips: int, panels: int, blocks: int) -> None:
    """The next strip is asked for, where it does not change from panel to panel."""
    if not any(row.form == "unsigned-grouped-vectors" for row in get_chip("host").matrix):
        pytest.skip("this machine's chip multiplies no bytes")
    a = torch.randint(-128, 128, (panels, blocks, 4, 32), dtype=torch.int8)
    b = torch.randint(0, 256, (strips * panels if anew else strips, blocks, 8, 16, 4), dtype=torch.uint8)
    out = torch.zeros(strips, panels, 4, 16, dtype=torch.int32)
    compiled = strips_kernel[(1,)](a, b, out, strips, panels, blocks, ANEW=anew)
    assert len(re.findall(r"call void @llvm\.prefetch", compiled.asm["llir"])) == (0 if anew else 1)
    columns = b.transpose(-1, -2).flatten(2, 3).double().view(strips, panels if anew else 1, blocks, 32, 16)
    expected = torch.einsum("pbrk,spbkc->sprc", a.double(), columns.expand(strips, panels, blocks, 32, 16))
    assert torch.equal(out.double(), expected)
