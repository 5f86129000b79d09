"""Volatile loads of blocks are carried out where they stand, each time."""

import torch
import triton
import triton.language as tl


@triton.jit
def wait_kernel(flags_ptr, turns_ptr, COUNT: tl.constexpr):
    """Each program sets its flag and waits until it sees all of them."""
    i = tl.arange(0, COUNT)
    tl.atomic_xchg(flags_ptr + tl.program_id(0), 1)
    missing = tl.sum((tl.load(flags_ptr + i, volatile=True) == 0).to(tl.int32))
    turns = 0
    while missing != 0:
        missing = tl.sum((tl.load(flags_ptr + i, volatile=True) == 0).to(tl.int32))
        turns += 1
    tl.store(turns_ptr + tl.program_id(0), turns)


def test_a_block_is_read_until_it_changes(target):
    flags, turns = torch.zeros(4, dtype=torch.int32), torch.full((4,), -1, dtype=torch.int32)
    wait_kernel[(4,)](flags, turns, 4, launch_cooperative_grid=True)
    assert flags.tolist() == [1] * 4
    assert turns.min() >= 0
