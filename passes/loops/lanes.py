"""The vector instructions of a register tile: vectors of fixed length, or RISC-V's with an active length."""

from typing import Protocol

from torch_mlir import ir

from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import convert
from triton_spacemit.passes.loops.lowering import Lowering


class Lanes(Protocol):
    """One row's vector operations: `factor` is the type of A and B, `accumulate` that of the sums, `stored` that of C in memory."""

    in_order: bool  # whether operands should be loaded well before they are multiplied

    def zero(self) -> Emitted: ...

    def load_sum(self, pointer: Emitted) -> Emitted: ...

    def store_sum(self, pointer: Emitted, value: Emitted) -> None: ...

    def nothing(self) -> list[Emitted]:
        """What a loop over k has to carry besides the sums: what takes the place of vectors of B before there are any."""

    def load_factor(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        """A vector of B, in the register of `previous` if that is given."""

    def multiply_add(self, scalar: Emitted, vector: Emitted, total: Emitted) -> Emitted: ...

    def seen(self, vector: Emitted, carried: list[Emitted]) -> list[Emitted]:
        """What the loop carries besides the sums, after a step with this vector of B."""

    def finished(self, total: Emitted, carried: list[Emitted]) -> Emitted:
        """A sum, given what the loop carried at its end."""


class FixedLanes:
    """Vectors of `count` lanes; where `active` is given, only so many of B are read (by a mask)."""

    in_order = False

    def __init__(self, low: Lowering, count: int, factor: ir.Type, accumulate: ir.Type, stored: ir.Type, active: Emitted | None) -> None:
        self.low, self.width = low, count if count > 1 else 0
        self.factor, self.accumulate, self.stored = factor, accumulate, stored
        b = low.b
        self.mask = None
        if active is not None and self.width:
            self.mask = b.compare("slt", b.iota(count, b.i32), b.cast_index(active, b.i32))

    def zero(self) -> Emitted:
        b = self.low.b
        return b.broadcast(b.constant(0, self.accumulate), self.width)

    def _load(self, pointer: Emitted, element: ir.Type, mask: Emitted | None) -> Emitted:
        memory, depth = self.low.memory, self.low.b.depth
        if self.width:
            return memory.contiguous_load(pointer, element, self.width, mask, None, depth)
        return memory.scalar_load(pointer, element, None, None, depth)

    def load_sum(self, pointer: Emitted) -> Emitted:
        return convert(self.low, self._load(pointer, self.stored, None), self.accumulate)

    def store_sum(self, pointer: Emitted, value: Emitted) -> None:
        value = convert(self.low, value, self.stored)
        if self.width:
            self.low.memory.contiguous_store(pointer, value, None, self.stored)
        else:
            self.low.memory.scalar_store(pointer, value)

    def nothing(self) -> list[Emitted]:
        return []

    def load_factor(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._load(pointer, self.factor, self.mask)

    def multiply_add(self, scalar: Emitted, vector: Emitted, total: Emitted) -> Emitted:
        b = self.low.b
        scalar, vector = convert(self.low, scalar, self.accumulate), convert(self.low, vector, self.accumulate)
        if isinstance(self.accumulate, ir.FloatType):
            return b.op("math.fma", self.accumulate, [scalar, vector, total])
        return b.op("arith.addi", self.accumulate, [b.op("arith.muli", self.accumulate, [scalar, vector]), total])

    def seen(self, vector: Emitted, carried: list[Emitted]) -> list[Emitted]:
        return carried

    def finished(self, total: Emitted, carried: list[Emitted]) -> Emitted:
        return total


class GroupedLanes(FixedLanes):
    """Vectors of sums each of which gains `DEPTH` products at once: a scalar and a lane of B are so many factors along k, in 32 bits."""

    DEPTH: int
    INTRINSIC: str
    PART = 16  # lanes of one instruction

    def __init__(self, low: Lowering, count: int, factor: ir.Type, accumulate: ir.Type) -> None:
        super().__init__(low, count, low.b.i32, accumulate, accumulate, None)
        self.factors = ir.VectorType.get([self.DEPTH * self.PART], factor, loc=low.b.location)

    def multiply_add(self, scalar: Emitted, vector: Emitted, total: Emitted) -> Emitted:
        b = self.low.b
        left = self._as_factors(b.broadcast(scalar, self.PART))
        parts = []
        for start in range(0, self.width, self.PART):
            sums, right = self._part(total, start), self._as_factors(self._part(vector, start))
            op = b.create("llvm.call_intrinsic", [sums.value.type], [sums.value, left, right], intrinsic(self.INTRINSIC, 3))
            parts.append(Emitted(op.results[0], b.depth, self.PART))
        return parts[0] if len(parts) == 1 else b.shuffle(parts[0], parts[1], range(self.width))

    def _part(self, vector: Emitted, start: int) -> Emitted:
        return vector if self.width == self.PART else self.low.b.shuffle(vector, vector, range(start, start + self.PART))

    def _as_factors(self, value: Emitted) -> ir.Value:
        return self.low.b.create("llvm.bitcast", [self.factors], [value.value], depth=value.depth).results[0]


class QuadLanes(GroupedLanes):
    """Four products of bytes at once (AVX-512 VNNI's `vpdpbusd`).

    It multiplies unsigned bytes by signed ones. A's are stored 128 above what they are; the loop carries 128 times the sums of B's columns,
    which come off at the end.
    """

    DEPTH, INTRINSIC = 4, "llvm.x86.avx512.vpdpbusd.512"

    def __init__(self, low: Lowering, count: int) -> None:
        super().__init__(low, count, low.b.i8, low.b.i32)

    def nothing(self) -> list[Emitted]:
        return [self.zero()]

    def seen(self, vector: Emitted, carried: list[Emitted]) -> list[Emitted]:
        all_128 = self.low.b.constant(-0x7F7F7F80, self.low.b.i32)
        return [self.multiply_add(all_128, vector, carried[0])]

    def finished(self, total: Emitted, carried: list[Emitted]) -> Emitted:
        return self.low.b.op("arith.subi", self.accumulate, [total, carried[0]])


class PairLanes(GroupedLanes):
    """Two products of bfloat16 at once (AVX-512 BF16's `vdpbf16ps`), which takes subnormal numbers for zeros."""

    DEPTH, INTRINSIC = 2, "llvm.x86.avx512bf16.dpbf16ps.512"

    def __init__(self, low: Lowering, count: int) -> None:
        super().__init__(low, count, low.b.bf16, low.b.f32)


GROUPED = {lanes.DEPTH: lanes for lanes in (QuadLanes, PairLanes)}


class ActiveLanes:
    """RISC-V vectors of `active` lanes, by the intrinsics of the V extension.

    Everything leaves the lanes behind the active ones as they were ("tail undisturbed"): then a sum and its register stay together, as does
    each new vector of B with the one before, and a tile that fills the register file needs no copy. The lengths of all instructions are
    equal, so one `vsetvli` serves the loop.
    """

    # (factor, accumulate) -> multiply-add, and whether it takes a rounding mode
    MULTIPLY = {
        ("f32", "f32"): ("llvm.riscv.vfmacc", True),
        ("f64", "f64"): ("llvm.riscv.vfmacc", True),
        ("f16", "f16"): ("llvm.riscv.vfmacc", True),
        ("f16", "f32"): ("llvm.riscv.vfwmacc", True),
        ("bf16", "f32"): ("llvm.riscv.vfwmaccbf16", True),
        ("i16", "i32"): ("llvm.riscv.vwmacc", False),
        ("i32", "i32"): ("llvm.riscv.vmacc", False),
    }
    DYNAMIC_ROUNDING, UNDISTURBED = 7, 0
    in_order = True

    def __init__(self, low: Lowering, count: int, factor: ir.Type, accumulate: ir.Type, stored: ir.Type, active: Emitted) -> None:
        self.low = low
        scale = low.chip.vlen // 64  # LLVM's vscale
        held = ir.IntegerType.get_signless(16) if factor == low.b.bf16 else factor  # legalize-floats gives bfloat16 the type i16
        self.vector = {
            type_: ir.VectorType.get([count // scale], type_, scalable=[True], loc=low.b.location)
            for type_ in (factor, held, accumulate, stored)
        }
        self.factor, self.held, self.accumulate, self.stored = factor, held, accumulate, stored
        self.active = low.b.cast_index(active, low.b.i64)
        self.name, self.rounds = self.MULTIPLY[str(factor), str(accumulate)]

    @classmethod
    def fits(cls, low: Lowering, count: int, factor: ir.Type, accumulate: ir.Type, stored: ir.Type) -> bool:
        known = (str(factor), str(accumulate)) in cls.MULTIPLY
        kept = stored == accumulate or (stored == low.b.f16 and accumulate == low.b.f32 and low.chip.native_float16)
        return low.chip.active_lengths and count * 64 >= low.chip.vlen and kept and known

    def _call(self, name: str, result: ir.Type | None, operands: list[Emitted]) -> Emitted:
        b = self.low.b
        attributes = intrinsic(name, len(operands))
        op = b.create("llvm.call_intrinsic", [] if result is None else [result], [o.value for o in operands], attributes)
        return Emitted(op.results[0], b.depth, 0) if result is not None else operands[0]

    def zero(self) -> Emitted:
        return self._zero(self.accumulate)

    def _zero(self, element: ir.Type) -> Emitted:
        zero = ir.FloatAttr.get(element, 0.0) if isinstance(element, ir.FloatType) else ir.IntegerAttr.get(element, 0)
        type_ = self.vector[element]
        return self.low.b.constant_attribute(ir.DenseElementsAttr.get_splat(type_, zero), type_)

    def _load(self, pointer: Emitted, element: ir.Type, previous: Emitted | None) -> Emitted:
        return self._call("llvm.riscv.vle", self.vector[element], [previous or self._poison(element), pointer, self.active])

    def _poison(self, element: ir.Type) -> Emitted:
        poison = self.low.b.create("ub.poison", [self.vector[element]], [], {"value": ir.Attribute.parse("#ub.poison")})
        return Emitted(poison.results[0], self.low.b.depth, 0)

    def load_sum(self, pointer: Emitted) -> Emitted:
        value = self._load(pointer, self.stored, None)
        if self.stored == self.accumulate:
            return value
        operands = [self._poison(self.accumulate), value, self.active]
        return self._call("llvm.riscv.vfwcvt.f.f.v", self.vector[self.accumulate], operands)

    def store_sum(self, pointer: Emitted, value: Emitted) -> None:
        if self.stored != self.accumulate:
            operands = [self._poison(self.stored), value, self._number(self.DYNAMIC_ROUNDING), self.active]
            value = self._call("llvm.riscv.vfncvt.f.f.w", self.vector[self.stored], operands)
        self._call("llvm.riscv.vse", None, [value, pointer, self.active])

    def nothing(self) -> list[Emitted]:
        return [self._zero(self.held)] * 2

    def load_factor(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._load(pointer, self.held, previous)

    def multiply_add(self, scalar: Emitted, vector: Emitted, total: Emitted) -> Emitted:
        mode = [self._number(self.DYNAMIC_ROUNDING)] if self.rounds else []
        if self.factor == self.low.b.bf16:
            bits = self.low.b.op("arith.bitcast", self.held, [scalar])
            scalar, vector = self._as_bfloat16(bits, self.factor), self._as_bfloat16(vector, self.vector[self.factor])
        operands = [total, scalar, vector, *mode, self.active, self._number(self.UNDISTURBED)]
        return self._call(self.name, self.vector[self.accumulate], operands)

    def seen(self, vector: Emitted, carried: list[Emitted]) -> list[Emitted]:
        return carried

    def finished(self, total: Emitted, carried: list[Emitted]) -> Emitted:
        return total

    def _as_bfloat16(self, value: Emitted, type_: ir.Type) -> Emitted:
        b = self.low.b
        return Emitted(b.create("llvm.bitcast", [type_], [value.value], depth=value.depth).results[0], value.depth, value.width)

    def _number(self, value: int) -> Emitted:
        """An immediate argument."""
        b = self.low.b
        key = ("immediate", value)
        known = b.scopes[0].known
        if key not in known:
            attribute = {"value": ir.IntegerAttr.get(b.i64, value)}
            constant = ir.Operation.create("llvm.mlir.constant", [b.i64], [], attribute, None, 0, b.location, b.entry_ip(), False)
            known[key] = Emitted(constant.results[0], 0, 0)
        return known[key]
