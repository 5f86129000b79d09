"""The negative log-likelihood of classes: what cross entropy does behind log_softmax."""

from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.ops.dtypes import FLOATS, sum_dtype, sum_type
from triton_spacemit.ops.indexing.operands import around
from triton_spacemit.ops.launching import Kernel, flag, raised
from triton_spacemit.ops.operands import computed, into, out_form

_CLASSES = frozenset({torch.int64, torch.uint8})
_NONE, _MEAN, _SUM = 0, 1, 2  # PyTorch's numbers of reductions
_BLOCK = 256
_PART = 16384  # targets of a program; does not depend on threads, so that sums do not


@triton.jit
def _chosen(places, inside, classes, ignored):
    """The classes at these places, whether each counts, and whether it is a mistake: neither ignored nor a class."""
    chosen = tl.load(places, inside, 0).to(tl.int64)
    counts = inside & (chosen != ignored)
    right = (chosen >= 0) & (chosen < classes)
    return chosen, counts & right, counts & (right == 0)


@triton.jit(do_not_specialize=["outer_stride", "class_stride", "count", "classes", "ignored"])
def _losses(
    scores,
    target,
    weight,
    losses,
    sums,
    bad,
    outer_stride,
    class_stride,
    inner_stride,
    inner,
    count,
    classes,
    ignored,
    REDUCED: tl.constexpr,
    ALONE: tl.constexpr,
    MEAN: tl.constexpr,
    BLOCK: tl.constexpr,
    PART: tl.constexpr,
    SUM: tl.constexpr,
):
    """With REDUCED off, `losses` gets every loss. A program that is ALONE stores the result to `losses` and the sum of weights to `sums`,
    others their sums of losses and of weights. Stores 1 to `bad` where a target is no class.
    """
    first = tl.program_id(0).to(tl.int64) * PART
    loss_sums = tl.zeros((BLOCK,), SUM)
    weight_sums = tl.zeros((BLOCK,), SUM)
    wrong = tl.zeros((BLOCK,), tl.int32)
    for start in range(first, tl.minimum(first + PART, count), BLOCK):
        n = start + tl.arange(0, BLOCK)
        inside = n < count
        chosen, counts, mistaken = _chosen(target + n, inside, classes, ignored)
        wrong |= mistaken.to(tl.int32)
        place = scores + n // inner * outer_stride + chosen * class_stride + n % inner * inner_stride
        weights = counts.to(SUM)
        if weight is not None:
            weights = tl.load(weight + chosen, counts, 0).to(SUM)
        loss = tl.where(counts, -tl.load(place, counts, 0).to(SUM) * weights, 0)
        if not REDUCED:
            tl.store(losses + n, loss.to(losses.dtype.element_ty), inside)
        loss_sums += loss
        weight_sums += weights
    loss_sum = tl.sum(loss_sums, 0)
    weight_sum = tl.sum(weight_sums, 0)
    if ALONE:
        tl.store(sums, weight_sum.to(sums.dtype.element_ty))
        if MEAN:
            loss_sum /= weight_sum
        tl.store(losses, loss_sum.to(losses.dtype.element_ty))
    else:
        tl.store(sums + tl.program_id(0) * 2, loss_sum)
        tl.store(sums + tl.program_id(0) * 2 + 1, weight_sum)
    if tl.max(wrong, 0) != 0:
        tl.store(bad, 1)


