"""Views of pointers: where in memory the elements of a packed, repacked, unpacked or smaller block are."""

from collections.abc import Sequence
from typing import Any

from triton.language import core
from triton.language.extra.smt.calls import call

from triton_spacemit.backend.language.block_pointer import BlockPointer, BlockPointerType, scalars


class PointerViewType(BlockPointerType):
    """A block pointer whose block is not a strided one: `source` is the type of the pointer that it is a view of."""

    def __init__(self, source: BlockPointerType, block_shape: Sequence[int]) -> None:
        super().__init__(source.pointer_type, block_shape)
        self.source = source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PointerViewType) and super().__eq__(other) and self.source == other.source

    __hash__ = BlockPointerType.__hash__

    def mangle(self) -> str:
        return f"V{self.source.mangle()}_{'x'.join(map(str, self.block_shape))}V"

    def _flatten_ir_types(self, builder: Any, out: list[Any]) -> None:
        self.source._flatten_ir_types(builder, out)
        for _ in range(2):
            core.int32._flatten_ir_types(builder, out)

    def _unflatten_ir(self, handles: list[Any], cursor: int) -> tuple["PointerView", int]:
        source, cursor = self.source._unflatten_ir(handles, cursor)
        row, cursor = core.int32._unflatten_ir(handles, cursor)
        column, cursor = core.int32._unflatten_ir(handles, cursor)
        return PointerView(source, [row, column], self.block_shape), cursor


