"""Instructions of RISC-V's V extension by LLVM's intrinsics, whose vectors are scalable: others are put into them, and taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes

_LARGEST = 16  # lanes of 32 bits a unit of LLVM's vscale in the largest group, m8
# The results of floating-point instructions of RISC-V: where they are NaN it is the canonical one, which is positive.
_COMPUTED = {f"arith.{name}" for name in ("addf", "subf", "mulf", "divf", "extf", "truncf", "sitofp", "uitofp")} | {
    "math.fma",
    "vector.fma",
    "math.sqrt",
}


def repeated_number(value: ir.Value) -> float | None:
    """The number that all lanes of a float value are, where that is known."""
    while (spread := producer_of(value, "vector.broadcast")) is not None:
        value = spread.operands[0]
    number = constant_of(value)
    return number.value if isinstance(number, ir.FloatAttr) else None


def is_computed(value: ir.Value) -> bool:
    """Whether a float is the result of an instruction that makes every NaN the canonical one.

    Sums with 0 and products with 1 or -1 are not: LLVM makes the operand of them, or its negative. It does not of +0 less an operand.
    """
    op = producer_of(value, *_COMPUTED)
    if op is None:
        return False
    numbers = [repeated_number(operand) for operand in op.operands][:2]  # what is added to a product is no matter
    if op.name == "arith.subf" and numbers[0] == 0 and math.copysign(1, numbers[0]) == 1:
        return True
    return not any(number in (0, 1, -1) for number in numbers)


def scalable(b: Builder, lanes: int) -> Scalable | None:
    """For vectors of 32 bits with so many lanes; None where there are no such instructions for them."""
    vlen = b.types.vlen
    count = lanes * 64 // vlen if vlen else 0
    return Scalable(b, count, lanes) if 1 <= count <= _LARGEST and count * vlen == lanes * 64 else None


class Scalable:
    """Emits operations on scalable vectors of `count` lanes a unit of vscale, `lanes` in all."""

    def __init__(self, b: Builder, count: int, lanes: int) -> None:
        self.b, self.count, self.lanes = b, count, lanes
        self.i64 = ir.IntegerType.get_signless(64)

    def type(self, kind: str) -> ir.Type:
        return ir.VectorType.get([self.count], ir.Type.parse(kind), scalable=[True], loc=self.b.location)

    def _create(self, name: str, type_: ir.Type, operands: Sequence[ir.Value], attributes: dict[str, ir.Attribute]) -> ir.Value:
        return ir.Operation.create(name, [type_], operands, attributes, None, 0, self.b.location, self.b.ip, False).result

    def poison(self, kind: str) -> ir.Value:
        """What a result is merged into where all of its lanes are new."""
        return self._create("ub.poison", self.type(kind), [], {"value": ir.Attribute.parse("#ub.poison")})

    def number(self, kind: str, value: int) -> ir.Value:
        """A constant argument, which some have to be of LLVM's own kind."""
        type_ = ir.Type.parse(kind)
        return self._create("llvm.mlir.constant", type_, [], {"value": ir.IntegerAttr.get(type_, value)})

    def put(self, x: Lanes) -> ir.Value:
        attributes = {"pos": ir.IntegerAttr.get(self.i64, 0)}
        return self._create("llvm.intr.vector.insert", self.type(x.kind), [self.poison(x.kind), x.value], attributes)

    def take(self, value: ir.Value, kind: str) -> Lanes:
        attributes = {"pos": ir.IntegerAttr.get(self.i64, 0)}
        fixed = self._create("llvm.intr.vector.extract", self.b.types.get(kind, self.lanes), [value], attributes)
        return Lanes(self.b, fixed, kind, self.lanes)

    def bitcast(self, value: ir.Value, kind: str) -> ir.Value:
        return self._create("llvm.bitcast", self.type(kind), [value], {})

    def call(self, name: str, kind: str, operands: Sequence[ir.Value]) -> ir.Value:
        """An instruction's result, in all lanes."""
        every = [self.poison(kind), *operands, self.number("i64", self.lanes)]
        return self._create("llvm.call_intrinsic", self.type(kind), every, intrinsic(name, len(every)))

    def accumulate(self, name: str, kind: str, operands: Sequence[ir.Value]) -> ir.Value:
        """The same of an instruction that adds to its first operand."""
        every = [*operands, self.number("i64", self.lanes), self.number("i64", _ALL_NEW)]
        return self._create("llvm.call_intrinsic", self.type(kind), every, intrinsic(name, len(every)))


_ALL_NEW = 3  # LLVM's policy: lanes behind the active ones, and masked ones, may be anything
