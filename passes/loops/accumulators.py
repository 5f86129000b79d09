"""Carried blocks that only a reduction reads: the loop carries the reduction's result instead.

`for ..: total += x` followed by `sum(total)`, the usual way to go over a long row block by block, would keep the block in memory. As sums
may be taken in any order, each turn adds the sum of its own block.

Before:  %t = scf.for .. iter_args(%a = zeros) { yield addf(%a, %x) }; %s = tt.reduce(%t)
After:   %s = scf.for .. iter_args(%a = zero) { yield addf(%a, tt.reduce(%x)) }
"""

from collections.abc import Iterator

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.reductions import simple_kind
from triton_spacemit.passes.loops.tensors import bits

SHORT = 64  # along the reduced dimension: below, combining lanes in every turn costs more than the block in memory
# Functions that give their start back, taken any number of times; others have to start at what does not change a result.
IDEMPOTENT = {f"arith.{name}" for name in "maxnumf minnumf maximumf minimumf maxsi minsi maxui minui andi ori".split()}
ZERO = ("arith.addf", "arith.addi", "arith.xori")


def narrow(function: ir.Operation) -> None:
    """Rewrite all such loops of a function in the structured state."""
    for loop in list(_loops(function)):
        found = {number: reduction for number in range(len(loop.results)) if (reduction := _reduction(loop, number)) is not None}
        if found:
            _rewrite(loop, found)


def _loops(op: ir.Operation) -> Iterator[ir.Operation]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield from _loops(inner.operation)
    if op.name == "scf.for":
        yield op


def _only_user(value: ir.Value) -> ir.Operation | None:
    uses = list(value.uses)
    return uses[0].owner.operation if len(uses) == 1 else None


def _reduction(loop: ir.Operation, number: int) -> ir.Operation | None:
    """The reduction that alone reads the carried block `number`, where each turn does the same to it."""
    result, body = loop.results[number], loop.regions[0].blocks[0]
    if not isinstance(result.type, ir.RankedTensorType):
        return None
    argument, end = body.arguments[1 + number], list(body.operations)[-1].operation
    reduction, update = _only_user(result), _only_user(argument)
    if reduction is None or update is None or reduction.name != "tt.reduce" or len(reduction.operands) != 1 or update.block != body:
        return None
    kind = simple_kind(reduction.regions[0].blocks[0])
    if kind is None or update.name != kind or end.operands[number] != update.results[0] or len(list(update.results[0].uses)) != 1:
        return None
    type_, start = result.type, constant_of(loop.operands[3 + number])
    if start is None or type_.shape[reduction.attributes["axis"].value] < SHORT or bits(type_.element_type) < 32:
        return None
    return reduction if kind in IDEMPOTENT or (kind in ZERO and start.value == 0) else None


def _rewrite(loop: ir.Operation, found: dict[int, ir.Operation]) -> None:
    types = [found[i].results[0].type if i in found else r.type for i, r in enumerate(loop.results)]
    operands = list(loop.operands)
    before = ir.InsertionPoint(loop)
    for i in found:
        start = constant_of(operands[3 + i])
        value = ir.DenseElementsAttr.get_splat(types[i], start) if isinstance(types[i], ir.RankedTensorType) else start
        constant = ir.Operation.create("arith.constant", [types[i]], [], {"value": value}, None, 0, loop.location, before, False)
        operands[3 + i] = constant.results[0]
    attributes = {name: loop.attributes[name] for name in loop.attributes}
    new = ir.Operation.create("scf.for", types, operands, attributes, None, 1, loop.location, before, False)
    body = loop.regions[0].blocks[0]
    body.append_to(new.regions[0])
    end = list(body.operations)[-1].operation
    for i, reduction in found.items():
        argument = body.arguments[1 + i]
        update = _only_user(argument)
        (term,) = (operand for operand in update.operands if operand != argument)
        here = ir.InsertionPoint(update)
        partial = reduction.clone(here).operation
        partial.operands[0] = term
        argument.set_type(types[i])
        total = ir.Operation.create(update.name, [types[i]], [argument, partial.results[0]], None, None, 0, update.location, here, False)
        end.operands[i] = total.results[0]
        update.erase()
        reduction.results[0].replace_all_uses_with(new.results[i])
        reduction.erase()
    for i, result in enumerate(loop.results):
        if i not in found:
            result.replace_all_uses_with(new.results[i])
    loop.erase()
