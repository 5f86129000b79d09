"""bfloat16 in NumPy, which has no such type: the interpreter keeps its bits as uint16."""

from typing import Any

import numpy as np
import triton.language as tl


def is_bfloat16(handle: Any) -> bool:
    return handle.dtype.scalar == tl.bfloat16


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bfloat16(numbers: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), rounded.reshape(np.shape(numbers)))
