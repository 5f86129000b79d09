"""Loads and stores of one vector (or one element) of a block access."""

from collections.abc import Callable
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.loops.addressing import Addressing
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinates, Tensor, bits, stored_type
from triton_spacemit.passes.loops.vector_memory import VectorMemory


class Memory(VectorMemory):
    """Finds where the lanes of an access lie and which are active, and loads or stores them."""

    def __init__(self, builder: Builder, chip: Chip, evaluate: Callable[[Tensor, Coordinates], Emitted]) -> None:
        super().__init__(builder, chip)
        self.evaluate = evaluate
        self.addressing = Addressing(builder, evaluate, chip.active_lengths)

    def load(self, access: Access, at: Coordinates, home: int) -> Emitted:
        """The lanes at coordinates, read no further out than in the scope of depth `home`."""
        b = self.b
        stored = stored_type(b, access.element)
        if stored != access.element:
            return self.from_stored(self.load(self.as_stored(access), at, home), access.element)
        condition, mask = self.addressing.active(access, at)
        pointer, width, stride, pointers = self.addressing.address(access, at)
        if width and pointers is None and stride.constant == 0 and mask is None:
            width = 0  # every lane reads the same element
        other = access.other
        if isinstance(other, Tensor):
            other = self.to_stored(self.evaluate(other, at)) if condition is not None or mask is not None else None
        elif other is not None:
            other = self.to_stored(other)
        if not width:
            if mask is not None:
                raise b.fail(access.op, "has a mask that varies where its address does not")  # cannot happen: width is kept then
            if condition is not None and other is not None and other.width:
                return self.one_or_others(pointer, access.element, condition, other)
            return self.scalar_load(pointer, access.element, condition, other, home)
        if condition is not None and self.chip.in_order and condition.depth == b.depth > (0 if mask is None else mask.depth):
            # it varies where the mask does not: a branch costs less than making a mask of both
            fill = b.broadcast(other or self.zero(access.element), width)

            def active() -> list[Emitted]:
                if mask is not None and self.are_unseen(access, at, mask):
                    return [self.unfilled(access, pointer, mask, width, b.depth)]
                return [self.lanes(access, (pointer, width, stride, pointers), mask, other, b.depth)]

            return b.if_else(condition, [(access.element, width)], active, lambda: [fill])[0]
        if condition is not None:
            mask = b.both(mask, condition) if mask is not None else b.broadcast(condition, width)
        elif mask is not None and self.are_unseen(access, at, mask):
            return self.unfilled(access, pointer, mask, width, home)
        return self.lanes(access, (pointer, width, stride, pointers), mask, other, home)

    def one_or_others(self, pointer: Emitted, element: ir.Type, condition: Emitted, others: Emitted) -> Emitted:
        """The same element in all lanes, or the lanes of `others`."""
        b = self.b

        def one() -> list[Emitted]:
            return [b.broadcast(self.scalar_load(pointer, element, None, None, b.depth), others.width)]

        return b.if_else(condition, [(element, others.width)], one, lambda: [others])[0]

    def are_unseen(self, access: Access, at: Coordinates, mask: Emitted) -> bool:
        """Whether nobody looks at the lanes that `mask` leaves out of neighbours: those behind the bound up to which the loop stores."""
        along = next(dim for dim, coordinate in enumerate(at) if coordinate.width)
        bound = at[along].seen
        if bound is None or access.upper[along].value != bound.value or access.index is not None or access.strides[along].constant != 1:
            return False
        return mask is self.addressing.below(at[along], bound)

    def unfilled(self, access: Access, pointer: Emitted, mask: Emitted, width: int, home: int) -> Emitted:
        """Neighbours by a mask; in other lanes is what was in the register."""
        b = self.b
        depth = max(home, pointer.depth, mask.depth)
        attributes, type_ = {"alignment": ir.IntegerAttr.get(b.i32, bits(access.element) // 8)}, b.vector_type(access.element, width)
        loaded = b.create("llvm.intr.masked.load", [type_], [pointer.value, mask.value], attributes, depth=depth).results[0]
        return Emitted(b.create("llvm.freeze", [type_], [loaded], depth=depth).results[0], depth, width)

    def lanes(
        self,
        access: Access,
        address: tuple[Emitted, int, Emitted | None, Emitted | None],
        mask: Emitted | None,
        other: Emitted | None,
        home: int,
    ) -> Emitted:
        """The lanes at an address, as `Addressing.address` gives it, that are active by the mask; `other` in the rest."""
        pointer, width, stride, pointers = address
        if pointers is not None:
            return self.gather(pointers, access.element, width, mask, other, home)
        if stride.constant is None and not access.has_neighbours:
            return self.any_stride_load(pointer, stride, access.element, width, mask, other)
        if stride.constant == 1:
            return self.contiguous_load(pointer, access.element, width, mask, other, home)
        return self.strided_load(pointer, stride, access.element, width, mask, other, home)

    def as_stored(self, access: Access) -> Access:
        return replace(access, element=stored_type(self.b, access.element))

    def ask_for_next(self, access: Access, at: Coordinates, to_write: bool = False) -> None:
        """Ask for the lanes at these coordinates of the next program's block."""
        assert access.next_program is not None
        pointer, width, *_ = self.addressing.address(access, at)
        self.prefetch(self.b.offset(pointer, access.next_program, self.b.i8), access.element, width, to_write)

    def store(self, access: Access, value: Emitted, at: Coordinates) -> None:
        b = self.b
        access, value = self.as_stored(access), self.to_stored(value)
        condition, mask = self.addressing.active(access, at)
        pointer, width, stride, pointers = self.addressing.address(access, at)
        if not width:
            self.b.when(condition, lambda: self.scalar_store(pointer, value))
            return
        if pointers is None and stride.constant == 0:
            # every active lane writes the same element: one of them does
            raise_lane = self.first_active(value, mask, width)
            self.b.when(b.both(condition, raise_lane[1]), lambda: self.scalar_store(pointer, raise_lane[0]))
            return
        value = b.broadcast(value, width)
        if condition is not None:
            mask = b.both(mask, condition) if mask is not None else b.broadcast(condition, width)
        streams = any(coordinate.streams for coordinate in at)
        if pointers is not None:
            self.scatter(pointers, value, mask, access.element)
        elif stride.constant is None and not access.has_neighbours:
            b.choose(
                b.compare("eq", stride, b.constant(1)),
                lambda: self.contiguous_store(pointer, value, mask, access.element, streams),
                lambda: self.strided_store(pointer, stride, value, mask, access.element),
            )
        elif stride.constant == 1:
            self.contiguous_store(pointer, value, mask, access.element, streams)
        else:
            self.strided_store(pointer, stride, value, mask, access.element)

    def first_active(self, value: Emitted, mask: Emitted | None, width: int) -> tuple[Emitted, Emitted | None]:
        """A lane that is active and whether there is one, as scalars; the last active lane, as a loop over them would leave."""
        b = self.b
        if not value.width and mask is None:
            return value, None
        if mask is None:
            return self.extract(value, b.constant(width - 1)), None
        lanes = b.select(mask, b.iota(width, b.i32), b.broadcast(b.constant(-1, b.i32), width))
        kind = ir.Attribute.parse("#vector.kind<maxsi>")
        last = Emitted(b.create("vector.reduction", [b.i32], [lanes.value], {"kind": kind}, depth=lanes.depth).results[0], lanes.depth, 0)
        any_ = b.compare("sge", last, b.constant(0, b.i32))
        position = b.maximum(b.cast_index(last, b.i64), b.constant(0))
        return self.extract(value, position), any_

    # Buffers

    def buffer_access(self, buffer: Buffer, op: ir.Operation | None) -> Access:
        b = self.b
        strides = [b.constant(s) for s in buffer.strides]
        extents = [b.constant(n) for n in buffer.shape]
        zeros = [b.constant(0) for _ in buffer.shape]
        return Access(buffer.base, strides, zeros, extents, None, 1, None, None, buffer.stored, buffer.shape, op)

    def read_buffer(self, buffer: Buffer, at: Coordinates, home: int) -> Emitted:
        value = self.load(self.buffer_access(buffer, None), at, home)
        return value if buffer.stored == buffer.element else self.from_stored(value, buffer.element)
