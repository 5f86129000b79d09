"""Loads, stores and atomics of blocks, from the forms of their pointers and masks; of scalars, in `scalars.py`."""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.identity import identity
from triton_spacemit.passes.facts.masks import Bounds
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.structure.elements import as_bool, as_bytes, is_true, splatted, zeros
from triton_spacemit.passes.structure.function import DYNAMIC, Function
from triton_spacemit.passes.structure.scalars import scalar_load, scalar_store

_ACQUIRE_RELEASE = 6  # of LLVM's orderings


def load(f: Function, op: ir.Operation) -> None:
    pointer, _, mask, other = tt.access_operands(op)
    result = op.results[0]
    shape, _, pointee = f.describer.info(result.type)
    element = result.type.element_type if shape else result.type
    if not isinstance(pointer.type, ir.RankedTensorType):
        f.replace(op, scalar_load(f, op, pointer, mask, other))
        return
    stored = f.nodes.i64 if pointee is not None else f.nodes.i8 if element == f.nodes.i1 else element
    if other is not None:
        if pointee is not None:
            other = f.addresses(other, op)
        else:
            other = as_bytes(f, op, splatted(f, other))
    block = f.describer.integers(shape, stored)
    volatile = op.attributes["isVolatile"].value
    if volatile:
        fence(f, op)
    new = access(f, op, ("xsmt.descriptor_load", "xsmt.gather"), pointer, [], mask, [other], block)
    if volatile:
        fence(f, op)
    if element == f.nodes.i1:
        new = as_bool(f, op, new)
    f.replace(op, new)


def fence(f: Function, op: ir.Operation) -> None:
    """Memory is read anew behind a fence; for the compiler only, it is no instruction."""
    attributes = {
        "ordering": ir.IntegerAttr.get(f.nodes.i64, _ACQUIRE_RELEASE),
        "syncscope": ir.StringAttr.get("singlethread"),
    }
    f.create("llvm.fence", [], [], ir.InsertionPoint(op), op.location, attributes)


def store(f: Function, op: ir.Operation) -> None:
    pointer, (value,), mask, _ = tt.access_operands(op)
    if not isinstance(pointer.type, ir.RankedTensorType):
        scalar_store(f, op, pointer, value, mask)
    else:
        if f.describer.info(value.type)[2] is not None:
            value = f.addresses(value, op)
        attributes = {"streams": ir.UnitAttr.get()} if tt.streams(op) else {}
        access(f, op, ("xsmt.descriptor_store", "xsmt.scatter"), pointer, [as_bytes(f, op, value)], mask, [], None, attributes)
    f.done.add(identity(op))


def atomic(f: Function, op: ir.Operation) -> None:
    """An atomic op; a load compares with zero and writes zero where it finds it, a store exchanges."""
    pointer, values, mask, _ = tt.access_operands(op)
    attributes: dict[str, ir.Attribute] = {"order": ir.StringAttr.get(tt.ORDERS[op.attributes["sem"].value])}
    name = "xsmt.atomic_cas" if op.name in ("tt.atomic_cas", "tt.atomic_load") else "xsmt.atomic_rmw"
    if op.name == "tt.atomic_rmw":
        attributes["kind"] = ir.StringAttr.get(tt.RMW_KINDS[op.attributes["atomic_rmw_op"].value])
    elif op.name == "tt.atomic_store":
        attributes["kind"] = ir.StringAttr.get("xchg")
    elif op.name == "tt.atomic_load":
        values = [zeros(f, op, op.results[0].type)] * 2
    result = values[0].type
    if isinstance(pointer.type, ir.RankedTensorType):
        new = access(f, op, (name, name), pointer, values, mask, [], result, attributes)
    else:
        if mask is not None and is_true(mask):
            mask = None
        segments = [[pointer], [], *([v] for v in values), [], [], [], [mask] if mask is not None else []]
        new = segmented(f, op, name, segments, result, attributes | {"unit": ir.IntegerAttr.get(f.nodes.i64, 1)})
    if op.results:
        f.replace(op, new)
    else:
        f.done.add(identity(op))


