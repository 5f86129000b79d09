"""A model of the llama family from a GGUF file: text in, text out, one token at a time, on the kernels of this package.

```python
model = Model(load("model.gguf"))
for token in model.generate(model.tokenizer.encode("Once upon a time"), 50):
    print(model.tokenizer.decode([token]), end="")
```
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from triton_spacemit.ops.attention.forward import attention
from triton_spacemit.ops.products.matrices import mm
from triton_spacemit.ops.quantised.configuration import Configuration
from triton_spacemit.ops.quantised.linear import linear
from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.steps import gate, turn
from triton_spacemit.ops.quantised.tokenizer import Tokenizer
from triton_spacemit.ops.quantised.weights import Weights
from triton_spacemit.ops.reductions.norms import rms_norm


class Cache:
    """Keys and values of the tokens so far, float32, (layers, heads of keys, capacity, head) each; `length` tokens are there."""

    def __init__(self, configuration: Configuration, capacity: int) -> None:
        sizes = configuration.layers, configuration.key_heads, capacity, configuration.head
        self.keys, self.values = torch.zeros(sizes), torch.zeros(sizes)
        self.capacity, self.length = capacity, 0


class Model:
    """The model of a file. Activations are float32; matrices of elements are converted to it, packed ones stay as they are mapped.

    Raises FormatError where the file has no such model.
    """

    def __init__(self, weights: Weights) -> None:
        self.configuration = Configuration.of(weights)
        self.tokenizer = Tokenizer(weights.file, self.configuration.vocabulary)
        self._weights = weights
        self._tensors = {name: _usable(weights[name]) for name in self._multiplied()}
        self._frequencies = self._turns()
        self._places = torch.zeros(0, 1), torch.zeros(0, 1)

    def _multiplied(self) -> list[str]:
        """The tensors that are used as a whole: without the embeddings, unless they are the output's too."""
        names = [name for name in self.configuration.tensors() if name != "token_embd.weight"]
        return [*names, "output.weight" if "output.weight" in self._weights else "token_embd.weight"]

    @property
    def bytes_per_token(self) -> int:
        """The bytes of weights that one token takes to compute."""
        return sum(tensor.nbytes for tensor in self._tensors.values())

    def cache(self, capacity: int | None = None) -> Cache:
        """An empty cache for so many tokens; the model's context where it is not said."""
        return Cache(self.configuration, self.configuration.context if capacity is None else capacity)

    def logits(self, tokens: Sequence[int], cache: Cache, every: bool = False) -> torch.Tensor:
        """What the model says behind the last of `tokens`, which follow those in the cache and go into it; `every`: behind each of them.

        float32 (vocabulary), or (tokens, vocabulary). Raises ValueError where there are no tokens, or more than the cache has room for, and
        IndexError for a number that is no token's.
        """
        c = self.configuration
        if not tokens or cache.length + len(tokens) > cache.capacity:
            raise ValueError(
                f"{len(tokens)} tokens were given; the cache has {cache.length} and room for {cache.capacity - cache.length} more"
            )
        x = self._weights.rows("token_embd.weight", torch.tensor(tokens))
        angles = self._angles(cache.length, len(tokens))
        for layer in range(c.layers):
            x += self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm"), angles, cache)
            x += self._feed_forward(layer, self._norm(x, f"blk.{layer}.ffn_norm"))
        cache.length += len(tokens)
        x = self._norm(x if every else x[-1:], "output_norm")
        result = self._multiply(x, self._tensors.get("output.weight", self._tensors.get("token_embd.weight")))
        return result if every else result[0]

    def generate(self, tokens: Sequence[int], count: int, cache: Cache | None = None) -> Iterator[int]:
        """The likeliest token, then the one behind it, up to `count` of them, or to the token that ends a text, which is left out.

        Where several are equally likely, the one with the lowest number is taken.
        """
        cache = self.cache(len(tokens) + count) if cache is None else cache
        following = list(tokens)
        for _ in range(count):
            token = int(self.logits(following, cache).argmax())
            if token in self.tokenizer.ends:
                return
            yield token
            following = [token]

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return rms_norm(x, [x.shape[-1]], self._tensors[f"{name}.weight"], self.configuration.epsilon)[0]

    def _linear(self, layer: int, name: str, x: torch.Tensor) -> torch.Tensor:
        return self._multiply(x, self._tensors[f"blk.{layer}.{name}.weight"], self._tensors.get(f"blk.{layer}.{name}.bias"))

    def _multiply(self, x: torch.Tensor, weight: Any, bias: torch.Tensor | None = None) -> torch.Tensor:
        if isinstance(weight, Packed):
            return linear(x, weight, bias)
        result = mm(x, weight.T)
        return result if bias is None else result + bias

    def _feed_forward(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return self._linear(layer, "ffn_down", gate(self._linear(layer, "ffn_gate", x), self._linear(layer, "ffn_up", x)))

    def _attention(self, layer: int, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], cache: Cache) -> torch.Tensor:
        c = self.configuration
        tokens, first, last = len(x), cache.length, cache.length + len(x)
        query = self._linear(layer, "attn_q", x).view(tokens, c.heads, c.head)
        key = self._linear(layer, "attn_k", x).view(tokens, c.key_heads, c.head)
        value = self._linear(layer, "attn_v", x).view(tokens, c.key_heads, c.head)
        if c.architecture == "qwen3":
            query, key = self._norm(query, f"blk.{layer}.attn_q_norm"), self._norm(key, f"blk.{layer}.attn_k_norm")
        turn(query, *angles, c.adjacent, query)
        turn(key, *angles, c.adjacent, cache.keys[layer, :, first:last].transpose(0, 1))
        cache.values[layer, :, first:last].copy_(value.transpose(0, 1))
        keys, values = cache.keys[layer, None, :, :last], cache.values[layer, None, :, :last]
        if tokens == 1:
            # The queries that share a head of keys are rows of one block: keys and values are read once.
            out, _ = attention(query.view(1, c.key_heads, -1, c.head), keys, values)
            return self._linear(layer, "attn_output", out.reshape(1, -1))
        mask = None
        if first:
            mask = torch.full((tokens, last), -torch.inf).triu_(first + 1)
        out, _ = attention(query.transpose(0, 1)[None], keys, values, 0.0, not first, attn_mask=mask)
        return self._linear(layer, "attn_output", out[0].transpose(0, 1).reshape(tokens, -1))

    def _turns(self) -> torch.Tensor:
        """By what angle a pair of elements is turned from one token to the next, float64."""
        c = self.configuration
        turns = c.base ** (-torch.arange(0, c.rotary, 2, dtype=torch.float64) / c.rotary) / c.stretch
        if "rope_freqs.weight" in self._weights:
            turns /= self._weights["rope_freqs.weight"].double()
        return turns

    def _angles(self, first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines, float32 (tokens, pairs), of `count` tokens from `first` on."""
        if len(self._places[0]) < first + count:
            angles = torch.arange(max(2 * first, first + count, 64), dtype=torch.float64)[:, None] * self._frequencies
            self._places = angles.cos().float(), angles.sin().float()
        cosines, sines = self._places
        return cosines[first : first + count], sines[first : first + count]


def _usable(tensor: torch.Tensor) -> torch.Tensor:
    """Packed weights as they are, elements as float32."""
    return tensor if isinstance(tensor, Packed) else tensor.float().contiguous()
