"""Block pointers, which Triton 3.9 no longer has: `tl.make_block_ptr`, `tl.advance`, and loads and stores through them.

A block pointer is a value of the frontend alone: a base pointer, 64-bit shape and strides, 32-bit offsets. A load or store through it is
an ordinary one of base + offsets, masked along the dimensions of `boundary_check`. What a loop carries unchanged is hoisted out of it
by Triton's own passes, so that only the offsets stay.
"""

from collections.abc import Sequence
from typing import Any

import triton.language as tl
from triton.language import core

from triton_spacemit.backend.language.pointers import as_integers, as_pointers, is_pointer_to_pointer

PADDINGS = {"": 0, "zero": 0, "nan": float("nan"), "inf": float("inf"), "neg_inf": float("-inf")}

_load, _store = core.load, core.store


class BlockPointerType(core.base_type):
    """A pointer to a block of `element_ty.shape` elements; kernels ask it for `element_ty` as they do of other pointers."""

    def __init__(self, pointer_type: core.pointer_type, block_shape: Sequence[int]) -> None:
        self.pointer_type = pointer_type
        self.element_ty = core.block_type(pointer_type.element_ty, list(block_shape))
        rank = len(block_shape)
        self._parts = core.tuple_type([core.tuple_type([type_] * rank) for type_ in (core.int64, core.int64, core.int32)])

    @property
    def block_shape(self) -> list[int]:
        return [int(extent) for extent in self.element_ty.shape]

    @property
    def scalar(self) -> "BlockPointerType":
        return self

    def is_ptr(self) -> bool:
        return True

    def is_block(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockPointerType) and (self.pointer_type, self.block_shape) == (other.pointer_type, other.block_shape)

    def __hash__(self) -> int:
        return hash((BlockPointerType, str(self.pointer_type), tuple(self.block_shape)))

    def __str__(self) -> str:
        return f"pointer<{self.element_ty}>"

    def mangle(self) -> str:
        return f"B{self.pointer_type.mangle()}_{'x'.join(map(str, self.block_shape))}B"

    def _flatten_ir_types(self, builder: Any, out: list[Any]) -> None:
        self.pointer_type._flatten_ir_types(builder, out)
        self._parts._flatten_ir_types(builder, out)

    def _unflatten_ir(self, handles: list[Any], cursor: int) -> tuple["BlockPointer", int]:
        base, cursor = self.pointer_type._unflatten_ir(handles, cursor)
        parts, cursor = self._parts._unflatten_ir(handles, cursor)
        shape, strides, offsets = (part.values for part in parts.values)
        return BlockPointer(base, shape, strides, offsets, self.block_shape), cursor


class BlockPointer(core.base_value):
    """Points at the block of `block_shape` elements at `offsets` of the matrix (or tensor) of `shape` and `strides` at `base`."""

    always_checked = False  # whether all dimensions are checked, named in `boundary_check` or not

    def __init__(
        self,
        base: core.tensor,
        shape: Sequence[core.tensor],
        strides: Sequence[core.tensor],
        offsets: Sequence[core.tensor],
        block_shape: Sequence[int],
    ) -> None:
        self.base = base
        self.shape, self.strides, self.offsets = core.tuple(shape), core.tuple(strides), core.tuple(offsets)
        self.type = BlockPointerType(base.type, block_shape)

    @property
    def dtype(self) -> BlockPointerType:
        return self.type

    @property
    def block_shape(self) -> list[int]:
        return self.type.block_shape

    def _set_name(self, builder: Any, name: str) -> None:
        for part in ("base", "shape", "strides", "offsets"):
            getattr(self, part)._set_name(builder, f"{name}.{part}")

    def _flatten_ir(self, handles: list[Any]) -> None:
        for part in (self.base, self.shape, self.strides, self.offsets):
            part._flatten_ir(handles)

    def moved(self, offsets: Sequence[Any], semantic: Any) -> "BlockPointer":
        """The block pointer with `offsets` added to its own."""
        if len(offsets) != len(self.block_shape):
            raise ValueError(f"expected {len(self.block_shape)} offsets, one a dimension of the block, got {len(offsets)}")
        added = [semantic.add(own, offset, True) for own, offset in zip(self.offsets, scalars(semantic, offsets, core.int32), strict=True)]
        return BlockPointer(self.base, list(self.shape), list(self.strides), added, self.block_shape)

    def located(self, semantic: Any) -> "BlockPointer":
        """The pointer that loads and stores go through; what is loaded by it is `from_located`, what is stored `to_located`."""
        return self

    def from_located(self, block: core.tensor, semantic: Any, generator: Any) -> core.tensor:
        return block

    def to_located(self, block: core.tensor, shape: Sequence[int], semantic: Any, generator: Any) -> core.tensor:
        return block

    def pointers(self, semantic: Any, boundary_check: Sequence[int]) -> tuple[core.tensor, core.tensor | None]:
        """The tensor of pointers to the block's elements, and the mask of those inside along the dimensions `boundary_check`."""
        block, rank = self.block_shape, len(self.block_shape)
        pointers, mask = semantic.splat(self.base, block), None
        for dimension, extent in enumerate(block):
            start = semantic.splat(semantic.cast(self.offsets[dimension], core.int64), [extent])
            index = semantic.add(semantic.cast(semantic.arange(0, extent), core.int64), start, True)
            offset = semantic.mul(index, semantic.splat(self.strides[dimension], [extent]), True)
            pointers = semantic.add(pointers, _spread(semantic, offset, dimension, rank, block), True)
            if dimension in boundary_check:
                inside = semantic.and_(
                    semantic.greater_equal(index, semantic.to_tensor(0)),
                    semantic.less_than(index, semantic.splat(self.shape[dimension], [extent])),
                )
                inside = _spread(semantic, inside, dimension, rank, block)
                mask = inside if mask is None else semantic.and_(mask, inside)
        return pointers, mask


