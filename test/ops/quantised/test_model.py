"""Whole models from GGUF files: the text that a float64 model of the same weights makes, wherever it is sure."""

import importlib.util
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf_files import model as make_model
from targets import EMULATED, cache, cache_folder, choose

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.model import Model

__all__ = ["cache", "cache_folder"]

#: Types of the matrices, architecture, whether the embeddings are the output too, further metadata, experts of a layer.
CASES = {
    "q4_0": ({"": "Q4_0", "output.weight": "Q6_K"}, "llama", False, {}),
    "q8_0, tied": ({"": "Q8_0"}, "llama", True, {}),
    "q4_k": ({"": "Q4_K", "ffn_down.weight": "Q6_K", "token_embd.weight": "F16"}, "llama", False, {}),
    "q4_1, qwen2": ({"": "Q4_1", "attn_k.weight": "Q5_1"}, "qwen2", False, {}),
    "q5_0, qwen3": ({"": "Q5_0", "attn_v.weight": "Q5_K"}, "qwen3", True, {"qwen3.rope.dimension_count": 16}),
    "q4_0, experts": ({"": "Q4_0"}, "llama", False, {}, 8),
    "q8_0, experts, qwen2moe": ({"": "Q8_0", "ffn_up_exps.weight": "F16"}, "qwen2moe", False, {}, 6),
    "q4_k, experts, qwen3moe": ({"": "Q4_K"}, "qwen3moe", True, {}, 4),
    "q8_0, window": ({"": "Q8_0"}, "llama", False, {"llama.attention.sliding_window": 7}),
    "few bits": ({"": "Q2_K", "attn_v.weight": "Q3_K", "ffn_up.weight": "F32", "attn_q.weight": "F16"}, "llama", False,
                 {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}),
}  # fmt: skip


ELEMENTS = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)


