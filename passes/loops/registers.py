"""Vectors that fill whole registers of a chip with RISC-V's vectors of a known length: types, parts, loads and stores of them.

LLVM has scalable vectors for these. It counts 64 bits of each register, so that a type is known by the lanes that it has on the chip.
"""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import bits

VLMAX = -1  # as the active length of an intrinsic: all lanes
_DYNAMIC_ROUNDING, _UNDISTURBED = 7, 0  # as intrinsics have them: in the mode that is set; lanes behind the active ones stay
_COUNTED = 64  # bits of a register that LLVM counts


class Registers:
    """Emits ops on such vectors, where the builder stands."""

    def __init__(self, builder: Builder, vlen: int) -> None:
        self.b, self.vlen = builder, vlen

    def vector(self, element: ir.Type, lanes: int) -> ir.Type:
        """The type of so many lanes."""
        return ir.VectorType.get([lanes * _COUNTED // self.vlen], element, scalable=[True], loc=self.b.location)

    def lanes(self, element: ir.Type, registers: int = 1) -> int:
        """How many elements there are in so many registers."""
        return self.vlen * registers // bits(element)

    def op(
        self,
        name: str,
        result: ir.Type,
        operands: Sequence[Emitted],
        attributes: dict[str, ir.Attribute] | None = None,
        depth: int | None = None,
    ) -> Emitted:
        """An op at the end of scope `depth` (the innermost by default)."""
        b = self.b
        depth = b.depth if depth is None else depth
        return Emitted(b.create(name, [result], [o.value for o in operands], attributes, depth=depth).results[0], depth, 0)

    def call(self, name: str, result: ir.Type, operands: Sequence[Emitted]) -> Emitted:
        """A call of LLVM's intrinsic."""
        return self.op("llvm.call_intrinsic", result, operands, intrinsic(name, len(operands)))

    def poison(self, type_: ir.Type, depth: int | None = None) -> Emitted:
        return self.op("ub.poison", type_, [], {"value": ir.Attribute.parse("#ub.poison")}, depth)

    def splat(self, number: int, element: ir.Type, lanes: int) -> Emitted:
        """An integer in every lane."""
        type_ = self.vector(element, lanes)
        return self.b.constant_attribute(ir.DenseElementsAttr.get_splat(type_, ir.IntegerAttr.get(element, number)), type_)

    def broadcast(self, value: Emitted, element: ir.Type, lanes: int, depth: int | None = None) -> Emitted:
        """A scalar in every lane."""
        if value.constant is not None:
            return self.splat(value.constant, element, lanes)
        return self.op("vector.broadcast", self.vector(element, lanes), [value], depth=depth)

    def numbers(self, values: Sequence[int], element: ir.Type, depth: int | None = None) -> Emitted:
        """Integers, one in each lane."""
        b, type_ = self.b, self.vector(element, len(values))
        operands = [b.numbers(values, element), self.poison(type_, depth)]
        return self.op("vector.scalable.insert", type_, operands, {"pos": self._position(0)}, depth)

    def multiply_add(self, left: Emitted, right: Emitted, total: Emitted) -> Emitted:
        """`left * right + total` of float32 lanes, rounded once, in the registers of `total`."""
        operands = [total, left, right, self.b.immediate(_DYNAMIC_ROUNDING), self.b.constant(VLMAX), self.b.immediate(_UNDISTURBED)]
        return self.call("llvm.riscv.vfmacc", total.value.type, operands)

    def as_floats(self, value: Emitted, lanes: int, in_place: bool = True) -> Emitted:
        """Signed integers of 32 bits as float32, in the registers of `value` or in others."""
        type_ = self.vector(self.b.f32, lanes)
        old = self.cast(value, self.b.f32, lanes) if in_place else self.poison(type_)
        operands = [old, value, self.b.immediate(_DYNAMIC_ROUNDING), self.b.constant(VLMAX)]
        return self.call("llvm.riscv.vfcvt.f.x.v", type_, operands)

    def zeros(self, value: Emitted, in_place: bool = True) -> Emitted:
        """Zeros, made of the integers `value`: in their registers, or in others if LLVM likes them better."""
        old = value if in_place else self.poison(value.value.type)
        return self.call("llvm.riscv.vxor", value.value.type, [old, value, value, self.b.constant(VLMAX)])

    def part(self, value: Emitted, element: ir.Type, first: int, lanes: int) -> Emitted:
        """`lanes` lanes of a value from the lane `first` on: both whole registers or the whole value."""
        type_ = self.vector(element, lanes)
        if value.value.type == type_:
            return value
        return self.op("llvm.intr.vector.extract", type_, [value], {"pos": self._position(first)})

    def joined(self, parts: Sequence[Emitted], element: ir.Type, lanes: int) -> Emitted:
        """Parts of so many lanes each, one behind the other."""
        if len(parts) == 1:
            return parts[0]
        type_ = self.vector(element, lanes * len(parts))
        value = self.poison(type_)
        for number, part in enumerate(parts):
            value = self.op("llvm.intr.vector.insert", type_, [value, part], {"pos": self._position(number * lanes)})
        return value

    def cast(self, value: Emitted, element: ir.Type, lanes: int) -> Emitted:
        """The same bits as other lanes."""
        type_ = self.vector(element, lanes)
        return value if value.value.type == type_ else self.op("llvm.bitcast", type_, [value])

    def load(self, pointer: Emitted, element: ir.Type, lanes: int, alignment: int = 1, volatile: bool = False) -> Emitted:
        """Neighbours in memory."""
        attributes: dict[str, ir.Attribute] = {"alignment": ir.IntegerAttr.get(self.b.i64, alignment)}
        if volatile:
            attributes["volatile_"] = ir.UnitAttr.get()
        return self.op("llvm.load", self.vector(element, lanes), [pointer], attributes)

    def load_indexed(self, pointer: Emitted, places: Emitted, element: ir.Type, lanes: int) -> Emitted:
        """Elements at the `places`, in bytes from `pointer`."""
        type_ = self.vector(element, lanes)
        return self.call("llvm.riscv.vluxei", type_, [self.poison(type_), pointer, places, self.b.constant(VLMAX)])

    def store_indexed(self, pointer: Emitted, places: Emitted, value: Emitted) -> None:
        """Elements to the `places`, in bytes from `pointer`."""
        operands = [value, pointer, places, self.b.constant(VLMAX)]
        self.b.create("llvm.call_intrinsic", [], [o.value for o in operands], intrinsic("llvm.riscv.vsuxei", len(operands)))

    def _position(self, lane: int) -> ir.Attribute:
        """A lane as LLVM counts it."""
        return ir.IntegerAttr.get(self.b.i64, lane * _COUNTED // self.vlen)
