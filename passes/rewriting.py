"""What passes that rewrite ops where they stand have in common."""

from collections.abc import Collection, Mapping, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.identity import identity
from triton_spacemit.dialect.values import producer_of

# Triton's ops that may go where nothing uses them. MLIR does not know their effects, as they are not registered, and keeps them.
_PURE_OF_TRITON = frozenset(
    "tt." + name
    for name in (
        "addptr bitcast broadcast cat clampf dot dot_scaled expand_dims extern_elementwise fp_to_fp gather get_num_programs "
        "get_program_id histogram int_to_ptr join make_range map_elementwise mulhiui precise_divf precise_sqrt ptr_to_int reduce reshape "
        "scan splat split trans unsplat"
    ).split()
)
# Of our own those that only such ops, or these, may stand before; MLIR removes them too, but not what they read.
_PURE_OF_XSMT = frozenset("xsmt." + name for name in "descriptor_load exchange mmt4d pack repack subview unpack".split())
_PURE = _PURE_OF_TRITON | _PURE_OF_XSMT


def create(
    name: str, operands: Sequence[ir.Value], result: ir.Type, before: ir.Operation, attributes: Mapping[str, ir.Attribute] | None = None
) -> ir.Value:
    """The result of a new op before another one, at its location."""
    at = ir.InsertionPoint(before)
    return ir.Operation.create(name, [result], list(operands), attributes, loc=before.location, ip=at).result


def tensor(shape: Sequence[int], element: ir.Type) -> ir.Type:
    return ir.RankedTensorType.get(shape, element, loc=ir.Location.unknown())


def reshaped(value: ir.Value, shape: list[int], before: ir.Operation) -> ir.Value:
    """The block in another shape; of what is a reshape itself the source is taken."""
    source = producer_of(value, "tt.reshape")
    if source is not None:
        value = source.operands[0]
    return value if list(value.type.shape) == shape else create("tt.reshape", [value], tensor(shape, value.type.element_type), before)


def i32(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), value)


def attributes_of(op: ir.Operation) -> dict[str, ir.Attribute]:
    return {name: op.attributes[name] for name in op.attributes}


def is_unused(op: ir.Operation) -> bool:
    return all(next(iter(result.uses), None) is None for result in op.results)


def users(value: ir.Value) -> list[ir.Operation]:
    return [use.owner.operation for use in value.uses]


def only_user(value: ir.Value) -> ir.Operation | None:
    """The op that alone uses the value, and once."""
    uses = users(value)
    return uses[0] if len(uses) == 1 else None


def last_of(block: ir.Block) -> ir.Operation:
    return block.operations[len(block.operations) - 1].operation


def following(op: ir.Operation) -> ir.Operation:
    operations = [view.operation for view in op.block.operations]
    return operations[operations.index(op) + 1]


def carrying(loop: ir.Operation, initial: Mapping[int, ir.Value]) -> ir.Operation:
    """The `scf.for` with other initial values, by number, and their types; its body moves, its uses stay with `loop`."""
    operands, types = list(loop.operands), [result.type for result in loop.results]
    body = loop.regions[0].blocks[0]
    for number, value in initial.items():
        operands[3 + number], types[number] = value, value.type
    new = ir.Operation.create("scf.for", types, operands, attributes_of(loop), regions=1, loc=loop.location, ip=ir.InsertionPoint(loop))
    body.append_to(new.regions[0])
    for number, value in initial.items():
        body.arguments[number + 1].set_type(value.type)
    return new


def is_pure(op: ir.Operation) -> bool:
    """Whether the op may go where nothing uses its results."""
    if not (op.name.startswith(("arith.", "math.")) or op.name in _PURE):
        return False
    bodies = (view.operation for region in op.regions for block in region.blocks for view in block.operations)
    return all(inner.name.endswith(".return") or is_pure(inner) for inner in bodies)


def sweep(root: ir.Operation, replaced: Collection[int] = ()) -> None:
    """Erase what nothing uses in `root`, users first: pure ops, and those whose identity is in `replaced`."""
    for region in root.regions:
        for block in region.blocks:
            for view in reversed(list(block.operations)):
                op = view.operation
                if is_unused(op) and (is_pure(op) or identity(op) in replaced):
                    op.erase()
                elif op.regions:
                    sweep(op, replaced)
