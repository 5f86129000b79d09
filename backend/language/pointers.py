"""Pointers to pointers, which Triton's IR has no type for: they are pointers to 64-bit integers there.

Without this, libtriton ends the process when a kernel names `tl.pointer_type(tl.pointer_type(...))`.
"""

from typing import Any

from triton.language import core

_to_ir = core.pointer_type.to_ir


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


def _pointer_to_ir(self: core.pointer_type, builder: Any) -> Any:
    """Triton's `pointer_type.to_ir`, with integers in the place of pointers that are pointed to."""
    if isinstance(self.element_ty, core.pointer_type):
        return _to_ir(core.pointer_type(core.int64, self.address_space, self.const), builder)
    return _to_ir(self, builder)


def install() -> None:
    core.pointer_type.to_ir = _pointer_to_ir
