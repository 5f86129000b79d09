"""Resolve every pointer expression and mask once: base, strides and bounds, or an index where an access is not affine.

In: the bridged module. Out: `xsmt.descriptor_load/store`, `xsmt.gather/scatter` and `xsmt.atomic_*` on `!llvm.ptr`, scalar accesses as
`llvm.load/store`; no `tt.ptr` type is left. What control flow carries is in
`merges.py`; what is known of values comes from `passes/facts`.

```mlir
tt.func public @copy(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
  %i = tt.make_range {end = 256 : i32, start = 0 : i32} : tensor<256xi32>
  %limit = tt.splat %n : i32 -> tensor<256xi32>
  %mask = arith.cmpi slt, %i, %limit : tensor<256xi32>
  %xs = tt.splat %x : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %p = tt.addptr %xs, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  %v = tt.load %p, %mask : tensor<256x!tt.ptr<f32>>
  %ys = tt.splat %y : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %q = tt.addptr %ys, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  tt.store %q, %v, %mask : tensor<256x!tt.ptr<f32>>
  tt.return
}
```
"""

from collections.abc import Mapping

from torch_mlir import ir

from triton_spacemit.passes.structure import accesses, control, scalars
from triton_spacemit.passes.structure.function import Function, Rule

RULES: Mapping[str, Rule] = {**accesses.RULES, **scalars.RULES, **control.RULES}


def structure(module: ir.Module) -> None:
    """Run the pass on every function of `module`."""
    with module.context:
        for op in module.body.operations:
            if op.operation.name == "func.func" and op.operation.regions[0].blocks:
                Function(op.operation, RULES).rewrite()
