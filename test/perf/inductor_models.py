"""The models of `make bench-compile`: what people compile, whole blocks and the single kernels that they are made of.

A model is a function or a module and its inputs. Of one that trains, a step is timed: the forward pass, which returns a loss, and the
gradients of all parameters and of inputs that require them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Model:
    """make: the function or module and its inputs, made after `torch.manual_seed`. trains: it returns a loss, and a step is timed."""

    name: str
    make: Callable[[], tuple[Any, tuple[Tensor, ...]]]
    trains: bool = False


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norms[0](self.first(x)))
        return F.relu(x + self.norms[1](self.second(inner)))


class Transformer(nn.Module):
    """A block of a GPT, causal, with the product of queries and keys written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        head = width // self.heads
        q, k, v = self.inputs(self.before(x)).view(batch, length, 3, self.heads, head).permute(2, 0, 3, 1, 4)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = (q @ k.transpose(-1, -2) / math.sqrt(head)).masked_fill(future, -math.inf).softmax(-1)
        x = x + self.output((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.between(x))


class Lstm(nn.Module):
    """One step of an LSTM, its gates written out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(width, 4 * width), nn.Linear(width, 4 * width)

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        entered, forgotten, candidate, left = (self.input(x) + self.state(hidden)).chunk(4, 1)
        cell = forgotten.sigmoid() * cell + entered.sigmoid() * candidate.tanh()
        return left.sigmoid() * cell.tanh(), cell


class Loss(nn.Module):
    """The mean of the squares of a model's first result."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        result = self.model(*inputs)
        return (result if isinstance(result, Tensor) else result[0]).square().mean()


def mlp(width: int = 512) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.LayerNorm(4 * width), nn.Linear(4 * width, width))


def rotary(x: Tensor, cosines: Tensor, sines: Tensor, weight: Tensor) -> Tensor:
    """Root mean square norm over heads, then rotary embeddings."""
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), -1)


def adam(parameter: Tensor, gradient: Tensor, mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One update, decay decoupled."""
    mean, square = mean.lerp(gradient, 0.1), 0.999 * square + 0.001 * gradient * gradient
    return parameter * 0.9999 - 1e-3 * (mean / 0.19) / ((square / 0.001999).sqrt() + 1e-8), mean, square


def _inputs(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.randn(shape) for shape in shapes)


def _of(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable[[], tuple[Any, tuple[Tensor, ...]]]:
    """Of a function of random tensors."""
    return lambda: (function, _inputs(*shapes))


def _gradient(function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> Callable[[], tuple[Any, tuple[Tensor, ...]]]:
    return lambda: (function, tuple(x.requires_grad_() for x in _inputs(*shapes)))


def _cross_entropy() -> tuple[Any, tuple[Tensor, ...]]:
    return F.cross_entropy, (torch.randn(256, 10_000, requires_grad=True), torch.randint(0, 10_000, (256,)))


def _embedding_bag() -> tuple[Any, tuple[Tensor, ...]]:
    return lambda rows, weight, scale: (F.embedding(rows, weight) * scale[..., None]).sum(1), (
        torch.randint(0, 10_000, (512, 32)),
        *_inputs((10_000, 128), (512, 32)),
    )


def _batch_norm(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(F.batch_norm(x, mean, variance.square() + 0.5, weight, bias))


def _swiglu(x: Tensor) -> Tensor:
    gate, value = x.chunk(2, -1)
    return F.silu(gate) * value


def _layer_norm_loss(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, weight.shape, weight, bias).square().mean()


def _attention(scores: Tensor) -> Tensor:
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return (scores * 0.125).masked_fill(future, -math.inf).softmax(-1)


MODELS = (
    Model("MLP", lambda: (mlp(), _inputs((128, 512)))),
    Model("MLP, training", lambda: (Loss(mlp()), _inputs((128, 512))), True),
    Model("ResNet block", lambda: (Residual(64).eval(), _inputs((4, 64, 32, 32)))),
    Model("ResNet block, training", lambda: (Loss(Residual(64)), _inputs((4, 64, 32, 32))), True),
    Model("GPT block", lambda: (Transformer(256, 4), _inputs((2, 128, 256)))),
    Model("GPT block, training", lambda: (Loss(Transformer(256, 4)), _inputs((2, 128, 256))), True),
    Model("LSTM cell", lambda: (Lstm(256), _inputs((64, 256), (64, 256), (64, 256)))),
    Model("LSTM cell, training", lambda: (Loss(Lstm(256)), _inputs((64, 256), (64, 256), (64, 256))), True),
    Model("weighted embedding bag", _embedding_bag),
    Model("cross entropy, training", _cross_entropy, True),
    Model("Huber loss, training", _gradient(F.huber_loss, (1024, 1000), (1024, 1000)), True),
    Model("binary cross entropy", _of(lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()), (1024, 1000), (1024, 1000))),
    Model("bilinear upsampling", _of(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (2, 32, 56, 56))),
    Model("transposed copy plus 1", _of(lambda x: x.t().contiguous() + 1, (1024, 1024))),
    Model("batch norm and relu, 4-D", _of(_batch_norm, (8, 64, 56, 56), (64,), (64,), (64,), (64,))),
    Model("silu of one half times the other", _of(_swiglu, (512, 2 * 1376))),
    Model("mean and variance over columns", _of(lambda x: (x.mean(0), x.var(0)), (2048, 768))),
    Model("sum of all", _of(lambda x: x.sum(), (1024, 1024))),
    Model("softmax", _of(lambda x: x.softmax(-1), (1024, 1000))),
    Model("residual layer norm", _of(lambda x, y, w, b: F.layer_norm(x + y, (768,), w, b), (1024, 768), (1024, 768), (768,), (768,))),
    Model("layer norm, training", _gradient(_layer_norm_loss, (1024, 768), (768,), (768,)), True),
    Model("pointwise chain", _of(lambda x, y: F.gelu(x * 2 + 1) * y.sigmoid() + x.tanh(), (1024, 1000), (1024, 1000))),
    Model("causal softmax of scores", _of(_attention, (2, 8, 256, 256))),
    Model("rms norm and rotary", _of(rotary, (4, 256, 8, 64), (256, 1, 32), (256, 1, 32), (64,))),
    Model("group norm and silu", _of(lambda x, w, b: F.silu(F.group_norm(x, 8, w, b)), (4, 64, 32, 32), (64,), (64,))),
    Model("max pool and relu", _of(lambda x: F.relu(F.max_pool2d(x, 2)), (8, 64, 56, 56))),
    Model("Adam update", _of(lambda p, g, m, s: adam(p, g, m, s.abs()), *[(1024, 1000)] * 4)),
)
