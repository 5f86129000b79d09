"""Text from a GGUF model, on this machine or an emulated SpacemiT core.

    python examples/generate.py model.gguf "Once upon a time" --tokens 50
    python examples/generate.py --device qemu --chip x60 --tokens 4

Without a file it makes a small model of random weights, which writes nonsense.
"""

import argparse
import codecs
import tempfile
import time
from pathlib import Path

from triton_spacemit.backend import set_device
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.model import Model


def random_model(path: Path) -> Path:
    """A model of the llama family with one layer, whose tokens are bytes."""
    import numpy as np

    try:
        import gguf
    except ModuleNotFoundError:
        raise SystemExit("without a file, one is written with the Python package gguf: pip install '.[gguf]'") from None

    width, hidden, heads, key_heads, tokens = 128, 256, 4, 2, 259
    generator = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))])
    writer.add_token_scores([0.0] * tokens)
    writer.add_token_types([2, 3, 3, *[6] * 256])
    writer.add_add_space_prefix(False)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    keys = width * key_heads // heads
    matrices = {"attn_q": (width, width), "attn_k": (keys, width), "attn_v": (keys, width), "attn_output": (width, width)}
    matrices |= {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
    for name, shape in {"token_embd": (tokens, width), "output": (tokens, width), **{f"blk.0.{k}": v for k, v in matrices.items()}}.items():
        values = generator.standard_normal(shape).astype(np.float32) / shape[1] ** 0.5
        writer.add_tensor(f"{name}.weight", gguf.quantize(values, gguf.GGMLQuantizationType.Q4_0), raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def generate(path: Path, prompt: str, count: int, keep: bool = True) -> str:
    """Print what the model writes as it writes it, and how fast; return the text. keep: whether packed weights are kept in a file."""
    model = Model(quantised.load(path, cache=keep))
    cache = model.cache()
    tokens = model.tokenizer.encode(prompt)
    print(prompt, end="", flush=True)
    text = codecs.getincrementaldecoder("utf-8")("replace")  # a character may be spread over tokens
    written = [prompt]
    times = [time.perf_counter()]
    for token in model.generate(tokens, count, cache):
        written.append(text.decode(model.tokenizer.data(token)))
        print(written[-1], end="", flush=True)
        times.append(time.perf_counter())
    print(f"\n{len(tokens)} tokens read and the first one written in {times[min(1, len(times) - 1)] - times[0]:.2f} s")
    if len(times) > 2:
        seconds = (times[-1] - times[1]) / (len(times) - 2)
        print(f"{1 / seconds:.1f} tokens a second, {model.bytes_per_token / seconds / 1e9:.2f} GB of weights a second")
    return "".join(written)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="a GGUF file of the llama family")
    parser.add_argument("prompt", nargs="?", default="Once upon a time")
    parser.add_argument("--tokens", type=int, default=20, help="how many to write (default: %(default)s)")
    parser.add_argument("--device", default="host")
    parser.add_argument("--chip", default=None)
    arguments = parser.parse_args()
    set_device(arguments.device, arguments.chip)
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or random_model(Path(folder) / "random.gguf")
        generate(path, arguments.prompt, arguments.tokens, keep=path is arguments.file)


if __name__ == "__main__":
    main()
