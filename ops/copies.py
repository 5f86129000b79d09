"""Copies of large tensors by a kernel of ours, in place of PyTorch's.

The threads of PyTorch that have shared a copy look for more work for milliseconds, on the processors that the threads of the next
kernel are to use. So an operator that copies a tensor on its way asks for it here. What is small PyTorch copies, and what one thread copies
if it need not be transposed, which takes PyTorch more than twice as long.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import triton

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS
from triton_spacemit.ops.elementwise import layout
from triton_spacemit.ops.elementwise.kernels import Compiled
from triton_spacemit.ops.elementwise.types import TRITON
from triton_spacemit.ops.launching import constant, is_noting

_SHARED = 32768  # elements that PyTorch's threads share (at::internal::GRAIN_SIZE)
_VALUES = FLOATS | INTEGERS
_NONE = (0, 0, 0)


@triton.jit
def _same(x):
    return x


_kernels: dict[tuple[torch.dtype, torch.dtype], Compiled] = {}


def _is_ours(out: torch.Tensor, source: torch.Tensor) -> bool:
    """Whether a copy is for a kernel of ours: PyTorch would share it among threads, or only one of the two has rows of neighbours. So are
    those of a call that is noted down, which are to be repeated.
    """
    if is_noting():
        return True
    if source.numel() < _SHARED:
        return False
    return torch.get_num_threads() > 1 or _is_across(source) is not _is_across(out)


def _is_across(tensor: torch.Tensor) -> bool:
    """Whether elements are neighbours in memory along another dimension than the last."""
    strides = tensor.stride()
    return strides[-1] != 1 and tensor.shape[-1] > 1 and 1 in strides


def copy(out: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """`out.copy_(source)` of tensors of one shape that share no memory."""
    given, wanted = source.dtype, out.dtype
    converts = given is wanted or given in FLOATS and wanted in FLOATS
    if not converts or given not in _VALUES or out.shape != source.shape or not _is_ours(out, source):
        return out.copy_(source)
    return _by_kernel(out, source)


def _by_kernel(out: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """`copy` of numbers to numbers: by a kernel of ours, if tensors of so many dimensions have one."""
    given, wanted = source.dtype, out.dtype
    place = layout.find(out, (source,), False)
    if place is None or len(place.sizes) > layout.RANK:
        return out.copy_(source)
    kernel = _kernels.get((given, wanted))
    if kernel is None:
        kernel = _kernels[given, wanted] = Compiled(_same, ("a",), (True,), TRITON[wanted], TRITON[wanted])
    kernel.launch(place, out, (source,), _NONE, _NONE)
    return out


def contiguous(tensor: torch.Tensor, memory_format: Any = torch.contiguous_format) -> torch.Tensor:
    """`tensor.contiguous(memory_format=memory_format)`."""
    if tensor.is_contiguous(memory_format=memory_format):
        return tensor
    if tensor.numel() < _SHARED and not is_noting():
        return tensor.contiguous(memory_format=memory_format)
    return copy(torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=memory_format), tensor)


@functools.cache
def _zero(dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros((), dtype=dtype)


def zeros(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """A new contiguous tensor of zeros, whose memory, fresh from the system, the threads take into use together."""
    if math.prod(shape) < _SHARED or dtype not in _VALUES or knobs.num_threads == 1:
        return torch.zeros(shape, dtype=dtype)
    return _by_kernel(torch.empty(shape, dtype=dtype), constant(_zero(dtype).expand(shape)))


def clone(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A new contiguous tensor with the same values, in another dtype if one is given."""
    if tensor.numel() < _SHARED and (dtype is None or dtype is tensor.dtype) and not is_noting():
        return tensor.clone(memory_format=torch.contiguous_format)
    return copy(torch.empty(tensor.shape, dtype=dtype or tensor.dtype), tensor)


def converted(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """`tensor.to(dtype)` of a contiguous tensor."""
    return tensor if tensor.dtype is dtype else clone(tensor, dtype)
