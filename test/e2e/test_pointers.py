"""Pointers in memory: pointers to pointers, as scalars and blocks, and a cooperative grid whose programs wait for each other."""

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import board
from triton_spacemit.backend.errors import ArgumentError


@triton.jit
def chase_kernel(table_ptr, out_ptr):
    pointers = table_ptr.to(tl.pointer_type(tl.pointer_type(tl.float32)), bitcast=True)
    first = tl.load(pointers)
    i = tl.arange(0, 4)
    several = tl.load(pointers + i, mask=i < 3, other=first)
    tl.store(out_ptr + i, tl.load(several + i) + tl.load(first))
    tl.store(pointers + 3, first + 1)


def test_pointers_to_pointers(target):
    rows = torch.arange(12.0).reshape(3, 4) + 1
    there = board.tensor(rows) if target == "remote" else rows  # a board has no other memory of this process
    start = there.data_ptr()
    table = torch.tensor([start, start + 16, start + 32, 0])
    out = torch.zeros(4)
    chase_kernel[(1,)](table, out)
    assert out.tolist() == [rows[0, 0] + x for x in (rows[0, 0], rows[1, 1], rows[2, 2], rows[0, 3])]
    assert table[3] == start + 4


@triton.jit
def meet_kernel(count_ptr, out_ptr):
    tl.atomic_add(count_ptr, 1)
    while tl.atomic_add(count_ptr, 0) < tl.num_programs(0):
        pass
    tl.store(out_ptr + tl.program_id(0), 1)


def test_cooperative_grid(target):
    count, out = torch.zeros(1, dtype=torch.int32), torch.zeros(7, dtype=torch.int32)
    meet_kernel[(7,)](count, out, launch_cooperative_grid=True)
    assert out.tolist() == [1] * 7


@pytest.mark.usefixtures("host")
def test_too_large_a_cooperative_grid():
    x = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(ArgumentError, match=r"'meet_kernel': a cooperative grid has at most 1024 programs here, got 1025"):
        meet_kernel[(1025,)](x, x, launch_cooperative_grid=True)


@triton.jit
def masked_scalar_kernel(x_ptr, out_ptr, n):
    i = tl.program_id(0)
    tl.store(out_ptr + i, tl.load(x_ptr + i, mask=i < n))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int16], ids=str)
def test_masked_scalar_load(target, dtype):
    """What is masked is not read: zero where no other value is given."""
    x, out = torch.full((4,), 7, dtype=dtype), torch.full((4,), 9, dtype=dtype)
    masked_scalar_kernel[(4,)](x, out, 2)
    assert out.tolist() == [7, 7, 0, 0]
