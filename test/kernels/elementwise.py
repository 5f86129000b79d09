"""Element-wise kernels: sums in every type, unary functions, integer arithmetic, conversions."""

from typing import Any

import torch
import triton
import triton.language as tl
from kernels.case import Case, random, rounding


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask)
    y = tl.load(y_ptr + offsets, mask)
    tl.store(out_ptr + offsets, x + y, mask)


def add(x: torch.Tensor, y: torch.Tensor, block: int = 1024) -> torch.Tensor:
    out = torch.empty_like(x)
    add_kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), BLOCK=block)
    return out


def add_reference(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if x.dtype == torch.bool:
        return x ^ y  # one bit wraps around
    return x.double() + y.double() if x.dtype.is_floating_point else x + y


@triton.jit
def unary_kernel(x_ptr, out_ptr, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask)
    tl.store(out_ptr + offsets, OP(x), mask)


def unary(x: torch.Tensor, op: Any, block: int = 1024, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`op`, a `@triton.jit` function of one value, of each element."""
    out = torch.empty_like(x, dtype=dtype or x.dtype)
    unary_kernel[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), OP=op, BLOCK=block)
    return out


@triton.jit
def binary_kernel(x_ptr, y_ptr, out_ptr, n, OP: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask, other=1)
    y = tl.load(y_ptr + offsets, mask, other=1)
    tl.store(out_ptr + offsets, OP(x, y), mask)


def binary(x: torch.Tensor, y: torch.Tensor, op: Any, block: int = 1024, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`op`, a `@triton.jit` function of two values, of each pair of elements."""
    out = torch.empty_like(x, dtype=dtype or x.dtype)
    binary_kernel[(triton.cdiv(x.numel(), block),)](x, y, out, x.numel(), OP=op, BLOCK=block)
    return out


@triton.jit
def gelu_tanh(x):
    x32 = x.to(tl.float32)
    inner = 0.7978845608028654 * (x32 + 0.044715 * x32 * x32 * x32)
    return (x32 * tl.sigmoid(2 * inner)).to(x.dtype)


@triton.jit
def gelu_erf(x):
    x32 = x.to(tl.float32)
    return (0.5 * x32 * (1 + tl.erf(x32 * 0.7071067811865476))).to(x.dtype)


@triton.jit
def silu(x):
    x32 = x.to(tl.float32)
    return (x32 * tl.sigmoid(x32)).to(x.dtype)


@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


def _activation(name: str, op: Any, reference: Any, conditioning: float) -> Case:
    """`conditioning`: roundings of a value of the size of x that the formula in float32 goes through."""
    return Case(
        name,
        lambda x, block=1024: unary(x, op, block),
        lambda x: reference(x.double()),
        lambda dtype=torch.float32, size=4099, seed=0: (random(size, dtype=dtype, seed=seed),),
        lambda x: rounding(reference(x.double()), x.dtype, 2) + rounding(x, torch.float32, conditioning),
    )


functional = torch.nn.functional
ADD = Case(
    "add",
    add,
    add_reference,
    lambda dtype=torch.float32, size=4099, seed=0: (random(size, dtype=dtype, seed=seed), random(size, dtype=dtype, seed=seed + 1)),
    lambda x, y: rounding(add_reference(x, y), x.dtype),
)
GELU_TANH = _activation("gelu_tanh", gelu_tanh, lambda x: functional.gelu(x, approximate="tanh"), 16)
GELU_ERF = _activation("gelu_erf", gelu_erf, functional.gelu, 8)
SILU = _activation("silu", silu, functional.silu, 8)
CASES = (ADD, GELU_TANH, GELU_ERF, SILU)
