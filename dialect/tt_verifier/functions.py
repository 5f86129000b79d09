"""Rules of ops with a function of elements in a region."""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.tt_verifier.types import element_of, is_static, shape_of


def reduce(op: ir.Operation) -> bool:
    if not _along(op, "tt.reduce.return") or len(op.results) != len(op.operands):
        return False
    axis, shape = op.attributes["axis"].value, list(shape_of(op.operands[0].type))
    del shape[axis]
    kinds = zip(op.operands, op.results, strict=True)
    return all(shape_of(new.type) == tuple(shape) and element_of(new.type) == element_of(old.type) for old, new in kinds)


def scan(op: ir.Operation) -> bool:
    types = [[value.type for value in values] for values in (op.operands, op.results)]
    return _along(op, "tt.scan.return") and types[0] == types[1] and isinstance(op.attributes["reverse"].value, bool)


def map_elementwise(op: ir.Operation) -> bool:
    pack = op.attributes["pack"].value if "pack" in op.attributes else 1
    types = [value.type for value in (*op.operands, *op.results)]
    shape = shape_of(types[0])
    taken, given = ([element_of(value.type) for value in values for _ in range(pack)] for values in (op.operands, op.results))
    return (
        bool(op.operands)
        and bool(op.results)
        and bool(shape)
        and 1 <= pack <= shape[-1]
        and shape[-1] % pack == 0
        and all(is_static(type_) and shape_of(type_) == shape for type_ in types)
        and _body(op, taken, given, "tt.map_elementwise.return")
    )


def _along(op: ir.Operation, end: str) -> bool:
    """A function of elements along an axis, of blocks of one shape."""
    types, axis = [operand.type for operand in op.operands], op.attributes["axis"].value
    elements = [element_of(type_) for type_ in types]
    return (
        bool(types)
        and 0 <= axis < len(shape_of(types[0]))
        and all(is_static(type_) and shape_of(type_) == shape_of(types[0]) for type_ in types)
        and _body(op, elements * 2, elements, end)
        and len(op.regions[0].blocks) == 1
    )


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
