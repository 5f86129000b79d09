"""Kernels that write the buffer they read: every load of a block comes before the store that follows it, element by element."""

import torch
import triton
import triton.language as tl
from kernels.case import Case, exact, random


@triton.jit
def shift_kernel(x_ptr, n, distance, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(x_ptr + distance + offsets, tl.load(x_ptr + offsets, mask), mask)


@triton.jit
def constant_shift_kernel(x_ptr, n, DISTANCE: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(x_ptr + DISTANCE + offsets, tl.load(x_ptr + offsets, mask), mask)


@triton.jit
def two_pointer_kernel(source_ptr, target_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(target_ptr + offsets, tl.load(source_ptr + offsets, mask) + 1, mask)


@triton.jit
def reverse_kernel(x_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(x_ptr + (n - 1 - offsets), tl.load(x_ptr + offsets, mask), mask)


@triton.jit
def transpose_kernel(x_ptr, n, BLOCK: tl.constexpr):
    rows = tl.arange(0, BLOCK)[:, None]
    columns = tl.arange(0, BLOCK)[None, :]
    mask = (rows < n) & (columns < n)
    tl.store(x_ptr + columns * n + rows, tl.load(x_ptr + rows * n + columns, mask), mask)


@triton.jit
def stencil_kernel(x_ptr, n, times, BLOCK: tl.constexpr):
    """Each element becomes the sum of its neighbours, several times over: loads on both sides of a store, in a loop."""
    offsets = tl.arange(0, BLOCK)
    mask = (offsets > 0) & (offsets < n - 1)
    for _ in range(times):
        left = tl.load(x_ptr + offsets - 1, mask)
        right = tl.load(x_ptr + offsets + 1, mask)
        tl.store(x_ptr + offsets, left + right, mask)


@triton.jit
def swap_kernel(x_ptr, half, BLOCK: tl.constexpr):
    """Two loads, then two stores, each over what the other read."""
    offsets = tl.arange(0, BLOCK)
    mask = offsets < half
    low = tl.load(x_ptr + offsets, mask)
    high = tl.load(x_ptr + half + offsets, mask)
    tl.store(x_ptr + offsets, high, mask)
    tl.store(x_ptr + half + offsets, low, mask)


@triton.jit
def exchange_kernel(x_ptr, distance, BLOCK: tl.constexpr):
    """The same of whole blocks, which overlap."""
    offsets = tl.arange(0, BLOCK)
    first = tl.load(x_ptr + offsets)
    second = tl.load(x_ptr + distance + offsets)
    tl.store(x_ptr + offsets, second)
    tl.store(x_ptr + distance + offsets, first)


def _block(n: int) -> int:
    return triton.next_power_of_2(n)


def shift(x: torch.Tensor, distance: int, constant: bool = False) -> torch.Tensor:
    """A copy of `x` whose first elements were moved onto it by `distance` (up), or whose last by as many (down, negative)."""
    x = x.clone()
    n = x.numel() - abs(distance)
    source = x[max(-distance, 0) :]
    if constant:
        constant_shift_kernel[(1,)](source, n, DISTANCE=distance, BLOCK=_block(n))
    else:
        shift_kernel[(1,)](source, n, distance, BLOCK=_block(n))
    return x


def shift_views(x: torch.Tensor, distance: int) -> torch.Tensor:
    """As `shift`, plus 1, through two arguments that overlap."""
    x = x.clone()
    n = x.numel() - abs(distance)
    two_pointer_kernel[(1,)](x[max(-distance, 0) :], x[max(distance, 0) :], n, BLOCK=_block(n))
    return x


def shift_reference(x: torch.Tensor, distance: int, constant: bool = False) -> torch.Tensor:
    out, n = x.clone(), x.numel() - abs(distance)
    out[max(distance, 0) :][:n] = x[max(-distance, 0) :][:n]
    return out


def shift_views_reference(x: torch.Tensor, distance: int) -> torch.Tensor:
    out, n = x.clone(), x.numel() - abs(distance)
    out[max(distance, 0) :][:n] = x[max(-distance, 0) :][:n] + 1
    return out


def reverse(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    reverse_kernel[(1,)](x, x.numel(), BLOCK=_block(x.numel()))
    return x


def transpose(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    transpose_kernel[(1,)](x, x.shape[0], BLOCK=_block(x.shape[0]))
    return x


def stencil(x: torch.Tensor, times: int = 3) -> torch.Tensor:
    x = x.clone()
    stencil_kernel[(1,)](x, x.numel(), times, BLOCK=_block(x.numel()))
    return x


def stencil_reference(x: torch.Tensor, times: int = 3) -> torch.Tensor:
    for _ in range(times):
        x = torch.cat([x[:1], x[:-2] + x[2:], x[-1:]])
    return x


def swap(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    half = x.numel() // 2
    swap_kernel[(1,)](x, half, BLOCK=_block(half))
    return x


def exchange(x: torch.Tensor, distance: int, block: int) -> torch.Tensor:
    x = x.clone()
    exchange_kernel[(1,)](x, distance, BLOCK=block)
    return x


def exchange_reference(x: torch.Tensor, distance: int, block: int) -> torch.Tensor:
    out = x.clone()
    out[:block] = x[distance:][:block]
    out[distance:][:block] = x[:block]
    return out


def _inputs(*rest: object, square: bool = False) -> object:
    def inputs(dtype: torch.dtype = torch.int32, size: int = 37 if square else 1001, seed: int = 0) -> tuple[object, ...]:
        return random(*([size, size] if square else [size]), dtype=dtype, seed=seed), *rest

    return inputs


CASES = (
    *(Case(f"shift_{d}", shift, shift_reference, _inputs(d), exact) for d in (1, -1, 3, -3, 100, -100)),
    *(Case(f"shift_constant_{d}", shift, shift_reference, _inputs(d, True), exact) for d in (1, -1, 4, -4)),
    *(Case(f"shift_views_{d}", shift_views, shift_views_reference, _inputs(d), exact) for d in (1, -1, 16, -16, 0)),
    Case("reverse", reverse, lambda x: x.flip(0), _inputs(), exact),
    Case("transpose", transpose, lambda x: x.T, _inputs(square=True), exact),
    Case("stencil", stencil, stencil_reference, _inputs(), exact),
    Case(
        "swap",
        swap,
        lambda x: torch.cat([x[x.numel() // 2 : x.numel() // 2 * 2], x[: x.numel() // 2], x[x.numel() // 2 * 2 :]]),
        _inputs(),
        exact,
    ),
)
