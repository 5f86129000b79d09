"""Count the turns of loops over whole vectors, rather than the elements.

The main part of a loop over vectors of 128 lanes ends at a bound that is rounded down to whole vectors. LLVM no longer knows, when it finds
out how often the loop runs, that the quotient is exact, and computes it with five instructions before each loop. The number of turns is
that bound shifted, which is exact for negative bounds too. Loops of register tiles carry pointers of their own: a module with such tiles
stays as it is.

```mlir
func.func @vectors(%x: !llvm.ptr, %value: vector<128xf32>, %n: i64) {
  %zero = arith.constant 0 : i64
  %width = arith.constant 128 : i64
  %whole = arith.constant -128 : i64
  %end = arith.andi %n, %whole : i64
  scf.for %i = %zero to %end step %width : i64 {
    %place = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %value, %place : vector<128xf32>, !llvm.ptr
  }
  return
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import SCHEDULED, operations
from triton_spacemit.dialect.values import constant_of, producer_of


def count_turns(module: ir.Module) -> None:
    """Run the pass on `module`."""
    if SCHEDULED in module.operation.attributes:
        return
    with module.context:
        for loop in operations(module.operation, "scf.for"):
            step = _whole_steps(loop)
            if step is not None:
                _count(loop, step)


def _whole_steps(loop: ir.Operation) -> int | None:
    """The step of a loop from 0, where it is a power of two above 1 and the loop ends at a number without the bits below it."""
    first, end, step = (constant_of(operand) for operand in loop.operands[:3])
    rounded = producer_of(loop.operands[1], "arith.andi")
    if rounded is None or end is not None or first is None or step is None or first.value != 0 or "unsignedCmp" in loop.attributes:
        return None
    mask = constant_of(rounded.operands[1])
    size = step.value
    return size if size > 1 and size & (size - 1) == 0 and mask is not None and mask.value == -size else None


def _count(loop: ir.Operation, step: int) -> None:
    """Have the loop run from 0 to the number of its steps; its body finds the old number again."""
    body = loop.regions[0].blocks[0]
    number = body.arguments[0]
    with loop.location:
        rounded = producer_of(loop.operands[1]).operands[0]
        type_ = number.type

        def constant(value: int) -> ir.Value:
            attribute = {"value": ir.IntegerAttr.get(type_, value)}
            return ir.Operation.create("arith.constant", [type_], [], attribute, ip=ir.InsertionPoint(loop)).result

        shift = [rounded, constant(step.bit_length() - 1)]
        turns = ir.Operation.create("arith.shrsi", [type_], shift, ip=ir.InsertionPoint(loop)).result
        one, size = constant(1), constant(step)
        flags = {"overflowFlags": ir.Attribute.parse("#arith.overflow<nsw>")}
        begin = ir.InsertionPoint.at_block_begin(body)
        place = ir.Operation.create("arith.muli", [type_], [number, size], flags, ip=begin)
        number.replace_all_uses_except(place.result, place)
        loop.operands[1], loop.operands[2] = turns, one
