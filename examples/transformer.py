"""A small decoder of text, of PyTorch's own modules, and a task that it can learn."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """Sizes. Each head of keys serves `heads // key_heads` heads of queries."""

    tokens: int = 61
    dim: int = 64
    layers: int = 2
    heads: int = 8
    key_heads: int = 4
    hidden: int = 128
    length: int = 32


class Attention(nn.Module):
    """Heads are what the projections put out, so that a part of their rows is a part of the heads."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.head_dim = config.dim // config.heads
        self.query = nn.Linear(config.dim, config.heads * self.head_dim, bias=False)
        self.key = nn.Linear(config.dim, config.key_heads * self.head_dim, bias=False)
        self.value = nn.Linear(config.dim, config.key_heads * self.head_dim, bias=False)
        self.out = nn.Linear(config.heads * self.head_dim, config.dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (layer(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        result = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        return self.out(result.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gate = nn.Linear(config.dim, config.hidden, bias=False)
        self.up = nn.Linear(config.dim, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(config.dim), nn.LayerNorm(config.dim)
        self.attention, self.mlp = Attention(config), MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Transformer(nn.Module):
    """(batch, length) tokens to (batch, length, tokens) scores of the next ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.tokens, config.dim)
        self.place = nn.Embedding(config.length, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.tokens)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) + self.place(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def loss_of(model: nn.Module, text: torch.Tensor) -> torch.Tensor:
    """The mean loss of every token's successor. text: (batch, length + 1)."""
    return functional.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())


def texts(config: Config, batch: int, step: int) -> torch.Tensor:
    """The batch of a step, (batch, length + 1): every token follows from the one before it, by a rule of the text's own."""
    generator = torch.Generator().manual_seed(step)
    factor = torch.randint(1, 4, (batch,), generator=generator)
    columns = [torch.randint(0, config.tokens, (batch,), generator=generator)]
    for _ in range(config.length):
        columns.append((columns[-1] * factor + 1) % config.tokens)
    return torch.stack(columns, 1)
