"""The layers of a model of the llama family: products with the weights of a file, feed-forward layers, mixtures of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from triton_spacemit.ops.products.matrices import mm
from triton_spacemit.ops.quantised.architectures import ARCHITECTURES
from triton_spacemit.ops.quantised.configuration import Configuration, Experts
from triton_spacemit.ops.quantised.linear import linear, linear_experts
from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.steps import gate
from triton_spacemit.ops.quantised.weights import NEIGHBOURS, Weights


@dataclass(frozen=True)
class Product:
    """Matrices that are multiplied by the same rows, as one where they can be: packed ones, or transposed ones of elements."""

    matrices: Sequence[torch.Tensor]
    bias: torch.Tensor | None

    @classmethod
    def of(cls, weights: Weights, prefix: str, *names: str) -> "Product":
        """Those of `names`, with what is added to each where there is such."""
        tensors = [weights[f"{prefix}{name}.weight"] for name in names]
        biases = [weights[f"{prefix}{name}.bias"] for name in names if f"{prefix}{name}.bias" in weights]
        bias = torch.cat([each.float() for each in biases]) if biases else None
        packed = [tensor for tensor in tensors if isinstance(tensor, Packed)]
        if len(packed) == len(tensors) and all(each.packing == packed[0].packing and each.shape[0] % 16 == 0 for each in packed):
            return cls([Packed.joined(packed)], bias)
        return cls([tensor if isinstance(tensor, Packed) else tensor.float().T for tensor in tensors], bias)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices."""
        return sum(matrix.nbytes for matrix in self.matrices)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if len(self.matrices) == 1 and isinstance(self.matrices[0], Packed):
            return linear(x, self.matrices[0], self.bias)
        results = [linear(x, matrix) if isinstance(matrix, Packed) else mm(x, matrix) for matrix in self.matrices]
        result = results[0] if len(results) == 1 else torch.cat(results, 1)
        return result if self.bias is None else result.add_(self.bias)


@dataclass(frozen=True)
class Feed:
    """A gated feed-forward layer. gelu: see `Architecture`."""

    into: Product
    out: Product
    gelu: bool = False

    @classmethod
    def of(cls, weights: Weights, prefix: str, suffix: str = "", gelu: bool = False) -> "Feed":
        """The one whose matrices have names that end so."""
        into, out = (Product.of(weights, prefix, *(f"{name}{suffix}" for name in names)) for names in (NEIGHBOURS[1], ("ffn_down",)))
        return cls(into, out, gelu)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices that one token takes."""
        return self.into.nbytes + self.out.nbytes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(gate(self.into(x), self.gelu))


def by_experts(x: torch.Tensor, stacks: Sequence[torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
    """Rows of float32 (tokens, 1 or used, K) by the matrices of their experts, stacks (E, N, K) of packed ones or elements: (tokens, used,
    N), the results of stack after stack side by side."""
    packed = [matrices for matrices in stacks if isinstance(matrices, Packed)]
    if len(packed) == len(stacks) and len({matrices.packing for matrices in packed}) == 1:
        return linear_experts(x, packed, ids)
    if len(stacks) > 1:
        return torch.cat([by_experts(x, [matrices], ids) for matrices in stacks], 2)
    (matrices,) = stacks
    rows = x.expand(*ids.shape, x.shape[-1])
    out = x.new_empty(*ids.shape, matrices.shape[1])
    for number in ids.unique().tolist():
        places = ids == number
        out[places] = mm(rows[places], matrices[number].float().T)
    return out


@dataclass(frozen=True)
class Mixture:
    """Experts: gated feed-forward layers of which each token takes some, and perhaps one that all of them take.

    The router's softmax is over all experts, and those that are likeliest are taken; among equal ones any. gate_in, up, down: (E, ..).
    shared_gate: float32 (width), whose product with a token, through a logistic function, the shared layer's result is multiplied by.
    """

    router: Product
    gate_in: torch.Tensor
    up: torch.Tensor
    down: torch.Tensor
    shared: Feed | None
    shared_gate: torch.Tensor | None
    experts: Experts

    @classmethod
    def of(cls, weights: Weights, prefix: str, experts: Experts) -> "Mixture":
        gate_in, up, down = (weights[f"{prefix}ffn_{name}_exps.weight"] for name in ("gate", "up", "down"))
        shared, shared_gate = None, None
        if experts.shared:
            shared, shared_gate = Feed.of(weights, prefix, "_shexp"), weights[f"{prefix}ffn_gate_inp_shexp.weight"].float()
        return cls(Product.of(weights, prefix, "ffn_gate_inp"), gate_in, up, down, shared, shared_gate, experts)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices that one token takes."""
        every = sum(matrices.nbytes for matrices in (self.gate_in, self.up, self.down))
        shared = 0 if self.shared is None else self.shared.nbytes
        return every * self.experts.used // self.experts.count + self.router.nbytes + shared

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        chances, ids = self.router(x).softmax(1).topk(self.experts.used, 1)
        if self.experts.normalise:
            chances /= chances.sum(1, keepdim=True)
        both = by_experts(x.unsqueeze(1), (self.gate_in, self.up), ids)
        inner = gate(both.flatten(0, 1)).unflatten(0, ids.shape)
        out = (by_experts(inner, (self.down,), ids) * chances.unsqueeze(2)).sum(1)
        if self.shared is not None and self.shared_gate is not None:
            out += self.shared(x) * (x @ self.shared_gate).sigmoid().unsqueeze(1)
        return out


@dataclass(frozen=True)
class Layer:
    """The weights of one layer. query_norm, key_norm: of each head, where the architecture has them; post norms likewise. window: how many
    tokens it looks back at, 0 for all.
    """

    attention_norm: torch.Tensor
    attention_in: Product
    attention_out: Product
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    feed_norm: torch.Tensor
    feed: Feed | Mixture
    attention_post_norm: torch.Tensor | None
    feed_post_norm: torch.Tensor | None
    window: int

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices that one token takes."""
        return self.attention_in.nbytes + self.attention_out.nbytes + self.feed.nbytes

    @classmethod
    def of(cls, weights: Weights, number: int, c: Configuration) -> "Layer":
        known = ARCHITECTURES[c.architecture]
        prefix = f"blk.{number}."

        def norm(name: str) -> torch.Tensor:
            return weights[f"{prefix}{name}.weight"].float()

        return cls(
            attention_norm=norm("attn_norm"),
            attention_in=Product.of(weights, prefix, *NEIGHBOURS[0]),
            attention_out=Product.of(weights, prefix, "attn_output"),
            query_norm=norm("attn_q_norm") if known.head_norms else None,
            key_norm=norm("attn_k_norm") if known.head_norms else None,
            feed_norm=norm("ffn_norm"),
            feed=Feed.of(weights, prefix, gelu=known.gelu) if c.experts is None else Mixture.of(weights, prefix, c.experts),
            attention_post_norm=norm("post_attention_norm") if known.post_norms else None,
            feed_post_norm=norm("post_ffw_norm") if known.post_norms else None,
            window=c.window_of(number),
        )