class PointerView(BlockPointer):
    """A pointer to the block of `block_shape` (2-D, or 4-D for tiles) at the logical `starts` of the matrix that `source` points to.

    As with every view, what lies outside of that matrix reads as zero; it is never written.
    """

    always_checked = True

    def __init__(self, source: BlockPointer, starts: Sequence[core.tensor], block_shape: Sequence[int]) -> None:
        super().__init__(source.base, list(source.shape), list(source.strides), list(source.offsets), source.block_shape)
        self.source, self.starts = source, core.tuple(starts)
        self.type = PointerViewType(source.type, block_shape)

    @classmethod
    def of(
        cls, base: BlockPointer, starts: Sequence[core.tensor], shape: Sequence[int], tile: Sequence[int] | None, semantic: Any
    ) -> "PointerView":
        """The view of `shape` logical elements in tiles of `tile`: [1, 1] for the 2-D form, None for the base's own form."""
        if len(base.block_shape) not in (2, 4):
            raise ValueError(f"view takes a pointer to a 2-D or packed 4-D block, got {base.type}")
        if tile is None:
            tile = base.block_shape[2:] or [1, 1]
        if isinstance(base, PointerView):
            starts = [semantic.add(own, start, True) for own, start in zip(base.starts, starts, strict=True)]
            base = base.source
        blocks = [-(-extent // size) for extent, size in zip(shape, tile, strict=True)]
        return cls(base, starts, list(shape) if list(tile) == [1, 1] else [*blocks, *tile])

    def _set_name(self, builder: Any, name: str) -> None:
        self.source._set_name(builder, name)
        self.starts._set_name(builder, f"{name}.starts")

    def _flatten_ir(self, handles: list[Any]) -> None:
        self.source._flatten_ir(handles)
        self.starts._flatten_ir(handles)

    def moved(self, offsets: Sequence[Any], semantic: Any) -> "PointerView":
        if len(offsets) != 2:
            raise ValueError(f"a view moves by 2 logical offsets, got {len(offsets)}")
        added = [semantic.add(own, offset, True) for own, offset in zip(self.starts, scalars(semantic, offsets, core.int32), strict=True)]
        return PointerView(self.source, added, self.block_shape)

    def located(self, semantic: Any) -> BlockPointer:
        """A pointer to a strided block with the same elements: in the view's own order, or in that of the source's matrix."""
        source, block = self.source, self.block_shape
        if len(source.block_shape) == 2:
            extents = block if len(block) == 2 else [blocks * size for blocks, size in zip(block[:2], block[2:], strict=True)]
            offsets = [semantic.add(own, start, True) for own, start in zip(source.offsets, self.starts, strict=True)]
            return BlockPointer(source.base, list(source.shape), list(source.strides), offsets, extents)
        if block[2:] != source.block_shape[2:]:
            return self
        tiles = [semantic.floordiv(start, semantic.to_tensor(size)) for start, size in zip(self.starts, block[2:], strict=True)]
        offsets = [semantic.add(own, tile, True) for own, tile in zip(source.offsets, tiles, strict=False)] + list(source.offsets)[2:]
        return BlockPointer(source.base, list(source.shape), list(source.strides), offsets, block)

    def from_located(self, block: core.tensor, semantic: Any, generator: Any) -> core.tensor:
        return self._call(generator, semantic, "pack", block, self.block_shape) if len(block.shape) != len(self.block_shape) else block

    def to_located(self, block: core.tensor, shape: Sequence[int], semantic: Any, generator: Any) -> core.tensor:
        block = semantic.broadcast_impl_shape(block, self.block_shape) if block.type.is_block() else semantic.splat(block, self.block_shape)
        return self._call(generator, semantic, "unpack", block, shape) if len(block.shape) != len(shape) else block

    def _call(self, generator: Any, semantic: Any, name: str, block: core.tensor, shape: Sequence[int]) -> core.tensor:
        zero = semantic.to_tensor(0)
        return call(generator, name, [block, zero, zero], [core.block_type(block.dtype, list(shape))], {})

    def pointers(self, semantic: Any, boundary_check: Sequence[int]) -> tuple[core.tensor, core.tensor | None]:
        pointers, mask = semantic.splat(self.base, self.block_shape), None
        for axis in range(2):
            index = self._logical(semantic, axis)
            offset, inside = self._located(semantic, axis, index)
            pointers = semantic.add(pointers, semantic.broadcast_impl_shape(offset, self.block_shape), True)
            if axis in boundary_check or axis + 2 in boundary_check:
                inside = semantic.broadcast_impl_shape(inside, self.block_shape)
                mask = inside if mask is None else semantic.and_(mask, inside)
        return pointers, mask

    def _logical(self, semantic: Any, axis: int) -> core.tensor:
        """The logical row (axis 0) or column (axis 1) of each element, of the block's rank with extents of 1 elsewhere."""
        rank, start = len(self.block_shape), semantic.cast(self.starts[axis], core.int64)

        def along(dimension: int, scale: int) -> core.tensor:
            vector = semantic.cast(semantic.arange(0, self.block_shape[dimension]), core.int64)
            vector = semantic.mul(vector, semantic.to_tensor(scale), True)
            for other in range(rank):
                if other != dimension:
                    vector = semantic.expand_dims(vector, other)
            return vector

        index = along(axis, 1 if rank == 2 else self.block_shape[axis + 2])
        if rank == 4:
            index = semantic.add(index, along(axis + 2, 1), True)
        return semantic.add(index, start, True)

    def _located(self, semantic: Any, axis: int, index: core.tensor) -> tuple[core.tensor, core.tensor]:
        """Offset in memory of the logical `index`, and whether it lies inside the source's parent."""
        source = self.source

        def part(value: core.tensor, dimension: int) -> tuple[core.tensor, core.tensor]:
            value = semantic.add(value, semantic.cast(source.offsets[dimension], core.int64), True)
            inside = semantic.and_(semantic.greater_equal(value, semantic.to_tensor(0)), semantic.less_than(value, source.shape[dimension]))
            return semantic.mul(value, source.strides[dimension], True), inside

        if len(source.block_shape) == 2:
            return part(index, axis)
        tile = semantic.to_tensor(source.block_shape[axis + 2])
        block, block_inside = part(semantic.floordiv(index, tile), axis)
        within, within_inside = part(semantic.mod(index, tile), axis + 2)
        return semantic.add(block, within, True), semantic.and_(block_inside, within_inside)
