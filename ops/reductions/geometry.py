"""Which dimensions of a tensor a reduction keeps and which it reduces, as the four loops that its kernel has."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from triton_spacemit.ops import copies

_Axis = tuple[int, int]  # length and stride in elements


def reduced_dims(tensor: torch.Tensor, dim: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """`dim` as dimensions counted from the front, all where there are none; None where PyTorch raises: one occurs twice, one is none,
    or there are more than 64."""
    rank = tensor.dim()
    if rank > 64:
        return None
    if dim is None or (type(dim) is not int and not dim):
        return tuple(range(rank))
    dims = (dim,) if type(dim) is int else tuple(dim)  # type: ignore[arg-type]
    least = -max(rank, 1)
    if not all(least <= one < -least for one in dims):
        return None
    if rank == 0:
        return () if len(dims) == 1 else None
    dims = tuple(one % rank for one in dims)
    return dims if len(set(dims)) == len(dims) else None


def result_shape(shape: Sequence[int], dims: Sequence[int], keepdim: bool) -> list[int]:
    """The shape of a reduction's result."""
    if keepdim:
        return [1 if i in dims else length for i, length in enumerate(shape)]
    return [length for i, length in enumerate(shape) if i not in dims]


@dataclass(frozen=True, eq=False)
class Geometry:
    """Two kept axes and two reduced ones, each from outer to inner, as (length, stride). The result is contiguous in the kept ones.

    There is one object for each shape, strides and dimensions, so that it is a key that costs nothing to compare.
    """

    kept: tuple[_Axis, _Axis]
    reduced: tuple[_Axis, _Axis]

    @property
    def results(self) -> int:
        return self.kept[0][0] * self.kept[1][0]

    @property
    def count(self) -> int:
        """How many elements each result is of."""
        return self.reduced[0][0] * self.reduced[1][0]

    @property
    def across(self) -> bool:
        """Whether neighbours in memory belong to different results."""
        return self.kept[1][0] > 1 and abs(self.kept[1][1]) < abs(self.reduced[1][1])


def _merged(axes: list[_Axis]) -> list[_Axis]:
    """Fewer axes that go through the same elements in the same order."""
    merged: list[_Axis] = []
    for length, stride in axes:
        if length == 1:
            continue
        if merged and merged[-1][1] == length * stride:
            merged[-1] = (merged[-1][0] * length, stride)
        else:
            merged.append((length, stride))
    return merged


def _pair(axes: list[_Axis]) -> tuple[_Axis, _Axis]:
    return tuple([(1, 0)] * (2 - len(axes)) + axes)  # type: ignore[return-value]


@functools.lru_cache(4096)
def _geometry(shape: tuple[int, ...], strides: tuple[int, ...], dims: tuple[int, ...], ordered: bool) -> Geometry | None:
    axes = list(zip(shape, strides, strict=True))
    kept = [axis for i, axis in enumerate(axes) if i not in dims]
    reduced = [axis for i, axis in enumerate(axes) if i in dims]
    if math.prod(shape) == 0:
        # There is nothing to read, and lengths of 0 must not meet strides.
        return Geometry(((1, 0), (math.prod(length for length, _ in kept), 0)), ((1, 0), (math.prod(length for length, _ in reduced), 0)))
    if not ordered:
        reduced.sort(key=lambda axis: -abs(axis[1]))
    kept, reduced = _merged(kept), _merged(reduced)
    return Geometry(_pair(kept), _pair(reduced)) if len(kept) <= 2 and len(reduced) <= 2 else None


def geometry(tensor: torch.Tensor, dims: tuple[int, ...], ordered: bool = False) -> tuple[torch.Tensor, Geometry]:
    """How to go through `tensor`, or through a copy of it where its strides need more than two loops over kept or over reduced dimensions.

    ordered: reduced elements are numbered in the order of `tensor`'s dimensions; else they may come in any order.
    """
    found = _geometry(tensor.shape, tensor.stride(), dims, ordered)
    if found is not None:
        return tensor, found
    order = [i for i in range(tensor.dim()) if i not in dims] + sorted(dims)
    copy = copies.contiguous(tensor.permute(order))
    found = _geometry(copy.shape, copy.stride(), tuple(range(copy.dim() - len(dims), copy.dim())), ordered)
    assert found is not None
    return copy, found
