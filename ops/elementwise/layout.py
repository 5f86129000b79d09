"""What an element-wise kernel iterates over: shapes broadcast, the result's strides as PyTorch chooses them, dimensions collapsed.

Follows PyTorch's TensorIterator (aten/src/ATen/TensorIterator.cpp): a result has the strides of operands that all agree, else the order of
dimensions of the first operand that has one. Everything here depends on shapes and strides alone, so it is found once for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

RANK = 4  # dimensions of the kernel's grid of tiles; those beyond are looped over

_KEPT = 1 << 14
_known: dict[Any, "Layout | None"] = {}


@dataclass(slots=True)
class Layout:
    """shape: of the result. strides: of a new result, empty where there is one already. elements: how many there are.

    flat: the result and every operand that is not one element lie in one piece and the same order. single: for each operand, whether it is
    one element. Else sizes has the dimensions from the innermost on, and steps their strides, for the result and each operand.
    dense: of result and operands, whether every element between the first and the last belongs to it. overlaps_itself: of a given result.
    grid: how the kernels divide it, which they find out once.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    elements: int
    flat: bool
    single: tuple[bool, ...]
    sizes: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    dense: tuple[bool, ...]
    overlaps_itself: bool
    grid: Any = None


def find(out: torch.Tensor | None, tensors: Sequence[torch.Tensor], numbers: bool, key: Any = None) -> Layout | None:
    """The layout of an operator on `tensors`, with the result in `out` where it is given. None where shapes do not fit.

    numbers: whether numbers stand for further tensors. key: tells shapes and strides of all tensors, and `numbers`, from others.
    """
    if key is None:
        shapes = [(tensor.shape, tensor.stride()) for tensor in tensors]
        key = ("as tensors", numbers, None if out is None else (out.shape, out.stride()), *shapes)
    try:
        return _known[key]
    except KeyError:
        if len(_known) >= _KEPT:
            _known.clear()
        given = None if out is None else (out.shape, out.stride())
        found = _known[key] = _find(given, [(tensor.shape, tensor.stride()) for tensor in tensors], numbers)
        return found


def _find(out: Any, operands: Any, numbers: bool) -> Layout | None:
    shape = broadcast([shape for shape, _ in operands])
    if shape is None or out is not None and tuple(out[0]) != shape:
        return None
    steps = [expand(own, strides, shape) for own, strides in operands]
    if out is None:
        new = new_strides(shape, [*operands, ((), ())] if numbers else operands, steps)
        given = new
    else:
        new, given = (), tuple(out[1])
    dense = (is_dense(shape, given), *(is_dense(own, strides) for own, strides in operands))
    overlaps_itself = not dense[0] and any(step == 0 and size > 1 for size, step in zip(shape, given, strict=True))
    elements = 1
    for size in shape:
        elements *= size
    sizes, collapsed = collapse(shape, [given, *steps])
    single = tuple(not any(own) for own in collapsed[1:])
    flat = len(sizes) <= 1 and all(own == (1,) * len(own) or not any(own) for own in collapsed) and any([*collapsed[0], elements == 1])
    return Layout(shape, new, elements, flat, single, sizes, collapsed, dense, overlaps_itself)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The common shape; None where there is none."""
    result = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for place in range(-len(shape), 0):
            size = shape[place]
            if size != 1 and size != result[place]:
                if result[place] != 1:
                    return None
                result[place] = size
    return tuple(result)


def expand(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> tuple[int, ...]:
    """The strides of an operand in the common shape: 0 where it is repeated."""
    missing = len(to) - len(shape)
    own = (0 if size == 1 and whole != 1 else step for size, step, whole in zip(shape, strides, to[missing:], strict=True))
    return (0,) * missing + tuple(own)


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements fill a piece of memory without gaps and none shares its place with another."""
    expected = 1
    for step, size in sorted((step, size) for size, step in zip(shape, strides, strict=True) if size != 1):
        if step != expected:
            return size == 0
        expected *= size
    return True


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a new tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _channels_last(shape: Sequence[int]) -> tuple[int, ...] | None:
    if len(shape) != 4:
        return None
    _, channels, height, width = shape
    return height * width * channels, 1, width * channels, channels


def _agree(shape: Sequence[int], operands: Any, strides: Sequence[int] | None) -> bool:
    """Whether all operands have the common shape and these strides, those of dimensions with one element aside."""
    return strides is not None and all(
        all(step == expected for size, step, expected in zip(shape, own, strides, strict=True) if size != 1) for _, own in operands
    )


def new_strides(shape: tuple[int, ...], operands: Any, steps: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The strides of a result that PyTorch would make; `steps` are the operands' in the common shape."""
    if all(tuple(own) == shape for own, _ in operands):
        plain = contiguous(shape)
        if 0 in shape or _agree(shape, operands, plain):
            return plain
        last = _channels_last(shape)
        if last is not None and _agree(shape, operands, last):
            return last
        first = tuple(operands[0][1])
        if is_dense(shape, first) and all(tuple(own) == first for _, own in operands):
            return first
    order = _order(shape, steps)
    if order == list(range(len(shape)))[::-1]:
        return contiguous(shape)
    strides, step = [0] * len(shape), 1
    for dimension in order:
        strides[dimension] = step
        step *= shape[dimension]
    return tuple(strides)


def _order(shape: Sequence[int], steps: Sequence[Sequence[int]]) -> list[int]:
    """The dimensions from the innermost on: those of the first operand that tells two of them apart, else as they are."""

    def comes_later(first: int, second: int) -> int:
        for own in steps:
            one, other = own[first], own[second]
            if one == 0 or other == 0:
                continue
            if one != other:
                return 1 if one > other else -1
            if shape[first] > shape[second]:
                return 1
        return 0

    order = list(range(len(shape)))[::-1]
    for place in range(1, len(order)):
        current = place
        for before in reversed(range(place)):
            comparison = comes_later(order[before], order[current])
            if comparison > 0:
                order[before], order[current] = order[current], order[before]
                current = before
            elif comparison < 0:
                break
    return order


def collapse(shape: Sequence[int], steps: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Sizes and strides of all tensors from the innermost dimension on, with dimensions joined that lie as one in every tensor."""
    dimensions = [dimension for dimension in _order(shape, steps) if shape[dimension] != 1]
    sizes: list[int] = []
    columns: list[list[int]] = [[] for _ in steps]
    for dimension in dimensions:
        size, own = shape[dimension], [step[dimension] for step in steps]
        if sizes and all(column[-1] * sizes[-1] == step for column, step in zip(columns, own, strict=True)):
            sizes[-1] *= size
            continue
        sizes.append(size)
        for column, step in zip(columns, own, strict=True):
            column.append(step)
    return tuple(sizes), tuple(map(tuple, columns))
