"""Loads and stores of one vector (or one element) of a block access."""

from collections.abc import Callable
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.addressing import Addressing
from triton_spacemit.passes.loops.builder import Builder, Emitted
from triton_spacemit.passes.loops.interleaved import interleaved_load, is_interleaved
from triton_spacemit.passes.loops.tensors import LINE, Access, Buffer, Coordinates, Tensor, bits, stored_type


class Memory:
    """Emits memory ops. Where lanes are inactive no memory is touched."""

    def __init__(self, builder: Builder, chip: Chip, evaluate: Callable[[Tensor, Coordinates], Emitted]) -> None:
        self.b = builder
        self.chip = chip
        self.evaluate = evaluate
        self.addressing = Addressing(builder, evaluate, chip.active_lengths)

    # Loads

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
            if mask is None:
                return self.scalar_load(pointer, access.element, condition, other, home)
            raise b.fail(access.op, "has a mask that varies where its address does not")  # cannot happen: width is kept then
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

    def any_stride_load(
        self, pointer: Emitted, stride: Emitted, element: ir.Type, width: int, mask: Emitted | None, other: Emitted | None
    ) -> Emitted:
        """Lanes whose distance is known at run time only: neighbours where it is 1, one element where it is 0."""
        b, types = self.b, [(element, width)]

        def neighbours() -> list[Emitted]:
            return [self.contiguous_load(pointer, element, width, mask, other, b.depth)]

        def one() -> list[Emitted]:
            if mask is None:
                return [self.scalar_load(pointer, element, None, None, b.depth)]
            value = self.scalar_load(pointer, element, self.any_of(mask), None, b.depth)
            return [b.select(mask, value, b.broadcast(other or self.zero(element), width))]

        def apart() -> list[Emitted]:
            return [self.strided_load(pointer, stride, element, width, mask, other, b.depth)]

        is_zero = b.compare("eq", stride, b.constant(0))
        is_one = b.compare("eq", stride, b.constant(1))
        return b.if_else(is_one, types, neighbours, lambda: b.if_else(is_zero, types, one, apart))[0]

    def any_of(self, mask: Emitted) -> Emitted:
        """Whether a lane is active, decided here rather than further out: few places ask."""
        kind = ir.Attribute.parse("#vector.kind<or>")
        found = self.b.create("vector.reduction", [self.b.i1], [mask.value], {"kind": kind}).results[0]
        return Emitted(found, self.b.depth, 0)

    def as_stored(self, access: Access) -> Access:
        return replace(access, element=stored_type(self.b, access.element))

    def to_stored(self, value: Emitted) -> Emitted:
        element = self.b.element(value)
        stored = stored_type(self.b, element)
        if stored == element:
            return value
        return self.b.op("arith.extui" if element == self.b.i1 else "arith.bitcast", stored, [value])

    def from_stored(self, value: Emitted, element: ir.Type) -> Emitted:
        b = self.b
        if element == b.i1:
            return b.compare("ne", value, b.broadcast(b.constant(0, b.i8), value.width))
        return b.op("arith.bitcast", element, [value])

    def lane_pointers(self, pointer: Emitted, stride: Emitted, element: ir.Type, width: int) -> Emitted:
        lanes = self.b.op("arith.muli", self.b.i64, [self.b.iota(width, self.b.i64), stride], {"overflowFlags": self.b.nsw})
        return self.b.offset(pointer, lanes, element)

    def scalar_load(
        self, pointer: Emitted, element: ir.Type, condition: Emitted | None, other: Emitted | None, home: int, volatile: bool = False
    ) -> Emitted:
        b = self.b
        depth = max(pointer.depth, home)
        if condition is None:
            attributes = {"alignment": self.alignment(element)} | ({"volatile_": ir.UnitAttr.get()} if volatile else {})
            value = b.create("llvm.load", [element], [pointer.value], attributes, depth=depth).results[0]
            return Emitted(value, depth, 0)
        vector_other = None if other is None or other.width else other
        if other is not None and other.width:
            raise ValueError("a vector of defaults for one element")
        fill = vector_other or self.zero(element)
        (result,) = b.if_else(condition, [(element, 0)], lambda: [self.scalar_load(pointer, element, None, None, b.depth)], lambda: [fill])
        return result

    def alignment(self, element: ir.Type) -> ir.Attribute:
        return ir.IntegerAttr.get(self.b.i64, bits(element) // 8)

    def zero(self, element: ir.Type) -> Emitted:
        return self.b.constant(0, element)

    def contiguous_load(
        self, pointer: Emitted, element: ir.Type, width: int, mask: Emitted | None, other: Emitted | None, home: int
    ) -> Emitted:
        b = self.b
        operands = [pointer] if mask is None else [pointer, mask, b.broadcast(other or self.zero(element), width)]
        depth = max(home, *(o.depth for o in operands))
        if mask is None:
            attributes, name = {"alignment": self.alignment(element)}, "llvm.load"
        else:
            attributes, name = {"alignment": ir.IntegerAttr.get(b.i32, bits(element) // 8)}, "llvm.intr.masked.load"
        value = b.create(name, [b.vector_type(element, width)], [o.value for o in operands], attributes, depth=depth).results[0]
        return Emitted(value, depth, width)

    def ask_for_next(self, access: Access, at: Coordinates, to_write: bool = False) -> None:
        """Ask for the lanes at these coordinates of the next program's block."""
        assert access.next_program is not None
        pointer, width, *_ = self.addressing.address(access, at)
        self.prefetch(self.b.offset(pointer, access.next_program, self.b.i8), access.element, width, to_write)

    def prefetch(self, pointer: Emitted, element: ir.Type, width: int, to_write: bool = False) -> None:
        """Ask for so many elements, which may lie outside of all memory."""
        b = self.b
        attributes = {name: ir.IntegerAttr.get(b.i32, value) for name, value in (("rw", int(to_write)), ("hint", 3), ("cache", 1))}
        line = LINE * 8 // bits(element)
        for part in dict.fromkeys((*range(0, width, line), width - 1)):
            b.create("llvm.intr.prefetch", [], [b.offset(pointer, b.constant(part), element).value], attributes)

    def strided_load(
        self, pointer: Emitted, stride: Emitted, element: ir.Type, width: int, mask: Emitted | None, other: Emitted | None, home: int
    ) -> Emitted:
        b = self.b
        if not self.chip.strided_accesses:
            if is_interleaved(stride.constant, element, width):
                return interleaved_load(self, pointer, stride.constant, element, width, mask, other, home)
            return self.gather(self.lane_pointers(pointer, stride, element, width), element, width, mask, other, home)
        size = b.mul(stride, b.constant(bits(element) // 8))
        all_lanes = b.broadcast(b.constant(1, b.i1), width) if mask is None else mask
        operands = [pointer, size, all_lanes, b.constant(width, b.i32)]
        depth = max(home, *(o.depth for o in operands))
        type_ = b.vector_type(element, width)
        value = b.create("llvm.intr.experimental.vp.strided.load", [type_], [o.value for o in operands], depth=depth).results[0]
        loaded = Emitted(value, depth, width)
        return loaded if mask is None else b.select(mask, loaded, b.broadcast(other or self.zero(element), width))

    def gather(self, pointers: Emitted, element: ir.Type, width: int, mask: Emitted | None, other: Emitted | None, home: int) -> Emitted:
        b = self.b
        if bits(element) < 32 and not self.chip.narrow_gathers:
            return self.narrow_gather(pointers, element, width, mask, other, home)
        all_lanes = b.broadcast(b.constant(1, b.i1), width) if mask is None else mask
        operands = [pointers, all_lanes, b.broadcast(other or self.zero(element), width)]
        depth = max(home, *(o.depth for o in operands))
        attributes = {"alignment": ir.IntegerAttr.get(b.i32, bits(element) // 8)}
        value = b.create(
            "llvm.intr.masked.gather", [b.vector_type(element, width)], [o.value for o in operands], attributes, depth=depth
        ).results[0]
        return Emitted(value, depth, width)

    def narrow_gather(
        self, pointers: Emitted, element: ir.Type, width: int, mask: Emitted | None, other: Emitted | None, home: int
    ) -> Emitted:
        """The lanes as parts of the 32 bits, aligned to their size, that each lies in: those are in the same page of memory."""
        b = self.b
        depth, integer = pointers.depth, ir.IntegerType.get_signless(bits(element))
        address = Emitted(b.create("llvm.ptrtoint", [b.vector_type(b.i64, width)], [pointers.value], depth=depth).results[0], depth, width)
        word = b.op("arith.andi", b.i64, [address, b.constant(-4)])
        words = Emitted(b.create("llvm.inttoptr", [b.vector_type(b.ptr, width)], [word.value], depth=depth).results[0], depth, width)
        byte = b.op("arith.andi", b.i32, [b.op("arith.trunci", b.i32, [address]), b.constant(3, b.i32)])
        shift = b.op("arith.shli", b.i32, [byte, b.constant(3, b.i32)])
        value = b.op("arith.trunci", integer, [b.op("arith.shrui", b.i32, [self.gather(words, b.i32, width, mask, None, home), shift])])
        if element != integer:
            value = b.op("arith.bitcast", element, [value])
        return value if mask is None else b.select(mask, value, b.broadcast(other or self.zero(element), width))

    # Stores: always at the innermost scope

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

    def strided_store(self, pointer: Emitted, stride: Emitted, value: Emitted, mask: Emitted | None, element: ir.Type) -> None:
        b = self.b
        if not self.chip.strided_accesses:
            self.scatter(self.lane_pointers(pointer, stride, element, value.width), value, mask, element)
            return
        size = b.mul(stride, b.constant(bits(element) // 8))
        lanes = b.broadcast(b.constant(1, b.i1), value.width) if mask is None else mask
        operands = [value, pointer, size, lanes, b.constant(value.width, b.i32)]
        b.create("llvm.intr.experimental.vp.strided.store", [], [o.value for o in operands])

    def scatter(self, pointers: Emitted, value: Emitted, mask: Emitted | None, element: ir.Type) -> None:
        b = self.b
        lanes = b.broadcast(b.constant(1, b.i1), value.width) if mask is None else mask
        if self.chip.active_lengths:
            self.indexed_store(pointers, value, lanes)
            return
        attributes = {"alignment": ir.IntegerAttr.get(b.i32, bits(element) // 8)}
        b.create("llvm.intr.masked.scatter", [], [value.value, pointers.value, lanes.value], attributes)

    def indexed_store(self, pointers: Emitted, value: Emitted, lanes: Emitted) -> None:
        """A scatter by the intrinsic with an active length.

        `llvm.masked.scatter` is wrong on RISC-V: where the places are constants that permute a block, LLVM 22 makes it a contiguous store
        of the shuffled value, and shuffles by the inverse permutation.
        """
        b = self.b
        integers = b.vector_type(ir.IntegerType.get_signless(bits(b.element(value))), value.width)
        if value.value.type != integers:  # the intrinsic's name has the type, and not every chip keeps that of narrow floats
            value = Emitted(b.create("llvm.bitcast", [integers], [value.value]).results[0], b.depth, value.width)
        operands = [value, pointers, lanes, b.constant(value.width, b.i32)]
        b.create("llvm.call_intrinsic", [], [o.value for o in operands], intrinsic("llvm.vp.scatter", len(operands)))

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

    def extract(self, value: Emitted, position: Emitted) -> Emitted:
        b = self.b
        if not value.width:
            return value
        depth = max(value.depth, position.depth)
        element = b.element(value)
        if position.constant is not None:
            attributes = {"static_position": ir.DenseI64ArrayAttr.get([position.constant])}
            result = b.create("vector.extract", [element], [value.value], attributes, depth=depth).results[0]
        else:
            result = b.create("llvm.extractelement", [element], [value.value, position.value], depth=depth).results[0]
        return Emitted(result, depth, 0)

    def scalar_store(self, pointer: Emitted, value: Emitted) -> None:
        self.b.create("llvm.store", [], [value.value, pointer.value], {"alignment": self.alignment(self.b.element(value))})

    def contiguous_store(self, pointer: Emitted, value: Emitted, mask: Emitted | None, element: ir.Type, streams: bool = False) -> None:
        b = self.b
        if mask is None:
            attributes = {"alignment": self.alignment(element)}
            if streams:
                if isinstance(element, ir.F16Type):
                    value = b.op("arith.bitcast", ir.IntegerType.get_signless(16), [value])  # LLVM knows no such stores of it
                attributes = {"alignment": ir.IntegerAttr.get(b.i64, LINE), "nontemporal": ir.UnitAttr.get()}
            b.create("llvm.store", [], [value.value, pointer.value], attributes)
        else:
            if not self.chip.is_riscv and bits(element) <= 32 and not isinstance(element, ir.F16Type | ir.F32Type):
                value, mask = self.fenced(value, mask)
            attributes = {"alignment": ir.IntegerAttr.get(b.i32, bits(element) // 8)}
            b.create("llvm.intr.masked.store", [], [value.value, pointer.value, mask.value], attributes)

    def fenced(self, value: Emitted, mask: Emitted) -> tuple[Emitted, Emitted]:
        """Value and mask of a masked store behind a fence that LLVM does not look through; it costs no instruction.

        LLVM 22 merges a store with the truncation of its value. Where it then finds that the mask has one active lane, which may be long
        after this, it stores the whole element from before the truncation, over what lies behind it (AVX-512).
        """
        b = self.b
        size = bits(b.element(value))
        if value.width * size < 32:  # a fence takes floats
            value, mask = b.shuffle(value, value, [0, 1, 1, 1]), b.shuffle(mask, b.broadcast(b.constant(0, b.i1), 2), [0, 1, 2, 2])
        width = value.width
        floats = b.vector_type(b.f32, width * size // 32)
        integers = b.vector_type(ir.IntegerType.get_signless(size), width)
        inside = b.create("llvm.bitcast", [floats], [value.value]).results[0]
        fence = b.create("llvm.intr.arithmetic.fence", [floats], [inside]).results[0]
        return Emitted(b.create("llvm.bitcast", [integers], [fence]).results[0], b.depth, width), mask

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
