"""Checks of Triton's ops, which are unregistered here and so have no verifiers of their own.

What libtriton has parsed or built is valid; MLIR text in the generic form need not be, and passes rely on the types.
"""

import math
from collections.abc import Callable, Sequence

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
    if counts and (len(operands), len(results)) not in counts:
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
    old, order = _shape(op.operands[0].type), _i32s(op, "order")
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
    integer, pointer = op.operands[0].type, op.results[0].type
    return _integer(integer, 64) and _pointer(pointer) is not None and _shape(integer) == _shape(pointer)


def _ptr_to_int(op: ir.Operation) -> bool:
    pointer, integer = op.operands[0].type, op.results[0].type
    return _integer(integer, 64) and _pointer(pointer) is not None and _shape(integer) == _shape(pointer)


def _access(op: ir.Operation) -> bool:
    if op.name == "tt.load":
        sizes = _i32s(op, "operandSegmentSizes")
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


def _place(op: ir.Operation) -> bool:
    return _integer(op.results[0].type, 32) and not _shape(op.results[0].type) and 0 <= op.attributes["axis"].value < 3


def _body(op: ir.Operation, arguments: list[ir.Type], results: list[ir.Type], end: str) -> bool:
    """Whether the op has a region of one block or more, from `arguments` to `results`."""
    blocks = list(op.regions[0].blocks) if len(op.regions) == 1 else []
    if not blocks or [argument.type for argument in blocks[0].arguments] != arguments:
        return False
    ends = [list(block.operations)[-1].operation for block in blocks if list(block.operations)]
    returns = [last for last in ends if last.name == end]
    typed = len(ends) == len(blocks) and bool(returns) and all([value.type for value in last.operands] == results for last in returns)
    return typed and _ordered(blocks, _made_in(blocks), set())


def _made_in(blocks: Sequence[ir.Block]) -> set[ir.Value]:
    made: set[ir.Value] = set()
    for block in blocks:
        made.update(block.arguments)
        for op in block.operations:
            made.update(op.operation.results)
            for region in op.operation.regions:
                made |= _made_in(list(region.blocks))
    return made


def _ordered(blocks: Sequence[ir.Block], made: set[ir.Value], seen: set[ir.Value]) -> bool:
    """Whether ops use what stands before them in the region, or is constant: MLIR does not check that in regions of unregistered ops."""
    for block in blocks:
        seen.update(block.arguments)
        for op in block.operations:
            if any(operand not in seen and (operand in made or not _is_constant(operand)) for operand in op.operation.operands):
                return False
            if not all(_ordered(list(region.blocks), made, seen) for region in op.operation.regions):
                return False
            seen.update(op.operation.results)
    return True


def _is_constant(value: ir.Value) -> bool:
    """Whether a value is a constant or the function's argument."""
    if isinstance(value, ir.BlockArgument):
        return value.owner.owner.operation.name == "func.func"
    return value.owner.operation.name in ("arith.constant", "ub.poison")


def _i32s(op: ir.Operation, name: str) -> list[int]:
    return list(ir.DenseI32ArrayAttr(op.attributes[name]))


def _along(op: ir.Operation, end: str) -> bool:
    """A function of elements along an axis, of blocks of one shape."""
    types, axis = [operand.type for operand in op.operands], op.attributes["axis"].value
    elements = [_element(type_) for type_ in types]
    return (
        bool(types)
        and 0 <= axis < len(_shape(types[0]))
        and all(_static(type_) and _shape(type_) == _shape(types[0]) for type_ in types)
        and _body(op, elements * 2, elements, end)
        and len(op.regions[0].blocks) == 1
    )


def _reduce(op: ir.Operation) -> bool:
    if not _along(op, "tt.reduce.return") or len(op.results) != len(op.operands):
        return False
    axis, shape = op.attributes["axis"].value, list(_shape(op.operands[0].type))
    del shape[axis]
    kinds = zip(op.operands, op.results, strict=True)
    return all(_shape(new.type) == tuple(shape) and _element(new.type) == _element(old.type) for old, new in kinds)


def _scan(op: ir.Operation) -> bool:
    types = [[value.type for value in values] for values in (op.operands, op.results)]
    return _along(op, "tt.scan.return") and types[0] == types[1] and isinstance(op.attributes["reverse"].value, bool)


