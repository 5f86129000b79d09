"""Products with vectors: dot, vdot, mv, addmv."""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import sum_dtype
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.products.matrices import DTYPES, SUMS, deliver, expands, factors, multiply_vector


@triton.jit
def _dot(a, b, out, n, a_stride, b_stride, part, BLOCK: tl.constexpr, SUM: tl.constexpr):
    """A program adds up a part of the products, a block of sums at a time."""
    first = tl.program_id(0).to(tl.int64) * part
    last = tl.minimum(first + part, n)
    sums = tl.zeros((BLOCK,), SUM)
    for start in range(first, last, BLOCK):
        i = start + tl.arange(0, BLOCK).to(tl.int64)
        sums += tl.load(a + i * a_stride, i < last, 0).to(SUM) * tl.load(b + i * b_stride, i < last, 0).to(SUM)
    tl.store(out + tl.program_id(0), tl.sum(sums, 0).to(out.dtype.element_ty))


_KERNEL = Kernel(_dot)
_WORTH_A_PROGRAM = 1 << 18  # elements; less is done sooner than another thread wakes


def dot(a: torch.Tensor, b: torch.Tensor) -> Any:
    """`sum(a * b)` of two vectors of one dtype, a 0-d tensor."""
    if a.dim() != 1 or a.shape != b.shape or a.dtype != b.dtype or not computed(DTYPES, a, b):
        return NotImplemented
    n, out = a.numel(), a.new_empty(())
    parts = max(1, min(knobs.num_threads, n // _WORTH_A_PROGRAM))
    sums = out if parts == 1 else torch.empty(parts, dtype=sum_dtype(a.dtype) if a.is_floating_point() else torch.int64)
    _KERNEL((parts,), a, b, sums, n, a.stride(0), b.stride(0), -(-n // parts), BLOCK=1024, SUM=SUMS[a.dtype])
    return out if parts == 1 else out.copy_(sums.sum())


dot_out = out_form(dot)


def _matrix_vector(
    a: torch.Tensor, x: torch.Tensor, out: torch.Tensor | None, start: torch.Tensor | None = None, beta: Any = 1, alpha: Any = 1
) -> Any:
    others = () if start is None else (start,)
    if a.dim() != 2 or x.dim() != 1 or a.shape[1] != x.shape[0] or not computed(DTYPES, a, x, *others):
        return NotImplemented
    if any(other.dtype is not a.dtype for other in (x, *others)) or (start is not None and not expands(start, a.shape[:1])):
        return NotImplemented
    added = None if start is None or beta == 0 else start.expand(a.shape[0])

    def compute(target: torch.Tensor) -> bool:
        scales = factors(a.dtype, added, alpha, beta)
        if scales is None:
            return False
        if a.shape[0]:
            sizes = (1, a.shape[0], 0 if alpha == 0 else a.shape[1])
            strides = (0, *a.stride(), 0, x.stride(0), 0, target.stride(0), 0, 0 if added is None else added.stride(0))
            multiply_vector(a, x, target, added, sizes, strides, scales)
        return True

    return deliver(out, a, a.shape[:1], (a, x) if start is None or start is out else (a, x, start), compute)


def mv(a: torch.Tensor, x: torch.Tensor) -> Any:
    """A matrix times a vector of one dtype."""
    return _matrix_vector(a, x, None)


def mv_out(a: torch.Tensor, x: torch.Tensor, *, out: torch.Tensor) -> Any:
    return _matrix_vector(a, x, out)


def addmv(start: torch.Tensor, a: torch.Tensor, x: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """`beta * start + alpha * (a @ x)`; `start` is broadcast."""
    return _matrix_vector(a, x, None, start, beta, alpha)


def addmv_out(start: torch.Tensor, a: torch.Tensor, x: torch.Tensor, *, beta: Any = 1, alpha: Any = 1, out: torch.Tensor) -> Any:
    return _matrix_vector(a, x, out, start, beta, alpha)


def addmv_in_place(start: torch.Tensor, a: torch.Tensor, x: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    if start.shape != a.shape[:1]:
        return NotImplemented
    return _matrix_vector(a, x, start, start, beta, alpha)
