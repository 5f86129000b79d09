"""Give a kernel that is to check its accesses the storages behind its pointers.

Each is two more arguments, where it begins and where it ends. A no-op without `xsmt.sanitize`, which the module then has no longer:
`xsmt.storages` names the pointers instead, and the loops check each access by the arguments at the end (`loops/bounds.py`).

```mlir
module attributes {xsmt.sanitize} {
  func.func @first(%x: !llvm.ptr) -> f32 {
    %first = llvm.load %x : !llvm.ptr -> f32
    return %first : f32
  }
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import SLOTS, STORAGES, kernel_of, slots_of, takes_sanitize


def sanitize(module: ir.Module) -> None:
    """Run the pass on `module`."""
    if not takes_sanitize(module):
        return
    kernel, attributes = kernel_of(module), module.operation.attributes
    with module.context:
        i64, i32 = ir.IntegerType.get_signless(64), ir.IntegerType.get_signless(32)
        block = kernel.regions[0].blocks[0]
        pointers = [number for number, argument in enumerate(block.arguments) if str(argument.type) == "!llvm.ptr"]
        for number in pointers:
            for _ in range(2):
                block.add_argument(i64, block.arguments[number].location)
        function_type = kernel.attributes["function_type"].value
        inputs = [*function_type.inputs, *[i64] * (2 * len(pointers))]
        kernel.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, function_type.results))
        if "arg_attrs" in kernel.attributes:
            none = [ir.DictAttr.get({})] * (2 * len(pointers))
            kernel.attributes["arg_attrs"] = ir.ArrayAttr.get([*kernel.attributes["arg_attrs"], *none])
        slots = slots_of(module)
        if slots is not None:
            attributes[SLOTS] = ir.ArrayAttr.get([*slots, *[ir.StringAttr.get("u64")] * (2 * len(pointers))])
        attributes[STORAGES] = ir.ArrayAttr.get([ir.IntegerAttr.get(i32, number) for number in pointers])
