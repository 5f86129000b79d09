"""Expand mathematical functions and element-wise Triton ops into vector arithmetic without calls.

In: `math` ops, `tt.extern_elementwise` of the libdevice module's functions, `tt.clampf`, `tt.mulhiui`, `tt.precise_divf`,
`tt.precise_sqrt`, `tt.bitcast` on scalars or vectors. Out: `arith`, `vector` and `scf`, and of `math` only what is one instruction or a
short sequence on every chip: absf, absi, ceil, copysign, ctlz, ctpop, cttz, floor, fma, roundeven, sqrt, trunc. `tt.fp_to_fp` is left to
legalize-floats. float16 and bfloat16 are computed in float32 and rounded once; 1 + tanh(x) and 1 + erf(x) in float32 are one function each,
and pow(x, 2) is a product. x (1 + erf(x)) of which nothing is used but a bfloat16 is within 0.512 ulp of that, as long as x is above -2.8.

```mlir
func.func @limit(%x: vector<8xf32>, %low: vector<8xf32>, %high: vector<8xf32>) -> vector<8xf32> {
  %y = "tt.clampf"(%x, %low, %high) {propagateNan = 0 : i32} : (vector<8xf32>, vector<8xf32>, vector<8xf32>) -> vector<8xf32>
  %z = math.exp2 %y : vector<8xf32>
  return %z : vector<8xf32>
}
```
"""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import chip_of
from triton_spacemit.passes.math.builder import Builder, walk
from triton_spacemit.passes.math.combinations import together
from triton_spacemit.passes.math.lanes import Lanes, Types
from triton_spacemit.passes.math.table import FUNCTIONS
from triton_spacemit.passes.states import INTRINSIC_MATH

SYMBOL = "__xsmt_"  # what the names of libdevice functions begin with in tt.extern_elementwise

_MATH = {
    "math.absf": "abs", "math.powf": "pow", "math.isnan": "isnan", "math.isinf": "isinf", "math.isfinite": "isfinite",
}  # fmt: skip


def _clamp(b: Builder, op: ir.Operation, x: Lanes, low: Lanes, high: Lanes) -> Lanes:
    """min(max(x, low), high); a NaN in x becomes `low` unless `propagateNan` is `all` (65535)."""
    propagate = op.attributes["propagateNan"].value
    if propagate:
        return b.at_most(b.at_least(x, low), high)
    at_least = b.select(x > low, x, low)
    return b.select(at_least < high, at_least, high)


def _mulhiui(b: Builder, op: ir.Operation, x: Lanes, y: Lanes) -> Lanes:
    """The high half of an unsigned product."""
    if x.kind == "i32":
        return (x.unsigned_to("i64") * y.unsigned_to("i64")).shrui(32).to("i32")
    return b.multiply_high(x, y)


_TRITON: dict[str, Callable[..., Lanes]] = {
    "tt.clampf": _clamp,
    "tt.mulhiui": _mulhiui,
    "tt.precise_divf": lambda b, op, x, y: x / y,
    "tt.precise_sqrt": lambda b, op, x: x.sqrt(),
    "tt.bitcast": lambda b, op, x: x._op("arith.bitcast", x, kind=b.types.describe(op.result.type)[0]),
}


def _function(op: ir.Operation) -> str:
    """The name in FUNCTIONS of what an op computes."""
    if op.name == "tt.extern_elementwise":
        symbol = op.attributes["symbol"].value
        if not symbol.startswith(SYMBOL) or symbol[len(SYMBOL) :] not in FUNCTIONS:
            raise LoweringError(f"unknown function {symbol!r}: use those of triton.language.extra.libdevice", op.location)
        return symbol[len(SYMBOL) :]
    function = _MATH.get(op.name, op.name[len("math.") :])
    if function not in FUNCTIONS:
        raise LoweringError(f"'{op.name}' is not supported", op.location)
    return function


def _expand(op: ir.Operation, b: Builder) -> Lanes:
    operands = [b.lanes(operand) for operand in op.operands]
    expand = _TRITON.get(op.name)
    result = expand(b, op, *operands) if expand else FUNCTIONS[_function(op)].emit(b, operands)
    wanted, _ = b.types.describe(op.result.type)
    return result.unsigned_to(wanted) if result.kind == "i1" and wanted != "i1" else result.to(wanted)


def expand_math(module: ir.Module) -> None:
    """Raises LoweringError for a function that is not known."""
    with module.context, module.operation.location:
        chip = chip_of(module)
        vlen = chip.vlen if chip.is_riscv else 0
        types = Types(riscv=chip.is_riscv, register_bits=vlen * chip.vector_registers, vlen=vlen)

        def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
            if op.name in _TRITON or op.name == "tt.extern_elementwise" or (op.name.startswith("math.") and op.name not in INTRINSIC_MATH):
                b = Builder(types, entry, constants, op)
                special = None if op.name in _TRITON else together(b, op, _function(op))
                result = special or _expand(op, b)
                op.result.replace_all_uses_with(result.value)
                op.erase()

        walk(module, visit)
