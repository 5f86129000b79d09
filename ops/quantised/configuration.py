"""What kind of model a GGUF file has: sizes, from its metadata, and the tensors that it must have."""

from dataclasses import dataclass

from triton_spacemit.ops.quantised.architectures import ARCHITECTURES, Architecture
from triton_spacemit.ops.quantised.gguf import GgufFile
from triton_spacemit.ops.quantised.metadata import Metadata
from triton_spacemit.ops.quantised.weights import Weights

_LAYERS_27B = 62  # of the one model of gemma3 whose queries are scaled by the width of all heads, by which llama.cpp tells it
_SOFTMAX = 1  # GGML's number of the function that makes weights of an expert's logits


@dataclass(frozen=True)
class Experts:
    """A mixture of feed-forward layers (Shazeer et al., "Outrageously Large Neural Networks", 2017).

    count: how many there are, of which each token takes the `used` likeliest. hidden: width inside each of them; shared: inside the one
    that all tokens take, 0 for none. normalise: whether a token's weights are divided by their sum.
    """

    count: int
    used: int
    hidden: int
    shared: int
    normalise: bool


@dataclass(frozen=True)
class Configuration:
    """Sizes of a model of the llama family.

    width: of the activations; hidden: of the feed-forward layer; heads, key_heads: of queries, and of keys and values; head: width of one.
    rotary: how many of its elements are turned by their place, by powers of base; stretch: what places are divided by before that.
    adjacent: see `Architecture`. context: how many tokens it was made for. window: how many of them, itself included, a token looks back
    at; 0 for all. full: see `Architecture`. window_base: of layers with a window, whose places are not stretched where others are without.
    experts: in the place of a feed-forward layer of width `hidden`, if there are such.
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
    window: int
    full: int
    window_base: float
    experts: Experts | None

    def window_of(self, layer: int) -> int:
        """How many tokens this layer looks back at, 0 for all."""
        return 0 if self.full and layer % self.full == self.full - 1 else self.window

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
        known = ARCHITECTURES[architecture]
        experts = _experts(known, read)
        made = cls(
            architecture=architecture,
            layers=layers,
            vocabulary=embeddings.shape[0],
            width=width,
            hidden=read.size("feed_forward_length") if experts is None else experts.hidden,
            heads=heads,
            key_heads=read.size("attention.head_count_kv", heads),
            head=head,
            rotary=read.size("rope.dimension_count", head),
            base=read.number("rope.freq_base", 10000.0),
            stretch=_stretch(read),
            epsilon=read.number("attention.layer_norm_rms_epsilon"),
            context=read.size("context_length"),
            adjacent=known.adjacent,
            window=read.size("attention.sliding_window") if known.full else read.count("attention.sliding_window"),
            full=known.full,
            window_base=read.number("rope.freq_base_swa", known.base) if known.full else 0.0,
            experts=experts,
        )
        if heads % made.key_heads:
            raise read.error(f"{heads} heads cannot share {made.key_heads} heads of keys")
        if made.rotary % 2 or made.rotary > head:
            raise read.error(f"{made.rotary} elements of a head of {head} cannot be turned in pairs")
        if read.size("attention.value_length", head) != head:
            raise read.error("heads of values of another width than those of keys are not supported")
        if known.full and width != heads * head and layers == _LAYERS_27B:
            raise read.error("queries of the model of 27B weights are scaled in another way, which is not supported")
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
            **self._feed(),
        }
        architecture = ARCHITECTURES[self.architecture]
        if architecture.biases:
            layer |= {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
        if architecture.head_norms:
            layer |= {"attn_q_norm.weight": (self.head,), "attn_k_norm.weight": (self.head,)}
        if architecture.post_norms:
            layer |= {"post_attention_norm.weight": (self.width,), "post_ffw_norm.weight": (self.width,)}
        every = {f"blk.{i}.{name}": shape for i in range(self.layers) for name, shape in layer.items()}
        return {"token_embd.weight": (self.vocabulary, self.width), **every, "output_norm.weight": (self.width,)}

    def _feed(self) -> dict[str, tuple[int, ...]]:
        """The matrices of a feed-forward layer."""
        if self.experts is None:
            return _gated("", self.hidden, self.width)
        count, shared = self.experts.count, self.experts.shared
        every = {name: (count, *shape) for name, shape in _gated("_exps", self.experts.hidden, self.width).items()}
        every["ffn_gate_inp.weight"] = (count, self.width)
        if shared:
            every |= {"ffn_gate_inp_shexp.weight": (self.width,), **_gated("_shexp", shared, self.width)}
        return every

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
    if file.metadata.get(f"{architecture}.attention.sliding_window_pattern") is not None:
        raise read.refuse("attention.sliding_window_pattern", "which is not supported: layers have windows as the architecture says")
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        if file.metadata.get(f"{architecture}.{name}"):
            raise read.refuse(name, "which is not supported")
    return architecture, read


def _gated(suffix: str, hidden: int, width: int) -> dict[str, tuple[int, ...]]:
    """The three matrices of a gated layer."""
    into = {f"ffn_{name}{suffix}.weight": (hidden, width) for name in ("gate", "up")}
    return {**into, f"ffn_down{suffix}.weight": (width, hidden)}


def _experts(architecture: Architecture, read: Metadata) -> Experts | None:
    count = read.count("expert_count")
    if architecture.experts is False and count:
        raise read.refuse("expert_count", "but this architecture has no experts")
    if architecture.experts and not count:
        raise read.error("experts are not counted, but this architecture has them")
    if not count:
        return None
    used = read.size("expert_used_count")
    if used > count:
        raise read.refuse("expert_used_count", f"more than there are experts, {count}")
    if read.count("expert_gating_func") not in (0, _SOFTMAX):
        raise read.refuse("expert_gating_func", f"which is not supported; {_SOFTMAX} is, a softmax")
    if read.count("leading_dense_block_count"):
        raise read.refuse("leading_dense_block_count", "which is not supported: all layers have experts, or none")
    # A file of the architecture llama says the width of an expert in the place of that of the layer.
    whole = read.count("feed_forward_length") if architecture.experts else read.size("feed_forward_length")
    hidden = read.size("expert_feed_forward_length", whole // used if architecture.experts else whole)
    shared = read.size("expert_shared_feed_forward_length", whole) if architecture.shared else 0
    return Experts(count, used, hidden, shared, architecture.normalise)


def _stretch(read: Metadata) -> float:
    kind = read.text("rope.scaling.type", "none")
    if kind not in ("none", "linear"):
        raise read.refuse("rope.scaling.type", "which is not supported; none and linear are")
    return read.number("rope.scaling.factor") if kind == "linear" else 1.0
