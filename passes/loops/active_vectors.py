"""Micro-tiles of one row: a scalar of A times a vector of B, in RISC-V's vectors with an active length."""

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import Request
from triton_spacemit.passes.loops.tensors import Buffer
from triton_spacemit.passes.loops.vectors import Vectors, holds

_DYNAMIC_ROUNDING, _UNDISTURBED = 7, 0


class ActiveVectors(Vectors):
    """The intrinsics of the V extension.

    Everything leaves the lanes behind the active ones as they were ("tail undisturbed"): then a sum and its register stay together, as does
    each new vector of B with the one before, and a tile that fills the register file needs no copy. The lengths of all instructions are
    equal, so one `vsetvli` serves the loop.
    """

    in_order = True

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        super().__init__(low, row, target, tile, None)
        scale = low.chip.vlen // 64  # LLVM's vscale
        factor = self.right
        self.held = ir.IntegerType.get_signless(16) if factor == low.b.bf16 else factor  # legalize-floats gives bfloat16 the type i16
        self.vector = {
            type_: ir.VectorType.get([self.n // scale], type_, scalable=[True], loc=low.b.location)
            for type_ in (factor, self.held, self.sums, self.stored)
        }
        self.active = low.b.cast_index(active or low.b.constant(self.n), low.b.i64)
        self.instruction = row.instruction

    @classmethod
    def refusal(cls, chip: Chip, row: MatrixTile, request: Request) -> str:
        _, columns = cls.register_tile(chip, row, request)
        if not holds(chip, columns):
            return f"{columns} columns do not fill a vector register by half"
        narrows = (request.stored, row.sums) == ("f16", "f32") and chip.native_float16
        if request.stored == row.sums or narrows:
            return ""
        return f"it stores no {request.stored}"

    def _call(self, name: str, result: ir.Type | None, operands: list[Emitted]) -> Emitted:
        b = self.low.b
        attributes = intrinsic(name, len(operands))
        op = b.create("llvm.call_intrinsic", [] if result is None else [result], [o.value for o in operands], attributes)
        return Emitted(op.results[0], b.depth, 0) if result is not None else operands[0]

    def zero(self) -> Emitted:
        return self._zero(self.sums)

    def _zero(self, element: ir.Type) -> Emitted:
        zero = ir.FloatAttr.get(element, 0.0) if isinstance(element, ir.FloatType) else ir.IntegerAttr.get(element, 0)
        type_ = self.vector[element]
        return self.low.b.constant_attribute(ir.DenseElementsAttr.get_splat(type_, zero), type_)

    def _vector(self, pointer: Emitted, element: ir.Type, previous: Emitted | None) -> Emitted:
        return self._call("llvm.riscv.vle", self.vector[element], [previous or self._poison(element), pointer, self.active])

    def _poison(self, element: ir.Type) -> Emitted:
        poison = self.low.b.create("ub.poison", [self.vector[element]], [], {"value": ir.Attribute.parse("#ub.poison")})
        return Emitted(poison.results[0], self.low.b.depth, 0)

    def load_sums(self, rows: list[Emitted]) -> Emitted:
        value = self._vector(rows[0], self.stored, None)
        if self.stored == self.sums:
            return value
        operands = [self._poison(self.sums), value, self.active]
        return self._call("llvm.riscv.vfwcvt.f.f.v", self.vector[self.sums], operands)

    def scaled(self, sums: Emitted, factor: Emitted) -> Emitted:
        operands = [self._poison(self.sums), sums, factor, self.low.b.immediate(_DYNAMIC_ROUNDING), self.active]
        return self._call("llvm.riscv.vfmul", self.vector[self.sums], operands)

    def store_sums(self, rows: list[Emitted], value: Emitted, left: Emitted | None = None) -> None:
        if self.stored != self.sums:
            operands = [self._poison(self.stored), value, self.low.b.immediate(_DYNAMIC_ROUNDING), self.active]
            value = self._call("llvm.riscv.vfncvt.f.f.w", self.vector[self.stored], operands)
        self._call("llvm.riscv.vse", None, [value, rows[0], self.active])

    def placeholders(self) -> list[Emitted]:
        return [self._poison(self.held)] * 2

    def load_right(self, pointer: Emitted, previous: Emitted | None = None) -> Emitted:
        return self._vector(pointer, self.held, previous)

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        mode = [self.low.b.immediate(_DYNAMIC_ROUNDING)] if isinstance(self.sums, ir.FloatType) else []
        if self.right == self.low.b.bf16:
            bits = self.low.b.op("arith.bitcast", self.held, [left])
            left, right = self._as_bfloat16(bits, self.right), self._as_bfloat16(right, self.vector[self.right])
        operands = [sums, left, right, *mode, self.active, self.low.b.immediate(_UNDISTURBED)]
        return self._call(self.instruction, self.vector[self.sums], operands)

    def _as_bfloat16(self, value: Emitted, type_: ir.Type) -> Emitted:
        b = self.low.b
        return Emitted(b.create("llvm.bitcast", [type_], [value.value], depth=value.depth).results[0], value.depth, value.width)
