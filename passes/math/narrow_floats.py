"""Conversions between float32 and the float types that no chip computes in, bfloat16 and float8, or that not every chip does, float16.

What is too large for f8E4M3FN or f8E5M2 becomes the largest number, infinity too, as Triton wants it; as in PyTorch, NaN in the other
types. Rounding towards zero gives the largest number in each.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.math import bfloat16
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import Lanes


@dataclass(frozen=True)
class Format:
    """A float type of at most 16 `bits`: `mantissa` bits, exponent `bias`, the codes of the largest number, of a number beyond it, of
    infinity and of NaN.

    unsigned_zero: -0 does not exist, its code is NaN.
    """

    mantissa: int
    bias: int
    largest: int
    overflow: int
    infinity: int
    nan: int
    unsigned_zero: bool = False
    bits: int = 8

    @property
    def sign(self) -> int:
        return 1 << self.bits - 1

    @property
    def has_infinity(self) -> bool:
        return self.infinity not in (self.nan, self.largest)

    def value(self, code: int) -> float:
        """The number that a code stands for."""
        magnitude = code & ~self.sign
        exponent, fraction = magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1)
        if code == self.nan or magnitude > (self.infinity if self.has_infinity else self.largest):
            return float("nan")
        if magnitude > self.largest:
            number = float("inf")
        elif exponent:
            number = (1 + fraction / (1 << self.mantissa)) * 2.0 ** (exponent - self.bias)
        else:
            number = fraction * 2.0 ** (1 - self.bias - self.mantissa)
        return -number if code & self.sign else number


FORMATS = {
    "f8E5M2": Format(2, 15, 0x7B, 0x7B, 0x7C, 0x7F),
    "f8E4M3FN": Format(3, 7, 0x7E, 0x7E, 0x7E, 0x7F),
    "f8E5M2FNUZ": Format(2, 16, 0x7F, 0x80, 0x80, 0x80, True),
    "f8E4M3FNUZ": Format(3, 8, 0x7F, 0x80, 0x80, 0x80, True),
    "f8E4M3B11FNUZ": Format(3, 11, 0x7F, 0x80, 0x80, 0x80, True),
}
_FLOAT16 = Format(10, 15, 0x7BFF, 0x7C00, 0x7C00, 0x7E00, bits=16)
# The integer types that hold their bits.
STORAGE = {"bf16": "i16"} | dict.fromkeys(FORMATS, "i8")


def storage_of(chip: Chip) -> dict[str, str]:
    """The types that are kept as integers on `chip`, and those integers.

    LLVM takes vectors of float16 apart on cores that have none, and fails where it knows no scalar form of an operation on them.
    """
    return STORAGE | {"f16": "i16"} if chip.is_riscv and not chip.native_float16 else STORAGE


def code_of(number: float, kind: str) -> int:
    """The bits of a number that the narrow type `kind` has."""
    if kind == "bf16":
        return struct.unpack("<I", struct.pack("<f", number))[0] >> 16
    if kind == "f16":
        return struct.unpack("<H", struct.pack("<e", number))[0]
    text = str(number)
    return next(code for code in range(256) if str(FORMATS[kind].value(code)) == text)


def nearest_code(number: float, kind: str) -> int:
    """The bits of the finite number of the narrow type `kind` that is next to `number`."""
    if kind == "bf16":
        bits = struct.unpack("<I", struct.pack("<f", number))[0]
        return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    if kind == "f16":
        return code_of(number, kind)
    values = {code: FORMATS[kind].value(code) for code in range(256)}
    same_sign = [code for code, value in values.items() if math.isfinite(value) and math.copysign(1, value) == math.copysign(1, number)]
    return min(same_sign, key=lambda code: abs(values[code] - number))


def _bitcast(x: Lanes, kind: str) -> Lanes:
    return x.builder.create("arith.bitcast", kind, x.lanes, [x.value])


def widen(b: Builder, x: Lanes) -> Lanes:
    """A number of at most 32 bits as float32."""
    if x.kind == "f8E5M2":  # the upper half of a float16
        return widen(b, (_bitcast(x, "i8").unsigned_to("i16") << 8).floats())
    format_ = _format(b, x.kind)
    if format_ is not None:
        return _decode(b, _bitcast(x, f"i{format_.bits}"), format_)
    if x.kind == "bf16":
        bits = _bitcast(x, "i16")
        return (bfloat16.widened(b, bits) or bits.unsigned_to("i32") << 16).floats()
    return x.to("f32")


def _format(b: Builder, kind: str) -> Format | None:
    """The format of a type that is converted to and from by its bits."""
    return _FLOAT16 if kind == "f16" and not b.types.converts_float16 else FORMATS.get(kind)


def _decode(b: Builder, code: Lanes, format_: Format) -> Lanes:
    """Exponent and mantissa are moved into a float32 and scaled, which normalises subnormal numbers as well."""
    wide = code.to("i32")
    magnitude = wide & format_.sign - 1
    size = (magnitude << (23 - format_.mantissa)).floats() * 2.0 ** (127 - format_.bias)
    result = (size.bits() | (wide & -0x80000000)).floats()
    if format_.unsigned_zero:
        return b.select(code.equals(-format_.sign), float("nan"), result)
    if format_.has_infinity:
        return b.select(magnitude >= format_.infinity, (result.bits() | 0x7F800000).floats(), result)
    return b.select(magnitude > format_.largest, float("nan"), result)


def _round_to_odd(b: Builder, x: Lanes) -> Lanes:
    """float64 to float32 so that rounding the result to a type with at least two bits less is right."""
    nearest = x.to("f32")
    back = nearest.to("f64")
    away = b.select(back.abs() > x.abs(), nearest.bits().like(1), 0)
    return b.select(back.compare("ne", x), (nearest.bits() - away) | 1, nearest.bits()).floats()


def narrow(b: Builder, x: Lanes, kind: str, towards_zero: bool = False, exact: bool = False) -> Lanes:
    """A float32 or float64 as a `kind`; `exact` says that it is one already."""
    format_ = _format(b, kind)
    if kind == "f16" and format_ is None and not towards_zero and (x.kind == "f32" or b.types.riscv):
        return x.to("f16")
    if x.kind == "f64":
        if kind == "f32":
            return _truncate(b, x, kind) if towards_zero else x.to(kind)
        x = _round_to_odd(b, x)
    if format_ is not None:
        return _bitcast(_encode(b, x, format_, towards_zero), kind)
    if kind == "f16":
        return _truncate(b, x, kind) if towards_zero else x.to(kind)
    if not (exact or towards_zero) and (result := bfloat16.rounded(b, x)) is not None:
        return _bitcast(result, "bf16")
    bits = x.bits()
    if not (exact or towards_zero):
        bits = bits + 0x7FFF + (bits.shrui(16) & 1)
    top = bfloat16.upper_half(b, x) if exact else None
    top = bits.shrui(16).to("i16") if top is None else top
    return _bitcast(top if exact else b.select(x.is_nan(), 0x7FC0, top), "bf16")


def _truncate(b: Builder, x: Lanes, kind: str) -> Lanes:
    nearest = x.to(kind)
    away = nearest.to(x.kind).abs() > x.abs()
    bits = nearest.bits()
    return b.select(away, bits - 1, bits).floats()


def _encode(b: Builder, x: Lanes, format_: Format, towards_zero: bool) -> Lanes:
    """The code of a float32. Subnormal results are rounded by adding a number whose last bit is theirs, others in the bits."""
    size = x.abs()
    shift = 23 - format_.mantissa
    bits = size.bits()
    if towards_zero:
        subnormal = (size * 2.0 ** (format_.bias - 1 + format_.mantissa)).to("i32")
        normal = bits.shrui(shift)
    else:
        magic = 2.0 ** (1 - format_.bias - format_.mantissa + 23)
        subnormal = (size + magic).bits() - (127 + 24 - format_.bias - format_.mantissa << 23)
        normal = (bits + ((1 << (shift - 1)) - 1) + (bits.shrui(shift) & 1)).shrui(shift)
    code = b.select(size < 2.0 ** (1 - format_.bias), subnormal, normal - (127 - format_.bias << format_.mantissa))
    if towards_zero:
        code = b.select(code > format_.largest, format_.largest, code)
        code = b.select(size.equals(float("inf")), format_.infinity, code)
    else:
        code = b.select(code > format_.largest, format_.overflow, code)
    code = b.select(x.is_nan(), format_.nan, code)
    sign = x.bits().shrui(32 - format_.bits) & format_.sign
    if format_.unsigned_zero:
        sign = b.select(code.equals(0), 0, sign)
    return (code | sign).to(f"i{format_.bits}")
