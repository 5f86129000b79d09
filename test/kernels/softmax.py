"""Softmax of the rows of a matrix, one row in a block; programs stride over the rows."""

import torch
import triton
import triton.language as tl
from kernels.case import Case, epsilon, random


@triton.jit
def softmax_kernel(x_ptr, out_ptr, x_stride, out_stride, rows, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0)):
        x = tl.load(x_ptr + row * x_stride + offsets, mask, other=-float("inf")).to(tl.float32)
        numerator = tl.exp(x - tl.max(x, 0))
        out = numerator / tl.sum(numerator, 0)
        tl.store(out_ptr + row * out_stride + offsets, out, mask)


def softmax(x: torch.Tensor, programs: int = 8, block: int | None = None) -> torch.Tensor:
    rows, columns = x.shape
    out = torch.empty_like(x)
    block = block or triton.next_power_of_2(columns)
    softmax_kernel[(min(programs, rows),)](x, out, x.stride(0), out.stride(0), rows, columns, BLOCK=block)
    return out


def reference(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x.double(), -1)


def bound(x: torch.Tensor) -> torch.Tensor:
    """x - max is rounded once, an absolute error that exp turns into a relative one; exp, sum (pairwise at worst linear in a
    vector's share of the row) and division round; then the result's own rounding.
    """
    spread = (x.double().amax(-1, keepdim=True) - x.double()).abs()
    relative = epsilon(torch.float32) * (spread + 6 + x.shape[-1] / 16) + epsilon(x.dtype)
    return reference(x) * relative + torch.finfo(x.dtype).tiny


SOFTMAX = Case(
    "softmax", softmax, reference, lambda dtype=torch.float32, size=(37, 781), seed=0: (random(*size, dtype=dtype, seed=seed),), bound
)
CASES = (SOFTMAX,)