def _map(op: ir.Operation) -> bool:
    pack = op.attributes["pack"].value if "pack" in op.attributes else 1
    types = [value.type for value in (*op.operands, *op.results)]
    shape = _shape(types[0])
    taken, given = ([_element(value.type) for value in values for _ in range(pack)] for values in (op.operands, op.results))
    return (
        bool(op.operands)
        and bool(op.results)
        and bool(shape)
        and 1 <= pack <= shape[-1]
        and shape[-1] % pack == 0
        and all(_static(type_) and _shape(type_) == shape for type_ in types)
        and _body(op, taken, given, "tt.map_elementwise.return")
    )


def _product_shapes(a: tuple[int, ...], b: tuple[int, ...], c: tuple[int, ...]) -> bool:
    return len(a) == len(b) == len(c) in (2, 3) and a[:-2] == b[:-2] == c[:-2] and a[-1] == b[-2] and c[-2:] == (a[-2], b[-1])


def _dot(op: ir.Operation) -> bool:
    a, b, c = (operand.type for operand in op.operands)
    for name in ("inputPrecision", "maxNumImpreciseAcc"):
        if name in op.attributes and not isinstance(op.attributes[name], ir.IntegerAttr):
            return False
    floats = {isinstance(_element(type_), ir.FloatType) for type_ in (a, b, c)}
    numbers = all(isinstance(_element(type_), ir.FloatType) or _integer(type_, 8, 16, 32) for type_ in (a, b, c))
    shapes = _static(a) and _static(b) and c == op.results[0].type and _product_shapes(*map(_shape, (a, b, c)))
    return shapes and numbers and len(floats) == 1


def _dot_scaled(op: ir.Operation) -> bool:
    sizes = _i32s(op, "operandSegmentSizes")
    if sizes[:3] != [1, 1, 1] or len(sizes) != 5 or any(size not in (0, 1) for size in sizes) or sum(sizes) != len(op.operands):
        return False
    operands = iter(operand.type for operand in op.operands)
    a, b, c, a_scale, b_scale = (next(operands) if size else None for size in sizes)
    if not all(len(_shape(type_)) in (2, 3) and _static(type_) for type_ in (a, b, c)) or c != op.results[0].type:
        return False
    shapes = []
    for type_, scale, side, pack, k, rows in ((a, a_scale, "a", "lhs", -1, -2), (b, b_scale, "b", "rhs", -2, -1)):
        shape, kind = list(_shape(type_)), op.attributes[f"{side}_elem_type"].value
        if kind == _E2M1:
            shape[k if op.attributes[f"{pack}_k_pack"].value else rows] *= 2
            if not _integer(type_, 8):
                return False
        elif not isinstance(_element(type_), ir.FloatType):
            return False
        if scale is not None:
            groups = _shape(scale)
            known = _integer(scale, 8) or (isinstance(_element(scale), ir.FloatType) and _element(scale).width == 8)
            if not known or not _static(scale) or groups[:-1] != (*shape[:-2], shape[rows]) or shape[k] % groups[-1]:
                return False
        shapes.append(tuple(shape))
    return _product_shapes(shapes[0], shapes[1], _shape(c)) and isinstance(_element(c), ir.FloatType)


def _join(op: ir.Operation) -> bool:
    first, second = (operand.type for operand in op.operands)
    return first == second and _same_elements(op) and _shape(op.results[0].type) == (*_shape(first), 2)


def _split(op: ir.Operation) -> bool:
    first, second = (result.type for result in op.results)
    shape = _shape(op.operands[0].type)
    return first == second and _same_elements(op) and shape[-1:] == (2,) and shape[:-1] == _shape(first)


def _cat(op: ir.Operation) -> bool:
    first, second = (_shape(operand.type) for operand in op.operands)
    alike = op.operands[0].type.element_type == op.operands[1].type.element_type
    return _same_elements(op) and alike and first[1:] == second[1:] and _shape(op.results[0].type) == (first[0] + second[0], *first[1:])


def _gather(op: ir.Operation) -> bool:
    (source, index), result, axis = (operand.type for operand in op.operands), op.results[0].type, op.attributes["axis"].value
    old, new = _shape(source), _shape(index)
    return (
        _same_elements(op)
        and _integer(index, 32, 64)
        and new == _shape(result)
        and len(old) == len(new)
        and 0 <= axis < len(old)
        and all(a == b for d, (a, b) in enumerate(zip(old, new, strict=True)) if d != axis)
    )


