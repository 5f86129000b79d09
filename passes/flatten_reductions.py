"""Give reductions of what sorting networks leave three dimensions: those before the axis, the axis, and those behind it.

`tl.topk` sorts runs of elements in turns with reductions that halve what it still looks at. Its blocks have a dimension of two for each bit
of an element's number, which would make nests of as many loops of two turns each. What an `xsmt.exchange` sorts is one row, so dimensions
beside each other can be one here as well.

```mlir
func.func @halve(%x: tensor<16xf32>) -> tensor<2x2x2xf32> {
  %0 = "xsmt.exchange"(%x) {distances = [1, 2], flips = [0, 0], unsigned = false} : (tensor<16xf32>) -> tensor<16xf32>
  %1 = "tt.reshape"(%0) : (tensor<16xf32>) -> tensor<2x2x2x2xf32>
  %2 = "tt.reduce"(%1) ({
  ^bb0(%a: f32, %b: f32):
    %3 = arith.maxnumf %a, %b : f32
    "tt.reduce.return"(%3) : (f32) -> ()
  }) {axis = 1 : i32} : (tensor<2x2x2x2xf32>) -> tensor<2x2x2xf32>
  return %2 : tensor<2x2x2xf32>
}
```
"""

import math

from torch_mlir import ir

from triton_spacemit.dialect.module import operations
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.rewriting import i32, reshaped, tensor


def flatten_reductions(module: ir.Module) -> None:
    """Run the pass on `module`."""
    with module.context:
        for reduce in operations(module.operation, "tt.reduce"):
            if len(reduce.operands[0].type.shape) > 3 and all(_is_sorted(operand) for operand in reduce.operands):
                _flatten(reduce)


def _is_sorted(value: ir.Value) -> bool:
    reshape = producer_of(value, "tt.reshape")
    return reshape is not None and producer_of(reshape.operands[0], "xsmt.exchange") is not None


def _flatten(reduce: ir.Operation) -> None:
    shape, axis = list(reduce.operands[0].type.shape), reduce.attributes["axis"].value
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    operands = [reshaped(operand, [before, shape[axis], after], reduce) for operand in reduce.operands]
    types = [tensor([before, after], result.type.element_type) for result in reduce.results]
    at = ir.InsertionPoint(reduce)
    new = ir.Operation.create("tt.reduce", types, operands, {"axis": i32(1)}, regions=1, loc=reduce.location, ip=at)
    reduce.regions[0].blocks[0].append_to(new.regions[0])
    for old, result in zip(reduce.results, new.results, strict=True):
        old.replace_all_uses_with(reshaped(result, list(old.type.shape), reduce))
    reduce.erase()
