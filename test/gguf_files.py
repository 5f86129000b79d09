"""GGUF files for tests, written by GGML's own package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

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


def random_blocks(kind: str, rows: int, steps: int, seed: int = 0) -> np.ndarray:
    """Random bytes of rows of blocks."""
    return np.random.default_rng(seed).integers(0, 256, (rows, FORMATS[kind].bytes_of(steps)), dtype=np.uint8)
