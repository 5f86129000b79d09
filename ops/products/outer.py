"""The outer product of vectors, added to a matrix: `addr`. PyTorch composes `outer` and `ger` of a product that is broadcast."""

from typing import Any

import torch

from triton_spacemit.ops.elementwise.overloads import Overload
from triton_spacemit.ops.elementwise.table import NUMBERS, Row

_ROW = Row("addr", (), NUMBERS, "addr", choose="outer_sum", same=True)
_OUT = Overload(_ROW, "addr.out")

#: `beta * start + alpha * outer(a, b)`; a `beta` of 0 leaves out `start`, whatever it holds.
addr = Overload(_ROW, "addr")


def addr_out(start: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1, out: torch.Tensor) -> Any:
    """`addr` into `out`. Raises RuntimeError, as PyTorch, where that is `start` and has another shape than the result.

    PyTorch's own kernel knows that case by the addresses of its arguments, which a kernel that stands before it cannot hand on.
    """
    if out is start and a.dim() == b.dim() == 1:
        if start.dim() != 2:
            raise RuntimeError(f"2D tensor expected, got {start.dim()}D tensor for input")
        if start.shape != a.shape + b.shape:
            sizes = ", ".join(f"{name}: {list(tensor.shape)}" for name, tensor in (("input", start), ("v1", a), ("v2", b)))
            raise RuntimeError(f"size mismatch, {sizes}")
    return _OUT(start, a, b, beta, alpha, out=out)
