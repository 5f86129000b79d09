"""Operators at indices, at sizes of language models and of tables."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from perf.operator_rows.row import Row


def _row(operator: str, shape: str, call: Callable[..., Any], make: Callable[[], tuple[Any, ...]], tolerance: float = 0.0) -> Row:
    return Row(operator, shape, call, make, tolerance=tolerance)


def _vectors(size: int, dim: int, *tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(size, dim), torch.randint(0, size, tokens)


def _square(size: int, indices: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    return torch.randn(size, size), torch.randint(0, size, indices), torch.randn(size, size)


def _scores(batch: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, classes), torch.randint(0, classes, (batch,))


def _backward(gradient: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten.embedding_dense_backward(gradient, tokens, 32000, -1, False)


_matrix = functools.partial(_square, 1024, (1024, 1024))
_vector = functools.partial(_square, 1024, (1024,))

ROWS = [
    _row(
        "embedding",
        "32000x512 at 8x256",
        lambda weight, at: torch.nn.functional.embedding(at, weight),
        lambda: _vectors(32000, 512, 8, 256),
    ),
    _row(
        "embedding", "32000x512 at 8x256 backward", _backward, lambda: (torch.randn(8, 256, 512), torch.randint(0, 32000, (8, 256))), 1e-5
    ),
    _row("index_select", "1024x1024 dim 0", lambda x, at, _: x.index_select(0, at), _vector),
    _row("index_add", "1024x1024 dim 0", lambda x, at, y: x.index_add(0, at, y), _vector, 1e-5),
    _row("gather", "1024x1024 dim 1", lambda x, at, _: x.gather(1, at), _matrix),
    _row("gather", "1024x1024 dim 0", lambda x, at, _: x.gather(0, at), _matrix),
    _row("scatter_add", "1024x1024 dim 1", lambda x, at, y: x.scatter_add(1, at, y), _matrix, 1e-5),
    _row("scatter_add", "1024x1024 dim 0", lambda x, at, y: x.scatter_add(0, at, y), _matrix, 1e-5),
    _row("cat", "1024x1024 twice dim 0", lambda x, _, y: torch.cat((x, y)), _matrix),
    _row("cat", "1024x1024 twice dim 1", lambda x, _, y: torch.cat((x, y), 1), _matrix),
    _row("cat", "4x8x256x64 twice dim 2", lambda x, y: torch.cat((x, y), 2), lambda: tuple(torch.randn(2, 4, 8, 256, 64))),
    _row("index", "1024x1024 rows", lambda x, at, _: x[at], _vector),
    _row("index", "1024x1024 elements", lambda x, at, _: x[at, at.mT], _matrix),
    _row("index_put", "1024x1024 rows, accumulating", lambda x, at, y: x.index_put((at,), y, accumulate=True), _vector, 1e-5),
    _row("scatter", "1024x1024 dim 0", lambda x, at, y: x.scatter(0, at, y[0, 0].item()), _matrix),
    Row(
        "nll_loss",
        "4096x1000 as cross_entropy",
        torch.nn.functional.cross_entropy,
        lambda: _scores(4096, 1000),
        enabled=("nll_loss", "log_softmax"),
        tolerance=1e-5,
    ),
]
