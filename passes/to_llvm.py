"""Lower loops to the LLVM dialect and give the kernel its entry point.

In: functions of scalars and vectors (docs/architecture.md). Out: only the LLVM dialect. The kernel `NAME(arguments.., context, scratch)`
becomes private, and `NAME(slots, context)` with the runtime's calling convention reads its arguments from 8-byte slots and calls it.

```mlir
func.func @kernel(%x: !llvm.ptr, %n: i32, %context: !llvm.ptr, %scratch: !llvm.ptr) {
  %m = arith.addi %n, %n : i32
  llvm.store %m, %x : i32, !llvm.ptr
  return
}
```
"""

from torch_mlir import ir

from triton_spacemit.dialect.abi import CONTEXT, SLOT_BYTES
from triton_spacemit.dialect.module import LLVM_ATTRIBUTES, kernel_of
from triton_spacemit.passes.registry import run_upstream

PIPELINE = (
    "convert-scf-to-cf,"
    "convert-vector-to-llvm{reassociate-fp-reductions=true},"
    "convert-math-to-llvm,convert-arith-to-llvm,convert-index-to-llvm,convert-ub-to-llvm,convert-cf-to-llvm,convert-func-to-llvm,"
    "reconcile-unrealized-casts,canonicalize,"
    "ensure-debug-info-scope-on-llvm-func{emission-kind=LineTablesOnly}"
)


def to_llvm(module: ir.Module) -> None:
    """Raises LoweringError where an op has no lowering upstream."""
    with module.context:
        add_entry(module)
    run_upstream(module, PIPELINE, "cannot lower to LLVM")


def add_entry(module: ir.Module) -> None:
    """`NAME(slots, context)`: reads every argument from its slot and calls the program's body."""
    kernel = kernel_of(module)
    name = kernel.attributes["sym_name"].value
    body = f"{name}.program"
    kernel.attributes["sym_name"] = ir.StringAttr.get(body)
    kernel.attributes["sym_visibility"] = ir.StringAttr.get("private")
    kernel.attributes["llvm.always_inline"] = ir.UnitAttr.get()
    kernel.attributes["llvm.linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
    types = [a.type for a in kernel.regions[0].blocks[0].arguments]
    # A call that is inlined must have a place where its function has one, and upstream gives every function one.
    unknown = isinstance(kernel.location, ir.UnknownLoc)
    location = ir.Location.file("<unknown>", 0, 0, module.context) if unknown else kernel.location
    pointer, byte, i64 = ir.Type.parse("!llvm.ptr"), ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(64)
    with location:
        attributes = {
            "sym_name": ir.StringAttr.get(name),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get([pointer, pointer], [])),
        }
        if LLVM_ATTRIBUTES in kernel.attributes:
            attributes[LLVM_ATTRIBUTES] = kernel.attributes[LLVM_ATTRIBUTES]
        with ir.InsertionPoint(module.body):
            entry = ir.Operation.create("func.func", [], [], attributes, regions=1)
        block = entry.regions[0].blocks.append(pointer, pointer)
        with ir.InsertionPoint(block):

            def load(base: ir.Value, offset: int, type_: ir.Type) -> ir.Value:
                place = {"rawConstantIndices": ir.DenseI32ArrayAttr.get([offset]), "elem_type": ir.TypeAttr.get(byte)}
                address = ir.Operation.create("llvm.getelementptr", [pointer], [base], place).results[0]
                aligned = {"alignment": ir.IntegerAttr.get(i64, 8)}
                return ir.Operation.create("llvm.load", [type_], [address], aligned).results[0]

            slots, context = block.arguments
            operands = [load(slots, SLOT_BYTES * i, type_) for i, type_ in enumerate(types[:-2])]
            operands += [context, load(context, CONTEXT.offset("scratch"), pointer)]
            ir.Operation.create("func.call", [], operands, {"callee": ir.FlatSymbolRefAttr.get(body)})
            ir.Operation.create("func.return", [], [])
