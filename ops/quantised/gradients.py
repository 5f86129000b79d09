"""Gradients of products with packed weights: those of the weights as they are dequantised, as if activations were not rounded.

Weights have none: they are what a file or `pack` gave. What is trained is beside them, as adapters are (QLoRA).
"""

from typing import Any

import torch
from torch.library import Library, register_autograd

from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.packings import get_packing


def register(library: Library) -> None:
    """Give the operators of `linear.py` their gradients."""
    register_autograd("triton_spacemit::quantised_linear", _linear, setup_context=_keep, lib=library)
    register_autograd("triton_spacemit::quantised_linear_experts", _linear_experts, setup_context=_keep_experts, lib=library)


def _weights(packed: torch.Tensor, names: tuple[str, str], rows: int, steps: int) -> torch.Tensor:
    """Packed bytes of one matrix as float32, (rows, steps)."""
    return Packed(packed, get_packing(*names), (rows, steps)).dequantise()


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weights, bias, format_name, packing, n = inputs
    ctx.save_for_backward(weights)
    ctx.names, ctx.n, ctx.steps, ctx.x, ctx.bias = (format_name, packing), n, x.shape[-1], x.dtype, None if bias is None else bias.dtype


def _linear(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    (weights,) = ctx.saved_tensors
    wide, of_x, of_bias = gradient.float(), None, None
    if ctx.needs_input_grad[0]:
        of_x = (wide @ _weights(weights, ctx.names, ctx.n, ctx.steps)).to(ctx.x)
    if ctx.bias is not None and ctx.needs_input_grad[2]:
        of_bias = wide.reshape(-1, ctx.n).sum(0).to(ctx.bias)
    return of_x, None, of_bias, None, None, None


def _keep_experts(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, weights, ids, format_name, packing, n = inputs
    ctx.save_for_backward(ids, *weights)
    ctx.names, ctx.n, ctx.shape, ctx.x = (format_name, packing), n, x.shape, x.dtype


def _linear_experts(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
    ids, *stacks = ctx.saved_tensors
    none = [None] * len(stacks)
    if not ctx.needs_input_grad[0]:
        return None, none, None, None, None, None
    of_x = torch.zeros(*ids.shape, ctx.shape[-1])
    for number in ids[ids >= 0].unique().tolist():
        places = ids == number
        for stack, part in zip(stacks, gradient[places].float().split(list(ctx.n), -1), strict=True):
            of_x[places] += part @ _weights(stack[number], ctx.names, part.shape[-1], ctx.shape[-1])
    if ctx.shape[1] != ids.shape[1]:
        of_x = of_x.sum(1, keepdim=True)  # one row went to all experts of a token
    return of_x.to(ctx.x), none, None, None, None, None
