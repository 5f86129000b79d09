"""Recognise sorting: join compare-and-swap steps along dimensions of two to sorting networks of rows.

`tl.sort` and `tl.topk` give 2^n elements n dimensions of two and compare along one after the other. What stands opposite is got as the
exclusive or of an element with that of both, so a step is a reduction and a dozen ops of n dimensions, and sorting has n (n + 1) / 2 steps.
Here a step becomes an `xsmt.exchange` of the elements in one row, and steps that follow each other become one op.

```mlir
func.func @step(%x: tensor<2x2xi32>) -> tensor<2x2xi32> {
  %0 = "tt.reduce"(%x) ({
  ^bb0(%a: i32, %b: i32):
    %3 = arith.xori %a, %b : i32
    "tt.reduce.return"(%3) : (i32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2xi32>) -> tensor<2xi32>
  %1 = "tt.expand_dims"(%0) {axis = 1 : i32} : (tensor<2xi32>) -> tensor<2x1xi32>
  %2 = "tt.broadcast"(%1) : (tensor<2x1xi32>) -> tensor<2x2xi32>
  %y = arith.xori %x, %2 : tensor<2x2xi32>
  %zero = arith.constant dense<0> : tensor<1x2xi32>
  %3 = "tt.make_range"() {start = 0 : i32, end = 2 : i32} : () -> tensor<2xi32>
  %4 = "tt.reshape"(%3) : (tensor<2xi32>) -> tensor<1x2xi32>
  %5 = arith.cmpi ne, %4, %zero : tensor<1x2xi32>
  %right = "tt.broadcast"(%5) : (tensor<1x2xi1>) -> tensor<2x2xi1>
  %greater = arith.cmpi sgt, %x, %y : tensor<2x2xi32>
  %swap = arith.cmpi ne, %greater, %right : tensor<2x2xi1>
  %sorted = arith.select %swap, %y, %x : tensor<2x2xi1>, tensor<2x2xi32>
  return %sorted : tensor<2x2xi32>
}
```
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.module import operations
from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, predicate_of
from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.rewriting import create, reshaped, sweep


@dataclass(frozen=True)
class Step:
    """A compare-and-swap of `block` along the dimension `axis`, of two."""

    block: ir.Value
    axis: int
    flip: int  # as in `xsmt.exchange`
    unsigned: bool

    @property
    def distance(self) -> int:
        return math.prod(self.block.type.shape[self.axis + 1 :])


@dataclass(frozen=True)
class Parity:
    """A block of truth values: the exclusive or of the indices along `dims`, which are of two, and of `odd`."""

    dims: frozenset[int]
    odd: bool

    def __xor__(self, other: "Parity") -> "Parity":
        return Parity(self.dims ^ other.dims, self.odd ^ other.odd)


def exchanges(module: ir.Module) -> None:
    """Kernels without such steps stay as they are."""
    with module.context:
        found = False
        for select in operations(module.operation, "arith.select"):
            step = _step(select)
            if step is not None:
                found = True
                _exchange(select, step)
        if found:
            sweep(module.operation)


def _bits(value: ir.Value) -> ir.Value:
    """What a bitcast is of, else the value."""
    cast = producer_of(value, "tt.bitcast")
    return value if cast is None else cast.operands[0]


def _splat(value: ir.Value) -> int | None:
    """The integer that all elements of a constant are."""
    number = constant_of(value)
    return number.value if isinstance(number, ir.IntegerAttr) else None


def _step(select: ir.Operation) -> Step | None:
    """The compare-and-swap that a select is the end of."""
    condition, swapped, block = select.operands
    if not isinstance(block.type, ir.RankedTensorType):
        return None
    axis = _axis_of_opposite(swapped, block)
    different = producer_of(condition, "arith.cmpi") or producer_of(condition, "arith.xori")
    if axis is None or different is None or (different.name == "arith.cmpi" and predicate_of(different) != IntPredicate.ne):
        return None
    for compared, sides in (different.operands, list(different.operands)[::-1]):
        unsigned = _greater(compared, block, swapped)
        parity = None if unsigned is None else _parity(sides)
        if parity is None or axis not in parity.dims:
            continue
        flip = _flip(Parity(parity.dims - {axis}, parity.odd), block.type.shape, axis)
        return None if flip is None else Step(block, axis, flip, unsigned)
    return None


def _greater(value: ir.Value, x: ir.Value, y: ir.Value) -> bool | None:
    """Whether `x > y` is unsigned, where the value is that."""
    compare = producer_of(value, "arith.cmpf") or producer_of(value, "arith.cmpi")
    if compare is None or list(compare.operands) != [x, y]:
        return None
    return {IntPredicate.ugt: True, IntPredicate.sgt: False, FloatPredicate.ogt: False}.get(predicate_of(compare))


def _flip(order: Parity, shape: Sequence[int], axis: int) -> int | None:
    if not order.dims:
        return -int(order.odd)
    (dim, *others) = order.dims
    return math.prod(shape[dim + 1 :]) if not others and not order.odd and dim < axis else None


def _axis_of_opposite(value: ir.Value, block: ir.Value) -> int | None:
    """The dimension of two along which the value has the block's elements in the opposite places: `x ^ (x ^ y)` is y."""
    either = producer_of(_bits(value), "arith.xori")
    if either is None:
        return None
    for own, both in (either.operands, list(either.operands)[::-1]):
        wide = producer_of(both, "tt.broadcast")
        expanded = None if wide is None else producer_of(wide.operands[0], "tt.expand_dims")
        reduce = None if expanded is None else producer_of(expanded.operands[0], "tt.reduce")
        if reduce is None or list(reduce.operands) != [own] or _bits(own) not in (block, _bits(block)):
            continue
        axis = reduce.attributes["axis"].value
        if axis == expanded.attributes["axis"].value and own.type.shape[axis] == 2 and combining_op(reduce) == "arith.xori":
            return axis
    return None


