"""What operators at indices ask of their operands, and how those look to kernels: as blocks of three dimensions."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import torch

from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.operands import computed, span

VALUES = FLOATS | INTEGERS
INDICES = frozenset({torch.int32, torch.int64})


def dimension(tensor: torch.Tensor, dim: int) -> int | None:
    """`dim` counted from the front, None where there is no such dimension; a scalar has one."""
    dims = max(tensor.dim(), 1)
    return dim % dims if -dims <= dim < dims else None


def around(tensor: torch.Tensor, dim: int) -> torch.Tensor:
    """`tensor` as (outer, size, inner) around `dim`: a view where there is one, else a copy."""
    sizes = tensor.shape
    if len(sizes) == 3 and dim == 1:
        return tensor
    return tensor.reshape(math.prod(sizes[:dim]), sizes[dim] if sizes else 1, math.prod(sizes[dim + 1 :]))


def overlap(written: torch.Tensor, *read: torch.Tensor) -> bool:
    """Whether `written` may share memory with itself or with one of `read`: PyTorch knows which cases are an error."""
    if torch._debug_has_internal_overlap(written) == 1:
        return True
    start, end = _extent(written)
    return any(start < other_end and other_start < end for other_start, other_end in map(_extent, read))


def _extent(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses from a tensor's first byte to behind its last one; strides are not negative."""
    elements = span(tensor.shape, tensor.stride())
    start = tensor.data_ptr() if elements else 0
    return start, start + elements * tensor.itemsize


def all_within(index: torch.Tensor, size: int) -> bool:
    """Whether every index is 0 or more and below `size`."""
    if not index.numel():
        return True
    low, high = torch.aminmax(index)
    return low.item() >= 0 and high.item() < size


def refuse(
    call: Callable[..., Any],
    tensor: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    *rest: Any,
    out: torch.Tensor | None = None,
    **options: Any,
) -> None:
    """Raises PyTorch's exception where an index is none of a row of `tensor` along `dim`. `call` is PyTorch's function that writes nothing:
    its others write until they come to that index. `out`, which the result was for, has the result's shape then, as PyTorch leaves it.
    """
    place = dimension(tensor, dim)
    if place is None or not computed(INDICES, index) or all_within(index, (tensor.shape or (1,))[place]):
        return
    if out is not None and out.dtype != tensor.dtype:
        return  # PyTorch refuses this first
    try:
        call(tensor, dim, index, *rest, **options)
    except Exception:
        if out is not None:
            _resize(out, call, tensor, dim, index, *rest, **options)
        raise


def _resize(out: torch.Tensor, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Gives `out` the shape that PyTorch gives it before it reads indices."""
    there = out.to("meta")
    with contextlib.suppress(IndexError, RuntimeError):
        call(*(arg.to("meta") if isinstance(arg, torch.Tensor) else arg for arg in args), **options, out=there)
    if there.shape != out.shape:
        out.resize_(there.shape)
