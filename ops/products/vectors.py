"""The product of two vectors."""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, into

_DTYPES = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})


@triton.jit
def _dot(a, b, out, n, a_stride, b_stride, BLOCK: tl.constexpr, SUM: tl.constexpr):
    """One program adds up all products, a block of sums at a time."""
    sums = tl.zeros((BLOCK,), SUM)
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        sums += tl.load(a + i * a_stride, i < n, 0).to(SUM) * tl.load(b + i * b_stride, i < n, 0).to(SUM)
    tl.store(out, tl.sum(sums, 0))


_KERNEL = Kernel(_dot)


def dot(a: torch.Tensor, b: torch.Tensor) -> Any:
    """`sum(a * b)` of two vectors of one dtype, a 0-d tensor; sums are float32, and float64 of float64."""
    if a.dim() != 1 or a.shape != b.shape or a.dtype != b.dtype or not computed(_DTYPES, a, b):
        return NotImplemented
    out = a.new_empty(())
    wide = tl.float64 if a.dtype is torch.float64 else tl.float32
    _KERNEL((1,), a, b, out, a.numel(), a.stride(0), b.stride(0), BLOCK=1024, SUM=wide)
    return out


def dot_out(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> Any:
    """`dot` into `out`."""
    return into(out, dot(a, b))