def _histogram(op: ir.Operation) -> bool:
    source, *mask = (operand.type for operand in op.operands)
    result = op.results[0].type
    return (
        all(len(_shape(type_)) == 1 and _static(type_) and _integer(type_) for type_ in (source, result))
        and all(_shape(type_) == _shape(source) and _integer(type_, 1) for type_ in mask)
    )


def _unsplat(op: ir.Operation) -> bool:
    shape = _shape(op.operands[0].type)
    return bool(shape) and set(shape) == {1} and op.results[0].type == _element(op.operands[0].type)


def _lanes(type_: ir.Type) -> tuple[str, ir.Type]:
    """Shape and element of a scalar, block or vector."""
    if isinstance(type_, ir.VectorType):
        return f"{type_}".partition(str(type_.element_type))[0], type_.element_type
    return str(list(_shape(type_))), _element(type_)


def _one_shape(op: ir.Operation) -> bool:
    return len({_lanes(value.type)[0] for value in (*op.operands, *op.results)}) == 1 and all(_static(value.type) for value in op.operands)


def _floats(op: ir.Operation) -> bool:
    return _one_shape(op) and all(isinstance(_lanes(value.type)[1], ir.FloatType) for value in (*op.operands, *op.results))


def _one_type(op: ir.Operation) -> bool:
    return len({str(value.type) for value in (*op.operands, *op.results)}) == 1


def _fp_to_fp(op: ir.Operation) -> bool:
    return _floats(op) and ("rounding" not in op.attributes or isinstance(op.attributes["rounding"].value, int))


def _clampf(op: ir.Operation) -> bool:
    return _floats(op) and _one_type(op) and isinstance(op.attributes["propagateNan"].value, int)


def _mulhiui(op: ir.Operation) -> bool:
    element = _lanes(op.results[0].type)[1]
    return _one_shape(op) and _one_type(op) and isinstance(element, ir.IntegerType) and element.width in (32, 64)


def _extern(op: ir.Operation) -> bool:
    return _one_shape(op) and isinstance(op.attributes["symbol"].value, str)


def _print(op: ir.Operation) -> bool:
    prefix, hex_, signed = op.attributes["prefix"].value, op.attributes["hex"].value, _i32s(op, "isSigned")
    return isinstance(prefix, str) and isinstance(hex_, bool) and len(signed) == len(op.operands)


def _assert(op: ir.Operation) -> bool:
    return isinstance(op.attributes["message"].value, str) and _integer(op.operands[0].type, 1) and _static(op.operands[0].type)


def _poll(op: ir.Operation) -> bool:
    pointer, expected, *timeout = (operand.type for operand in op.operands)
    result = op.results[0].type
    return (
        1 <= op.attributes["sem"].value < len(tt.ORDERS)
        and str(_element(expected)) == _pointer(pointer)
        and _integer(result, 1)
        and _shape(pointer) == _shape(expected) == _shape(result)
        and all(str(type_) == "i64" for type_ in timeout)
    )


_E2M1 = 4  # of Triton's ScaleDotElemType
_UNARY = {(1, 1)}
#: The numbers of operands and results (none: any), and what must hold of attributes and types.
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
    "tt.atomic_poll": ({(2, 1), (3, 1)}, _poll),
    "tt.get_program_id": ({(0, 1)}, _place),
    "tt.get_num_programs": ({(0, 1)}, _place),
    "tt.reduce": (set(), _reduce),
    "tt.scan": (set(), _scan),
    "tt.map_elementwise": (set(), _map),
    "tt.dot": ({(3, 1)}, _dot),
    "tt.dot_scaled": ({(3, 1), (4, 1), (5, 1)}, _dot_scaled),
    "tt.join": ({(2, 1)}, _join),
    "tt.split": ({(1, 2)}, _split),
    "tt.cat": ({(2, 1)}, _cat),
    "tt.gather": ({(2, 1)}, _gather),
    "tt.histogram": ({(1, 1), (2, 1)}, _histogram),
    "tt.unsplat": (_UNARY, _unsplat),
    "tt.fp_to_fp": (_UNARY, _fp_to_fp),
    "tt.clampf": ({(3, 1)}, _clampf),
    "tt.mulhiui": ({(2, 1)}, _mulhiui),
    "tt.precise_divf": ({(2, 1)}, _floats),
    "tt.precise_sqrt": (_UNARY, _floats),
    "tt.extern_elementwise": ({(1, 1), (2, 1), (3, 1)}, _extern),
    "tt.print": (set(), _print),
    "tt.assert": ({(1, 0)}, _assert),
}