def poll(f: Function, op: ir.Operation) -> None:
    pointer, expected, *timeout = op.operands
    attributes: dict[str, ir.Attribute] = {"order": ir.StringAttr.get(tt.ORDERS[op.attributes["sem"].value])}
    result, name = op.results[0].type, "xsmt.atomic_poll"
    if isinstance(pointer.type, ir.RankedTensorType):
        new = access(f, op, (name, name), pointer, [expected], None, timeout or [None], result, attributes)
    else:
        segments = [[pointer], [], [expected], [], [], [], [], timeout]
        new = segmented(f, op, name, segments, result, attributes | {"unit": ir.IntegerAttr.get(f.nodes.i64, 1)})
    f.replace(op, new)


def access(
    f: Function,
    op: ir.Operation,
    names: tuple[str, str],
    pointer: ir.Value,
    values: Sequence[ir.Value],
    mask: ir.Value | None,
    last: Sequence[ir.Value | None],
    result: ir.Type | None,
    attributes: dict[str, ir.Attribute] | None = None,
) -> ir.Value | None:
    """Create the block access `names[0]`, or `names[1]` with an index, from the forms of `pointer` and `mask`."""
    form = f.describer.describe(pointer)
    base = f.emit(form.pointer)
    if form.offset.constant != 0:
        unit = ir.TypeAttr.get(ir.IntegerType.get_signless(8 * form.size))
        indices = ir.DenseI32ArrayAttr.get([DYNAMIC])
        operands = [base, f.emit(form.offset)]
        base = f.before(op, "llvm.getelementptr", operands, f.nodes.ptr, elem_type=unit, rawConstantIndices=indices)
    bounds = f.masks.bounds(mask) if mask is not None else None
    lower, upper, rest = resolve(f, op, form.shape, bounds)
    segments = [[base]]
    attributes = dict(attributes or {})
    indexed = form.rest is not None
    atomic = names[0] == names[1]
    if indexed or atomic:
        segments.append([f.emit(form.rest)] if indexed else [])
        attributes["unit"] = ir.IntegerAttr.get(f.nodes.i64, form.unit)
    segments += [[value] for value in values]
    segments += [[f.emit(stride) for stride in form.strides], lower, upper, rest]
    segments += [[] if value is None else [value] for value in last]
    return segmented(f, op, names[indexed], segments, result, attributes)


def segmented(
    f: Function, op: ir.Operation, name: str, segments: list[list[ir.Value]], result: ir.Type | None, attributes: dict[str, ir.Attribute]
) -> ir.Value | None:
    sizes = ir.DenseI32ArrayAttr.get([len(segment) for segment in segments])
    operands = [value for segment in segments for value in segment]
    results = [] if result is None else [result]
    attributes = attributes | {"operandSegmentSizes": sizes}
    new = f.create(name, operands, results, ir.InsertionPoint(op), op.location, attributes)
    return new.result if results else None


def resolve(
    f: Function, op: ir.Operation, shape: tuple[int, ...], bounds: Bounds | None
) -> tuple[list[ir.Value], list[ir.Value], list[ir.Value]]:
    """Lower and upper bounds on every dimension, and the mask that is left (a list of at most one)."""
    nodes = f.nodes
    none = [None] * len(shape)
    lower = [node or nodes.zero for node in (bounds.lower if bounds else none)]
    upper = [node or nodes.const(extent) for node, extent in zip(bounds.upper if bounds else none, shape, strict=True)]
    rest: list[ir.Value] = []
    if bounds:
        for condition in bounds.conditions:
            upper[0] = nodes.select(condition, upper[0], nodes.zero, op)
        masks = [*bounds.rest, *unless(f, op, bounds)]
        if masks:
            rest = [f.emit(f.nodes.all_of(masks, op))]
    return [f.emit(node) for node in lower], [f.emit(node) for node in upper], rest


def unless(f: Function, op: ir.Operation, bounds: Bounds) -> list[Node]:
    """What counts instead of bounds where their conditions do not hold: true, by one scalar, where all do (a list of at most one)."""
    if not bounds.checked:
        return []
    conditions, masks = zip(*{(c.key, m.key): (c, m) for c, m in bounds.checked}.values(), strict=True)
    mask = f.nodes.all_of(masks, op)
    holds = f.nodes.op("tt.splat", [f.nodes.all_of(conditions, op)], mask.type, op)
    return [f.nodes.op("arith.ori", [holds, mask], mask.type, op)]


RULES = {
    "tt.load": load,
    "tt.store": store,
    "tt.atomic_load": atomic,
    "tt.atomic_store": atomic,
    "tt.atomic_rmw": atomic,
    "tt.atomic_cas": atomic,
    "tt.atomic_poll": poll,
}
