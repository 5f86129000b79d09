"""Checks of Triton's ops, which are unregistered here and so have no verifiers of their own.

What libtriton has parsed or built is valid; MLIR text in the generic form need not be, and passes rely on the types.
"""

import math
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.errors import LoweringError


def verify(module: ir.Module) -> None:
    """Raise LoweringError for the first `tt` op that breaks a rule which passes rely on."""

    errors: list[LoweringError] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        error = _check(op)
        if error is None:
            return ir.WalkResult.ADVANCE
        errors.append(error)
        return ir.WalkResult.INTERRUPT

    module.operation.walk(visit)
    if errors:
        raise errors[0]


def _check(op: ir.Operation) -> LoweringError | None:
    rule = _RULES.get(op.name)
    if rule is None:
        return None
    counts, fits = rule
    operands, results = list(op.operands), list(op.results)
    if (len(operands), len(results)) not in counts:
        return LoweringError(f"'{op.name}' op cannot have {len(operands)} operands and {len(results)} results", op.location)
    try:
        if fits(op):
            return None
    except (KeyError, AttributeError, TypeError, ValueError, IndexError):
        pass  # a missing attribute, or a type or attribute of another kind
    except LoweringError as error:
        return LoweringError(f"'{op.name}' op with {error.message}", op.location)
    types = [", ".join(str(value.type) for value in values) for values in (operands, results)]
    return LoweringError(f"'{op.name}' op has attributes or types that do not fit: ({types[0]}) -> ({types[1]})", op.location)


def _shape(type_: ir.Type) -> tuple[int, ...]:
    return tuple(type_.shape) if isinstance(type_, ir.RankedTensorType) else ()


def _element(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.RankedTensorType) else type_


def _static(type_: ir.Type) -> bool:
    return all(0 < extent < 1 << 31 for extent in _shape(type_))


def _integer(type_: ir.Type, *widths: int) -> bool:
    element = _element(type_)
    return isinstance(element, ir.IntegerType) and (not widths or element.width in widths)


def _same_elements(op: ir.Operation) -> bool:
    return _element(op.operands[0].type) == _element(op.results[0].type) and _static(op.operands[0].type) and _static(op.results[0].type)


def _make_range(op: ir.Operation) -> bool:
    type_, start, end = op.results[0].type, op.attributes["start"].value, op.attributes["end"].value
    return _integer(type_, 32) and _shape(type_) == (end - start,) and end > start


def _splat(op: ir.Operation) -> bool:
    return op.operands[0].type == _element(op.results[0].type) and bool(_shape(op.results[0].type)) and _static(op.results[0].type)


def _expand_dims(op: ir.Operation) -> bool:
    shape, axis = _shape(op.operands[0].type), op.attributes["axis"].value
    return _same_elements(op) and 0 <= axis <= len(shape) and _shape(op.results[0].type) == (*shape[:axis], 1, *shape[axis:])


def _broadcast(op: ir.Operation) -> bool:
    old, new = _shape(op.operands[0].type), _shape(op.results[0].type)
    return _same_elements(op) and len(old) == len(new) and all(a in (1, b) for a, b in zip(old, new, strict=True))


def _reshape(op: ir.Operation) -> bool:
    return _same_elements(op) and math.prod(_shape(op.operands[0].type)) == math.prod(_shape(op.results[0].type))


def _trans(op: ir.Operation) -> bool:
    old, order = _shape(op.operands[0].type), list(op.attributes["order"])
    return _same_elements(op) and sorted(order) == list(range(len(old))) and _shape(op.results[0].type) == tuple(old[d] for d in order)


def _addptr(op: ir.Operation) -> bool:
    pointer, offset = (operand.type for operand in op.operands)
    return (
        _pointer(pointer) is not None
        and pointer == op.results[0].type
        and _integer(offset, 8, 16, 32, 64)
        and _shape(pointer) == _shape(offset)
    )


def _pointer(type_: ir.Type) -> str | None:
    pointee = tt.pointee(_element(type_))
    if pointee is not None:
        tt.size_of(pointee)
    return pointee if _static(type_) else None


def _bitcast(op: ir.Operation) -> bool:
    old, new = op.operands[0].type, op.results[0].type
    return _shape(old) == _shape(new) and (_pointer(old) is None) == (_pointer(new) is None)


def _int_to_ptr(op: ir.Operation) -> bool:
    return (
        _integer(op.operands[0].type, 64)
        and _pointer(op.results[0].type) is not None
        and _shape(op.operands[0].type) == _shape(op.results[0].type)
    )


def _ptr_to_int(op: ir.Operation) -> bool:
    return (
        _integer(op.results[0].type, 64)
        and _pointer(op.operands[0].type) is not None
        and _shape(op.operands[0].type) == _shape(op.results[0].type)
    )


def _access(op: ir.Operation) -> bool:
    if op.name == "tt.load":
        sizes = list(op.attributes["operandSegmentSizes"])
        if len(sizes) != 3 or sizes[0] != 1 or any(size not in (0, 1) for size in sizes) or sum(sizes) != len(op.operands):
            return False
        if not isinstance(op.attributes["isVolatile"].value, bool):
            return False
    elif op.name != "tt.store" and not 1 <= op.attributes["sem"].value < len(tt.ORDERS):
        return False
    if op.name == "tt.atomic_rmw" and not 1 <= op.attributes["atomic_rmw_op"].value < len(tt.RMW_KINDS):
        return False
    pointer, values, mask, other = tt.access_operands(op)
    pointee, shape = _pointer(pointer.type), _shape(pointer.type)
    values = [*values, *op.results, *([] if other is None else [other])]
    return (
        pointee is not None
        and all(_shape(value.type) == shape and str(_element(value.type)) == pointee for value in values)
        and (mask is None or (_shape(mask.type) == shape and _integer(mask.type, 1)))
    )


_UNARY = {(1, 1)}
_RULES: dict[str, tuple[set[tuple[int, int]], Callable[[ir.Operation], bool]]] = {
    "tt.make_range": ({(0, 1)}, _make_range),
    "tt.splat": (_UNARY, _splat),
    "tt.expand_dims": (_UNARY, _expand_dims),
    "tt.broadcast": (_UNARY, _broadcast),
    "tt.reshape": (_UNARY, _reshape),
    "tt.trans": (_UNARY, _trans),
    "tt.bitcast": (_UNARY, _bitcast),
    "tt.int_to_ptr": (_UNARY, _int_to_ptr),
    "tt.ptr_to_int": (_UNARY, _ptr_to_int),
    "tt.addptr": ({(2, 1)}, _addptr),
    "tt.load": ({(1, 1), (2, 1), (3, 1)}, _access),
    "tt.store": ({(2, 0), (3, 0)}, _access),
    "tt.atomic_load": ({(1, 1), (2, 1)}, _access),
    "tt.atomic_store": ({(2, 0), (3, 0)}, _access),
    "tt.atomic_rmw": ({(2, 1), (3, 1)}, _access),
    "tt.atomic_cas": ({(3, 1)}, _access),
}
