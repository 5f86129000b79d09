"""Binary cross entropy of probabilities, and its gradient."""

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, sum_type
from triton_spacemit.ops.launching import Kernel, flag, raised
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.reductions.kernel import reduce
from triton_spacemit.ops.reductions.kinds import MEAN, SUM

_NONE, _MEAN = 0, 1
_BLOCK = 4096


@triton.jit
def _forward(x, target, weight, losses, bad, n, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """A block of losses. bad: a flag for elements that are no probabilities."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    p = tl.load(x + i, i < n, 0).to(WIDE)
    t = tl.load(target + i, i < n, 0).to(WIDE)
    # PyTorch keeps logarithms from -inf, so that 0 * log(0) is 0.
    loss = (t - 1) * tl.maximum(libdevice.log1p(-p), -100.0) - t * tl.maximum(tl.log(p), -100.0)
    if weight is not None:
        loss *= tl.load(weight + i, i < n, 0).to(WIDE)
    tl.store(losses + i, loss, i < n)
    tl.store(bad, 1, tl.max(1 - ((p >= 0) & (p <= 1)).to(tl.int32), 0) > 0)


@triton.jit
def _backward(grad, x, target, weight, out, n, EACH: tl.constexpr, MEAN: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """A block of gradients. EACH: every element has a gradient of its own."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    p = tl.load(x + i, i < n, 0).to(WIDE)
    g = tl.load(grad + (i if EACH else i * 0), i < n, 0).to(WIDE)
    g *= (p - tl.load(target + i, i < n, 0).to(WIDE)) / tl.maximum((1 - p) * p, 1e-12)
    if weight is not None:
        g *= tl.load(weight + i, i < n, 0).to(WIDE)
    if MEAN:
        g /= n
    tl.store(out + i, g, i < n)


_FORWARD, _BACKWARD = Kernel(_forward, BLOCK=_BLOCK), Kernel(_backward, BLOCK=_BLOCK)


def _operands(x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None) -> tuple[torch.Tensor | None, ...] | None:
    """The three, contiguous and of one shape; None where PyTorch raises or promotes."""
    given = [tensor for tensor in (x, target, weight) if tensor is not None]
    if not computed(FLOATS, *given) or len({tensor.dtype for tensor in given}) > 1 or target.shape != x.shape:
        return None
    if weight is not None:
        if weight.dim() > x.dim() or any(length not in (1, of) for length, of in zip(weight.shape[::-1], x.shape[::-1], strict=False)):
            return None
        weight = copies.contiguous(weight.expand(x.shape))
    return copies.contiguous(x), copies.contiguous(target), weight


def binary_cross_entropy(x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None, reduction: int = _MEAN) -> Any:
    """`-weight * (target * log(x) + (1 - target) * log(1 - x))` of probabilities x; each, their mean or their sum."""
    operands = _operands(x, target, weight)
    if operands is None:
        return NotImplemented
    losses = torch.empty(x.shape, dtype=x.dtype)
    if x.numel():
        bad = flag()
        _FORWARD((triton.cdiv(x.numel(), _BLOCK),), *operands, losses, bad, x.numel(), WIDE=sum_type(x.dtype))
        if raised(bad):
            return NotImplemented
    if reduction == _NONE:
        return losses
    result = x.new_empty(())
    reduce(MEAN if reduction == _MEAN else SUM, losses, tuple(range(x.dim())), result)
    return result


binary_cross_entropy_out = out_form(binary_cross_entropy)


def binary_cross_entropy_backward(
    grad_output: torch.Tensor, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None, reduction: int = _MEAN
) -> Any:
    """The gradient of `binary_cross_entropy` with respect to x."""
    operands = _operands(x, target, weight)
    each = reduction == _NONE
    if operands is None or grad_output.dtype is not x.dtype or grad_output.shape != (x.shape if each else ()):
        return NotImplemented
    out = torch.empty(x.shape, dtype=x.dtype)
    if x.numel():
        grid = (triton.cdiv(x.numel(), _BLOCK),)
        _BACKWARD(
            grid, copies.contiguous(grad_output), *operands, out, x.numel(), EACH=each, MEAN=reduction == _MEAN, WIDE=sum_type(x.dtype)
        )
    return out


binary_cross_entropy_backward_out = out_form(binary_cross_entropy_backward, "grad_input")
