"""Loops and branches: `for` with run-time bounds and both directions, `while`, `if` on run-time scalars, and nests of them."""

import torch
import triton
import triton.language as tl
from kernels.case import Case, exact, random


@triton.jit
def for_kernel(x_ptr, out_ptr, n, start, end, step, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < n)
    total = x * 0
    for i in range(start, end, step):
        total += x * i
        for j in range(i):
            total -= j
    for i in range(5, 0, -1):
        total = total * 2 + i
    tl.store(out_ptr + offsets, total, offsets < n)


def for_loops(x: torch.Tensor, start: int, end: int, step: int, block: int = 64) -> torch.Tensor:
    out = torch.empty_like(x)
    for_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), start, end, step, BLOCK=block)
    return out


def for_reference(x: torch.Tensor, start: int, end: int, step: int) -> torch.Tensor:
    total = torch.zeros_like(x)
    for i in range(start, end, step):
        total += x * i - sum(range(i))
    for i in range(5, 0, -1):
        total = total * 2 + i
    return total


@triton.jit
def collatz_kernel(x_ptr, out_ptr):
    """Steps until 1 is reached: a `while` around an `if`, on scalars."""
    value = tl.load(x_ptr + tl.program_id(0))
    steps = 0
    while value > 1:
        if value % 2 == 0:
            value = value // 2
        else:
            value = 3 * value + 1
        steps += 1
    tl.store(out_ptr + tl.program_id(0), steps)


def collatz(x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    collatz_kernel[(x.numel(),)](x, out)
    return out


def collatz_reference(x: torch.Tensor) -> torch.Tensor:
    def steps(value: int) -> int:
        return 0 if value <= 1 else 1 + steps(value // 2 if value % 2 == 0 else 3 * value + 1)

    return torch.tensor([steps(value) for value in x.tolist()], dtype=x.dtype)


@triton.jit
def newton_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """Integer square roots: a `while` that carries a block until no lane moves; programs behind the end return at once."""
    start = tl.program_id(0) * BLOCK
    if start >= n:
        return
    offsets = start + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < n, other=1)
    root = x
    moved = 1
    while moved != 0:
        better = (root + x // root) // 2
        smaller = better < root
        root = tl.where(smaller, better, root)
        moved = tl.max(smaller.to(tl.int32), 0)
    tl.store(out_ptr + offsets, root, offsets < n)


def newton(x: torch.Tensor, block: int = 64) -> torch.Tensor:
    out = torch.empty_like(x)
    newton_kernel[(triton.cdiv(x.numel(), block) + 1,)](x, out, x.numel(), BLOCK=block)
    return out


@triton.jit
def branch_kernel(x_ptr, y_ptr, out_ptr, n, mode, BLOCK: tl.constexpr):
    """An `if` chain that yields blocks, picks pointers and stores."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    if mode == 0:
        value = tl.load(x_ptr + offsets, mask)
    elif mode == 1:
        value = tl.load(y_ptr + offsets, mask) * 2
    else:
        value = tl.load(x_ptr + offsets, mask) - tl.load(y_ptr + offsets, mask)
        if mode > 2:
            tl.store(out_ptr + offsets, value, mask)
            value += 1
    source = x_ptr if mode % 2 == 0 else y_ptr
    value += tl.load(source + offsets, mask)
    tl.store(out_ptr + offsets, value, mask)


def branches(x: torch.Tensor, y: torch.Tensor, mode: int, block: int = 64) -> torch.Tensor:
    out = torch.empty_like(x)
    branch_kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), mode, BLOCK=block)
    return out


def branches_reference(x: torch.Tensor, y: torch.Tensor, mode: int) -> torch.Tensor:
    value = {0: x, 1: 2 * y}.get(mode, x - y + (mode > 2))
    return value + (x if mode % 2 == 0 else y)


FOR = Case(
    "for_loops",
    for_loops,
    for_reference,
    lambda dtype=torch.int32, size=200, seed=0: (random(size, dtype=dtype, seed=seed), 2, 17, 3),
    exact,
)
COLLATZ = Case(
    "collatz", collatz, collatz_reference, lambda dtype=torch.int32, size=30, seed=0: (torch.arange(1, size + 1, dtype=dtype),), exact
)
NEWTON = Case(
    "newton",
    newton,
    lambda x: x.double().sqrt().floor().to(x.dtype),
    lambda dtype=torch.int32, size=200, seed=0: (random(size, dtype=dtype, seed=seed).abs() + 1,),
    exact,
)
BRANCHES = Case(
    "branches",
    branches,
    branches_reference,
    lambda dtype=torch.int32, size=200, seed=0: (random(size, dtype=dtype, seed=seed), random(size, dtype=dtype, seed=seed + 1), 3),
    exact,
)
CASES = (FOR, COLLATZ, NEWTON, BRANCHES)
