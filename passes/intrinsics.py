"""Calls of LLVM's intrinsics for a chip's own instructions."""

from torch_mlir import ir


def intrinsic(name: str, operands: int) -> dict[str, ir.Attribute]:
    """The attributes of an `llvm.call_intrinsic` of `name` with so many operands."""
    return {
        "intrin": ir.StringAttr.get(name),
        "op_bundle_sizes": ir.DenseI32ArrayAttr.get([]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([operands, 0]),
    }
