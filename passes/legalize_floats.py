"""Compute bfloat16 and float8 in float32, and keep them as integers.

In: `arith`, `math`, `vector` and `tt.fp_to_fp` on any float type. Out: no value is of a float8 type or bfloat16: they are i8 and i16,
also in loops, branches, functions and memory. Arithmetic on them is done in float32 and rounded after each op, to nearest even (or
towards zero where `tt.fp_to_fp` asks for that); so is float16's on chips without it. A conversion from float64 rounds once. As
Triton wants it, what is too large for f8E4M3FN or f8E5M2 becomes the largest number, infinity too; as in PyTorch, NaN in the other types;
rounding towards zero gives the largest number in each. On RISC-V vectors of bfloat16 are rounded and widened by instructions of the V
extension (`math/bfloat16.py`).

```mlir
func.func @add(%x: !llvm.ptr, %y: vector<8xbf16>) {
  %a = llvm.load %x : !llvm.ptr -> vector<8xbf16>
  %b = arith.addf %a, %y : vector<8xbf16>
  llvm.store %b, %x : vector<8xbf16>, !llvm.ptr
  return
}
```
"""

import struct
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import chip_of
from triton_spacemit.passes.math import bfloat16
from triton_spacemit.passes.math.builder import Builder, Lanes, Types, walk


@dataclass(frozen=True)
class Format:
    """A float8 type: `mantissa` bits, exponent `bias`, the codes of the largest number, of a number beyond it, of infinity and of NaN.

    unsigned_zero: -0 does not exist, its code is NaN.
    """

    mantissa: int
    bias: int
    largest: int
    overflow: int
    infinity: int
    nan: int
    unsigned_zero: bool = False

    @property
    def has_infinity(self) -> bool:
        return self.infinity not in (self.nan, self.largest)

    def value(self, code: int) -> float:
        """The number that a code stands for."""
        magnitude = code & 0x7F
        exponent, fraction = magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1)
        if code == self.nan or magnitude > (self.infinity if self.has_infinity else self.largest):
            return float("nan")
        if magnitude > self.largest:
            number = float("inf")
        elif exponent:
            number = (1 + fraction / (1 << self.mantissa)) * 2.0 ** (exponent - self.bias)
        else:
            number = fraction * 2.0 ** (1 - self.bias - self.mantissa)
        return -number if code & 0x80 else number


FORMATS = {
    "f8E5M2": Format(2, 15, 0x7B, 0x7B, 0x7C, 0x7F),
    "f8E4M3FN": Format(3, 7, 0x7E, 0x7E, 0x7E, 0x7F),
    "f8E5M2FNUZ": Format(2, 16, 0x7F, 0x80, 0x80, 0x80, True),
    "f8E4M3FNUZ": Format(3, 8, 0x7F, 0x80, 0x80, 0x80, True),
    "f8E4M3B11FNUZ": Format(3, 11, 0x7F, 0x80, 0x80, 0x80, True),
}
STORAGE = {"bf16": "i16"} | dict.fromkeys(FORMATS, "i8")

_TOWARDS_ZERO = 0  # tt.fp_to_fp's `rounding`
# Results that are one of the operands, up to their sign: narrowing them rounds nothing.
_EXACT = {"arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf", "arith.negf", "math.absf", "math.copysign"}
_CHOOSING = {"arith.maxnumf": "gt", "arith.minnumf": "lt"}
_UNTOUCHED = {"arith.constant", "arith.select", "arith.bitcast"}
# Their operands' types are not their result's.
_CHANGING = {"arith.cmpf", "arith.extf", "arith.truncf", "arith.fptosi", "arith.fptoui", "arith.bitcast", "vector.reduction", "tt.fp_to_fp"}
_OTHERS = {"vector.fma", "vector.reduction", "tt.fp_to_fp"}
_CONVERSIONS = {"arith.extf", "arith.truncf", "tt.fp_to_fp"}


def _bitcast(x: Lanes, kind: str) -> Lanes:
    return x.builder.create("arith.bitcast", kind, x.lanes, [x.value])


def widen(b: Builder, x: Lanes) -> Lanes:
    """A number of at most 32 bits as float32."""
    if x.kind == "f8E5M2":  # the upper half of a float16
        return (_bitcast(x, "i8").unsigned_to("i16") << 8).floats().to("f32")
    if x.kind in FORMATS:
        return _decode(b, _bitcast(x, "i8"), FORMATS[x.kind])
    if x.kind == "bf16":
        bits = _bitcast(x, "i16")
        return (bfloat16.widened(b, bits) or bits.unsigned_to("i32") << 16).floats()
    return x.to("f32")


