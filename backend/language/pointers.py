"""Pointers to pointers, which Triton's IR has no type for: they are pointers to 64-bit integers there.

Without this, libtriton ends the process when a kernel names `tl.pointer_type(tl.pointer_type(...))`.
"""

from collections.abc import Callable
from typing import Any

from triton.language import core


def is_pointer_to_pointer(pointer: Any) -> bool:
    type_ = getattr(pointer, "type", None) and pointer.type.scalar
    return isinstance(type_, core.pointer_type) and isinstance(type_.element_ty, core.pointer_type)


def as_integers(value: core.tensor, semantic: Any) -> core.tensor:
    """A pointer to pointers as one to integers, a pointer as an integer; of blocks element by element."""
    scalar = value.type.scalar
    if not isinstance(scalar, core.pointer_type):
        return semantic.cast(value, core.int64)
    integer = core.pointer_type(core.int64, scalar.address_space, scalar.const) if is_pointer_to_pointer(value) else core.int64
    return semantic.cast(value, value.type.with_element_ty(integer) if value.type.is_block() else integer)


def as_pointers(value: core.tensor, pointer: core.tensor, semantic: Any) -> core.tensor:
    """Integers loaded through `pointer` as what it points to."""
    element = pointer.type.scalar.element_ty
    return semantic.cast(value, value.type.with_element_ty(element) if value.type.is_block() else element)


def pointer_to_ir(original: Callable[..., Any]) -> Callable[..., Any]:
    """What stands for Triton's `pointer_type.to_ir`: integers in the place of pointers that are pointed to."""

    def to_ir(self: core.pointer_type, builder: Any) -> Any:
        if isinstance(self.element_ty, core.pointer_type) and is_ours(builder):
            return original(core.pointer_type(core.int64, self.address_space, self.const), builder)
        return original(self, builder)

    return to_ir


def is_ours(builder: Any) -> bool:
    """Whether a kernel is being compiled for this backend."""
    return getattr(getattr(builder, "options", None), "backend_name", None) == "cpu"
