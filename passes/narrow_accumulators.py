"""Carry the reduction of a block through a loop instead of the block, where nothing but this reduction reads it.

`for ..: total += x` followed by `sum(total)`, the usual way to go over a long row block by block, would keep the block in memory. As sums
may be taken in any order, each turn adds the sum of its own block. Along the dimension whose elements are the lanes of vectors, which is
that of neighbours in memory or else the last one, the block has to be long: combining lanes costs something. Along another one, sums of
lanes are added up as fast as the block would be. `where(mask, total + x, total)` is a sum as well: `total` plus `x` or nothing.

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

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.module import chip_of, operations
from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.dialect.xsmt.accesses import common_neighbours
from triton_spacemit.passes.rewriting import carrying, create, last_of, only_user, users

# Functions that give their start back, taken any number of times; others have to start at what does not change a result.
_IDEMPOTENT = {f"arith.{name}" for name in "maxnumf minnumf maximumf minimumf maxsi minsi maxui minui andi ori".split()}
# What makes no difference to a sum, its sign of zero included.
_NOTHING = {"arith.addf": -0.0, "arith.addi": 0}
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
    """The reduction that alone reads the carried block `number`, where each turn does the same to it; along lanes, of `least` or more."""
    result, body = loop.results[number], loop.regions[0].blocks[0]
    if not isinstance(result.type, ir.RankedTensorType):
        return None
    reduction, update = only_user(result), _update(body, number)
    if reduction is None or update is None or reduction.name != "tt.reduce" or len(reduction.operands) != 1:
        return None
    kind = combining_op(reduction)
    if update.combining.name != kind or (update.choosing is not None and kind not in _NOTHING):
        return None
    type_, start = result.type, constant_of(loop.operands[3 + number])
    axis = reduction.attributes["axis"].value
    enough = type_.shape[axis] >= (least if axis == _dimension_of_lanes(body, type_) else 2)
    if start is None or not enough or type_.element_type.width < 32:
        return None
    return reduction if kind in _IDEMPOTENT or (kind in _FROM_ZERO and start.value == 0) else None


@dataclass(frozen=True)
class _Update:
    """How a turn updates a carried block: by `combining` it with another, and by `choosing` between that and itself if there is a mask."""

    combining: ir.Operation
    choosing: ir.Operation | None


def _update(body: ir.Block, number: int) -> _Update | None:
    """How the body comes to the next block `number`, where it reads the carried one for nothing else."""
    argument, new = body.arguments[1 + number], last_of(body).operands[number]
    end = producer_of(new)
    choosing = end if end is not None and end.name == "arith.select" and end.operands[2] == argument else None
    combining = end if choosing is None else producer_of(choosing.operands[1])
    if combining is None or any(only_user(op.results[0]) is None for op in (combining, end)):
        return None
    reads = users(argument)
    expected = [combining] if choosing is None else [combining, choosing]
    return _Update(combining, choosing) if len(reads) == len(expected) and all(op in reads for op in expected) else None


def _dimension_of_lanes(body: ir.Block, type_: ir.RankedTensorType) -> int:
    """Along which the vectors of a loop over blocks of `type_` lie: that of neighbours in memory, where the body's loads agree on one."""
    loads = [op for op in operations(body.owner, "xsmt.descriptor_load") if list(op.results[0].type.shape) == list(type_.shape)]
    found = common_neighbours(loads)
    return type_.rank - 1 if found is None else found


def _narrow(loop: ir.Operation, found: dict[int, ir.Operation]) -> None:
    starts = {}
    for number, reduction in found.items():
        type_, start = reduction.results[0].type, constant_of(loop.operands[3 + number])
        value = ir.DenseElementsAttr.get_splat(type_, start) if isinstance(type_, ir.RankedTensorType) else start
        starts[number] = create("arith.constant", [], type_, loop, {"value": value})
    updates = {number: _update(loop.regions[0].blocks[0], number) for number in found}
    new = carrying(loop, starts)
    body = new.regions[0].blocks[0]
    for number, reduction in found.items():
        argument, update = body.arguments[1 + number], updates[number]
        (term,) = (operand for operand in update.combining.operands if operand != argument)
        end = update.choosing or update.combining
        if update.choosing is not None:
            nothing = ir.DenseElementsAttr.get_splat(term.type, _number(term.type.element_type, _NOTHING[update.combining.name]))
            none = create("arith.constant", [], term.type, end, {"value": nothing})
            term = create("arith.select", [end.operands[0], term, none], term.type, end)
        partial = reduction.clone(ir.InsertionPoint(end))
        partial.operands[0] = term
        last_of(body).operands[number] = create(update.combining.name, [argument, partial.results[0]], argument.type, end)
        if update.choosing is not None:
            update.choosing.erase()
        update.combining.erase()
        reduction.results[0].replace_all_uses_with(new.results[number])
        reduction.erase()
    for number, result in enumerate(loop.results):
        if number not in found:
            result.replace_all_uses_with(new.results[number])
    loop.erase()


def _number(type_: ir.Type, value: float) -> ir.Attribute:
    if isinstance(type_, ir.FloatType):
        return ir.FloatAttr.get(type_, value, loc=ir.Location.unknown())
    return ir.IntegerAttr.get(type_, int(value))
