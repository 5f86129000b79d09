"""Say which of its pointers the kernel may store through: the module's attribute `xsmt.stored`, the numbers of these arguments.

Who runs the kernel elsewhere fetches what may have changed, and a header for C says `const` of all others. Without the attribute it
may be any.

```mlir
func.func @copy(%x: !llvm.ptr, %out: !llvm.ptr) {
  %value = llvm.load %x : !llvm.ptr -> i32
  llvm.store %value, %out : i32, !llvm.ptr
  return
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import STORED, kernel_of
from triton_spacemit.passes.facts.stores import stored_through


def stores(module: ir.Module) -> None:
    """Run the pass on `module`."""
    stored = stored_through(kernel_of(module))
    if stored is not None:
        with module.context:
            module.operation.attributes[STORED] = ir.DenseI32ArrayAttr.get(stored)
