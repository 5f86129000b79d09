"""Put the condition of loops at their end: `to-llvm` has this done where there are so many that LLVM should not do it.

LLVM's `LoopRotate` brings its tree of dominators up to date after each loop, all of what lies behind it, so that hundreds of loops behind
each other take time that grows with the square of their number. A loop that ends with its condition is left as it is. `scf.for` asks before
each turn whether the index is below the end; after the first, the same is asked behind a turn, of the index that the next one would have.
Before the first it is asked once, unless both are known.

```mlir
func.func @loop(%x: !llvm.ptr, %value: f32, %n: i64) {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  scf.for %i = %zero to %n step %one : i64 {
    %place = llvm.getelementptr %x[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %value, %place : f32, !llvm.ptr
  }
  return
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import operations
from triton_spacemit.dialect.values import constant_of

_SIGNED, _UNSIGNED = 2, 6  # arith.cmpi's predicates slt and ult


def rotate_loops(module: ir.Module) -> None:
    """Run the pass on `module`."""
    with module.context:
        for loop in operations(module.operation, "scf.for"):
            _rotate(loop)


def _rotate(loop: ir.Operation) -> None:
    """Replace a loop by one whose condition is at its end, under a condition where the first turn may not be reached."""
    begin, end, step, *initial = loop.operands
    types = [value.type for value in initial]
    with loop.location:
        before = ir.InsertionPoint(loop)
        if _runs(loop):
            results = _turns(loop, begin, end, step, initial, before)
        else:
            entered = _below(loop, begin, end, before)
            branch = ir.Operation.create("scf.if", types, [entered], None, regions=2, ip=before)
            blocks = [region.blocks.append() for region in branch.regions]
            inside = _turns(loop, begin, end, step, initial, ir.InsertionPoint(blocks[0]))
            ir.Operation.create("scf.yield", [], inside, ip=ir.InsertionPoint(blocks[0]))
            ir.Operation.create("scf.yield", [], initial, ip=ir.InsertionPoint(blocks[1]))
            results = list(branch.results)
    for old, new in zip(loop.results, results, strict=True):
        old.replace_all_uses_with(new)
    loop.erase()


def _runs(loop: ir.Operation) -> bool:
    """Whether the loop is known to have a turn; of unsigned indices nothing is asked."""
    begin, end = (constant_of(operand) for operand in loop.operands[:2])
    return begin is not None and end is not None and begin.value < end.value and "unsignedCmp" not in loop.attributes


def _below(loop: ir.Operation, index: ir.Value, end: ir.Value, ip: ir.InsertionPoint) -> ir.Value:
    predicate = _UNSIGNED if "unsignedCmp" in loop.attributes else _SIGNED
    attribute = {"predicate": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), predicate)}
    return ir.Operation.create("arith.cmpi", [ir.IntegerType.get_signless(1)], [index, end], attribute, ip=ip).result


def _turns(
    loop: ir.Operation, begin: ir.Value, end: ir.Value, step: ir.Value, initial: list[ir.Value], ip: ir.InsertionPoint
) -> list[ir.Value]:
    """A loop that runs once or more, with the body of `loop`: what it carries at its end."""
    body = loop.regions[0].blocks[0]
    types = [argument.type for argument in body.arguments]
    new = ir.Operation.create("scf.while", types, [begin, *initial], None, regions=2, ip=ip)
    places = [loop.location] * len(types)
    block, after = (region.blocks.append(*types, arg_locs=places) for region in new.regions)
    for old, argument in zip(body.arguments, block.arguments, strict=True):
        old.replace_all_uses_with(argument)
    *ops, terminator = (op.operation for op in body.operations)
    carried = list(terminator.operands)
    for op in ops:
        block.append(op)
    at_end = ir.InsertionPoint(block)
    following = ir.Operation.create("arith.addi", [types[0]], [block.arguments[0], step], ip=at_end).result
    again = _below(loop, following, end, at_end)
    ir.Operation.create("scf.condition", [], [again, following, *carried], ip=at_end)
    ir.Operation.create("scf.yield", [], list(after.arguments), ip=ir.InsertionPoint(after))
    return list(new.results)[1:]