def scalars(semantic: Any, values: Sequence[Any], type_: core.dtype) -> list[core.tensor]:
    """Integers of the kernel or of Python as tensors of `type_`."""
    tensors = [semantic.to_tensor(tl.core._unwrap_if_constexpr(value)) for value in values]
    for tensor in tensors:
        if tensor.type.is_block() or not tensor.dtype.is_int():
            raise ValueError(f"shape, strides and offsets of a block pointer must be integers, got {tensor.type}")
    return [semantic.cast(tensor, type_) for tensor in tensors]


def _spread(semantic: Any, vector: core.tensor, dimension: int, rank: int, block: Sequence[int]) -> core.tensor:
    for other in range(rank):
        if other != dimension:
            vector = semantic.expand_dims(vector, other)
    return semantic.broadcast_impl_shape(vector, list(block))


def _integers(values: Any) -> list[int]:
    values = core._unwrap_if_constexpr(values)
    if not isinstance(values, Sequence | core.tuple):
        values = [values]
    return [int(core._unwrap_if_constexpr(value)) for value in values]


def _checked_dimensions(boundary_check: Any, pointer: BlockPointer, located: BlockPointer) -> list[int]:
    """The dimensions of `located` that `boundary_check` names as ones of `pointer`."""
    rank = len(pointer.block_shape)
    dimensions = [dimension + rank if dimension < 0 else dimension for dimension in _integers(boundary_check)]
    if any(not 0 <= dimension < rank for dimension in dimensions):
        raise ValueError(f"boundary_check must name dimensions of the {rank}-dimensional block, got {_integers(boundary_check)}")
    if len(set(dimensions)) != len(dimensions):
        raise ValueError(f"duplicate dimension in boundary_check {_integers(boundary_check)}")
    if pointer.always_checked:
        return list(range(len(located.block_shape)))
    return sorted({dimension % len(located.block_shape) for dimension in dimensions})


@core.builtin
def make_block_ptr(base, shape, strides, offsets, block_shape, order, _semantic=None):
    """
    Returns a pointer to a block in a parent tensor

    :param base: The base pointer to the parent tensor
    :param shape: The shape of the parent tensor
    :param strides: The strides of the parent tensor
    :param offsets: The offsets to the block
    :param block_shape: The shape of the block
    :param order: The order of the original data format
    """
    if not base.type.is_ptr() or isinstance(base, BlockPointer):
        raise ValueError(f"base must be a pointer to elements, got {base.type}")
    block = _integers(block_shape)
    rank = len(block)
    for name, values in (("shape", shape), ("strides", strides), ("offsets", offsets), ("order", order)):
        if len(core._unwrap_if_constexpr(values)) != rank:
            raise ValueError(f"{name} must have one value for each of the block's {rank} dimensions, got {len(values)}")
    if sorted(_integers(order)) != list(range(rank)):
        raise ValueError(f"order must be a permutation of 0 to {rank - 1}, got {_integers(order)}")
    if base.type.element_ty == core.int1:
        base = _semantic.cast(base, core.pointer_type(core.int8, base.type.address_space))
    long_shape, long_strides = scalars(_semantic, shape, core.int64), scalars(_semantic, strides, core.int64)
    return BlockPointer(base, long_shape, long_strides, scalars(_semantic, offsets, core.int32), block)


