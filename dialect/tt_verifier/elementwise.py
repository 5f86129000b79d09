"""Rules of ops that compute element by element, on scalars, blocks or vectors."""

from torch_mlir import ir

from triton_spacemit.dialect.tt_verifier.types import element_of, is_static, shape_of


def floats(op: ir.Operation) -> bool:
    return _one_shape(op) and all(isinstance(_lanes(value.type)[1], ir.FloatType) for value in (*op.operands, *op.results))


def fp_to_fp(op: ir.Operation) -> bool:
    return floats(op) and ("rounding" not in op.attributes or isinstance(op.attributes["rounding"].value, int))


def clampf(op: ir.Operation) -> bool:
    return floats(op) and _one_type(op) and isinstance(op.attributes["propagateNan"].value, int)


def mulhiui(op: ir.Operation) -> bool:
    element = _lanes(op.results[0].type)[1]
    return _one_shape(op) and _one_type(op) and isinstance(element, ir.IntegerType) and element.width in (32, 64)


def extern_elementwise(op: ir.Operation) -> bool:
    return _one_shape(op) and isinstance(op.attributes["symbol"].value, str)


def _one_shape(op: ir.Operation) -> bool:
    return len({_lanes(value.type)[0] for value in (*op.operands, *op.results)}) == 1 and all(
        is_static(value.type) for value in op.operands
    )


def _one_type(op: ir.Operation) -> bool:
    return len({str(value.type) for value in (*op.operands, *op.results)}) == 1


def _lanes(type_: ir.Type) -> tuple[str, ir.Type]:
    """Shape and element of a scalar, block or vector."""
    if isinstance(type_, ir.VectorType):
        return f"{type_}".partition(str(type_.element_type))[0], type_.element_type
    return str(list(shape_of(type_))), element_of(type_)
