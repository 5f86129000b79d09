"""What kind of model a GGUF file has: sizes, from its metadata, and the tensors that it must have."""

from dataclasses import dataclass

from triton_spacemit.ops.quantised.gguf import GgufFile
from triton_spacemit.ops.quantised.metadata import Metadata
from triton_spacemit.ops.quantised.weights import Weights

#: Architectures by GGML's name: whether neighbouring elements of a head are turned together, or those half a head apart.
ARCHITECTURES = {"llama": True, "qwen2": False, "qwen3": False}


@dataclass(frozen=True)
class Configuration:
    """Sizes of a model of the llama family.

    width: of the activations; hidden: of the feed-forward layer; heads, key_heads: of queries, and of keys and values; head: width of one.
    rotary: how many of its elements are turned by their place, by powers of base; stretch: what places are divided by before that.
    adjacent: see ARCHITECTURES. context: how many tokens it was made for.
    """

    architecture: str
    layers: int
    vocabulary: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head: int
    rotary: int
    base: float
    stretch: float
    epsilon: float
    context: int
    adjacent: bool

    @classmethod
    def of(cls, weights: Weights) -> "Configuration":
        """Read from a file's metadata, and its tensors checked. Raises FormatError where something is missing, does not fit or is not
        supported.
        """
        architecture, read = _metadata(weights.file)
        embeddings = weights.file.entries.get("token_embd.weight")
        if embeddings is None:
            raise read.error("there is no tensor 'token_embd.weight'")
        layers = read.size("block_count")
        if layers > len(weights.file.entries):
            raise read.refuse("block_count", f"more than there are tensors, {len(weights.file.entries)}")
        width, heads = read.size("embedding_length"), read.size("attention.head_count")
        head = read.size("attention.key_length", max(width // heads, 1))
        made = cls(
            architecture=architecture,
            layers=layers,
            vocabulary=embeddings.shape[0],
            width=width,
            hidden=read.size("feed_forward_length"),
            heads=heads,
            key_heads=read.size("attention.head_count_kv", heads),
            head=head,
            rotary=read.size("rope.dimension_count", head),
            base=read.number("rope.freq_base", 10000.0),
            stretch=_stretch(read),
            epsilon=read.number("attention.layer_norm_rms_epsilon"),
            context=read.size("context_length"),
            adjacent=ARCHITECTURES[architecture],
        )
        if heads % made.key_heads:
            raise read.error(f"{heads} heads cannot share {made.key_heads} heads of keys")
        if made.rotary % 2 or made.rotary > head:
            raise read.error(f"{made.rotary} elements of a head of {head} cannot be turned in pairs")
        if read.size("attention.value_length", head) != head:
            raise read.error("heads of values of another width than those of keys are not supported")
        made._check_tensors(weights, read)
        return made

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The tensors that a model must have, and their shapes."""
        queries, keys = self.heads * self.head, self.key_heads * self.head
        layer: dict[str, tuple[int, ...]] = {
            "attn_norm.weight": (self.width,),
            "attn_q.weight": (queries, self.width),
            "attn_k.weight": (keys, self.width),
            "attn_v.weight": (keys, self.width),
            "attn_output.weight": (self.width, queries),
            "ffn_norm.weight": (self.width,),
            "ffn_gate.weight": (self.hidden, self.width),
            "ffn_up.weight": (self.hidden, self.width),
            "ffn_down.weight": (self.width, self.hidden),
        }
        if self.architecture == "qwen2":
            layer |= {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
        if self.architecture == "qwen3":
            layer |= {"attn_q_norm.weight": (self.head,), "attn_k_norm.weight": (self.head,)}
        every = {f"blk.{i}.{name}": shape for i in range(self.layers) for name, shape in layer.items()}
        return {"token_embd.weight": (self.vocabulary, self.width), **every, "output_norm.weight": (self.width,)}

    def _optional(self) -> dict[str, tuple[int, ...]]:
        return {"output.weight": (self.vocabulary, self.width), "rope_freqs.weight": (self.rotary // 2,)}

    def _check_tensors(self, weights: Weights, read: Metadata) -> None:
        needed, optional = self.tensors(), self._optional()
        for name in needed:
            if name not in weights.file.entries:
                raise read.error(f"there is no tensor {name!r}")
        for name, entry in weights.file.entries.items():
            shape = {**needed, **optional}.get(name)
            if shape is None:
                raise read.error(f"tensor {name!r} is not one of a model of the architecture {self.architecture}")
            if entry.shape != shape:
                raise read.error(f"tensor {name!r} has the shape {entry.shape}; {shape} is what the metadata asks for")


def _metadata(file: GgufFile) -> tuple[str, Metadata]:
    """The architecture, and the values that are of it."""
    architecture = Metadata(file, "general.").text("architecture")
    read = Metadata(file, f"{architecture}.")
    if architecture not in ARCHITECTURES:
        raise read.error(f"the architecture {architecture!r} is not supported; {', '.join(ARCHITECTURES)} are")
    parts = file.metadata.get("split.count", 0)
    if isinstance(parts, int) and parts > 1:
        raise read.error(f"it is one of {parts} files of a model, which are not supported: `llama-gguf-split --merge` makes one of them")
    for name in ("expert_count", "attention.sliding_window"):
        if file.metadata.get(f"{architecture}.{name}", 0):
            raise read.refuse(name, "which is not supported")
    return architecture, read


def _stretch(read: Metadata) -> float:
    kind = read.text("rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        raise read.refuse("rope.scaling.type", "which is not supported; none and linear are")
    return read.number("rope.scaling.factor") if kind == "linear" else 1.0
