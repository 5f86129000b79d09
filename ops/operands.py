"""What all operators ask of the tensors they are given, and how results get into tensors that the caller has."""

import functools
from collections.abc import Callable, Set
from typing import Any

import torch


def computed(dtypes: Set[torch.dtype], *tensors: torch.Tensor) -> bool:
    """Whether every tensor lies on the CPU and is of one of `dtypes`."""
    for tensor in tensors:
        if tensor.dtype not in dtypes or not tensor.is_cpu:
            return False
    return True


def memory_format(tensor: torch.Tensor) -> torch.memory_format:
    """The one that PyTorch gives to results like `tensor`."""
    return _format(tensor.shape, tensor.stride())


@functools.lru_cache(4096)
def _format(shape: tuple[int, ...], strides: tuple[int, ...]) -> torch.memory_format:
    return torch._prims_common.suggest_memory_format(torch.empty_strided(shape, strides, device="meta"))


def into(out: torch.Tensor, result: Any) -> Any:
    """`out` with the value of `result`, resized as PyTorch does it; `NotImplemented` where `result` is, or `out` is of another dtype."""
    if result is NotImplemented or out.dtype != result.dtype or not out.is_cpu:
        return NotImplemented
    if out.shape != result.shape:
        torch._prims_common.wrappers._maybe_resize_out(out, result.shape)
    return out.copy_(result)


def out_form(function: Callable[..., Any], name: str = "out") -> Callable[..., Any]:
    """The overload of `function` that puts its result into the tensor which the caller gives as `name`."""

    def call(*args: Any, **named: Any) -> Any:
        out = named.pop(name)
        return into(out, function(*args, **named))

    call.__doc__ = f"`{function.__name__}` into `{name}`."
    return call


@functools.lru_cache(4096)
def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements lie from the first of a tensor to its last one; 0 where it has none."""
    return 0 if 0 in shape else 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
