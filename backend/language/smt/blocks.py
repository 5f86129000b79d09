"""Blocks in packed form: loads, views, products, scratch buffers, annotations.

A matrix packed in tiles of p0 x p1 is the 4-D block `packed[i, j, a, b] = matrix[i * p0 + a, j * p1 + b]`. Offsets and shapes of views
count elements of the logical matrix, also where the base is packed.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

from triton.language import core
from triton.language.extra.smt.calls import call, integer, integers, scalar
from triton.language.extra.smt.views import PointerView

from triton_spacemit.backend.language import block_pointer
from triton_spacemit.backend.language.block_pointer import BlockPointer
from triton_spacemit.dialect.words import HINTS, STORAGES


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


@core.builtin
def descriptor_load(base, offsets, destination=None, _semantic=None, _generator=None):
    """The block of a block pointer or tensor descriptor, `offsets` added to its own; zero outside. Into `destination`, if given."""
    if isinstance(base, BlockPointer):
        moved = base.moved(core._unwrap_if_constexpr(offsets), _semantic)
        everywhere = tuple(range(len(base.block_shape)))
        block = block_pointer.load(moved, boundary_check=everywhere, padding_option="zero", _semantic=_semantic, _generator=_generator)
    elif isinstance(base, core.tensor_descriptor_base):
        block = base.load(offsets, _semantic=_semantic)
    else:
        raise TypeError(f"descriptor_load takes a block pointer or a tensor descriptor, got {base.type}")
    return _deliver(block, destination, _semantic, _generator)


def _deliver(block: core.tensor, destination: Any, semantic: Any, generator: Any) -> core.tensor | None:
    if destination is None:
        return block
    if not isinstance(destination, BlockPointer) or destination.block_shape != [int(extent) for extent in block.shape]:
        raise ValueError(f"destination must point to a block of the shape {list(map(int, block.shape))}, got {destination.type}")
    block_pointer.store(destination, block, _semantic=semantic, _generator=generator)
    return None


@core.builtin
def view(base, offsets, shape, packed_size=None, destination=None, _semantic=None, _generator=None):
    """The `shape` elements from `offsets` on of `base`, in tiles of `packed_size`; (1, 1) is the plain 2-D form, None keeps the tile."""
    shape = integers(shape, 2, "shape")
    tile = None if core._unwrap_if_constexpr(packed_size) is None else integers(packed_size, 2, "packed_size")
    starts = core._unwrap_if_constexpr(offsets)
    if len(starts) != 2:
        raise ValueError(f"offsets must have 2 values, got {len(starts)}")
    operands = [scalar(_semantic, start, "an offset of view") for start in starts]
    if isinstance(base, BlockPointer):
        if destination is not None:
            raise ValueError("a view of a pointer is a pointer: load it and store the block instead of giving a destination")
        return PointerView.of(base, operands, shape, tile, _semantic)
    rank = len(getattr(base, "shape", ()))
    if not isinstance(base, core.tensor) or rank not in (2, 4):
        raise ValueError(f"view takes a 2-D or packed 4-D block or a pointer to one, got {getattr(base, 'type', base)}")
    extents = [int(extent) for extent in base.shape]
    known = [start if isinstance(start, int) else None for start in map(core._unwrap_if_constexpr, starts)]
    if rank == 2:
        if tile is None:
            raise ValueError("the view of a 2-D block needs a packed_size")
        if tile == [1, 1] and known == [0, 0] and shape == extents:
            return _deliver(base, destination, _semantic, _generator)
        name = "subview" if tile == [1, 1] else "pack"
    elif tile == [1, 1]:
        name = "unpack"
    elif tile is None or tile == extents[2:]:
        if known == [0, 0] and shape == [extents[0] * extents[2], extents[1] * extents[3]]:
            return _deliver(base, destination, _semantic, _generator)
        name, tile = "subview", extents[2:]
        for start, size in zip(known, tile, strict=True):
            if start is not None and start % size:
                raise ValueError(f"the offset {start} of a view that keeps its tile must be a multiple of the tile's {size}")
    else:
        name = "repack"
    result = shape if name == "unpack" or (name, rank) == ("subview", 2) else [_ceil(shape[0], tile[0]), _ceil(shape[1], tile[1]), *tile]
    block = call(_generator, name, [base, *operands], [core.block_type(base.dtype, result)], {})
    return _deliver(block, destination, _semantic, _generator)


@core.builtin
def dot(a_packed, b_packed, out=None, _semantic=None, _generator=None):
    """The product of packed blocks, `[MB, KB, mb, kb]` and `[KB, NB, kb, nb]` or `[NB, KB, nb, kb]`, added to `out` if given.

    The result has A's element type, int32 for bytes, of which either operand's may be unsigned. B may be fp32 where A is a narrower float:
    buffers are of fp32 unless a type is given.

    Plain blocks `[M, K]` and `[K, N]` of bytes are multiplied as well: what `tl.dot` does, with either operand's bytes unsigned.
    """
    if isinstance(a_packed, core.tensor) and isinstance(b_packed, core.tensor) and len(a_packed.shape) == len(b_packed.shape) == 2:
        return _dot_of_bytes(a_packed, b_packed, core._unwrap_if_constexpr(out), _semantic)
    for name, block in (("a_packed", a_packed), ("b_packed", b_packed)):
        if not isinstance(block, core.tensor) or len(block.shape) != 4:
            raise ValueError(f"{name} must be a packed 4-D block, got {getattr(block, 'type', block)}")
    narrow = a_packed.dtype in (core.float16, core.bfloat16)
    whole = a_packed.dtype in (core.int8, core.uint8)
    if not (narrow or whole or a_packed.dtype == core.float32):
        raise ValueError(f"smt.dot multiplies fp16, bf16, fp32, int8 and uint8, not {a_packed.dtype}")
    both_whole = whole and b_packed.dtype in (core.int8, core.uint8)
    if a_packed.dtype != b_packed.dtype and not both_whole and not (narrow and b_packed.dtype == core.float32):
        raise ValueError(f"a_packed and b_packed must have the same element type, got {a_packed.dtype} and {b_packed.dtype}")
    a, b = ([int(extent) for extent in block.shape] for block in (a_packed, b_packed))
    straight, transposed = (a[1], a[3]) == (b[0], b[2]), (a[1], a[3]) == (b[1], b[3])
    if not straight and not transposed:
        raise ValueError(f"the shapes {a} and {b} do not fit: B must be [{a[1]}, NB, {a[3]}, nb] or [NB, {a[1]}, nb, {a[3]}]")
    if straight and transposed:
        _warn_ambiguous()
    result = [a[0], b[1], a[2], b[3]] if straight else [a[0], b[0], a[2], b[2]]
    element = core.int32 if whole else a_packed.dtype
    type_ = core.block_type(element, result)
    operands = [a_packed, b_packed]
    if core._unwrap_if_constexpr(out) is not None:
        if not isinstance(out, core.tensor) or out.type != type_:
            raise ValueError(f"out must be {type_}, got {getattr(out, 'type', out)}")
        operands.append(out)
    if core.uint8 in (a_packed.dtype, b_packed.dtype):  # in the IR bytes have no sign
        operands[:2] = [_semantic.cast(operand, core.int16) for operand in operands[:2]]
    operands = [_semantic.cast(operand, b_packed.dtype if narrow else operand.dtype) for operand in operands]
    total = core.block_type(b_packed.dtype if narrow else element, result)
    return _semantic.cast(call(_generator, "mmt4d", operands, [total], {"transposed": not straight}), element)


def _dot_of_bytes(a: core.tensor, b: core.tensor, out: Any, semantic: Any) -> core.tensor:
    (rows, steps), (others, columns) = ([int(extent) for extent in block.shape] for block in (a, b))
    if not {a.dtype, b.dtype} <= {core.int8, core.uint8} or steps != others:
        raise ValueError(f"smt.dot multiplies plain blocks [M, K] and [K, N] of int8 and uint8, not {a.type} and {b.type}")
    type_ = core.block_type(core.int32, [rows, columns])
    if out is not None and (not isinstance(out, core.tensor) or out.type != type_):
        raise ValueError(f"out must be {type_}, got {getattr(out, 'type', out)}")
    start = semantic.full((rows, columns), 0, core.int32) if out is None else out
    if core.uint8 in (a.dtype, b.dtype):  # in the IR bytes have no sign
        a, b = (semantic.cast(block, core.int16) for block in (a, b))
    precision = semantic._str_to_dot_input_precision(semantic.builder.options.default_dot_input_precision)
    return core.tensor(semantic.builder.create_dot(a.handle, b.handle, start.handle, precision, 0), type_)


_warned: list[bool] = []


def _warn_ambiguous() -> None:
    if not _warned:
        _warned.append(True)
        warnings.warn("smt.dot: both layouts of B fit its shape; it is taken as [KB, NB, kb, nb]", stacklevel=2)


def _buffer(generator: Any, semantic: Any, shape: Sequence[int], type_: Any, storage: Any, copies: int) -> core.tensor:
    type_, storage = core._unwrap_if_constexpr(type_), core._unwrap_if_constexpr(storage)
    if storage not in STORAGES:
        raise ValueError(f"unknown storage {storage!r}; known: {', '.join(STORAGES)}")
    if not isinstance(type_, core.dtype):
        raise TypeError(f"expected an element type, got {type_!r}")
    size = copies
    for extent in shape:
        size *= extent
    return call(generator, "alloc", [], [core.pointer_type(type_)], {"size": size, "storage": storage})


def _pointer_to(base: core.tensor, shape: Sequence[int], semantic: Any) -> BlockPointer:
    """A block pointer to the contiguous block of `shape` at `base`."""
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent)
    zeros = block_pointer.scalars(semantic, [0] * len(shape), core.int32)
    extents, steps = (block_pointer.scalars(semantic, values, core.int64) for values in (shape, strides))
    return BlockPointer(base, extents, steps, zeros, shape)


@core.builtin
def alloc(shape, type=core.float32, storage="l2", _semantic=None, _generator=None):
    """A pointer to a block of `shape` in scratch memory of the program."""
    shape = integers(shape, None, "shape")
    return _pointer_to(_buffer(_generator, _semantic, shape, type, storage, 1), shape, _semantic)


class BuffersType(core.base_type):
    """Several scratch blocks of one shape, one behind the other."""

    def __init__(self, pointer_type: core.pointer_type, shape: Sequence[int], copies: int) -> None:
        self.pointer_type, self.shape, self.copies = pointer_type, list(shape), copies

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BuffersType) and (self.pointer_type, self.shape, self.copies) == (
            other.pointer_type,
            other.shape,
            other.copies,
        )

    def __hash__(self) -> int:
        return hash((str(self.pointer_type), tuple(self.shape), self.copies))

    @property
    def scalar(self) -> core.dtype:
        """What loads and stores ask of a pointer: here the mistake is named."""
        raise TypeError(f"there are {self.copies} buffers: take one of them by its index")

    def __str__(self) -> str:
        return f"buffers<{self.copies}x{self.shape}x{self.pointer_type.element_ty}>"

    def mangle(self) -> str:
        return f"buffers{self.pointer_type.mangle()}_{'x'.join(map(str, self.shape))}_{self.copies}"

    def _flatten_ir_types(self, builder: Any, out: list[Any]) -> None:
        self.pointer_type._flatten_ir_types(builder, out)

    def _unflatten_ir(self, handles: list[Any], cursor: int) -> tuple["Buffers", int]:
        base, cursor = self.pointer_type._unflatten_ir(handles, cursor)
        return Buffers(base, self.shape, self.copies), cursor


class Buffers(core.base_value):
    """What `alloc_copies` returns: `buffers[i]` points to one block, `i` a compile-time or runtime integer."""

    def __init__(self, base: core.tensor, shape: Sequence[int], copies: int) -> None:
        self.base = base
        self.type = BuffersType(base.type, shape, copies)

    def _set_name(self, builder: Any, name: str) -> None:
        self.base._set_name(builder, name)

    def _flatten_ir(self, handles: list[Any]) -> None:
        self.base._flatten_ir(handles)

    @core.builtin
    def __getitem__(self, index: Any, _semantic: Any = None) -> BlockPointer:
        known = core._unwrap_if_constexpr(index)
        if isinstance(known, int) and not 0 <= known < self.type.copies:
            raise IndexError(f"there are {self.type.copies} buffers; {known} is none of them")
        size = _semantic.to_tensor(math.prod(self.type.shape))
        offset = _semantic.mul(scalar(_semantic, index, "the index", core.int64), size, True)
        return _pointer_to(_semantic.add(self.base, offset, True), self.type.shape, _semantic)


@core.builtin
def alloc_copies(shape, dtype, storage="l2", copies=1, _semantic=None, _generator=None):
    """`copies` blocks of `shape`, `buffers[0]`, `buffers[1]`, ..."""
    shape = integers(shape, None, "shape")
    (copies,) = integers([copies], 1, "copies")
    return Buffers(_buffer(_generator, _semantic, shape, dtype, storage, copies), shape, copies)


@core.builtin
def compile_hint(tensor, name, value=None, _semantic=None, _generator=None):
    """An annotation of `tensor` that lowering may read: `mr` and `nr` of a product are the most rows and columns of its register tile."""
    name, value = core._unwrap_if_constexpr(name), core._unwrap_if_constexpr(value)
    if name not in HINTS:
        raise ValueError(f"unknown hint {name!r}; known: {', '.join(HINTS)}")
    if not isinstance(tensor, core.tensor):
        raise TypeError(f"a hint is on a tensor, got {tensor!r}")
    call(_generator, "annotation", [tensor], [], {"name": name, "value": int(integer(1 if value is None else value, "the hint's value"))})
