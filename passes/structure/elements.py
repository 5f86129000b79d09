"""Values as they lie in memory: i1 as bytes, pointers as integers, and what a tensor repeats."""

from torch_mlir import ir

from triton_spacemit.dialect.predicates import IntPredicate, attribute_of
from triton_spacemit.passes.structure.function import Function


def zeros(f: Function, op: ir.Operation, type_: ir.Type) -> ir.Value:
    """A scalar or tensor of zeros, before `op`."""
    tensor = isinstance(type_, ir.RankedTensorType)
    element = type_.element_type if tensor else type_
    integer = isinstance(element, ir.IntegerType)
    zero = f.constant(ir.IntegerAttr.get(element, 0) if integer else ir.FloatAttr.get(element, 0.0, loc=op.location))
    return f.before(op, "tt.splat", [zero], type_) if tensor else zero


def splatted(f: Function, value: ir.Value) -> ir.Value:
    """The scalar that a tensor repeats, or the tensor."""
    if not isinstance(value, ir.OpResult):
        return value
    owner = value.owner.operation
    if owner.name == "tt.splat":
        return owner.operands[0]
    if owner.name == "arith.constant" and owner.attributes["value"].is_splat:
        return f.constant(owner.attributes["value"].get_splat_value())
    return value


def as_bytes(f: Function, op: ir.Operation, value: ir.Value) -> ir.Value:
    """A value as it lies in memory: i1, scalar or tensor, takes a byte."""
    tensor = isinstance(value.type, ir.RankedTensorType)
    if (value.type.element_type if tensor else value.type) != f.nodes.i1:
        return value
    return f.before(op, "arith.extui", [value], f.describer.integers(tuple(value.type.shape), f.nodes.i8) if tensor else f.nodes.i8)


def as_bool(f: Function, op: ir.Operation, value: ir.Value) -> ir.Value:
    """A byte from memory, or a tensor of them, as i1: whether it is not zero."""
    tensor = isinstance(value.type, ir.RankedTensorType)
    result = f.describer.integers(tuple(value.type.shape), f.nodes.i1) if tensor else f.nodes.i1
    return f.before(op, "arith.cmpi", [value, zeros(f, op, value.type)], result, predicate=attribute_of(IntPredicate.ne))


def in_memory(f: Function, type_: ir.Type) -> ir.Type:
    """What LLVM loads and stores for a scalar type: bytes for i1 and eight-bit floats, which it does not know."""
    narrow = type_ == f.nodes.i1 or (not isinstance(type_, ir.IntegerType) and str(type_).startswith("f8"))
    return f.nodes.i8 if narrow else type_


def is_true(mask: ir.Value) -> bool:
    owner = mask.owner
    return isinstance(mask, ir.OpResult) and owner.name == "arith.constant" and bool(owner.attributes["value"].value)
