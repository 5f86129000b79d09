"""Rules of products."""

from torch_mlir import ir

from triton_spacemit.dialect.tt_verifier.types import element_of, i32s, is_integer, is_static, shape_of

_E2M1 = 4  # of Triton's ScaleDotElemType


def dot(op: ir.Operation) -> bool:
    a, b, c = (operand.type for operand in op.operands)
    for name in ("inputPrecision", "maxNumImpreciseAcc"):
        if name in op.attributes and not isinstance(op.attributes[name], ir.IntegerAttr):
            return False
    floats = {isinstance(element_of(type_), ir.FloatType) for type_ in (a, b, c)}
    numbers = all(isinstance(element_of(type_), ir.FloatType) or is_integer(type_, 8, 16, 32) for type_ in (a, b, c))
    shapes = is_static(a) and is_static(b) and c == op.results[0].type and _product_shapes(*map(shape_of, (a, b, c)))
    return shapes and numbers and len(floats) == 1


def dot_scaled(op: ir.Operation) -> bool:
    sizes = i32s(op, "operandSegmentSizes")
    if sizes[:3] != [1, 1, 1] or len(sizes) != 5 or any(size not in (0, 1) for size in sizes) or sum(sizes) != len(op.operands):
        return False
    operands = iter(operand.type for operand in op.operands)
    a, b, c, a_scale, b_scale = (next(operands) if size else None for size in sizes)
    if not all(len(shape_of(type_)) in (2, 3) and is_static(type_) for type_ in (a, b, c)) or c != op.results[0].type:
        return False
    shapes = []
    for type_, scale, side, pack, k, rows in ((a, a_scale, "a", "lhs", -1, -2), (b, b_scale, "b", "rhs", -2, -1)):
        shape, kind = list(shape_of(type_)), op.attributes[f"{side}_elem_type"].value
        if kind == _E2M1:
            shape[k if op.attributes[f"{pack}_k_pack"].value else rows] *= 2
            if not is_integer(type_, 8):
                return False
        elif not isinstance(element_of(type_), ir.FloatType):
            return False
        if scale is not None:
            groups = shape_of(scale)
            known = is_integer(scale, 8) or (isinstance(element_of(scale), ir.FloatType) and element_of(scale).width == 8)
            if not known or not is_static(scale) or groups[:-1] != (*shape[:-2], shape[rows]) or shape[k] % groups[-1]:
                return False
        shapes.append(tuple(shape))
    return _product_shapes(shapes[0], shapes[1], shape_of(c)) and isinstance(element_of(c), ir.FloatType)


def _product_shapes(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]) -> bool:
    return len(a) == len(b) == len(c) in (2, 3) and a[:-2] == b[:-2] == c[:-2] and a[-1] == b[-2] and c[-2:] == (a[-2], b[-1])
