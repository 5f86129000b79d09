"""Loads and stores of lanes at pointers: one element, neighbours (unit-stride), lanes a stride apart, lanes anywhere (indexed)."""

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.interleaved import interleaved_load, is_interleaved
from triton_spacemit.passes.loops.tensors import LINE, bits, stored_type


class VectorMemory:
    """Emits memory ops. Where lanes are inactive no memory is touched."""

    def __init__(self, builder: Builder, chip: Chip) -> None:
        self.b = builder
        self.chip = chip

    def alignment(self, element: ir.Type) -> ir.Attribute:
        return ir.IntegerAttr.get(self.b.i64, bits(element) // 8)

    def zero(self, element: ir.Type) -> Emitted:
        return self.b.constant(0, element)

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

    def any_of(self, mask: Emitted) -> Emitted:
        """Whether a lane is active, decided here rather than further out: few places ask."""
        kind = ir.Attribute.parse("#vector.kind<or>")
        found = self.b.create("vector.reduction", [self.b.i1], [mask.value], {"kind": kind}).results[0]
        return Emitted(found, self.b.depth, 0)

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

    def lane_pointers(self, pointer: Emitted, stride: Emitted, element: ir.Type, width: int) -> Emitted:
        lanes = self.b.op("arith.muli", self.b.i64, [self.b.iota(width, self.b.i64), stride], {"overflowFlags": self.b.nsw})
        return self.b.offset(pointer, lanes, element)

    # Loads: no further out than in the scope of depth `home`

    def scalar_load(
        self, pointer: Emitted, element: ir.Type, condition: Emitted | None, other: Emitted | None, home: int, volatile: bool = False
    ) -> Emitted:
        b = self.b
        depth = max(pointer.depth, home)
        if condition is None:
            attributes = {"alignment": self.alignment(element)} | ({"volatile_": ir.UnitAttr.get()} if volatile else {})
            value = b.create("llvm.load", [element], [pointer.value], attributes, depth=depth).results[0]
            return Emitted(value, depth, 0)
        fill = other or self.zero(element)
        (result,) = b.if_else(condition, [(element, 0)], lambda: [self.scalar_load(pointer, element, None, None, b.depth)], lambda: [fill])
        return result

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

    def prefetch(self, pointer: Emitted, element: ir.Type, width: int, to_write: bool = False) -> None:
        """Ask for so many elements, which may lie outside of all memory."""
        b = self.b
        attributes = {name: ir.IntegerAttr.get(b.i32, value) for name, value in (("rw", int(to_write)), ("hint", 3), ("cache", 1))}
        line = LINE * 8 // bits(element)
        for part in dict.fromkeys((*range(0, width, line), width - 1)):
            b.create("llvm.intr.prefetch", [], [b.offset(pointer, b.constant(part), element).value], attributes)

    # Stores: always at the innermost scope

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
