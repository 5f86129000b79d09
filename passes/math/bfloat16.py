"""Between float32 and bfloat16 in one or two RISC-V instructions.

Rounding is a narrowing shift that rounds, or the conversion of Zvfbfmin. Widening is a product and a sum with twice as wide results, which
take half the time of operations on what is wide already.
"""

from triton_spacemit.passes.math.builder import Builder, Lanes
from triton_spacemit.passes.math.scalable import is_computed, scalable

_NEAREST_EVEN, _DYNAMIC = 1, 7  # of fixed-point and of floating-point rounding modes


def rounded(b: Builder, x: Lanes) -> Lanes | None:
    """The bits of a float32 rounded to bfloat16 as i16, ties to even; None where there is no instruction for so many lanes."""
    vectors = scalable(b, x.lanes)
    if vectors is None:
        return None
    if b.types.native_bfloat16:
        result = vectors.call("llvm.riscv.vfncvtbf16.f.f.w", "bf16", [vectors.put(x), vectors.number("i64", _DYNAMIC)])
        return vectors.take(vectors.bitcast(result, "i16"), "i16")
    operands = [vectors.put(x.bits()), vectors.number("i64", 16), vectors.number("i64", _NEAREST_EVEN)]
    top = vectors.take(vectors.call("llvm.riscv.vnclipu", "i16", operands), "i16")
    return top if is_computed(x.value) else b.select(x.is_nan(), 0x7FC0, top)


def widened(b: Builder, bits: Lanes) -> Lanes | None:
    """The i16 `bits` of a bfloat16 as those of a float32 in i32; None where a shift is as good."""
    vectors = scalable(b, bits.lanes)
    if vectors is None or b.types.native_bfloat16:
        return None
    narrow = vectors.put(bits)
    most = vectors.call("llvm.riscv.vwmulu", "i32", [narrow, vectors.number("i16", -1)])  # times 0xffff
    return vectors.take(vectors.call("llvm.riscv.vwaddu.w", "i32", [most, narrow]), "i32")
