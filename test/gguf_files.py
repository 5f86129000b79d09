"""GGUF files for tests, written by GGML's own package."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGUFValueType as Kind

from triton_spacemit.ops.quantised.formats import FORMATS


def write(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, tuple[np.ndarray, str]], architecture: str = "llama") -> Path:
    """A file of `tensors`, arrays of elements, or of the bytes of rows of blocks, with GGML's name of their type.

    Values of metadata are of Python's types, or pairs of a value and GGML's type of it.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        if isinstance(value, tuple):
            writer.add_key_value(key, value[0], value[1])
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, (array, kind) in tensors.items():
        if kind in ("F32", "F16", "F64", "I8", "I16", "I32", "I64"):
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, array.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


#: Where the float16 scale of a raw block is, and the minimum.
HALVES = {
    **{name: (0,) for name in ("Q4_0", "Q5_0", "Q8_0")},
    **{name: (0, 2) for name in ("Q4_1", "Q5_1", "Q4_K", "Q5_K")},
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
}


def raw_blocks(name: str, rows: int, steps: int, seed: int = 0, plain: bool = False) -> np.ndarray:
    """Random blocks, (rows, bytes). Their scales are any float16, NaN too; `plain`: between 1/64 and 1, minima down to -8."""
    form = FORMATS[name]
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (rows, steps // form.weights, form.size), dtype=np.uint8)
    if plain:
        for parts, low, high in ((HALVES[name][:1], 1 / 64, 1), (HALVES[name][1:], -8, 0.5)):
            for place in parts:
                numbers = generator.uniform(low, high, blocks.shape[:2]).astype(np.float16)
                blocks[..., place : place + 2] = numbers[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def matrix(kind: str, rows: int, steps: int, spread: float, seed: int) -> np.ndarray:
    """A matrix of weights of mean 0 and standard deviation `spread`, as an array of elements or of the bytes of blocks."""
    generator = np.random.default_rng(seed)
    weights = (generator.standard_normal((rows, steps)) * spread).astype(np.float32)
    if not kind.endswith("_K"):
        return gguf.quantize(weights, gguf.GGMLQuantizationType[kind])
    form = FORMATS[kind]
    blocks = generator.integers(0, 256, (rows, steps // form.weights, form.size), dtype=np.uint8)

    def dequantised(scale: float, minimum: float) -> np.ndarray:
        for place, value in zip(HALVES[kind], (scale, minimum), strict=False):
            blocks[..., place : place + 2] = np.array([value], np.float16).view(np.uint8)
        return gguf.dequantize(blocks.reshape(rows, -1), gguf.GGMLQuantizationType[kind])

    centre = dequantised(1, 0).mean() / -(dequantised(0, 1).mean() or -1.0)
    scale = spread / dequantised(1, centre).std()
    dequantised(scale, scale * centre)
    return blocks.reshape(rows, -1)


#: Letters, and what they are joined to: a vocabulary of SentencePiece's kind.
_WORDS = "_ e t a th the _the he er an and _and in ing n d g i h r o on s is".replace("_", "\u2581").split()


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Pieces, scores and types: three control tokens, all bytes, words."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_WORDS]
    scores = [0.0] * 259 + [-float(len(_WORDS)) + 2 * len(word) for word in _WORDS]
    return pieces, scores, [2, 3, 3, *[6] * 256, *[1] * len(_WORDS)]


def model(
    path: Path,
    kinds: Mapping[str, str],
    architecture: str = "llama",
    layers: int = 2,
    tied: bool = False,
    without: str = "",
    metadata: Mapping[str, Any] | None = None,
    experts: int = 0,
) -> Path:
    """A small model with random weights.

    kinds: types of matrices by the end of their names; "" is that of all others. tied: no output but the embeddings. without: a tensor to
    leave out. metadata: more values, or others; None leaves one out. experts: how many there are in each layer, of which a token takes two.
    """
    width, hidden, heads, key_heads, head = 256, 512, 8, 2, 32
    pieces, scores, types = vocabulary()
    values = {
        f"{architecture}.block_count": layers,
        f"{architecture}.context_length": 256,
        f"{architecture}.embedding_length": width,
        f"{architecture}.feed_forward_length": hidden,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": key_heads,
        f"{architecture}.attention.key_length": head,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        **({f"{architecture}.expert_count": experts, f"{architecture}.expert_used_count": 2} if experts else {}),
        **({f"{architecture}.expert_feed_forward_length": 256} if "moe" in architecture else {}),
        **(metadata or {}),
    }
    generator = np.random.default_rng(7)
    tensors: dict[str, tuple[np.ndarray, str]] = {}

    def add(name: str, *shape: int, spread: float = 1.0) -> None:
        if len(shape) == 1:
            around = 1.0 if "norm" in name or "freqs" in name else 0.0
            tensors[name] = ((around + 0.2 * generator.standard_normal(shape)).astype(np.float32), "F32")
            return
        kind = (
            "F32" if name.endswith("ffn_gate_inp.weight") else next((kinds[end] for end in kinds if end and name.endswith(end)), kinds[""])
        )
        *stack, rows, steps = shape
        made = matrix(kind, math.prod(stack) * rows, steps, spread, len(tensors))
        tensors[name] = (made.reshape(*stack, rows, -1), kind)

    add("token_embd.weight", len(pieces), width, spread=0.1)
    for layer in range(layers):
        blk = f"blk.{layer}."
        add(f"{blk}attn_norm.weight", width)
        for part, rows in (("q", heads * head), ("k", key_heads * head), ("v", key_heads * head)):
            add(f"{blk}attn_{part}.weight", rows, width, spread=2 / width**0.5)
            if architecture.startswith("qwen2"):
                add(f"{blk}attn_{part}.bias", rows)
            if architecture.startswith(("qwen3", "gemma3")) and part != "v":
                add(f"{blk}attn_{part}_norm.weight", head)
        add(f"{blk}attn_output.weight", width, heads * head, spread=1 / (heads * head) ** 0.5)
        add(f"{blk}ffn_norm.weight", width)
        if architecture == "gemma3":
            add(f"{blk}post_attention_norm.weight", width)
            add(f"{blk}post_ffw_norm.weight", width)
        feed: list[tuple[str, tuple[int, ...], int]] = [("", (), hidden)]
        if experts:
            add(f"{blk}ffn_gate_inp.weight", experts, width, spread=4 / width**0.5)
            feed = [("_exps", (experts,), 256 if "moe" in architecture else hidden)]
            if architecture == "qwen2moe":
                add(f"{blk}ffn_gate_inp_shexp.weight", width)
                feed.append(("_shexp", (), hidden))
        for suffix, stack, inner in feed:
            add(f"{blk}ffn_gate{suffix}.weight", *stack, inner, width, spread=1 / width**0.5)
            add(f"{blk}ffn_up{suffix}.weight", *stack, inner, width, spread=1 / width**0.5)
            add(f"{blk}ffn_down{suffix}.weight", *stack, width, inner, spread=1 / inner**0.5)
    add("output_norm.weight", width)
    if not tied:
        add("output.weight", len(pieces), width, spread=2 / width**0.5)
    if architecture == "llama" and tied:
        add("rope_freqs.weight", head // 2)
    tensors.pop(without, None)
    return write(path, {key: value for key, value in values.items() if value is not None}, tensors, architecture)


#: A value of every type.
METADATA = {
    "a.uint8": (200, Kind.UINT8),
    "a.int8": (-100, Kind.INT8),
    "a.uint16": (60000, Kind.UINT16),
    "a.int16": (-30000, Kind.INT16),
    "a.uint32": (1 << 31, Kind.UINT32),
    "a.int32": (-(1 << 30), Kind.INT32),
    "a.uint64": (1 << 63, Kind.UINT64),
    "a.int64": (-(1 << 62), Kind.INT64),
    "a.float32": (0.25, Kind.FLOAT32),
    "a.float64": (0.1, Kind.FLOAT64),
    "a.yes": True,
    "a.no": False,
    "a.text": "größer",
    "a.empty": "",
    "tokens": ["<s>", "ein", "größer", ""],
    "scores": [0.5, -1.25],
    "types": [1, -2, 3],
    "truths": [True, False],
}


def with_everything(path: Path) -> Path:
    """A file with values and tensors of every type."""
    generator = np.random.default_rng(0)
    tensors = {
        "norm": (generator.standard_normal(96).astype(np.float32), "F32"),
        "half": (generator.standard_normal((3, 5)).astype(np.float16), "F16"),
        "brain": (generator.standard_normal((2, 4, 6)).astype(np.float32).view(np.uint16)[..., 1::2].copy(), "BF16"),
        "double": (generator.standard_normal(3), "F64"),
        "numbers": (np.arange(7, dtype=np.int32), "I32"),
        **{f"of.{kind}": (raw_blocks(kind, 5, 512), kind) for kind in FORMATS},
        "experts": (raw_blocks("Q4_0", 3 * 18, 64).reshape(3, 18, -1), "Q4_0"),
        "other": (generator.integers(0, 256, (4, 66), dtype=np.uint8), "IQ2_XXS"),
    }
    return write(path, METADATA, tensors)
