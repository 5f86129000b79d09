"""Compute bfloat16 and float8 in float32.

In: `arith`, `math`, `vector` and `tt.fp_to_fp` on any float type. Out: no `tt.fp_to_fp`, and arithmetic is done in types that the chip
computes in: on narrower ones in float32, rounded after each op, to nearest even (or towards zero where `tt.fp_to_fp` asks for that); so is
float16's on chips without it. A conversion from float64 rounds once. Values keep their types, which `retype-narrow-floats` then changes.
What is too large for f8E4M3FN or f8E5M2 becomes the largest number, infinity too, as Triton wants it; as in PyTorch, NaN in the other
types; rounding towards zero gives the largest number in each. On RISC-V vectors of bfloat16 are rounded and widened by instructions of
the V extension (`math/bfloat16.py`).

```mlir
func.func @add(%x: vector<8xbf16>, %y: vector<8xbf16>) -> vector<8xbf16> {
  %a = arith.addf %x, %y : vector<8xbf16>
  return %a : vector<8xbf16>
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import chip_of
from triton_spacemit.passes.math.builder import Builder, walk
from triton_spacemit.passes.math.lanes import Lanes, Types
from triton_spacemit.passes.math.narrow_floats import FORMATS, narrow, storage_of, widen
from triton_spacemit.passes.rewriting import attributes_of

_TOWARDS_ZERO = 0  # tt.fp_to_fp's `rounding`
# Results that are one of the operands, up to their sign: narrowing them rounds nothing.
_EXACT = {"arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf", "arith.negf", "math.absf", "math.copysign"}
_CHOOSING = {"arith.maxnumf": "gt", "arith.minnumf": "lt"}
_UNTOUCHED = {"arith.constant", "arith.select", "arith.bitcast"}
# Ops whose operands may be of other types than their result.
_CHANGING = {"arith.cmpf", "arith.extf", "arith.truncf", "arith.fptosi", "arith.fptoui", "arith.bitcast", "vector.reduction", "tt.fp_to_fp"}
_OTHERS = {"llvm.intr.rint", "vector.fma", "vector.reduction", "tt.fp_to_fp"}
_CONVERSIONS = {"arith.extf", "arith.truncf", "tt.fp_to_fp"}


def _convert(b: Builder, op: ir.Operation, wanted: str) -> Lanes:
    x = b.lanes(op.operands[0])
    towards_zero = op.name == "tt.fp_to_fp" and "rounding" in op.attributes and op.attributes["rounding"].value == _TOWARDS_ZERO
    if x.kind == wanted:
        return x
    if wanted == "f64" or (wanted == "f32" and x.kind != "f64"):
        return (x if x.kind == "f16" and b.types.converts_float16 else widen(b, x)).to(wanted)
    wide = x if x.kind in ("f32", "f64") else widen(b, x)
    return narrow(b, wide, wanted, towards_zero, exact=wanted == "bf16" and x.kind in FORMATS)


def _either(b: Builder, op: ir.Operation, predicate: str) -> Lanes:
    """The larger or lesser of two numbers; of one and NaN the number. Where LLVM sees an extremum of numbers that were float16 it makes
    a float16 one of it, and of that, on chips that have none, a call of C's fmaxf for each lane."""
    x, y = map(b.lanes, op.operands)
    left, right = (v.to("f32") if v.kind == "f16" else v for v in (x, y))
    return b.select(left.is_nan(), y, b.select(right.compare(predicate, left), y, x))


def _compute(b: Builder, op: ir.Operation, wanted: str, in_float32: frozenset[str]) -> Lanes:
    """The same op on float32."""
    operands = [b.lanes(operand) for operand in op.operands]
    operands = [widen(b, operand) if operand.kind in in_float32 else operand for operand in operands]
    lanes = b.types.describe(op.result.type)[1]
    kind = "f32" if wanted in in_float32 else wanted
    result = b.create(op.name, kind, lanes, [operand.value for operand in operands], attributes_of(op))
    if wanted not in in_float32:
        return result
    return narrow(b, result, wanted, exact=op.name in _EXACT)


def legalize_floats(module: ir.Module) -> None:
    """Run the pass on `module`."""
    chip = chip_of(module)
    integers = storage_of(chip)
    in_float32 = frozenset(integers) | (frozenset() if chip.native_float16 else {"f16"})
    with module.context, module.operation.location:
        vlen = chip.vlen if chip.is_riscv else 0
        types = Types(chip.is_riscv, vlen=vlen, native_bfloat16=chip.native_bfloat16, converts_float16="f16" not in integers)

        def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
            name = op.name
            if name in _UNTOUCHED or not (name.startswith(("arith.", "math.")) or name in _OTHERS):
                return
            wanted = types.describe(op.results[0].type)[0]
            kinds = {wanted, *(types.describe(operand.type)[0] for operand in op.operands)} if name in _CHANGING else {wanted}
            if name in _CONVERSIONS:
                if name != "tt.fp_to_fp" and kinds.isdisjoint(integers) and kinds != {"f64", "f16"}:
                    return
                result = _convert(Builder(types, entry, constants, op), op, wanted)
            elif name in _CHOOSING and not chip.native_float16 and wanted not in integers:
                result = _either(Builder(types, entry, constants, op), op, _CHOOSING[name])
            elif any(kind in in_float32 for kind in kinds):
                result = _compute(Builder(types, entry, constants, op), op, wanted, in_float32)
            else:
                return
            op.result.replace_all_uses_with(result.value)
            op.erase()

        walk(module, visit)