def _parity(value: ir.Value) -> Parity | None:
    """A block of 0 and 1, or of truth values, as a parity."""
    if isinstance(value.owner, ir.Block):
        return None
    op, number = value.owner, _splat(value)
    if number is not None:
        true = (1, -1) if str(value.type.element_type) == "i1" else (1,)
        return Parity(frozenset(), number in true) if number in (0, *true) else None
    if op.name == "tt.make_range":
        return Parity(frozenset([0]), False) if (op.attributes["start"].value, op.attributes["end"].value) == (0, 2) else None
    if op.name in ("tt.broadcast", "arith.extui", "arith.trunci"):
        return _parity(op.operands[0])
    if op.name in ("tt.reshape", "tt.expand_dims"):
        return _renumbered(_parity(op.operands[0]), op.operands[0].type.shape, value.type.shape)
    if op.name == "arith.xori" or (op.name == "arith.cmpi" and predicate_of(op) in (IntPredicate.eq, IntPredicate.ne)):
        left, right = (_parity(operand) for operand in op.operands)
        if left is None or right is None:
            return None
        equal = op.name == "arith.cmpi" and predicate_of(op) == IntPredicate.eq
        return left ^ right ^ Parity(frozenset(), equal)
    return None


def _renumbered(parity: Parity | None, source: Sequence[int], result: Sequence[int]) -> Parity | None:
    """The same elements with dimensions of one put in or left out."""
    old, new = ([d for d, extent in enumerate(shape) if extent != 1] for shape in (source, result))
    if parity is None or [source[d] for d in old] != [result[d] for d in new]:
        return None
    return Parity(frozenset(new[old.index(d)] for d in parity.dims), parity.odd)


def _exchange(select: ir.Operation, step: Step) -> None:
    """Replace a step's result; steps before it, which run as often, become steps of the same op."""
    block = step.block
    row = reshaped(block, [math.prod(block.type.shape)], select)
    distances, flips = [step.distance], [step.flip]
    before = producer_of(row, "xsmt.exchange")
    if before is not None and before.operation.block == select.block and before.attributes["unsigned"].value == step.unsigned:
        row = before.operands[0]
        distances = [*(n.value for n in before.attributes["distances"]), *distances]
        flips = [*(n.value for n in before.attributes["flips"]), *flips]
    i64 = ir.IntegerType.get_signless(64)
    attributes = {
        "distances": ir.ArrayAttr.get([ir.IntegerAttr.get(i64, distance) for distance in distances]),
        "flips": ir.ArrayAttr.get([ir.IntegerAttr.get(i64, flip) for flip in flips]),
        "unsigned": ir.BoolAttr.get(step.unsigned),
    }
    result = create("xsmt.exchange", [row], row.type, select, attributes)
    select.result.replace_all_uses_with(reshaped(result, list(block.type.shape), select))
