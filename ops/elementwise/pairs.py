"""Operators with two results: each is computed as an operator of its own."""

from typing import Any

import torch

from triton_spacemit.ops import copies
from triton_spacemit.ops.elementwise.overloads import Overload
from triton_spacemit.ops.elementwise.table import FLOATS, Row
from triton_spacemit.ops.operands import into


def like(form: str, function: str) -> Overload:
    """A function of floats with the arguments of the overload `form`."""
    return Overload(Row(function, (), FLOATS, function), form)


_LOG_SIGMOID, _DECAY = like("exp", "log_sigmoid"), like("exp", "decay")
_PRELU, _PRELU_WEIGHT = like("addcmul", "prelu_backward"), like("mul.Tensor", "prelu_weight_backward")


def log_sigmoid_forward(x: torch.Tensor) -> Any:
    """log(sigmoid(x)), and exp(-|x|), which its gradient needs."""
    x = copies.contiguous(x)  # as both results are in PyTorch
    result = _LOG_SIGMOID(x)
    return NotImplemented if result is NotImplemented else (result, _DECAY(x))


def log_sigmoid_forward_output(x: torch.Tensor, *, output: torch.Tensor, buffer: torch.Tensor) -> Any:
    """`log_sigmoid_forward` into two tensors."""
    if not (output.dtype == buffer.dtype == x.dtype):
        return NotImplemented
    results = log_sigmoid_forward(x)
    return NotImplemented if results is NotImplemented else (into(output, results[0]), into(buffer, results[1]))


def _prelu_kernel_backward(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> Any:
    """The gradients of `x` and of the weight, both of the shape of `x`."""
    result = _PRELU(gradient, x, weight, None)
    return NotImplemented if result is NotImplemented else (result, _PRELU_WEIGHT(gradient, x))