def _decode(b: Builder, code: Lanes, format_: Format) -> Lanes:
    """Exponent and mantissa are moved into a float32 and scaled, which normalises subnormal numbers as well."""
    wide = code.to("i32")
    magnitude = wide & 0x7F
    size = (magnitude << (23 - format_.mantissa)).floats() * 2.0 ** (127 - format_.bias)
    result = (size.bits() | (wide & -0x80000000)).floats()
    if format_.unsigned_zero:
        return b.select(code.equals(-0x80), float("nan"), result)
    return b.select(magnitude > format_.largest, float("nan"), result)


def _round_to_odd(b: Builder, x: Lanes) -> Lanes:
    """float64 to float32 so that rounding the result to a type with at least two bits less is right."""
    nearest = x.to("f32")
    back = nearest.to("f64")
    away = b.select(back.abs() > x.abs(), nearest.bits().like(1), 0)
    return b.select(back.compare("ne", x), (nearest.bits() - away) | 1, nearest.bits()).floats()


def narrow(b: Builder, x: Lanes, kind: str, towards_zero: bool = False, exact: bool = False) -> Lanes:
    """A float32 or float64 as a `kind`; `exact` says that it is one already."""
    if kind == "f16" and not towards_zero and (x.kind == "f32" or b.types.riscv):
        return x.to("f16")
    if x.kind == "f64":
        if kind == "f32":
            return _truncate(b, x, kind) if towards_zero else x.to(kind)
        x = _round_to_odd(b, x)
    if kind in FORMATS:
        return _bitcast(_encode(b, x, FORMATS[kind], towards_zero), kind)
    if kind == "f16":
        return _truncate(b, x, kind) if towards_zero else x.to(kind)
    if not (exact or towards_zero) and (result := bfloat16.rounded(b, x)) is not None:
        return _bitcast(result, "bf16")
    bits = x.bits()
    if not (exact or towards_zero):
        bits = bits + 0x7FFF + (bits.shrui(16) & 1)
    top = bits.shrui(16).to("i16")
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
    sign = x.bits().shrui(24) & 0x80
    if format_.unsigned_zero:
        sign = b.select(code.equals(0), 0, sign)
    return (code | sign).to("i8")


def _attributes(op: ir.Operation) -> dict[str, ir.Attribute]:
    return {name: op.attributes[name] for name in op.attributes}


def _convert(b: Builder, op: ir.Operation, wanted: str) -> Lanes:
    x = b.lanes(op.operands[0])
    towards_zero = op.name == "tt.fp_to_fp" and "rounding" in op.attributes and op.attributes["rounding"].value == _TOWARDS_ZERO
    if x.kind == wanted:
        return x
    if wanted == "f64" or (wanted == "f32" and x.kind != "f64"):
        return (x if x.kind in ("f16", "f32") else widen(b, x)).to(wanted)
    wide = x if x.kind in ("f32", "f64") else widen(b, x)
    return narrow(b, wide, wanted, towards_zero, exact=wanted == "bf16" and x.kind in FORMATS)


def _either(b: Builder, predicate: str, x: Lanes, y: Lanes) -> Lanes:
    """The larger or lesser of two numbers; of one and NaN the number. Where LLVM sees an extremum of numbers that were float16 it makes
    a float16 one of it, and of that, on chips that have none, a call of C's fmaxf for each lane."""
    left, right = (v.to("f32") if v.kind == "f16" else v for v in (x, y))
    return b.select(left.is_nan(), y, b.select(right.compare(predicate, left), y, x))


def _compute(b: Builder, op: ir.Operation, wanted: str, in_float32: frozenset[str]) -> Lanes:
    """The same op on float32."""
    operands = [b.lanes(operand) for operand in op.operands]
    operands = [widen(b, operand) if operand.kind in in_float32 else operand for operand in operands]
    lanes = b.types.describe(op.result.type)[1]
    kind = "f32" if wanted in in_float32 else wanted
    result = b.create(op.name, kind, lanes, [operand.value for operand in operands], _attributes(op))
    if wanted not in in_float32:
        return result
    return narrow(b, result, wanted, exact=op.name in _EXACT)


def _code(number: float, kind: str) -> int:
    """The bits of a number that the narrow type `kind` has."""
    if kind == "bf16":
        return struct.unpack("<I", struct.pack("<f", number))[0] >> 16
    text = str(number)
    return next(code for code in range(256) if str(FORMATS[kind].value(code)) == text)


