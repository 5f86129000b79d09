"""Carry float32 through loops that only add products of narrower floats to a block, and round the sum once, behind the loop.

A turn of such a loop rounds the sum that its `tt.dot` gives, and widens it again for the next turn. Rounding once is more exact, and the
loop becomes one that keeps its sums in registers.

```mlir
func.func @sum(%a: tensor<32x32xf16>, %start: tensor<32x32xf16>, %first: index, %last: index, %step: index) -> tensor<32x32xf16> {
  %sum = scf.for %i = %first to %last step %step iter_args(%old = %start) -> tensor<32x32xf16> {
    %wide = arith.extf %old : tensor<32x32xf16> to tensor<32x32xf32>
    %dot = "tt.dot"(%a, %a, %wide) {inputPrecision = 2 : i32, maxNumImpreciseAcc = 0 : i32}
           : (tensor<32x32xf16>, tensor<32x32xf16>, tensor<32x32xf32>) -> tensor<32x32xf32>
    %new = arith.truncf %dot : tensor<32x32xf32> to tensor<32x32xf16>
    scf.yield %new : tensor<32x32xf16>
  }
  return %sum : tensor<32x32xf16>
}
```
"""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.module import operations
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.rewriting import carrying, create, following, last_of, only_user


@dataclass(frozen=True)
class _Sum:
    """A product that a loop accumulates: `extended` widens the sum of the turn before, `dot` adds to it, `narrowed` rounds it."""

    extended: ir.Operation
    dot: ir.Operation
    narrowed: ir.Operation


def widen_sums(module: ir.Module) -> None:
    """Run the pass on `module`."""
    with module.context:
        for loop in operations(module.operation, "scf.for"):
            found = {number: sum_ for number in range(len(loop.results)) if (sum_ := _sum(loop, number)) is not None}
            if found:
                _widen(loop, found)


def _sum(loop: ir.Operation, number: int) -> _Sum | None:
    """What the loop carries as its value `number`, where it is a sum of products and nothing else reads it."""
    body = loop.regions[0].blocks[0]
    narrowed = producer_of(last_of(body).operands[number], "arith.truncf")
    dot = None if narrowed is None else producer_of(narrowed.operands[0], "tt.dot")
    extended = only_user(body.arguments[number + 1])
    if dot is None or only_user(narrowed.result) is None or only_user(dot.result) is None:
        return None
    if extended is None or extended.name != "arith.extf" or only_user(extended.result) is None or dot.operands[2] != extended.result:
        return None
    return _Sum(extended, dot, narrowed)


def _widen(loop: ir.Operation, found: dict[int, _Sum]) -> None:
    initial = {n: create("arith.extf", [loop.operands[3 + n]], sum_.dot.result.type, loop) for n, sum_ in found.items()}
    new = carrying(loop, initial)
    body, at = new.regions[0].blocks[0], following(new)
    for number, (old, result) in enumerate(zip(loop.results, new.results, strict=True)):
        if number in found:
            sum_ = found[number]
            sum_.extended.result.replace_all_uses_with(body.arguments[number + 1])
            last_of(body).operands[number] = sum_.dot.result
            sum_.narrowed.erase()
            sum_.extended.erase()
            result = create("arith.truncf", [result], old.type, at)
        old.replace_all_uses_with(result)
    loop.erase()