class Reference:
    """The model in float64 with NumPy, written from the papers: no cache, no packing, all tokens at once.

    rounded: what is multiplied by blocks is rounded to 8 bits first, as the kernels do it.
    """

    def __init__(self, path: Path, rounded: bool = False) -> None:
        reader = gguf.GGUFReader(path)
        self.rounded = {each.name for each in reader.tensors if each.tensor_type not in ELEMENTS} if rounded else set()
        self.values = {name: field.contents() for name, field in reader.fields.items()}
        self.architecture = self.values["general.architecture"]
        self.tensors = {each.name: gguf.dequantize(each.data, each.tensor_type).astype(np.float64) for each in reader.tensors}

    def value(self, name: str, usual: float | None = None) -> float:
        return self.values.get(f"{self.architecture}.{name}", usual)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        epsilon = self.value("attention.layer_norm_rms_epsilon")
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * self.tensors[name]

    def turned(self, x: np.ndarray, local: bool) -> np.ndarray:
        """x: (tokens, heads, head); pairs are complex numbers. local: in a layer with a window of a model that has others."""
        tokens, _, head = x.shape
        count = self.value("rope.dimension_count", head)
        base, stretch = (10000.0, 1) if local else (self.value("rope.freq_base"), self.value("rope.scaling.factor", 1))
        frequencies = base ** (-np.arange(0, count, 2) / count) / stretch
        frequencies = frequencies / self.tensors.get("rope_freqs.weight", 1)
        turn = np.exp(1j * np.arange(tokens)[:, None] * frequencies)[:, None]
        out = x.copy()
        one, other = (
            (slice(0, count, 2), slice(1, count, 2)) if self.architecture == "llama" else (slice(0, count // 2), slice(count // 2, count))
        )
        pairs = (x[..., one] + 1j * x[..., other]) * turn
        out[..., one], out[..., other] = pairs.real, pairs.imag
        return out

    def linear(self, x: np.ndarray, name: str, expert: int | None = None) -> np.ndarray:
        if f"{name}.weight" in self.rounded:
            blocks = x.reshape(len(x), -1, 32)
            scales = np.abs(blocks).max(-1, keepdims=True) / 127
            x = (np.rint(blocks / scales) * scales).reshape(x.shape)
        matrix = self.tensors[f"{name}.weight"]
        return x @ (matrix if expert is None else matrix[expert]).T + self.tensors.get(f"{name}.bias", 0)

    def feed(self, x: np.ndarray, blk: str, suffix: str = "", expert: int | None = None) -> np.ndarray:
        gates = self.linear(x, f"{blk}ffn_gate{suffix}", expert)
        if self.architecture == "gemma3":
            gates = gates / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (gates + 0.044715 * gates**3)))
        else:
            gates = gates / (1 + np.exp(-gates))
        return self.linear(gates * self.linear(x, f"{blk}ffn_up{suffix}", expert), f"{blk}ffn_down{suffix}", expert)

    def mixture(self, x: np.ndarray, blk: str) -> np.ndarray:
        """Token by token."""
        chances = np.exp(self.linear(x, f"{blk}ffn_gate_inp"))
        chances /= chances.sum(-1, keepdims=True)
        out = np.zeros_like(x)
        for token, row in enumerate(chances):
            best = np.argsort(-row)[: self.value("expert_used_count")]
            weights = row[best] if self.architecture == "qwen2moe" else row[best] / row[best].sum()
            for expert, weight in zip(best, weights, strict=True):
                out[token] += weight * self.feed(x[token : token + 1], blk, "_exps", expert)[0]
        if self.architecture == "qwen2moe":
            shared = 1 / (1 + np.exp(-x @ self.tensors[f"{blk}ffn_gate_inp_shexp.weight"]))
            out += shared[:, None] * self.feed(x, blk, "_shexp")
        return out

    def logits(self, tokens: list[int]) -> np.ndarray:
        """(tokens, vocabulary)."""
        heads, key_heads = self.value("attention.head_count"), self.value("attention.head_count_kv")
        gemma = self.architecture == "gemma3"
        x = self.tensors["token_embd.weight"][tokens]
        if gemma:
            x = x * np.sqrt(x.shape[1])
        for layer in range(self.value("block_count")):
            blk = f"blk.{layer}."
            normal = self.norm(x, f"{blk}attn_norm.weight")
            query, key, value = (
                self.linear(normal, f"{blk}attn_{part}").reshape(len(tokens), count, -1)
                for part, count in (("q", heads), ("k", key_heads), ("v", key_heads))
            )
            if self.architecture.startswith("qwen3") or gemma:
                query, key = self.norm(query, f"{blk}attn_q_norm.weight"), self.norm(key, f"{blk}attn_k_norm.weight")
            local = gemma and layer % 6 < 5
            query, key = self.turned(query, local), self.turned(key, local)
            window = len(tokens) if gemma and not local else self.value("attention.sliding_window", len(tokens))
            mixed = np.empty_like(query)
            for head in range(heads):
                shared = head // (heads // key_heads)
                scores = query[:, head] @ key[:, shared].T / np.sqrt(query.shape[-1])
                scores[np.triu_indices(len(tokens), 1)] = -np.inf
                scores[np.tril_indices(len(tokens), -window)] = -np.inf
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                mixed[:, head] = weights / weights.sum(-1, keepdims=True) @ value[:, shared]
            mixed = self.linear(mixed.reshape(len(tokens), -1), f"{blk}attn_output")
            x = x + (self.norm(mixed, f"{blk}post_attention_norm.weight") if gemma else mixed)
            normal = self.norm(x, f"{blk}ffn_norm.weight")
            fed = self.mixture(normal, blk) if self.value("expert_count", 0) else self.feed(normal, blk)
            x = x + (self.norm(fed, f"{blk}post_ffw_norm.weight") if gemma else fed)
        return self.linear(self.norm(x, "output_norm.weight"), "output" if "output.weight" in self.tensors else "token_embd")


PROMPT = "the thing and the other"


@pytest.mark.parametrize("case", CASES)
def test_it_writes_what_a_float64_model_writes(case, tmp_path, host):
    kinds, architecture, tied, metadata, *experts = CASES[case]
    check(make_model(tmp_path / "model.gguf", kinds, architecture, tied=tied, metadata=metadata, experts=sum(experts)), PROMPT, 24)