def _retype(module: ir.Module, types: Types) -> None:
    """Give every value of a narrow type its integer type."""

    def integer(type_: ir.Type) -> ir.Type:
        if isinstance(type_, ir.VectorType) and type_.scalable:  # of an instruction
            return type_
        kind, lanes = types.describe(type_)
        return types.get(STORAGE[kind], lanes) if kind in STORAGE else type_

    def retype_value(value: ir.Value) -> None:
        type_ = value.type
        new = integer(type_)
        if new != type_:
            value.set_type(new)

    def retype_function(function: ir.Operation) -> None:
        type_ = function.attributes["function_type"].value
        new = ir.FunctionType.get([integer(t) for t in type_.inputs], [integer(t) for t in type_.results])
        if new != type_:
            function.attributes["function_type"] = ir.TypeAttr.get(new)

    def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
        for region in op.regions:
            for block in region.blocks:
                for argument in block.arguments:
                    retype_value(argument)
        if op.name in ("llvm.getelementptr", "llvm.alloca"):
            element = op.attributes["elem_type"].value
            if integer(element) != element:
                op.attributes["elem_type"] = ir.TypeAttr.get(integer(element))
        if op.name == "llvm.atomicrmw" and types.describe(op.result.type)[0] in STORAGE:
            raise LoweringError(f"atomic arithmetic on {types.describe(op.result.type)[0]} is not supported", op.location)
        if op.name == "arith.constant":
            kind, lanes = types.describe(op.result.type)
            if kind in STORAGE:
                attribute = op.attributes["value"]
                if isinstance(attribute, ir.DenseElementsAttr):
                    if not attribute.is_splat:
                        raise LoweringError(f"constants of several {kind} values are not supported", op.location)
                    attribute = attribute.get_splat_value()
                constant = Builder(types, entry, constants, op).constant(STORAGE[kind], lanes, _code(attribute.value, kind))
                op.result.replace_all_uses_with(constant.value)
                op.erase()
            return
        if op.name != "llvm.bitcast":  # made for instructions on narrow types
            for result in op.results:
                retype_value(result)
        if op.name == "arith.bitcast" and op.operands[0].type == op.result.type:
            op.result.replace_all_uses_with(op.operands[0])
            op.erase()

    for function in module.body.operations:
        if function.operation.name == "func.func":
            retype_function(function.operation)
            for region in function.operation.regions:
                for block in region.blocks:
                    for argument in block.arguments:
                        retype_value(argument)
    walk(module, visit)


def legalize_floats(module: ir.Module) -> None:
    """Raises LoweringError for an atomic on a narrow type and for a constant vector of unequal narrow numbers."""
    chip = chip_of(module)
    in_float32 = frozenset(STORAGE) | (frozenset() if chip.native_float16 else {"f16"})
    with module.context, module.operation.location:
        types = Types(chip.is_riscv, vlen=chip.vlen if chip.is_riscv else 0, native_bfloat16=chip.native_bfloat16)
        # Loops and branches pass on what is a function's argument or an op's result.
        functions = [op.operation for op in module.body.operations if op.operation.regions and op.operation.regions[0].blocks]
        found = {types.describe(argument.type)[0] for op in functions for argument in op.regions[0].blocks[0].arguments}

        def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
            name = op.name
            results = op.results
            kinds = {types.describe(result.type)[0] for result in results}
            if name in _CHANGING:
                kinds.update(types.describe(operand.type)[0] for operand in op.operands)
            found.update(kinds)
            if name in _UNTOUCHED or not (name.startswith(("arith.", "math.")) or name in _OTHERS):
                return
            wanted = types.describe(results[0].type)[0]
            b = Builder(types, entry, constants, op)
            if name in _CONVERSIONS:
                if name != "tt.fp_to_fp" and kinds.isdisjoint(STORAGE) and kinds != {"f64", "f16"}:
                    return
                result = _convert(b, op, wanted)
            elif name in _CHOOSING and not chip.native_float16 and wanted not in STORAGE:
                result = _either(b, _CHOOSING[name], *map(b.lanes, op.operands))
            elif not kinds.isdisjoint(in_float32):
                result = _compute(b, op, wanted, in_float32)
            else:
                return
            results[0].replace_all_uses_with(result.value)
            op.erase()

        walk(module, visit)
        if not found.isdisjoint(STORAGE):
            _retype(module, types)
