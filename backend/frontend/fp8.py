"""Conversions of fp8e4b15, which MLIR has no type for: Triton carries it as int8 and asks the backend to convert it.

The format is float16 without the top exponent bit and the low seven mantissa bits: 4 exponent bits of bias 15, neither infinity nor NaN.
"""

from typing import Any

from triton.language import core


@core.builtin
def convert_fp8e4b15(arg: Any, dst_ty: Any, fp_downcast_rounding: Any = None, _semantic: Any = None) -> Any:
    """Convert a tensor from or to fp8e4b15. To it: saturating at 1.75 as on Triton's other targets, ties away from zero."""
    if arg.type.scalar.is_fp8e4b15():
        bits = _semantic.bitcast(arg, _like(arg, core.int8)).to(core.int16, _semantic=_semantic)
        sign = bits.__and__(0x80, _semantic=_semantic).__lshift__(8, _semantic=_semantic)
        rest = bits.__and__(0x7F, _semantic=_semantic).__lshift__(7, _semantic=_semantic)
        half = _semantic.bitcast(sign.__or__(rest, _semantic=_semantic), _like(arg, core.float16))
        return half.to(dst_ty.scalar, _semantic=_semantic)
    # Triton's own targets cut float32 to float16 first.
    half = arg if arg.type.scalar.is_fp16() else arg.to(core.float16, fp_downcast_rounding="rtz", _semantic=_semantic)
    bits = _semantic.bitcast(half, _like(arg, core.int16))
    sign = bits.__rshift__(8, _semantic=_semantic).__and__(0x80, _semantic=_semantic)
    magnitude = core.minimum(bits.__and__(0x7FFF, _semantic=_semantic), 0x3F00, _semantic=_semantic)
    rounded = magnitude.__add__(0x40, _semantic=_semantic).__rshift__(7, _semantic=_semantic)
    byte = sign.__or__(rounded, _semantic=_semantic).to(core.int8, _semantic=_semantic)
    return _semantic.bitcast(byte, _like(arg, core.float8e4b15))


def _like(arg: Any, element: Any) -> Any:
    return arg.type.with_element_ty(element) if arg.type.is_block() else element