@core.must_use_result("tl.advance returns the moved block pointer and leaves its argument as it is: assign the result to a variable.")
@core.builtin
def advance(base, offsets, _semantic=None):
    """
    Advance a block pointer

    :param base: the block pointer to advance
    :param offsets: the offsets to advance, a tuple by dimension
    """
    if not isinstance(base, BlockPointer):
        raise ValueError(f"tl.advance takes a block pointer, got {base.type}")
    return base.moved(core._unwrap_if_constexpr(offsets), _semantic)


@core.builtin
def load(
    pointer,
    mask=None,
    other=None,
    boundary_check=(),
    padding_option="",
    cache_modifier="",
    eviction_policy="",
    volatile=False,
    _semantic=None,
    _generator=None,
):
    hints = {"cache_modifier": cache_modifier, "eviction_policy": eviction_policy, "volatile": volatile}
    padding = core._unwrap_if_constexpr(padding_option) or ""
    if padding not in PADDINGS:
        raise ValueError(f"unknown padding_option {padding!r}; known: {', '.join(map(repr, PADDINGS))}")
    if not isinstance(pointer, BlockPointer):
        if _integers(boundary_check) or padding:
            raise ValueError("boundary_check and padding_option are for block pointers; this is a scalar or a tensor of pointers")
        if not is_pointer_to_pointer(pointer):
            return _load(pointer, mask, other, **hints, _semantic=_semantic)
        if core._unwrap_if_constexpr(other) is not None:
            other = as_integers(_semantic.to_tensor(other), _semantic)
        return as_pointers(_load(as_integers(pointer, _semantic), mask, other, **hints, _semantic=_semantic), pointer, _semantic)
    if core._unwrap_if_constexpr(mask) is not None or core._unwrap_if_constexpr(other) is not None:
        raise ValueError("mask and other cannot be given with a block pointer; use boundary_check and padding_option")
    element = pointer.base.type.element_ty
    if padding in ("nan", "inf", "neg_inf") and not element.is_floating():
        raise ValueError(f"padding_option {padding!r} needs a block pointer to floats, not to {element}")
    located = pointer.located(_semantic)
    pointers, inside = located.pointers(_semantic, _checked_dimensions(boundary_check, pointer, located))
    fill = None if inside is None else _semantic.full(located.block_shape, PADDINGS[padding], element)
    return pointer.from_located(_load(pointers, inside, fill, **hints, _semantic=_semantic), _semantic, _generator)


@core.builtin
def store(pointer, value, mask=None, boundary_check=(), cache_modifier="", eviction_policy="", _semantic=None, _generator=None):
    hints = {"cache_modifier": cache_modifier, "eviction_policy": eviction_policy}
    if not isinstance(pointer, BlockPointer):
        if _integers(boundary_check):
            raise ValueError("boundary_check is for block pointers; this is a scalar or a tensor of pointers")
        if is_pointer_to_pointer(pointer):
            pointer, value = as_integers(pointer, _semantic), as_integers(_semantic.to_tensor(value), _semantic)
        return _store(pointer, value, mask, **hints, _semantic=_semantic)
    if core._unwrap_if_constexpr(mask) is not None:
        raise ValueError("mask cannot be given with a block pointer; use boundary_check")
    located = pointer.located(_semantic)
    pointers, inside = located.pointers(_semantic, _checked_dimensions(boundary_check, pointer, located))
    value = pointer.to_located(_semantic.to_tensor(value), located.block_shape, _semantic, _generator)
    return _store(pointers, value, inside, **hints, _semantic=_semantic)


BlockPointer.advance = advance
BlockPointer.load = load
BlockPointer.store = store
load.__doc__, store.__doc__ = _load.__doc__, _store.__doc__

FUNCTIONS = {function.__name__: function for function in (make_block_ptr, advance, load, store)}
