"""Random zeros: dropout and Bernoulli numbers, by Philox (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).

The seed of a call is a number of PyTorch's generator, so `torch.manual_seed` makes a program repeatable; the numbers themselves are not
those that PyTorch's generator would have given, and do not depend on the number of threads.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.elementwise.layout import is_dense
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed

_BLOCK = 1024  # places that four numbers each are drawn for
_ALL = FLOATS | INTEGERS | {torch.bool}


@triton.jit
def _kept(seed, p: tl.float64, part: tl.constexpr, BLOCK: tl.constexpr):
    """The places of one of the four parts of a program's elements, and whether each is kept, which has the probability `p`."""
    program = tl.program_id(0).to(tl.int64)
    numbers = tl.rand4x(tl.load(seed), program * BLOCK + tl.arange(0, BLOCK))
    return (program * 4 + part) * BLOCK + tl.arange(0, BLOCK), numbers[part] < p


@triton.jit
def _dropout(x, out, mask, seed, p: tl.float64, scale: tl.float64, n, BLOCK: tl.constexpr):
    """`out` and `mask`, of elements that lie as those of `x`."""
    for part in tl.static_range(4):
        place, kept = _kept(seed, p, part, BLOCK)
        value = tl.load(x + place, place < n, 0)
        wide = value if value.dtype == tl.float64 else value.to(tl.float32)
        # As in PyTorch, what is not a number remains none where it is not kept.
        tl.store(out + place, wide * kept.to(wide.dtype) * scale.to(wide.dtype), place < n)
        tl.store(mask + place, kept, place < n)


@triton.jit
def _bernoulli(out, seed, p: tl.float64, n, BLOCK: tl.constexpr):
    """Ones where an element is kept, else zeros."""
    for part in tl.static_range(4):
        place, kept = _kept(seed, p, part, BLOCK)
        tl.store(out + place, kept.to(out.dtype.element_ty), place < n)


_DROPOUT, _BERNOULLI = Kernel(_dropout, BLOCK=_BLOCK), Kernel(_bernoulli, BLOCK=_BLOCK)


def _seed() -> torch.Tensor:
    return torch.empty((), dtype=torch.int64).random_()


def _programs(n: int) -> tuple[int]:
    return (-(-n // (4 * _BLOCK)),)


def native_dropout(x: torch.Tensor, p: float, train: bool | None) -> Any:
    """In training `x` with each element 0 with probability `p`, the others times `1 / (1 - p)`; and which are kept. Else `x` and ones."""
    if not computed(FLOATS, x) or not x.numel() or not 0 <= p <= 1 or not is_dense(x.shape, x.stride()):
        return NotImplemented
    if train is not None and not train:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    out, mask = torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)
    _DROPOUT(_programs(x.numel()), x, out, mask, _seed(), 1.0 - p, 0.0 if p == 1 else 1 / (1 - p), x.numel())
    return out, mask


def bernoulli_(x: torch.Tensor, p: float = 0.5, generator: torch.Generator | None = None) -> Any:
    """`x` filled with ones, with probability `p`, and zeros: what `torch.nn.functional.dropout` draws. A given generator is PyTorch's."""
    if generator is not None or not computed(_ALL, x) or not 0 <= p <= 1 or torch._debug_has_internal_overlap(x) == 1:
        return NotImplemented
    if x.numel():
        dense = is_dense(x.shape, x.stride())
        out = x if dense else torch.empty(x.shape, dtype=x.dtype)
        _BERNOULLI(_programs(x.numel()), out, _seed(), float(p), x.numel())
        if not dense:
            x.copy_(out)
    return x
