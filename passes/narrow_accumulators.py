"""Carry the reduction of a block through a loop instead of the block, where nothing but this reduction reads it.

`for ..: total += x` followed by `sum(total)`, the usual way to go over a long row block by block, would keep the block in memory. As sums
may be taken in any order, each turn adds the sum of its own block. Along the last dimension, whose elements are the lanes of vectors, the
block has to be long: combining lanes costs something. Along another one, sums of lanes are added up as fast as the block would be.

```mlir
func.func @sum(%x: tensor<128xf32>, %first: index, %last: index, %step: index) -> f32 {
  %zeros = arith.constant dense<0.0> : tensor<128xf32>
  %total = scf.for %i = %first to %last step %step iter_args(%old = %zeros) -> tensor<128xf32> {
    %new = arith.addf %old, %x : tensor<128xf32>
    scf.yield %new : tensor<128xf32>
  }
  %sum = "tt.reduce"(%total) ({
  ^bb0(%a: f32, %b: f32):
    %0 = arith.addf %a, %b : f32
    "tt.reduce.return"(%0) : (f32) -> ()
  }) {axis = 0 : i32} : (tensor<128xf32>) -> f32
  return %sum : f32
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import chip_of, operations
from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.rewriting import carrying, create, last_of, only_user

# Functions that give their start back, taken any number of times; others have to start at what does not change a result.
_IDEMPOTENT = {f"arith.{name}" for name in "maxnumf minnumf maximumf minimumf maxsi minsi maxui minui andi ori".split()}
_FROM_ZERO = {"arith.addf", "arith.addi", "arith.xori"}


def narrow_accumulators(module: ir.Module) -> None:
    """Run the pass on `module`."""
    least = chip_of(module).costs.reduced_in_turns
    with module.context:
        for loop in operations(module.operation, "scf.for"):
            numbers = range(len(loop.results))
            found = {number: reduction for number in numbers if (reduction := _reduction(loop, number, least)) is not None}
            if found:
                _narrow(loop, found)


def _reduction(loop: ir.Operation, number: int, least: int) -> ir.Operation | None:
    """The reduction of at least `least` elements that alone reads the carried block `number`, where each turn does the same to it."""
    result, body = loop.results[number], loop.regions[0].blocks[0]
    if not isinstance(result.type, ir.RankedTensorType):
        return None
    reduction, update = only_user(result), only_user(body.arguments[1 + number])
    if reduction is None or update is None or reduction.name != "tt.reduce" or len(reduction.operands) != 1 or update.block != body:
        return None
    kind = combining_op(reduction)
    if update.name != kind or last_of(body).operands[number] != update.results[0] or only_user(update.results[0]) is None:
        return None
    type_, start = result.type, constant_of(loop.operands[3 + number])
    axis = reduction.attributes["axis"].value
    enough = type_.shape[axis] >= (least if axis + 1 == len(type_.shape) else 2)
    if start is None or not enough or type_.element_type.width < 32:
        return None
    return reduction if kind in _IDEMPOTENT or (kind in _FROM_ZERO and start.value == 0) else None


def _narrow(loop: ir.Operation, found: dict[int, ir.Operation]) -> None:
    starts = {}
    for number, reduction in found.items():
        type_, start = reduction.results[0].type, constant_of(loop.operands[3 + number])
        value = ir.DenseElementsAttr.get_splat(type_, start) if isinstance(type_, ir.RankedTensorType) else start
        starts[number] = create("arith.constant", [], type_, loop, {"value": value})
    updates = {number: only_user(loop.regions[0].blocks[0].arguments[1 + number]) for number in found}
    new = carrying(loop, starts)
    body = new.regions[0].blocks[0]
    for number, reduction in found.items():
        argument, update = body.arguments[1 + number], updates[number]
        (term,) = (operand for operand in update.operands if operand != argument)
        partial = reduction.clone(ir.InsertionPoint(update))
        partial.operands[0] = term
        last_of(body).operands[number] = create(update.name, [argument, partial.results[0]], argument.type, update)
        update.erase()
        reduction.results[0].replace_all_uses_with(new.results[number])
        reduction.erase()
    for number, result in enumerate(loop.results):
        if number not in found:
            result.replace_all_uses_with(new.results[number])
    loop.erase()
