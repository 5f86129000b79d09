"""Batch norm of PyTorch and its forms: channels are the groups, and running statistics may be kept."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch

from triton_spacemit.ops import copies
from triton_spacemit.ops.operands import into, memory_format
from triton_spacemit.ops.reductions.normalise import Layout, Parameter, gradients, normalise, parameter_dtype


def _dense(x: torch.Tensor) -> torch.Tensor:
    """`x`, contiguous, with channels last if it has them last."""
    return copies.contiguous(x, memory_format(x))


def _channels(x: torch.Tensor, each_image: bool = False) -> Layout:
    """The channels of a dense x[N, C, ..], or those of each image, where they need not be gone through together."""
    return _layout_of_channels(x.shape, x.is_contiguous(), each_image)


@functools.lru_cache(4096)
def _layout_of_channels(shape: tuple[int, ...], contiguous: bool, each_image: bool) -> Layout:
    batch, channels = shape[:2]
    pixels = math.prod(shape[2:])
    if pixels == 1 or not contiguous:
        return Layout(1, channels, 1, batch * pixels, 0, 1, 0, channels, "group")
    if each_image:
        return Layout(batch, channels, 1, pixels, channels * pixels, pixels, 0, 1, "group")
    return Layout(1, channels, batch, pixels, 0, pixels, channels * pixels, 1, "group")


def _batch_norm_dtype(x: torch.Tensor, *parameters: Parameter) -> torch.dtype | None:
    """The dtype of weights and statistics; None where PyTorch raises."""
    if x.dim() < 2 or not x.numel() or any(one is not None and tuple(one.shape) != (x.shape[1],) for one in parameters):
        return None
    return parameter_dtype(x, *parameters)


def batch_norm(
    x: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """Each channel of x[N, C, ..] with mean 0 and variance 1, times weight plus bias; in training its mean and 1 / standard deviation, else
    none. In training the running statistics are moved on by `momentum`; else they are what is taken for mean and variance.
    """
    dtype = _batch_norm_dtype(x, weight, bias, running_mean, running_var)
    if dtype is None or not training and (running_mean is None or running_var is None):
        return NotImplemented
    x = _dense(x)
    out = torch.empty_like(x)
    mean, rstd = (x.new_empty(x.shape[1] if training else 0, dtype=dtype) for _ in range(2))
    kept = [None if one is None else one.contiguous() for one in (running_mean, running_var)]
    normalise(
        _channels(x, each_image=not training),
        x,
        out,
        weight,
        bias,
        eps,
        mean,
        rstd,
        running=(kept[0], kept[1]),
        momentum=momentum,
        given=not training,
    )
    for mine, theirs in zip(kept, (running_mean, running_var), strict=True):
        if training and mine is not None and theirs is not None and mine is not theirs:
            theirs.copy_(mine)
    return out, mean, rstd


def batch_norm_out(
    x: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    training: bool,
    momentum: float,
    eps: float,
    *,
    out: torch.Tensor,
    save_mean: torch.Tensor,
    save_invstd: torch.Tensor,
) -> Any:
    """`batch_norm` into three tensors."""
    dtype = _batch_norm_dtype(x, weight, bias, running_mean, running_var)
    if out.dtype is not x.dtype or save_mean.dtype is not dtype or save_invstd.dtype is not dtype:
        return NotImplemented
    results = batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
    if results is NotImplemented:
        return NotImplemented
    return tuple(into(given, result) for given, result in zip((out, save_mean, save_invstd), results, strict=True))


def batch_norm_no_stats(x: torch.Tensor, weight: Parameter, bias: Parameter, training: bool, momentum: float, eps: float) -> Any:
    """`batch_norm` without running statistics."""
    return batch_norm(x, weight, bias, None, None, training, momentum, eps)


def batch_norm_no_stats_out(
    x: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    training: bool,
    momentum: float,
    eps: float,
    *,
    out: torch.Tensor,
    save_mean: torch.Tensor,
    save_invstd: torch.Tensor,
) -> Any:
    """`batch_norm_no_stats` into three tensors."""
    return batch_norm_out(x, weight, bias, None, None, training, momentum, eps, out=out, save_mean=save_mean, save_invstd=save_invstd)


def batch_norm_with_update(
    x: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    momentum: float,
    eps: float,
) -> Any:
    """`batch_norm` in training, and an empty reserve."""
    results = batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
    return results if results is NotImplemented else (*results, torch.empty(0, dtype=torch.uint8))


def batch_norm_backward(
    grad_out: torch.Tensor,
    x: torch.Tensor,
    weight: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    save_mean: Parameter,
    save_invstd: Parameter,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> Any:
    """The wanted gradients of `batch_norm`: of x, weight and bias."""
    mean, rstd = (save_mean, save_invstd) if train else (running_mean, running_var)
    dtype = _batch_norm_dtype(x, weight, mean, rstd)
    if dtype is None or mean is None or rstd is None or grad_out.shape != x.shape or grad_out.dtype is not x.dtype:
        return NotImplemented
    x = _dense(x)
    grad_out = copies.contiguous(grad_out, memory_format(x))
    shape = (x.shape[1],)
    return gradients(_channels(x), grad_out, x, weight, mean, rstd, output_mask, shape, dtype, eps, given=not train)


def batch_norm_backward_with_reserve(
    grad_out: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    running_mean: Parameter,
    running_var: Parameter,
    save_mean: Parameter,
    save_var: Parameter,
    update: bool,
    eps: float,
    output_mask: Sequence[bool],
    reserve: torch.Tensor,
) -> Any:
    """`batch_norm_backward`."""
    return batch_norm_backward(grad_out, x, weight, running_mean, running_var, save_mean, save_var, update, eps, output_mask)
