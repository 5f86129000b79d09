"""What the rules ask of types and attributes. A scalar is a block without dimensions."""

from torch_mlir import ir

from triton_spacemit.dialect import tt


def shape_of(type_: ir.Type) -> tuple[int, ...]:
    return tuple(type_.shape) if isinstance(type_, ir.RankedTensorType) else ()


def element_of(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.RankedTensorType) else type_


def is_static(type_: ir.Type) -> bool:
    return all(0 < extent < 1 << 31 for extent in shape_of(type_))


def is_integer(type_: ir.Type, *widths: int) -> bool:
    element = element_of(type_)
    return isinstance(element, ir.IntegerType) and (not widths or element.width in widths)


def pointee_of(type_: ir.Type) -> str | None:
    pointee = tt.pointee(element_of(type_))
    if pointee is not None:
        tt.size_of(pointee)
    return pointee if is_static(type_) else None


def i32s(op: ir.Operation, name: str) -> list[int]:
    return list(ir.DenseI32ArrayAttr(op.attributes[name]))


def same_elements(op: ir.Operation) -> bool:
    return (
        element_of(op.operands[0].type) == element_of(op.results[0].type)
        and is_static(op.operands[0].type)
        and is_static(op.results[0].type)
    )
