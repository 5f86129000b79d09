"""Between float32 and bfloat16 in one or two RISC-V instructions.

Rounding is a narrowing shift that rounds, or the conversion of Zvfbfmin. Widening is a product and a sum with twice as wide results, which
take half the time of operations on what is wide already.

Instructions of the V extension are LLVM's intrinsics on scalable vectors, into and out of which a vector of fixed length is put.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.math.builder import Builder, Lanes

_NEAREST_EVEN, _DYNAMIC = 1, 7  # of fixed-point and of floating-point rounding modes
_LARGEST = 16  # lanes of 32 bits a unit of LLVM's vscale in the largest group, m8
# The results of floating-point instructions of RISC-V: where they are NaN it is the canonical one, which rounds to a NaN.
_COMPUTED = {f"arith.{name}" for name in ("addf", "subf", "mulf", "divf", "extf", "truncf", "sitofp", "uitofp")} | {
    "math.fma",
    "vector.fma",
    "math.sqrt",
}


def rounded(b: Builder, x: Lanes) -> Lanes | None:
    """The bits of a float32 rounded to bfloat16 as i16, ties to even; None where there is no instruction for so many lanes."""
    vectors = _scalable(b, x.lanes)
    if vectors is None:
        return None
    if b.types.native_bfloat16:
        result = vectors.call("llvm.riscv.vfncvtbf16.f.f.w", "bf16", [vectors.put(x), vectors.number("i64", _DYNAMIC)])
        return vectors.take(vectors.bitcast(result, "i16"), "i16")
    operands = [vectors.put(x.bits()), vectors.number("i64", 16), vectors.number("i64", _NEAREST_EVEN)]
    top = vectors.take(vectors.call("llvm.riscv.vnclipu", "i16", operands), "i16")
    return top if _is_computed(x.value) else b.select(x.is_nan(), 0x7FC0, top)


def widened(b: Builder, bits: Lanes) -> Lanes | None:
    """The i16 `bits` of a bfloat16 as those of a float32 in i32; None where a shift is as good."""
    vectors = _scalable(b, bits.lanes)
    if vectors is None or b.types.native_bfloat16:
        return None
    narrow = vectors.put(bits)
    most = vectors.call("llvm.riscv.vwmulu", "i32", [narrow, vectors.number("i16", -1)])  # times 0xffff
    return vectors.take(vectors.call("llvm.riscv.vwaddu.w", "i32", [most, narrow]), "i32")


def _scalable(b: Builder, lanes: int) -> _Scalable | None:
    vlen = b.types.vlen
    count = lanes * 64 // vlen if vlen else 0
    return _Scalable(b, count, lanes) if 1 <= count <= _LARGEST and count * vlen == lanes * 64 else None


def _is_computed(value: ir.Value) -> bool:
    return not isinstance(value.owner, ir.Block) and value.owner.name in _COMPUTED


class _Scalable:
    """Emits operations on scalable vectors of `count` lanes a unit of vscale, `lanes` in all."""

    def __init__(self, b: Builder, count: int, lanes: int) -> None:
        self.b, self.count, self.lanes = b, count, lanes
        self.i64 = ir.IntegerType.get_signless(64)

    def type(self, kind: str) -> ir.Type:
        return ir.VectorType.get([self.count], ir.Type.parse(kind), scalable=[True], loc=self.b.location)

    def _create(self, name: str, type_: ir.Type, operands: Sequence[ir.Value], attributes: dict[str, ir.Attribute]) -> ir.Value:
        return ir.Operation.create(name, [type_], operands, attributes, None, 0, self.b.location, self.b.ip, False).result

    def _poison(self, kind: str) -> ir.Value:
        return self._create("ub.poison", self.type(kind), [], {"value": ir.Attribute.parse("#ub.poison")})

    def number(self, kind: str, value: int) -> ir.Value:
        """A constant argument, which some have to be of LLVM's own kind."""
        type_ = ir.Type.parse(kind)
        return self._create("llvm.mlir.constant", type_, [], {"value": ir.IntegerAttr.get(type_, value)})

    def put(self, x: Lanes) -> ir.Value:
        attributes = {"pos": ir.IntegerAttr.get(self.i64, 0)}
        return self._create("llvm.intr.vector.insert", self.type(x.kind), [self._poison(x.kind), x.value], attributes)

    def take(self, value: ir.Value, kind: str) -> Lanes:
        attributes = {"pos": ir.IntegerAttr.get(self.i64, 0)}
        fixed = self._create("llvm.intr.vector.extract", self.b.types.get(kind, self.lanes), [value], attributes)
        return Lanes(self.b, fixed, kind, self.lanes)

    def bitcast(self, value: ir.Value, kind: str) -> ir.Value:
        return self._create("llvm.bitcast", self.type(kind), [value], {})

    def call(self, name: str, kind: str, operands: Sequence[ir.Value]) -> ir.Value:
        """An instruction's result, in all lanes."""
        every = [self._poison(kind), *operands, self.number("i64", self.lanes)]
        return self._create("llvm.call_intrinsic", self.type(kind), every, intrinsic(name, len(every)))
