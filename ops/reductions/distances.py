"""Losses by the distance from a target: mean squared error, smooth L1 and Huber, each element's, their mean or their sum; and gradients.

`l1_loss` needs no kernel of its own: PyTorch composes it of a difference, its absolute value and a mean.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

from triton_spacemit.ops.dtypes import FLOATS, sum_type
from triton_spacemit.ops.elementwise import distances
from triton_spacemit.ops.elementwise.pairs import like
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, out_form
from triton_spacemit.ops.reductions.kernel import reduce
from triton_spacemit.ops.reductions.kinds import MEAN, SUM

_NONE, _MEAN = 0, 1  # PyTorch's numbers of reductions
_BLOCK = 4096
_PART = 1 << 16  # elements of a program; does not depend on threads, so that sums do not


@triton.jit
def _total(
    x, target, sums, parameter: tl.float64, divisor, n,
    LOSS: tl.constexpr, PARAMETRIC: tl.constexpr, SUM: tl.constexpr, BLOCK: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    """The sum of a part's losses, by `divisor`. Blocks are added up in float32, parts in float64."""
    first = tl.program_id(0).to(tl.int64) * PART
    total = tl.cast(0, tl.float64)
    for start in range(first, tl.minimum(first + PART, n), BLOCK):
        i = start + tl.arange(0, BLOCK)
        a, b = tl.load(x + i, i < n, 0).to(SUM), tl.load(target + i, i < n, 0).to(SUM)
        if PARAMETRIC:
            losses = LOSS(a, b, parameter.to(SUM))
        else:
            losses = LOSS(a, b)
        total += tl.sum(losses, 0).to(tl.float64)
    tl.store(sums + tl.program_id(0), (total / divisor).to(sums.dtype.element_ty))


class Loss:
    """A loss of elements and their targets: its function in `elementwise.distances`, perhaps with a parameter, and that of its gradient."""

    def __init__(self, function: JITFunction[Any], parametric: bool) -> None:
        name = function.__name__
        # Overloads with as many operands as these functions have.
        self._each = like("lerp.Scalar" if parametric else "mul.Tensor", name)
        self._gradient = like("addr.out" if parametric else "addcmul.out", f"{name}_backward")
        self._total = Kernel(_total, LOSS=function, PARAMETRIC=parametric, BLOCK=_BLOCK, PART=_PART)

    def forward(self, x: torch.Tensor, target: torch.Tensor, reduction: int, *parameter: float) -> Any:
        """The loss of each element, their mean (1) or their sum (2)."""
        if reduction == _NONE:
            return self._each(x, target, *parameter)
        if not computed(FLOATS, x, target):
            return NotImplemented
        plain = x.dtype is target.dtype and x.shape == target.shape and x.is_contiguous() and target.is_contiguous()
        if plain and x.numel():
            return self._reduced(x, target, reduction == _MEAN, *parameter)
        losses = self._each(x, target, *parameter)
        if losses is NotImplemented:
            return NotImplemented
        result = losses.new_empty(())
        reduce(MEAN if reduction == _MEAN else SUM, losses, tuple(range(losses.dim())), result)
        return result

    def _reduced(self, x: torch.Tensor, target: torch.Tensor, mean: bool, parameter: float = 0.0) -> torch.Tensor:
        n = x.numel()
        parts = -(-n // _PART)
        result = x.new_empty(())
        sums = result if parts == 1 else torch.empty(parts, dtype=torch.float64)
        self._total((parts,), x, target, sums, parameter, n if mean else 1, n, SUM=sum_type(x.dtype))
        if parts > 1:
            reduce(SUM, sums, (0,), result)
        return result

    def backward(
        self, grad: torch.Tensor, x: torch.Tensor, target: torch.Tensor, reduction: int, *parameter: float, out: torch.Tensor
    ) -> Any:
        """The gradient of x, from that of the loss, into `out`."""
        scale = 1 / max(x.numel(), 1) if reduction == _MEAN else 1.0
        return self._gradient(grad, x, target, scale, *parameter, out=out)


_SQUARED = Loss(distances.squared_distance, parametric=False)
_SMOOTH = Loss(distances.smooth_distance, parametric=True)
_HUBER = Loss(distances.huber_distance, parametric=True)


def mse_loss(x: torch.Tensor, target: torch.Tensor, reduction: int = _MEAN) -> Any:
    """`(x - target) ** 2`."""
    return _SQUARED.forward(x, target, reduction)


mse_loss_out = out_form(mse_loss)


def mse_loss_backward_out(
    grad_output: torch.Tensor, x: torch.Tensor, target: torch.Tensor, reduction: int, *, grad_input: torch.Tensor
) -> Any:
    """The gradient of `mse_loss` by x, into `grad_input`."""
    return _SQUARED.backward(grad_output, x, target, reduction, out=grad_input)


def mse_loss_backward(grad_output: torch.Tensor, x: torch.Tensor, target: torch.Tensor, reduction: int) -> Any:
    """The gradient of `mse_loss` by x."""
    return mse_loss_backward_out(grad_output, x, target, reduction, grad_input=torch.empty(x.shape, dtype=x.dtype))


def smooth_l1_loss(x: torch.Tensor, target: torch.Tensor, reduction: int = _MEAN, beta: float = 1.0) -> Any:
    """`0.5 * (x - target) ** 2 / beta` below the distance `beta`, `|x - target| - 0.5 * beta` from there on."""
    return NotImplemented if beta < 0 else _SMOOTH.forward(x, target, reduction, beta)


smooth_l1_loss_out = out_form(smooth_l1_loss)


def smooth_l1_loss_backward_out(
    grad_output: torch.Tensor, x: torch.Tensor, target: torch.Tensor, reduction: int, beta: float, *, grad_input: torch.Tensor
) -> Any:
    """The gradient of `smooth_l1_loss` by x, into `grad_input`."""
    return NotImplemented if beta < 0 else _SMOOTH.backward(grad_output, x, target, reduction, beta, out=grad_input)


def huber_loss(x: torch.Tensor, target: torch.Tensor, reduction: int = _MEAN, delta: float = 1.0) -> Any:
    """`0.5 * (x - target) ** 2` below the distance `delta`, `delta * (|x - target| - 0.5 * delta)` from there on."""
    return NotImplemented if delta <= 0 else _HUBER.forward(x, target, reduction, delta)


huber_loss_out = out_form(huber_loss)


def huber_loss_backward_out(
    grad_output: torch.Tensor, x: torch.Tensor, target: torch.Tensor, reduction: int, delta: float, *, grad_input: torch.Tensor
) -> Any:
    """The gradient of `huber_loss` by x, into `grad_input`."""
    return NotImplemented if delta <= 0 else _HUBER.backward(grad_output, x, target, reduction, delta, out=grad_input)
