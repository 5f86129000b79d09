"""Between float32 and bfloat16.

On RISC-V in one or two instructions: rounding is a narrowing shift that rounds, or the conversion of Zvfbfmin; widening is a product and a
sum with twice as wide results, which take half the time of operations on what is wide already.

Elsewhere the two halves of the numbers are taken apart first, and rounding is of the upper ones: half as many vectors as there are of
float32, and no narrowing, which takes x86 three instructions where taking apart takes one. (AVX-512's own conversion takes subnormal
numbers for zero.)
"""

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.scalable import is_computed, scalable

_NEAREST_EVEN, _DYNAMIC = 1, 7  # of fixed-point and of floating-point rounding modes
# Ops whose results are NaN as an operand is, up to sign and quiet bit, or as x86's own NaN, whose low bits are zero.
_NAN_OF_OPERANDS = {f"arith.{name}" for name in ("addf", "subf", "mulf", "divf", "negf", "minnumf", "maxnumf", "minimumf", "maximumf")} | {
    "math.fma",
    "math.sqrt",
    "math.absf",
    "vector.broadcast",
}
_MOST_OPS = 200


def rounded(b: Builder, x: Lanes) -> Lanes | None:
    """The bits of a float32 rounded to bfloat16 as i16, ties to even; None where there is no instruction for so many lanes."""
    if not b.types.riscv:
        return _rounded_half(b, x) if x.lanes > 1 else None
    vectors = scalable(b, x.lanes)
    if vectors is None:
        return None
    if b.types.native_bfloat16:
        result = vectors.call("llvm.riscv.vfncvtbf16.f.f.w", "bf16", [vectors.put(x), vectors.number("i64", _DYNAMIC)])
        return vectors.take(vectors.bitcast(result, "i16"), "i16")
    operands = [vectors.put(x.bits()), vectors.number("i64", 16), vectors.number("i64", _NEAREST_EVEN)]
    top = vectors.take(vectors.call("llvm.riscv.vnclipu", "i16", operands), "i16")
    return top if is_computed(x.value) else b.select(x.is_nan(), 0x7FC0, top)


def upper_half(b: Builder, x: Lanes) -> Lanes | None:
    """The bits of a float32 that is a bfloat16 as i16; None where a shift and a narrowing are as good."""
    return _half(b, x, 1) if not b.types.riscv and x.lanes > 1 else None


def _half(b: Builder, x: Lanes, half: int) -> Lanes:
    """The lower (0) or upper (1) 16 bits of each float32."""
    pairs = b.create("vector.bitcast", "i16", 2 * x.lanes, [x.value])
    mask = ir.DenseI64ArrayAttr.get([2 * lane + half for lane in range(x.lanes)])
    return b.create("vector.shuffle", "i16", x.lanes, [pairs.value, pairs.value], {"mask": mask})


def _rounded_half(b: Builder, x: Lanes) -> Lanes:
    """One more than the upper half where the lower one is above the middle, or there and the upper one is odd."""
    upper, lower = _half(b, x, 1), _half(b, x, 0)
    most = 0x8000 - (upper & 1)  # the greatest lower half that is cut off
    nearest = upper + b.create("arith.extui", "i16", x.lanes, [lower.compare("ugt", most).value])
    return nearest if _is_upper_half_of_nan(b, x.value) else b.select(x.is_nan(), 0x7FC0, nearest)


def _is_upper_half_of_nan(b: Builder, value: ir.Value) -> bool:
    """Whether a float32 on x86, where it is NaN, has no low 16 bits: it was computed from bfloat16 and numbers, and is not rounded."""
    values, seen = [value], {value}
    while values:
        value = values.pop()
        op = producer_of(value)
        if op is None or len(seen) > _MOST_OPS:
            return False
        if op.name in _NAN_OF_OPERANDS:
            operands = list(op.operands)
        elif op.name in ("arith.select", "math.copysign"):
            operands = [*op.operands][1:] if op.name == "arith.select" else [op.operands[0]]
        elif _is_number(value) or _is_widened(b, op):
            continue
        else:
            return False
        values += [operand for operand in operands if operand not in seen]
        seen.update(operands)
    return True


def _is_number(value: ir.Value) -> bool:
    """One that all lanes are."""
    number = constant_of(value)
    return isinstance(number, ir.FloatAttr) and number.value == number.value


def _is_widened(b: Builder, op: ir.Operation) -> bool:
    """A bfloat16 as float32, also in bits; and a power of two that was put together in bits."""
    if op.name == "arith.extf":
        return b.types.describe(op.operands[0].type)[0] == "bf16"
    if op.name != "arith.bitcast":
        return False
    shift = producer_of(op.operands[0], "arith.shli")
    count = None if shift is None else constant_of(shift.operands[1])
    return count is not None and count.value >= 16


def widened(b: Builder, bits: Lanes) -> Lanes | None:
    """The i16 `bits` of a bfloat16 as those of a float32 in i32; None where a shift is as good."""
    vectors = scalable(b, bits.lanes)
    if vectors is None or b.types.native_bfloat16:
        return None
    narrow = vectors.put(bits)
    most = vectors.call("llvm.riscv.vwmulu", "i32", [narrow, vectors.number("i16", -1)])  # times 0xffff
    return vectors.take(vectors.call("llvm.riscv.vwaddu.w", "i32", [most, narrow]), "i32")
