"""What a module says of itself: its chip and its kernel."""

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, get_chip
from triton_spacemit.dialect.errors import LoweringError

CHIP = "xsmt.chip"
LLVM_ATTRIBUTES = "llvm.passthrough"  # of a function, for LLVM's own
SCRATCH = "xsmt.scratch_bytes"
SCHEDULED = "xsmt.scheduled"  # the code has register tiles whose instructions stand in the order in which the chip should start them
FP_FUSION = "xsmt.fp_fusion"  # absent means yes


def chip_of(module: ir.Module) -> Chip:
    """The chip that `module` is compiled for; the host where it names none."""
    attributes = module.operation.attributes
    return get_chip(attributes[CHIP].value if CHIP in attributes else "host")


def set_chip(module: ir.Module, chip: Chip) -> None:
    """Say that `module` is compiled for `chip`."""
    with module.context:
        module.operation.attributes[CHIP] = ir.StringAttr.get(chip.name)


def fuses(module: ir.Module) -> bool:
    """Whether a product and a sum of `module` may become one fused multiply-add."""
    attributes = module.operation.attributes
    return FP_FUSION not in attributes or attributes[FP_FUSION].value


def set_fp_fusion(module: ir.Module, fuse: bool) -> None:
    """Say what `fuses` asks."""
    with module.context:
        module.operation.attributes[FP_FUSION] = ir.BoolAttr.get(fuse)


def operations(root: ir.Operation, *names: str) -> list[ir.Operation]:
    """The ops of these names in `root`, inner ones first."""
    found: list[ir.Operation] = []

    def collect(op: ir.Operation) -> ir.WalkResult:
        if op.name in names:
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(collect)
    return found


def kernel_of(module: ir.Module) -> ir.Operation:
    """The module's one public function. Raises LoweringError where there is none or several."""
    functions = [
        op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
        and op.operation.regions[0].blocks
        and ("sym_visibility" not in op.operation.attributes or op.operation.attributes["sym_visibility"].value == "public")
    ]
    if len(functions) != 1:
        raise LoweringError(f"a module must have one public function, this one has {len(functions)}", module.operation.location)
    return functions[0]
