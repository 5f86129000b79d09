"""Rules of pointers and of ops that access memory."""

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.tt_verifier.types import element_of, i32s, is_integer, pointee_of, shape_of


def addptr(op: ir.Operation) -> bool:
    pointer, offset = (operand.type for operand in op.operands)
    return (
        pointee_of(pointer) is not None
        and pointer == op.results[0].type
        and is_integer(offset, 8, 16, 32, 64)
        and shape_of(pointer) == shape_of(offset)
    )


def getelementptr(op: ir.Operation) -> bool:
    element = op.attributes["elem_type"].value
    return isinstance(element, ir.IntegerType | ir.FloatType | ir.VectorType) or str(element).startswith("!llvm.")


def bitcast(op: ir.Operation) -> bool:
    old, new = op.operands[0].type, op.results[0].type
    return shape_of(old) == shape_of(new) and (pointee_of(old) is None) == (pointee_of(new) is None)


def int_to_ptr(op: ir.Operation) -> bool:
    integer, pointer = op.operands[0].type, op.results[0].type
    return is_integer(integer, 64) and pointee_of(pointer) is not None and shape_of(integer) == shape_of(pointer)


def ptr_to_int(op: ir.Operation) -> bool:
    pointer, integer = op.operands[0].type, op.results[0].type
    return is_integer(integer, 64) and pointee_of(pointer) is not None and shape_of(integer) == shape_of(pointer)


def access(op: ir.Operation) -> bool:
    if op.name == "tt.load":
        sizes = i32s(op, "operandSegmentSizes")
        if len(sizes) != 3 or sizes[0] != 1 or any(size not in (0, 1) for size in sizes) or sum(sizes) != len(op.operands):
            return False
        if not isinstance(op.attributes["isVolatile"].value, bool):
            return False
    elif op.name != "tt.store" and not 1 <= op.attributes["sem"].value < len(tt.ORDERS):
        return False
    if op.name == "tt.atomic_rmw" and not 1 <= op.attributes["atomic_rmw_op"].value < len(tt.RMW_KINDS):
        return False
    pointer, values, mask, other = tt.access_operands(op)
    pointee, shape = pointee_of(pointer.type), shape_of(pointer.type)
    values = [*values, *op.results, *([] if other is None else [other])]
    return (
        pointee is not None
        and all(shape_of(value.type) == shape and str(element_of(value.type)) == pointee for value in values)
        and (mask is None or (shape_of(mask.type) == shape and is_integer(mask.type, 1)))
    )


def poll(op: ir.Operation) -> bool:
    pointer, expected, *timeout = (operand.type for operand in op.operands)
    result = op.results[0].type
    return (
        1 <= op.attributes["sem"].value < len(tt.ORDERS)
        and str(element_of(expected)) == pointee_of(pointer)
        and is_integer(result, 1)
        and shape_of(pointer) == shape_of(expected) == shape_of(result)
        and all(str(type_) == "i64" for type_ in timeout)
    )
