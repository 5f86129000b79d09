"""Lower loops to the LLVM dialect and give the kernel its entry point.

In: functions of scalars and vectors (docs/architecture.md). Out: only the LLVM dialect. The kernel `NAME(arguments.., context, scratch)`
becomes private, and `NAME(slots, context)` with the runtime's calling convention reads its arguments from 8-byte slots and calls it.
What the module's attributes say of the kernel, and how LLVM should compile it, becomes attributes of that function (`xsmt-..`).

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
from triton_spacemit.dialect.chips import Chip
from triton_spacemit.dialect.module import LLVM_ATTRIBUTES, SCHEDULED, artifact_of, chip_of, kernel_of
from triton_spacemit.passes.codegen_options import SCHEDULED_CODE, SIMPLE
from triton_spacemit.passes.registry import run_upstream
from triton_spacemit.passes.rotate_loops import rotate_loops

PIPELINE = (
    "convert-scf-to-cf,"
    "convert-vector-to-llvm{reassociate-fp-reductions=true},"
    "convert-to-llvm,"
    "reconcile-unrealized-casts,canonicalize{top-down=false},"
    "ensure-debug-info-scope-on-llvm-func{emission-kind=LineTablesOnly}"
)


# A large frame is touched page by page: one that has no room meets the end of the stack, not what lies beyond. Not on RISC-V, where LLVM 22
# makes wrong code of it if the frame holds vectors.
PROBES = {"probe-stack": "inline-asm"}
SHORT = 300  # ops of the LLVM dialect
MANY = 200  # loops, from which on LLVM's passes on loops take time that grows with the square of their number
LOOPS = ("scf.for", "scf.while")


def to_llvm(module: ir.Module) -> None:
    """Raises LoweringError where an op has no lowering upstream."""
    nested, many = _has_nested_loops(module), _has_many_loops(module)
    attributes = _vector_length(chip_of(module), SCHEDULED in module.operation.attributes)
    if many:  # LLVM's own rotation would take most of the time
        rotate_loops(module)
    with module.context:
        name = add_entry(module)
        for function in module.body.operations:
            if function.operation.name == "func.func" and function.regions[0].blocks:
                _add_attributes(function.operation, LLVM_ATTRIBUTES, attributes)
    run_upstream(module, PIPELINE, "cannot lower to LLVM")
    if many:
        _enter_first(module)
    if many or not nested and _is_short(module):
        with module.context:
            entry = next(op for op in module.body.operations if ir.StringAttr(op.attributes["sym_name"]).value == name)
            _add_attributes(entry.operation, "passthrough", {SIMPLE: ""})


def _vector_length(chip: Chip, scheduled: bool) -> dict[str, str]:
    """LLVM's `vscale_range`, the least and the most that registers hold of 64 bits: whole groups then need no length of their own.

    Register tiles have their own length in all instructions, and gain nothing. Off RISC-V it is how a large frame is touched.
    """
    if not chip.active_lengths:
        return PROBES
    scale = chip.vlen // 64
    return {"vscale_range": str(scale << 32 | scale)}


def _has_nested_loops(module: ir.Module) -> bool:
    """Whether a loop is in another; of long code, which need not be looked at, either is said."""
    found, seen = False, 0

    def look(op: ir.Operation) -> ir.WalkResult:
        nonlocal found, seen
        seen += 1
        if op.name in LOOPS:
            parent = op.parent
            while parent is not None and parent.name not in LOOPS:
                parent = parent.parent
            found = parent is not None
        return ir.WalkResult.INTERRUPT if found or seen > SHORT else ir.WalkResult.ADVANCE

    module.operation.walk(look)
    return found


def _enter_first(module: ir.Module) -> None:
    """Have loops name where they are entered before their own end, as those do that LLVM rotates: by this order it chooses among addresses.

    The newest branch to a block is named first.
    """
    ends: list[ir.Operation] = []

    def collect(op: ir.Operation) -> ir.WalkResult:
        if op.name in ("llvm.br", "llvm.cond_br"):
            ends.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(collect)
    for end in reversed(ends):
        end.clone(ir.InsertionPoint(end))
        end.erase()


def _has_many_loops(module: ir.Module) -> bool:
    seen = 0

    def count(op: ir.Operation) -> ir.WalkResult:
        nonlocal seen
        seen += op.name in LOOPS
        return ir.WalkResult.INTERRUPT if seen > MANY else ir.WalkResult.ADVANCE

    module.operation.walk(count)
    return seen > MANY


def _is_short(module: ir.Module) -> bool:
    seen = 0

    def count(op: ir.Operation) -> ir.WalkResult:
        nonlocal seen
        seen += 1
        return ir.WalkResult.INTERRUPT if seen > SHORT else ir.WalkResult.ADVANCE

    module.operation.walk(count)
    return seen <= SHORT


def _add_attributes(function: ir.Operation, name: str, attributes: dict[str, str]) -> None:
    """Add to the attributes for LLVM that `function` has under `name`."""
    old = list(function.attributes[name]) if name in function.attributes else []
    pairs = [ir.ArrayAttr.get([ir.StringAttr.get(key), ir.StringAttr.get(value)]) for key, value in attributes.items()]
    function.attributes[name] = ir.ArrayAttr.get([*old, *pairs])


def add_entry(module: ir.Module) -> str:
    """`NAME(slots, context)`: reads every argument from its slot and calls the program's body. Its name."""
    kernel = kernel_of(module)
    types = [a.type for a in kernel.regions[0].blocks[0].arguments]
    artifact = artifact_of(module, types[:-2])
    name = kernel.attributes["sym_name"].value
    body = f"{name}.program"
    kernel.attributes["sym_name"] = ir.StringAttr.get(body)
    kernel.attributes["sym_visibility"] = ir.StringAttr.get("private")
    kernel.attributes["llvm.always_inline"] = ir.UnitAttr.get()
    kernel.attributes["llvm.linkage"] = ir.Attribute.parse("#llvm.linkage<internal>")
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
        scheduled = {SCHEDULED_CODE: ""} if SCHEDULED in module.operation.attributes else {}
        _add_attributes(entry, LLVM_ATTRIBUTES, artifact.attributes() | scheduled)
    return name