def test_windows_of_most_layers(tmp_path, host):
    """Of six layers the last has no window, and another rotation: in pieces, what the float64 model says of all tokens at once."""
    metadata = {
        "gemma3.attention.sliding_window": 5,
        "gemma3.rope.freq_base": 1e6,
        "gemma3.rope.scaling.type": "linear",
        "gemma3.rope.scaling.factor": 8.0,
    }
    path = make_model(tmp_path / "model.gguf", {"": "F32"}, "gemma3", 6, tied=True, metadata=metadata)
    model = Model(quantised.load(path, cache=False))
    tokens = model.tokenizer.encode(PROMPT)
    cache, places = model.cache(), (0, 6, 7, 8, len(tokens))
    pieces = [model.logits(tokens[start:stop], cache, every=True) for start, stop in zip(places, places[1:], strict=False)]
    torch.testing.assert_close(torch.cat(pieces).double(), torch.from_numpy(Reference(path).logits(tokens)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("target", EMULATED)
def test_it_writes_the_same_on_an_emulated_core(target, tmp_path):
    choose(*target)
    check(make_model(tmp_path / "model.gguf", {"": "Q4_0", "output.weight": "Q8_0"}, layers=1), "the", 3)


def check(path: Path, text: str, count: int) -> None:
    """What a model writes, against the float64 model of its weights.

    Its numbers are off by what rounding activations to 8 bits does, which the same float64 model shows. Float32 moves a few numbers across
    the middle between two that they can be rounded to, so that one rounding is not quite the other. Where the exact model prefers a token
    by more than twice the error, the model must write that.
    """
    model = Model(quantised.load(path, cache=False))
    prompt = model.tokenizer.encode(text)
    model.tokenizer.ends = set()
    written = list(model.generate(prompt, count))
    assert len(written) == count
    cache = model.cache()
    ours = np.array([model.logits(part, cache).numpy() for part in (prompt, *([token] for token in written[:-1]))])
    assert ours.argmax(-1).tolist() == written
    everything = [*prompt, *written[:-1]]
    exact, rounded = (Reference(path, rounding).logits(everything)[len(prompt) - 1 :] for rounding in (False, True))
    assert deviation(ours - rounded) <= 0.6 * deviation(rounded - exact)
    assert deviation(rounded - exact) <= 0.05 * deviation(exact)
    for reference, least in ((exact, 0.3), (rounded, 0.6)):
        best = np.sort(reference, -1)
        sure = best[:, -1] - best[:, -2] > 2 * np.abs(ours - reference).max(-1)
        assert sure.mean() >= least  # else this would say little
        assert np.array_equal(reference.argmax(-1)[sure], np.array(written)[sure])


def deviation(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "model.gguf", {"": "Q8_0"}, layers=1)


@pytest.fixture
def model(path, host) -> Model:
    return Model(quantised.load(path, cache=False))


def test_a_prompt_in_pieces_is_the_same_prompt(model):
    tokens = model.tokenizer.encode("the thing and the other thing is on the other hand")
    cache = model.cache(len(tokens))
    whole = model.logits(tokens, cache, every=True)
    cache = model.cache(len(tokens))
    places = (0, 5, 6, 9, len(tokens))
    pieces = torch.cat([model.logits(tokens[start:stop], cache, every=True) for start, stop in zip(places, places[1:], strict=False)])
    assert cache.length == len(tokens)
    # sums of float32 in another order, and what they make of some roundings to 8 bits
    assert deviation((whole - pieces).numpy()) <= 0.01 * deviation(whole.numpy())
    assert torch.equal(pieces[-1].argmax(), whole[-1].argmax())
    torch.testing.assert_close(model.logits(tokens, model.cache()), whole[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("window", [1, 5, 9])
def test_a_window_over_a_prompt_in_pieces(window, tmp_path, host):
    """Whatever of the cache a piece is given; tokens in front of the window leave no trace in a single layer."""
    metadata = {"llama.attention.sliding_window": window}
    model = Model(quantised.load(make_model(tmp_path / "model.gguf", {"": "F32"}, layers=1, metadata=metadata), cache=False))
    tokens = model.tokenizer.encode("the thing and the other thing is")
    whole = model.logits(tokens, model.cache(), every=True)
    cache, places = model.cache(), (0, 5, 6, 9, len(tokens))
    pieces = torch.cat([model.logits(tokens[start:stop], cache, every=True) for start, stop in zip(places, places[1:], strict=False)])
    torch.testing.assert_close(pieces, whole, atol=1e-4, rtol=1e-4)
    other = [*reversed(tokens[:-window]), *tokens[-window:]]
    torch.testing.assert_close(model.logits(other, model.cache()), whole[-1], atol=1e-4, rtol=1e-4)


def test_what_experts_cost(tmp_path, host):
    """A token takes two of eight, all of the router, and in Qwen's models what is shared."""
    model = Model(quantised.load(make_model(tmp_path / "model.gguf", {"": "Q8_0"}, "qwen2moe", layers=1, experts=8), cache=False))
    shared = (2 * 256 + 64 + 64 + 288) * 256 + 3 * 512 * 256  # weights of attention and output, and of the layer that all take
    assert model.bytes_per_token == (shared + 2 * 3 * 256 * 256) * 17 // 16 + 8 * 256 * 4


def test_a_cache_grows(model, monkeypatch):
    whole = model.cache(40)
    expected = [model.logits([token], whole) for token in range(3, 43)]
    monkeypatch.setattr(quantised.model, "_ROOM", 8)
    cache = model.cache(40)
    rooms = []
    for token, logits in zip(range(3, 43), expected, strict=True):
        assert torch.equal(model.logits([token], cache), logits)
        rooms.append(cache.keys.shape[2])
    assert sorted(set(rooms)) == [8, 16, 32, 40]
    assert model.cache(1 << 40).keys.shape[2] == 8


def test_it_ends_at_the_token_that_ends_a_text(model):
    tokens = model.tokenizer.encode("the")
    written = list(model.generate(tokens, 8))
    assert len(written) == 8
    third = written[2]
    model.tokenizer.ends = {third}
    assert list(model.generate(tokens, 8)) == written[: written.index(third)]


def test_what_goes_wrong(model):
    cache = model.cache(4)
    model.logits([1, 2, 3], cache)
    kept = cache.keys.clone()
    with pytest.raises(ValueError, match="2 tokens were given; the cache has 3 and room for 1 more"):
        model.logits([1, 2], cache)
    with pytest.raises(ValueError, match="0 tokens were given"):
        model.logits([], cache)
    with pytest.raises(IndexError, match=r"'token_embd.weight' has rows 0 to 282, not 283 to 283"):
        model.logits([283], cache)
    assert torch.equal(cache.keys, kept)
    assert cache.length == 3


def test_how_many_bytes_a_token_takes(model):
    c = model.configuration
    rows = 2 * c.width + 64 + 64 + 2 * c.hidden + 288  # of 256 weights; the output has 283 and is filled up to 288
    packed = (rows * c.width + c.width * c.hidden) * 17 // 16
    assert model.bytes_per_token == packed


def test_the_example_writes_text(tmp_path, host, capsys):
    spec = importlib.util.spec_from_file_location("generate", Path(__file__).parents[3] / "examples" / "generate.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    text = example.generate(example.random_model(tmp_path / "random.gguf"), "ab", 3, keep=False)
    out = capsys.readouterr().out
    assert text.startswith("ab")
    assert out.startswith(text)
    assert "3 tokens read and the first one written in " in out


REFUSED = {
    "another architecture": (
        {"general.architecture": "gpt2"},
        "the architecture 'gpt2' is not supported; llama, qwen2, qwen3, qwen2moe, qwen3moe, gemma3 are",
    ),
    "no layers": ({"llama.block_count": None}, "metadata lacks llama.block_count"),
    "text for layers": ({"llama.block_count": "2"}, "llama.block_count is '2', not a size"),
    "zero layers": ({"llama.block_count": 0}, "llama.block_count is 0, not a size"),
    "more layers than there are": ({"llama.block_count": 2}, "there is no tensor 'blk.1.attn_norm.weight'"),
    "more layers than tensors": ({"llama.block_count": 1 << 30}, "llama.block_count is 1073741824, more than there are tensors, 12"),
    "an odd number of heads": ({"llama.attention.head_count_kv": 3}, "8 heads cannot share 3 heads of keys"),
    "an odd head": ({"llama.rope.dimension_count": 7}, "7 elements of a head of 32 cannot be turned in pairs"),
    "too large a head": ({"llama.rope.dimension_count": 64}, "64 elements of a head of 32"),
    "another hidden width": (
        {"llama.feed_forward_length": 500},
        r"tensor 'blk.0.ffn_gate.weight' has the shape \(512, 256\); \(500, 256\) is",
    ),
    "an epsilon of nothing": (
        {"llama.attention.layer_norm_rms_epsilon": float("nan")},
        "layer_norm_rms_epsilon is nan, not a number above 0",
    ),
    "one of several files": ({"split.count": 3}, "it is one of 3 files of a model"),
    "experts of which none is used": ({"llama.expert_count": 8}, "metadata lacks llama.expert_used_count"),
    "fewer experts than are used": (
        {"llama.expert_count": 2, "llama.expert_used_count": 3},
        "llama.expert_used_count is 3, more than there are experts, 2",
    ),
    "experts that are not there": (
        {"llama.expert_count": 2, "llama.expert_used_count": 2},
        "there is no tensor 'blk.0.ffn_gate_exps.weight'",
    ),
    "experts elsewhere": ({"general.architecture": "qwen2", "qwen2.expert_count": 2}, "but this architecture has no experts"),
    "no experts": ({"general.architecture": "qwen3moe"}, "experts are not counted, but this architecture has them"),
    "another router": (
        {"llama.expert_count": 2, "llama.expert_used_count": 2, "llama.expert_gating_func": 2},
        "llama.expert_gating_func is 2, which is not supported; 1 is, a softmax",
    ),
    "some dense layers": (
        {"llama.expert_count": 2, "llama.expert_used_count": 2, "llama.leading_dense_block_count": 1},
        "llama.leading_dense_block_count is 1, which is not supported",
    ),
    "windows of some layers": ({"llama.attention.sliding_window_pattern": 6}, "layers have windows as the architecture says"),
    "no window": ({"general.architecture": "gemma3"}, "metadata lacks gemma3.attention.sliding_window"),
    "capped logits": ({"llama.final_logit_softcapping": 30.0}, "llama.final_logit_softcapping is 30.0, which is not supported"),
    "a window of text": ({"llama.attention.sliding_window": "7"}, "llama.attention.sliding_window is '7', not a number of things"),
    "a scaling": ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type is 'yarn', which is not supported"),
    "a scaling by nothing": ({"llama.rope.scaling.type": "linear"}, "metadata lacks llama.rope.scaling.factor"),
    "values of another width": ({"llama.attention.value_length": 16}, "heads of values of another width"),
    "fewer tokens": ({"tokenizer.ggml.tokens": ["a", "b"]}, "there are 2 tokens, and 283 rows of embeddings"),
    "no tokens": ({"tokenizer.ggml.tokens": None}, "metadata lacks tokenizer.ggml.tokens"),
    "an end that is no token": ({"tokenizer.ggml.eos_token_id": 283}, "tokenizer.ggml.eos_token_id is 283, not one of 283"),
    "another tokenizer": ({"tokenizer.ggml.model": "bert"}, "tokenizer.ggml.model is 'bert', which is not supported; llama and gpt2 are"),
    "no scores": ({"tokenizer.ggml.scores": None}, "metadata lacks tokenizer.ggml.scores"),
    "few scores": ({"tokenizer.ggml.scores": [1.0, 2.0]}, "tokenizer.ggml.scores is array.*, not 283 numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, tmp_path):
    metadata, message = REFUSED[case]
    architecture = metadata.get("general.architecture", "llama")
    metadata = {key: value for key, value in metadata.items() if key != "general.architecture"}
    path = make_model(tmp_path / "model.gguf", {"": "Q8_0"}, architecture, layers=1, metadata=metadata)
    with pytest.raises(FormatError, match=f"^{path}: .*{message}"):
        Model(quantised.load(path, cache=False))


@pytest.mark.parametrize("name", ["token_embd.weight", "output_norm.weight", "blk.0.attn_k.weight"])
def test_a_tensor_that_is_missing(name, tmp_path):
    path = make_model(tmp_path / "model.gguf", {"": "Q8_0"}, layers=1, without=name)
    with pytest.raises(FormatError, match=f"there is no tensor '{name}'"):
        Model(quantised.load(path, cache=False))


def test_a_tensor_that_is_unknown(tmp_path):
    path = make_model(tmp_path / "model.gguf", {"": "Q8_0"}, "qwen2", layers=1)
    data = path.read_bytes().replace(b"qwen2", b"qwen3")
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"there is no tensor 'blk.0.attn_q_norm.weight'"):
        Model(quantised.load(path, cache=False))
