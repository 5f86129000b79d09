"""A model of the llama family from a GGUF file: text in, text out, one token at a time, on the kernels of this package.

```python
model = Model(load("model.gguf"))
for token in model.generate(model.tokenizer.encode("Once upon a time"), 50):
    print(model.tokenizer.decode([token]), end="")
```
"""

from collections.abc import Iterator, Sequence

import torch

from triton_spacemit.ops.attention.forward import attention
from triton_spacemit.ops.quantised.architectures import ARCHITECTURES
from triton_spacemit.ops.quantised.configuration import Configuration
from triton_spacemit.ops.quantised.layers import Layer, Product
from triton_spacemit.ops.quantised.steps import turn
from triton_spacemit.ops.quantised.tokenizer import Tokenizer
from triton_spacemit.ops.quantised.weights import Weights
from triton_spacemit.ops.reductions.norms import rms_norm

_ROOM = 256  # tokens that a cache has room for at first


class Cache:
    """Keys and values of the tokens so far, float32, (layers, heads of keys, room, head) each; `length` tokens are there.

    There may be `capacity` of them. Memory is taken as they come: the context of a model may be larger than the machine.
    """

    def __init__(self, configuration: Configuration, capacity: int) -> None:
        sizes = configuration.layers, configuration.key_heads, min(capacity, _ROOM), configuration.head
        self.keys, self.values = torch.zeros(sizes), torch.zeros(sizes)
        self.capacity, self.length = capacity, 0

    def make_room(self, length: int) -> None:
        """Have room for so many tokens."""
        room = self.keys.shape[2]
        if length > room:
            more = (0, 0, 0, min(max(length, 2 * room), self.capacity) - room)
            self.keys, self.values = (torch.nn.functional.pad(each, more) for each in (self.keys, self.values))


class Model:
    """The model of a file. Activations are float32; matrices of elements are converted to it, packed ones stay as they are mapped.

    Raises FormatError where the file has no such model.
    """

    def __init__(self, weights: Weights) -> None:
        c = self.configuration = Configuration.of(weights)
        self.tokenizer = Tokenizer(weights.file, c.vocabulary)
        self._weights = weights
        self._layers = [Layer.of(weights, number, c) for number in range(c.layers)]
        self._norm = weights["output_norm.weight"].float()
        self._output = Product.of(weights, "", "output" if "output.weight" in weights else "token_embd")
        self._angles = Angles(_frequencies(c, weights))
        # Where some layers have no window, those that have one turn by a base of their own.
        self._window_angles = Angles(_turns(c, c.window_base)) if c.full else self._angles
        self._scale = c.width**0.5 if ARCHITECTURES[c.architecture].scaled else 1.0

    @property
    def bytes_per_token(self) -> int:
        """The bytes of matrices that one token takes to compute."""
        return self._output.nbytes + sum(layer.nbytes for layer in self._layers)

    def cache(self, capacity: int | None = None) -> Cache:
        """An empty cache for so many tokens; the model's context where it is not said."""
        return Cache(self.configuration, self.configuration.context if capacity is None else capacity)

    def logits(self, tokens: Sequence[int], cache: Cache, every: bool = False) -> torch.Tensor:
        """What the model says behind the last of `tokens`, which follow those in the cache and go into it; `every`: behind each of them.

        float32 (vocabulary), or (tokens, vocabulary). Raises ValueError where there are no tokens, or more than the cache has room for, and
        IndexError for a number that is no token's.
        """
        if not tokens or cache.length + len(tokens) > cache.capacity:
            room = cache.capacity - cache.length
            raise ValueError(f"{len(tokens)} tokens were given; the cache has {cache.length} and room for {room} more")
        x = self._weights.rows("token_embd.weight", torch.tensor(tokens)) * self._scale
        cache.make_room(cache.length + len(tokens))
        for number, layer in enumerate(self._layers):
            mixed = self._attention(layer, self._normal(x, layer.attention_norm), cache, number)
            x += mixed if layer.attention_post_norm is None else self._normal(mixed, layer.attention_post_norm)
            fed = layer.feed(self._normal(x, layer.feed_norm))
            x += fed if layer.feed_post_norm is None else self._normal(fed, layer.feed_post_norm)
        cache.length += len(tokens)
        result = self._output(self._normal(x if every else x[-1:], self._norm))
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

    def _normal(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, weight.shape, weight, self.configuration.epsilon)[0]

    def _attention(self, layer: Layer, x: torch.Tensor, cache: Cache, number: int) -> torch.Tensor:
        c, window = self.configuration, layer.window
        tokens, first, last = len(x), cache.length, cache.length + len(x)
        heads = layer.attention_in(x).unflatten(1, (-1, c.head))
        query, key, value = heads.split((c.heads, c.key_heads, c.key_heads), 1)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = self._normal(query, layer.query_norm), self._normal(key, layer.key_norm)
        angles = (self._window_angles if window else self._angles).of(first, tokens)
        turn(query, *angles, c.adjacent, query)
        turn(key, *angles, c.adjacent, cache.keys[number, :, first:last].transpose(0, 1))
        cache.values[number, :, first:last].copy_(value.transpose(0, 1))
        # Keys in front of the first token's window are nobody's.
        start = max(first + 1 - window, 0) if window else 0
        keys, values = cache.keys[number, None, :, start:last], cache.values[number, None, :, start:last]
        if tokens == 1:
            # The queries that share a head of keys are rows of one block: keys and values are read once.
            out, _ = attention(query.view(1, c.key_heads, -1, c.head), keys, values)
            return layer.attention_out(out.reshape(1, -1))
        mask = _mask(first - start, tokens, last - start, window) if first or 0 < window < tokens else None
        out, _ = attention(query.transpose(0, 1)[None], keys, values, 0.0, mask is None, attn_mask=mask)
        return layer.attention_out(out[0].transpose(0, 1).reshape(tokens, -1))


class Angles:
    """Cosines and sines of the angles that pairs of elements are turned by, computed as tokens come."""

    def __init__(self, frequencies: torch.Tensor) -> None:
        """frequencies: of each pair, its angle from one token to the next, float64."""
        self._frequencies = frequencies
        self._places = torch.zeros(0, 1), torch.zeros(0, 1)

    def of(self, first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `count` tokens from `first` on: float32 (tokens, pairs)."""
        if len(self._places[0]) < first + count:
            angles = torch.arange(max(2 * first, first + count, 64), dtype=torch.float64)[:, None] * self._frequencies
            self._places = angles.cos().float(), angles.sin().float()
        cosines, sines = self._places
        return cosines[first : first + count], sines[first : first + count]


def _mask(before: int, tokens: int, keys: int, window: int) -> torch.Tensor:
    """What is added to the products of tokens and keys, of which `before` are in front of the first token's own: (tokens, keys)."""
    distance = torch.arange(tokens)[:, None] + before - torch.arange(keys)
    unseen = (distance < 0) | (distance >= window) if window else distance < 0
    return torch.zeros(tokens, keys).masked_fill_(unseen, -torch.inf)


def _turns(c: Configuration, base: float) -> torch.Tensor:
    """By what angle a pair of elements is turned from one token to the next, float64."""
    return base ** (-torch.arange(0, c.rotary, 2, dtype=torch.float64) / c.rotary)


def _frequencies(c: Configuration, weights: Weights) -> torch.Tensor:
    """The same of layers without a window of their own, stretched."""
    turns = _turns(c, c.base) / c.stretch
    return turns / weights["rope_freqs.weight"].double() if "rope_freqs.weight" in weights else turns
