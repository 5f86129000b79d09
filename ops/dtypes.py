"""PyTorch's dtypes in the groups that operators take, and what sums of them are kept in."""

import torch
import triton.language as tl

FLOATS = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})
INTEGERS = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64})
NARROW = frozenset({torch.float16, torch.bfloat16})


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """What sums of a float are kept in: float32, and float64 of float64."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def sum_type(dtype: torch.dtype) -> tl.dtype:
    """`sum_dtype`, as kernels have it."""
    return tl.float64 if dtype is torch.float64 else tl.float32
