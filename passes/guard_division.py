"""Give integer division RISC-V's results everywhere: x / 0 is -1, x % 0 is x, and the least integer divided by -1 is itself.

On RISC-V the instructions do this. Elsewhere a lane that a mask switches off would trap, so the divisor of `arith.divsi`, `divui`, `remsi`
and `remui` is made safe and the result put right. A constant divisor needs nothing.

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
from triton_spacemit.passes.math.lanes import Types

_SIGNED = ("arith.divsi", "arith.remsi")
_UNSIGNED = ("arith.divui", "arith.remui")


def _safe_constant(value: ir.Value) -> bool:
    """Whether a divisor is a constant, the same in all lanes, other than 0 and -1."""
    number = constant_of(value)
    return number is not None and number.value not in (0, -1)


def _guard(op: ir.Operation, b: Builder) -> None:
    x, y = (b.lanes(operand) for operand in op.operands)
    quotient = not op.name.startswith("arith.rem")
    zero = y.equals(0)
    unsafe = zero
    if op.name in _SIGNED:
        unsafe = zero | y.equals(-1)
    op.operands[1] = b.select(unsafe, 1, y).value
    after = Builder(b.types, b.entry, b.constants, op, after=True)
    result = after.lanes(op.result)
    uses = [(use.owner, use.operand_number) for use in op.result.uses]
    if op.name in _SIGNED:
        result = after.select(unsafe, after.select(zero, x.like(-1), 0 - x) if quotient else after.select(zero, x, 0), result)
    else:
        result = after.select(zero, x.like(-1) if quotient else x, result)
    for owner, number in uses:
        owner.operands[number] = result.value


def guard_division(module: ir.Module) -> None:
    """A no-op where the chip's own results are these."""
    chip = chip_of(module)
    if not chip.division_traps:
        return
    with module.context, module.operation.location:
        types = Types(riscv=False)

        def visit(op: ir.Operation, entry: ir.Block, constants: dict) -> None:
            if op.name in _SIGNED + _UNSIGNED and not _safe_constant(op.operands[1]):
                _guard(op, Builder(types, entry, constants, op))

        walk(module, visit)