@triton.jit(do_not_specialize=["count", "classes", "ignored"])
def _gradients(
    out,
    target,
    weight,
    gradient,
    total,
    bad,
    gradient_stride,
    inner,
    count,
    classes,
    ignored,
    MEAN: tl.constexpr,
    BLOCK: tl.constexpr,
    PART: tl.constexpr,
    SUM: tl.constexpr,
):
    """`out`, (outer, classes, inner) and contiguous, gets the gradient at every target's class."""
    first = tl.program_id(0).to(tl.int64) * PART
    wrong = tl.zeros((BLOCK,), tl.int32)
    for start in range(first, tl.minimum(first + PART, count), BLOCK):
        n = start + tl.arange(0, BLOCK)
        inside = n < count
        chosen, counts, mistaken = _chosen(target + n, inside, classes, ignored)
        wrong |= mistaken.to(tl.int32)
        value = -tl.load(gradient + n * gradient_stride, counts, 0).to(SUM)
        if weight is not None:
            value *= tl.load(weight + chosen, counts, 0).to(SUM)
        if MEAN:
            value /= tl.load(total).to(SUM)
        tl.store(out + (n // inner * classes + chosen) * inner + n % inner, value.to(out.dtype.element_ty), counts)
    if tl.max(wrong, 0) != 0:
        tl.store(bad, 1)


_LOSSES = Kernel(_losses, BLOCK=_BLOCK, PART=_PART)
_GRADIENTS = Kernel(_gradients, BLOCK=_BLOCK, PART=_PART)


def _is_mistake(scores: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None) -> bool:
    """Whether PyTorch is to answer: (classes) with a scalar target, (batch, classes) with (batch), or (batch, classes, height, width) with
    (batch, height, width) are computed here.
    """
    if not computed(FLOATS, scores) or not computed(_CLASSES, target) or scores.dim() not in (1, 2, 4):
        return True
    if scores.dim() == 1:
        if target.numel() != 1 or target.dim() > 1:
            return True
    elif target.shape != (scores.shape[0], *scores.shape[2:]):
        return True
    classes = scores.shape[0 if scores.dim() == 1 else 1]
    return weight is not None and (weight.shape != (classes,) or weight.dtype != scores.dtype or not weight.is_cpu)


def nll_loss_forward(scores: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, reduction: int, ignore_index: int) -> Any:
    """`-weight[target] * scores[.., target, ..]`, 0 where a target is `ignore_index`; and the sum of the weights that count.

    reduction: 0 as it is, 1 the sum divided by that of the weights, 2 the sum.
    """
    if _is_mistake(scores, target, weight):
        return NotImplemented
    three = around(scores, 0 if scores.dim() == 1 else 1)
    outer, classes, inner = three.shape
    count = outer * inner
    if not classes and count:
        return NotImplemented
    each = reduction == _NONE and scores.dim() > 1
    parts = max(-(-count // _PART), 1)
    alone = parts == 1 and not each
    losses = scores.new_empty(target.shape if each else ())
    sums = scores.new_empty(()) if alone else torch.empty((parts, 2), dtype=sum_dtype(scores.dtype))
    bad = flag()
    weights = None if weight is None else weight.contiguous()
    _LOSSES(
        (parts,),
        *(three, target.reshape(-1), weights, losses, sums, bad, *three.stride(), max(inner, 1), count, classes, ignore_index),
        REDUCED=not each,
        ALONE=alone,
        MEAN=reduction == _MEAN,
        SUM=sum_type(scores.dtype),
    )
    if raised(bad):
        return NotImplemented
    if each:
        return losses, scores.new_zeros(())
    if alone:
        return losses, sums
    total, weight_sum = sums.sum(0)
    return (total / weight_sum if reduction == _MEAN else total).to(scores.dtype), weight_sum.to(scores.dtype)


def nll_loss_backward(
    grad: torch.Tensor,
    scores: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    reduction: int,
    ignore_index: int,
    total_weight: torch.Tensor,
) -> Any:
    """The gradient of `scores`, from that of the first result of `nll_loss_forward` and from its second one."""
    if _is_mistake(scores, target, weight) or grad.dtype != scores.dtype or total_weight.dtype != scores.dtype or total_weight.numel() != 1:
        return NotImplemented
    each = reduction == _NONE and scores.dim() > 1
    if grad.shape != target.shape if each else grad.numel() != 1:
        return NotImplemented
    out = torch.zeros(scores.shape, dtype=scores.dtype)
    outer, classes, inner = around(out, 0 if scores.dim() == 1 else 1).shape
    gradient = grad.reshape(-1)
    bad = flag()
    if out.numel():
        _GRADIENTS(
            (-(-outer * inner // _PART),),
            *(out, target.reshape(-1), None if weight is None else weight.contiguous(), gradient, total_weight, bad),
            *(gradient.stride(0) if each else 0, inner, outer * inner, classes, ignore_index),
            MEAN=reduction == _MEAN,
            SUM=sum_type(scores.dtype),
        )
    return NotImplemented if raised(bad) else out


def nll_loss_forward_output(
    scores: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    reduction: int,
    ignore_index: int,
    *,
    output: torch.Tensor,
    total_weight: torch.Tensor,
) -> Any:
    """`nll_loss_forward` into `output` and `total_weight`."""
    results = nll_loss_forward(scores, target, weight, reduction, ignore_index)
    if results is NotImplemented or any(out.dtype != scores.dtype or not out.is_cpu for out in (output, total_weight)):
        return NotImplemented
    return into(output, results[0]), into(total_weight, results[1])


nll_loss_backward_grad_input = out_form(nll_loss_backward, "grad_input")
