"""Turn block programs into loops over vectors of the chip's width.

In: the structured state (docs/architecture.md). Out: functions of scalars and 1-D vectors; no tensor is left. A block value is not computed
where it is defined: an op that acts (a store, a reduction, a product, a carried value) becomes a loop over its block, and pulls through its
operands what it needs at each place. So a chain of element-wise ops with its loads is one loop, code size does not depend on the block's
size, and only what several loops need, or what memory effects force, lies in a buffer.

```mlir
func.func @square(%x: !llvm.ptr, %n: i64) {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : i64
  %a = "xsmt.descriptor_load"(%x, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0>}
       : (!llvm.ptr, i64, i64, i64) -> tensor<1024xf32>
  %b = arith.mulf %a, %a : tensor<1024xf32>
  "xsmt.descriptor_store"(%x, %b, %one, %zero, %n) {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0>}
       : (!llvm.ptr, tensor<1024xf32>, i64, i64, i64) -> ()
  return
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import kernel_of
from triton_spacemit.passes.loops.lowering import Lowering


def loops(module: ir.Module) -> None:
    """Replace the module's kernel by its loops; raises LoweringError at an op that has no lowering."""
    function = kernel_of(module)
    with module.context, function.location:
        Lowering(module, function).run()
