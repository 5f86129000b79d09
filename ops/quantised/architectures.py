"""The architectures of models that are run, by GGML's names, as its own code (src/llama-model.cpp of llama.cpp) has them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """What a name of GGML's says of a model beside its sizes.

    adjacent: whether neighbouring elements of a head are turned together, or those half a head apart. biases: of queries, keys and values.
    head_norms: of each head of queries and keys. experts: whether its feed-forward layers are experts: always, never, or (None) where the
    file has a number of them. shared: whether there is one that all tokens take. normalise: whether the weights of a token's experts add up
    to 1. gelu: what a gate passes through, by its approximation with tanh, in the place of SiLU. post_norms: of what attention and the
    feed-forward layer give, before it is added. scaled: whether embeddings are multiplied by the root of their width. full: of so many
    layers the last one has no window (0: all layers are alike); those with one have a base of rotation of their own, by default `base`.
    """

    adjacent: bool = False
    biases: bool = False
    head_norms: bool = False
    experts: bool | None = False
    shared: bool = False
    normalise: bool = True
    gelu: bool = False
    post_norms: bool = False
    scaled: bool = False
    full: int = 0
    base: float = 0.0


#: By GGML's names. Mixtral's models are of the architecture llama.
ARCHITECTURES = {
    "llama": Architecture(adjacent=True, experts=None),
    "qwen2": Architecture(biases=True),
    "qwen3": Architecture(head_norms=True),
    "qwen2moe": Architecture(biases=True, experts=True, shared=True, normalise=False),
    "qwen3moe": Architecture(head_norms=True, experts=True),
    "gemma3": Architecture(head_norms=True, gelu=True, post_norms=True, scaled=True, full=6, base=10000.0),
}
