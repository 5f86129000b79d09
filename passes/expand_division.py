"""Divide vectors of integers by way of floats, on chips without an instruction for it: LLVM would divide lane by lane, with code for each.

What is divided by zero, or overflows, has been taken out before (guard-division). A constant divisor is left to LLVM, which multiplies.

Up to 32 bits the rounded quotient of floats with more than twice as many digits, cut off, is exact: two quotients that are not equal lie
further apart than it is rounded by. 64 bits take two steps. In each, what is left is divided by way of float64 and the quotient is made
smaller by a little more than it can be too large, so that what is left stays positive. The first leaves at most the divisor and 2^15, the
second less than twice the divisor, which one comparison settles.

```mlir
module attributes {xsmt.chip = "host"} {
  func.func @divide(%x: vector<8xi32>, %y: vector<8xi32>) -> vector<8xi32> {
    %q = arith.divsi %x, %y : vector<8xi32>
    return %q : vector<8xi32>
  }
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import chip_of
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.math.builder import Builder, walk
from triton_spacemit.passes.math.lanes import Lanes, Types

_SIGNED = ("arith.divsi", "arith.remsi")
_UNSIGNED = ("arith.divui", "arith.remui")
_FLOATS = {"i8": "f32", "i16": "f32", "i32": "f64"}
_A_LITTLE_LESS = 1 - 2.0**-50  # of a quotient that four roundings, each by 2^-53 of it, may have made too large


def expand_division(module: ir.Module) -> None:
    """A no-op where the chip divides vectors."""
    chip = chip_of(module)
    if chip.vector_division:
        return
    with module.context, module.operation.location:
        types = Types(riscv=chip.is_riscv)

        def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
            if op.name not in _SIGNED + _UNSIGNED or not isinstance(op.result.type, ir.VectorType):
                return
            if constant_of(op.operands[1]) is None and types.describe(op.result.type)[0] in (*_FLOATS, "i64"):
                op.result.replace_all_uses_with(_result(op, Builder(types, entry, constants, op)).value)
                op.erase()

        walk(module, visit)


def _result(op: ir.Operation, b: Builder) -> Lanes:
    x, y = (b.lanes(operand) for operand in op.operands)
    signed, remains = op.name in _SIGNED, op.name.startswith("arith.rem")
    if x.kind == "i64":
        quotient, rest = _signed_64(b, x, y) if signed else _unsigned_64(b, x, y)
        return rest if remains else quotient
    quotient = _narrow(x, y, signed)
    return x - quotient * y if remains else quotient


def _narrow(x: Lanes, y: Lanes, signed: bool) -> Lanes:
    """A quotient of up to 32 bits."""
    kind = _FLOATS[x.kind]
    if signed:
        return (x.to(kind) / y.to(kind)).to(x.kind)
    return (x.unsigned_to(kind) / y.unsigned_to(kind)).to_unsigned(x.kind)


def _unsigned_64(b: Builder, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """Quotient and remainder."""
    divisor = y.unsigned_to("f64")

    def step(rest: Lanes) -> tuple[Lanes, Lanes]:
        """A quotient that is not too large, and what it leaves."""
        quotient = (rest.unsigned_to("f64") / divisor * _A_LITTLE_LESS).to_unsigned("i64")
        return quotient, rest - quotient * y

    first, rest = step(x)
    second, rest = step(rest)
    again = rest.compare("uge", y)
    return first + second + again.unsigned_to("i64"), b.select(again, rest - y, rest)


def _signed_64(b: Builder, x: Lanes, y: Lanes) -> tuple[Lanes, Lanes]:
    """The same of magnitudes; a remainder has the sign of what is divided."""
    quotient, rest = _unsigned_64(b, b.select(x < 0, -x, x), b.select(y < 0, -y, y))
    return b.select((x ^ y) < 0, -quotient, quotient), b.select(x < 0, -rest, rest)
