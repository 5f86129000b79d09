"""Attention, as `torch.nn.functional.scaled_dot_product_attention`."""

import functools
from typing import Any

import torch
from perf.operator_rows.row import Row
from torch.nn.functional import scaled_dot_product_attention


def _operands(shape: tuple[int, ...], keys: tuple[int, ...], dtype: torch.dtype, backward: bool) -> tuple[torch.Tensor, ...]:
    """(batch, length, heads, dim), transposed to what attention takes, as models do it."""
    return tuple(torch.randn(size, dtype=dtype).transpose(1, 2).requires_grad_(backward) for size in (shape, keys, keys))


def _forward(*operands: torch.Tensor, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return scaled_dot_product_attention(*operands, **options)


def _backward(*operands: torch.Tensor, **options: Any) -> tuple[torch.Tensor, ...]:
    """The gradients of all operands, forward pass and all."""
    return torch.autograd.grad(scaled_dot_product_attention(*operands, **options).sum(), operands)


def _row(
    length: int, dim: int, causal: bool = False, backward: bool = False, keys: int = 0, heads: int = 8, dtype: torch.dtype = torch.float32
) -> Row:
    shape, of_keys = (1, length, heads, dim), (1, keys or length, heads, dim)
    words = f"B1 H{heads} S{length}{f'x{keys}' if keys else ''} D{dim}{' causal' * causal}{' backward' * backward}"
    return Row(
        "scaled_dot_product_attention",
        words,
        functools.partial(_backward if backward else _forward, is_causal=causal),
        functools.partial(_operands, shape, of_keys, dtype, backward),
        dtype,
        tolerance=1e-4 if dtype is torch.float32 else 0.1,
    )


ROWS = [
    *(_row(length, dim, causal) for length in (256, 1024, 2048) for dim in (64, 128) for causal in (False, True)),
    *(_row(length, dim, causal, backward=True) for length, dim in ((256, 64), (1024, 128)) for causal in (False, True)),
    _row(1, 128, keys=2048, heads=16),
    _row(512, 80),
    _row(32, 64),
    _row(1024, 64, dtype=torch.bfloat16),
    _row(1024, 64, causal=True, backward=True, dtype=torch.bfloat16),
]
