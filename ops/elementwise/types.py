"""Type promotion: the dtype that an element-wise operator computes in, and that of its result, as PyTorch's TensorIterator has them."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
import triton.language as tl

#: PyTorch's dtypes to Triton's.
TRITON = {
    torch.bool: tl.int1,
    torch.uint8: tl.uint8,
    torch.int8: tl.int8,
    torch.int16: tl.int16,
    torch.int32: tl.int32,
    torch.int64: tl.int64,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def computed_in(common: torch.dtype) -> tl.dtype:
    """float16 and bfloat16 are computed in float32, everything else in itself."""
    return tl.float32 if common in (torch.float16, torch.bfloat16) else TRITON[common]


def common_dtype(tensors: Sequence[torch.Tensor], numbers: Sequence[Any]) -> torch.dtype:
    """What operands are converted to: tensors with dimensions count most, then those without, then numbers."""
    if not tensors:
        return functools.reduce(torch.promote_types, [torch.result_type(number, number) for number in numbers])
    first = tensors[0].dtype
    if any(tensor.dtype is not first for tensor in tensors):
        first = torch.result_type(tensors[0], tensors[1]) if len(tensors) == 2 else _of_several(tensors)
    if not numbers:
        return first
    shaped = next((tensor for tensor in tensors if tensor.dtype is first), None)
    shaped = tensors[0].new_empty((), dtype=first) if shaped is None else shaped
    if len(tensors) == 1 and _keeps(first, numbers):
        return first
    return functools.reduce(torch.promote_types, [torch.result_type(shaped, number) for number in numbers])


def _keeps(dtype: torch.dtype, numbers: Sequence[Any]) -> bool:
    """Whether numbers leave a dtype as it is: any beside a float, whole ones beside an integer."""
    kinds = {type(number) for number in numbers}
    if dtype.is_floating_point:
        return kinds <= {int, float, bool}
    return kinds <= {int, bool} and dtype is not torch.bool and not dtype.is_complex


def _of_several(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    shaped = [tensor.dtype for tensor in tensors if tensor.dim()]
    if not shaped:
        return functools.reduce(torch.promote_types, [tensor.dtype for tensor in tensors])
    representative = torch.empty(1, dtype=functools.reduce(torch.promote_types, shaped))
    return functools.reduce(torch.promote_types, [torch.result_type(representative, tensor) for tensor in tensors])
