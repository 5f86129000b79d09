"""Layer, RMS and group norm of PyTorch: which elements are a group, and which statistics are kept."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch

from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import sum_dtype
from triton_spacemit.ops.operands import memory_format
from triton_spacemit.ops.reductions.normalise import Layout, Parameter, gradients, normalise, parameter_dtype


def _rows(x: torch.Tensor, normalized_shape: Sequence[int]) -> Layout:
    return _layout_of_rows(x.numel(), math.prod(normalized_shape))


@functools.lru_cache(4096)
def _layout_of_rows(elements: int, inner: int) -> Layout:
    return Layout(1, elements // max(inner, 1), 1, inner, 0, inner, inner, 1, "element")


def _fits(x: torch.Tensor, normalized_shape: Sequence[int], *parameters: Parameter) -> bool:
    shape = tuple(normalized_shape)
    for parameter in parameters:
        if parameter is not None and parameter.shape != shape:
            return False
    return len(shape) > 0 and x.shape[-len(shape) :] == shape


def _statistics_shape(x: torch.Tensor, normalized_shape: Sequence[int]) -> list[int]:
    kept = x.dim() - len(normalized_shape)
    return [*x.shape[:kept], *[1] * len(normalized_shape)]


def layer_norm(x: torch.Tensor, normalized_shape: Sequence[int], weight: Parameter, bias: Parameter, eps: float) -> Any:
    """`x` over its last dimensions with mean 0 and variance 1, times weight plus bias; the mean, and 1 / standard deviation."""
    dtype = parameter_dtype(x, weight, bias)
    if dtype is None or not _fits(x, normalized_shape, weight, bias):
        return NotImplemented
    x = copies.contiguous(x)
    shape = _statistics_shape(x, normalized_shape)
    out, mean, rstd = torch.empty_like(x), x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=dtype)
    if x.numel():
        normalise(_rows(x, normalized_shape), x, out, weight, bias, eps, mean, rstd)
    else:
        # What PyTorch says of groups without elements.
        mean.zero_()
        rstd.fill_(math.nan)
    return out, mean, rstd


def layer_norm_backward(
    grad_out: torch.Tensor,
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: Parameter,
    bias: Parameter,
    output_mask: Sequence[bool],
) -> Any:
    """The wanted gradients of `layer_norm`: of x, weight and bias."""
    dtype = parameter_dtype(x, weight, bias, mean, rstd)
    if dtype is None or grad_out.dtype is not x.dtype or not _fits(x, normalized_shape, weight, bias):
        return NotImplemented
    if weight is None and output_mask[1] or bias is None and output_mask[2]:
        return NotImplemented
    if not x.numel():
        zeros = [torch.zeros_like(x), *(x.new_zeros(normalized_shape, dtype=dtype) for _ in range(2))]
        return tuple(one if want else None for one, want in zip(zeros, output_mask, strict=True))
    x = copies.contiguous(x)
    return gradients(_rows(x, normalized_shape), copies.contiguous(grad_out), x, weight, mean, rstd, output_mask, normalized_shape, dtype)


def rms_norm(x: torch.Tensor, normalized_shape: Sequence[int], weight: Parameter, eps: float | None) -> Any:
    """`x` over its last dimensions with mean square 1, times weight; and 1 / root mean square."""
    dtype = parameter_dtype(x, weight)
    if dtype is None or not _fits(x, normalized_shape, weight):
        return NotImplemented
    wide = sum_dtype(x.dtype)
    rstd = x.new_empty(_statistics_shape(x, normalized_shape), dtype=wide)
    if not x.numel():
        rstd.fill_(math.nan)
        out = x * rstd.to(x.dtype)
        return out if weight is None else out * weight, rstd
    x = copies.contiguous(x)
    out = torch.empty_like(x)
    normalise(_rows(x, normalized_shape), x, out, weight, None, torch.finfo(wide).eps if eps is None else eps, rstd=rstd, rms=True)
    return out, rstd


def rms_norm_backward(
    grad_out: torch.Tensor,
    x: torch.Tensor,
    normalized_shape: Sequence[int],
    rstd: torch.Tensor,
    weight: Parameter,
    output_mask: Sequence[bool],
) -> Any:
    """The wanted gradients of `rms_norm`: of x and weight."""
    weight_dtype = x.dtype if weight is None else weight.dtype
    wanted = (output_mask[0], output_mask[1] and weight is not None)
    if not x.numel():
        grads = (torch.zeros_like(x), x.new_zeros(normalized_shape, dtype=weight_dtype))
        return tuple(grad if want else None for grad, want in zip(grads, wanted, strict=True))
    x, grad_out = copies.contiguous(x), copies.contiguous(grad_out.to(x.dtype))
    layout = _rows(x, normalized_shape)
    return gradients(layout, grad_out, x, weight, None, rstd, (*wanted, False), normalized_shape, weight_dtype, rms=True)[:2]


@functools.lru_cache(4096)
def _groups(batch: int, channels: int, pixels: int, groups: int) -> Layout:
    size = channels // groups
    return Layout(batch, groups, size, pixels, channels * pixels, size * pixels, pixels, 1, "outer")


def _group_norm_is_valid(x: torch.Tensor, batch: int, channels: int, pixels: int, groups: int, *parameters: Parameter) -> bool:
    fit = all(parameter is None or tuple(parameter.shape) == (channels,) for parameter in parameters)
    return fit and groups > 0 and channels % groups == 0 and x.numel() == batch * channels * pixels


def group_norm(x: torch.Tensor, weight: Parameter, bias: Parameter, N: int, C: int, HxW: int, group: int, eps: float) -> Any:
    """Each of `group` groups of neighbouring channels of x[N, C, ..] with mean 0 and variance 1, times weight plus bias of the channel;
    mean and 1 / standard deviation, [N, group].
    """
    dtype = parameter_dtype(x, weight, bias)
    if dtype is None or not _group_norm_is_valid(x, N, C, HxW, group, weight, bias):
        return NotImplemented
    last = memory_format(x)
    x = copies.contiguous(x)
    out, mean, rstd = torch.empty_like(x), x.new_empty((N, group), dtype=dtype), x.new_empty((N, group), dtype=dtype)
    if x.numel():
        normalise(_groups(N, C, HxW, group), x, out, weight, bias, eps, mean, rstd)
    else:
        # What PyTorch says of groups without elements.
        mean.zero_()
        rstd.fill_(math.nan)
    return copies.contiguous(out, last), mean, rstd


def group_norm_backward(
    grad_out: torch.Tensor,
    x: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: Parameter,
    N: int,
    C: int,
    HxW: int,
    group: int,
    output_mask: Sequence[bool],
) -> Any:
    """The wanted gradients of `group_norm`: of x, weight and bias."""
    dtype = parameter_dtype(x, weight, mean, rstd)
    valid = dtype is not None and grad_out.dtype is x.dtype and _group_norm_is_valid(x, N, C, HxW, group, weight)
    if not valid or dtype is None or weight is None and any(output_mask[1:]):
        return NotImplemented
    if not x.numel():
        zeros = (torch.zeros_like(x), x.new_zeros(C, dtype=dtype), x.new_zeros(C, dtype=dtype))
        return tuple(one if want else None for one, want in zip(zeros, output_mask, strict=True))
    last = memory_format(x)
    grads = gradients(
        _groups(N, C, HxW, group), copies.contiguous(grad_out), copies.contiguous(x), weight, mean, rstd, output_mask, (C,), dtype
    )
    return (None if grads[0] is None else copies.contiguous(grads[0], last), *grads[1:])
