"""Attention as a function of its own, whatever operators of PyTorch are enabled."""

from typing import Any

import torch

from triton_spacemit.ops.attention.backward import attention_backward
from triton_spacemit.ops.attention.forward import attention


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool, scale: float | None) -> torch.Tensor:
        results = attention(query, key, value, 0.0, causal, scale=scale)
        if results is NotImplemented:
            raise ValueError(
                "flash_attention takes floating-point tensors of one dtype on the CPU: query (batch, heads, queries, dim), key and value"
                " (batch, heads of keys, keys, dim), where the number of heads is a multiple of that of heads of keys; not "
                + ", ".join(f"{tuple(tensor.shape)} {tensor.dtype}".replace("torch.", "") for tensor in (query, key, value))
            )
        ctx.save_for_backward(query, key, value, *results)
        ctx.causal, ctx.scale = causal, scale
        return results[0]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        query, key, value, out, logsumexp = ctx.saved_tensors
        return *attention_backward(gradient, query, key, value, out, logsumexp, 0.0, ctx.causal, scale=ctx.scale), None, None


def flash_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool = False, scale: float | None = None
) -> torch.Tensor:
    """`softmax(query key^T * scale) value`, where queries see only keys up to their own place if `causal`.

    query: (batch, heads, queries, dim); key, value: (batch, heads of keys, keys, dim), any strides, on the CPU, of one dtype of float32,
    float16, bfloat16 and float64. Heads are a multiple of the heads of keys, of which each serves as many neighbouring ones. scale:
    `dim ** -0.5` if None. Returns (batch, heads, queries, dim). Differentiable once. Raises ValueError for other operands.
    """
    return _Attention.apply(query, key, value, causal, scale)
