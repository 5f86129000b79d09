"""Lazy ops: element-wise arithmetic, index ranges, and changes of shape that only rename coordinates."""

import math

from torch_mlir import ir

from triton_spacemit.dialect.chips import Costs
from triton_spacemit.dialect.predicates import IntPredicate, predicate_of
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Coordinate, Coordinates, Tensor, bits
from triton_spacemit.passes.loops.views import linear_form

# Inherent attributes of unregistered ops do not show when their attributes are iterated: they are named here.
ATTRIBUTES = {
    "tt.fp_to_fp": ("rounding",),
    "tt.clampf": ("propagateNan",),
    "tt.extern_elementwise": ("libname", "libpath", "symbol", "pure"),
}
_INTEGER_DIVISIONS = ("arith.divsi", "arith.divui", "arith.remsi", "arith.remui")
DIVISIONS = ("arith.divsi", "arith.divui", "arith.remsi", "arith.remui", "arith.ceildivsi", "arith.ceildivui", "arith.floordivsi")
_CHEAP_FUNCTIONS = ("math.absf", "math.fma", "math.absi", "math.copysign", "math.floor", "math.ceil")


def shape_of(value: ir.Value) -> tuple[int, ...]:
    return tuple(value.type.shape) if isinstance(value.type, ir.RankedTensorType) else ()


def element_of(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.RankedTensorType) else type_


def attributes_of(op: ir.Operation) -> dict[str, ir.Attribute]:
    names = ATTRIBUTES.get(op.name)
    attributes = op.attributes
    if names is None:
        return {name: attributes[name] for name in attributes}
    return {name: attributes[name] for name in names if name in attributes}


def cost_of(costs: Costs, name: str) -> int:
    if name == "tt.extern_elementwise" or (name.startswith("math.") and name not in _CHEAP_FUNCTIONS):
        return costs.function
    if name in ("arith.divf", "tt.precise_divf"):
        return costs.division
    if name in _INTEGER_DIVISIONS:
        return costs.integer_division
    return costs.remainder if name == "arith.remf" else 1


def define(low: Lowering, node: Node, result: ir.Value, tensor: Tensor) -> None:
    """Record a lazy tensor, and decide whether it is computed where it is needed, here, or by the first loop that needs it."""
    costs = low.chip.costs
    low.values[result] = tensor
    if tensor.uniform is not None or tensor.buffer is not None:
        return
    if low.analysis.pulled_inside_region(result, node.block) and (
        tensor.cost >= costs.reuse or (tensor.access is None and any(t.access is not None for t, _ in low.cone(tensor)))
    ):
        low.materialise(tensor)
    elif tensor.cost >= costs.reuse and cost_of(costs, node.name) >= costs.division and len(low.analysis.pulls(result)) > 1:
        low.stored_later[tensor] = None


def lower_elementwise(low: Lowering, node: Node) -> None:
    """Any op that computes each element from the same element of its operands."""
    attributes = attributes_of(node.op)
    element = element_of(node.results[0].type)
    operands = [low.values[v] for v in node.operands]
    shape = shape_of(node.results[0])
    tensors = [o for o in operands if isinstance(o, Tensor)]
    bound = upper_bound(low, node) if node.name == "arith.cmpi" and shape else None

    def compute(at: Coordinates) -> Emitted:
        if bound is not None and at[bound[0]].assumed is not None and bound[1].depth < at[bound[0]].start.depth:
            at[bound[0]].assumed.append(bound[1])
            return low.b.constant(1, low.b.i1)
        return apply(low, node.name, element, [low.evaluate(o, at) if isinstance(o, Tensor) else o for o in operands], attributes)

    if not tensors or all(t.uniform is not None for t in tensors):
        result = compute(())
        if not shape:
            low.values[node.results[0]] = result
            return
        low.values[node.results[0]] = Tensor(shape, element, None, node.op, uniform=result)
        return
    identity = tuple(range(len(shape)))
    cost = cost_of(low.chip.costs, node.name) + sum(t.cost for t in set(tensors))
    define(low, node, node.results[0], Tensor(shape, element, compute, node.op, tuple((t, identity) for t in tensors), cost))


def upper_bound(low: Lowering, node: Node) -> tuple[int, Emitted] | None:
    """(dimension, limit) of a comparison that holds exactly where the coordinate along that dimension is below the limit."""
    if predicate_of(node.op) != IntPredicate.slt:
        return None
    index, limit = (linear_form(low, v, [low.zero.start] * len(shape_of(v))) for v in node.operands)
    if index is None or limit is None or index.condition is not None or any(s.constant != 0 for s in limit.steps):
        return None
    dims = [d for d, s in enumerate(index.steps) if s.constant != 0]
    if len(dims) != 1 or index.steps[dims[0]].constant != 1:
        return None
    return dims[0], low.b.sub(limit.base, index.base)


def apply(low: Lowering, name: str, element: ir.Type, operands: list[Emitted], attributes: dict[str, ir.Attribute]) -> Emitted:
    """One element-wise op on scalars or vectors."""
    b = low.b
    if name == "arith.select":
        return b.select(*operands)
    if name == "arith.divf" and divides_by_invariant(low, *operands):
        return quotient(low, *operands)
    if low.fuses and name in ("arith.addf", "arith.subf", "arith.mulf"):
        attributes = {**attributes, "fastmath": ir.Attribute.parse("#arith.fastmath<contract>")}
    if name == "tt.bitcast":
        return operands[0] if b.element(operands[0]) == element else b.op("arith.bitcast", element, operands)
    if name in DIVISIONS and not any(o.width for o in operands):
        return b.op(name, element, operands, attributes, depth=b.depth)  # may be guarded by a condition of the program: stays where it is
    return b.op(name, element, operands, attributes)


def divides_by_invariant(low: Lowering, x: Emitted, divisor: Emitted) -> bool:
    """Whether vectors in a loop are divided by a scalar from outside it, on a chip whose divisions take many times a product's time."""
    if not low.chip.slow_division or not x.width or divisor.width or divisor.depth >= x.depth:
        return False
    if not isinstance(low.b.element(x), (ir.F32Type, ir.F64Type)):
        return False
    number = constant_of(divisor.value)
    return number is None or abs(math.frexp(number.value)[0]) != 0.5  # LLVM multiplies by the inverse of a power of two


def quotient(low: Lowering, x: Emitted, divisor: Emitted) -> Emitted:
    """x / divisor as a product with the inverse, whose error is then removed: rounded as a division; within an ulp where x is tiny.

    Where the product is infinite, zero or NaN it is right, and its error is not known. A tiny divisor is scaled: its inverse is finite.
    """
    b, element = low.b, low.b.element(x)
    key = ("inverse", divisor.value)
    known = b.scopes[divisor.depth].known
    if key not in known:
        tiny = b.compare_floats("olt", b.op("math.absf", element, [divisor]), b.constant(2.0**-64, element))
        scale = b.select(tiny, b.constant(2.0**64, element), b.constant(1.0, element))
        scaled = b.op("arith.mulf", element, [divisor, scale])
        known[key] = scale, scaled, b.op("arith.divf", element, [b.constant(1.0, element), scaled])
    scale, scaled, inverse = known[key]
    x = b.op("arith.mulf", element, [x, scale])
    product = b.op("arith.mulf", element, [x, inverse])
    remainder = b.op("math.fma", element, [b.op("arith.negf", element, [product]), scaled, x])
    corrected = b.op("math.fma", element, [remainder, inverse, product])
    return b.select(b.compare_floats("one", corrected, b.constant(0.0, element)), corrected, product)


def converted(low: Lowering, tensor: Tensor, type_: ir.Type) -> Tensor:
    if tensor.element == type_:
        return tensor
    identity = tuple(range(len(tensor.shape)))

    def compute(at: Coordinates) -> Emitted:
        return convert(low, low.evaluate(tensor, at), type_)

    return Tensor(tensor.shape, type_, compute, tensor.origin, ((tensor, identity),), tensor.cost + 1)


def convert(low: Lowering, value: Emitted, type_: ir.Type) -> Emitted:
    b = low.b
    old = b.element(value)
    if old == type_:
        return value
    if isinstance(old, ir.FloatType):
        return b.op("arith.extf" if old.width < type_.width else "arith.truncf", type_, [value])
    return b.op("arith.extsi" if old.width < type_.width else "arith.trunci", type_, [value])


def lower_constant(low: Lowering, node: Node) -> None:
    value = node.attribute("value")
    type_ = node.results[0].type
    if not isinstance(type_, ir.RankedTensorType):
        constant = low.b.constant_attribute(value, type_)
        if isinstance(value, ir.IntegerAttr):
            constant.constant = value.value
        low.values[node.results[0]] = constant
        return
    if not value.is_splat:
        raise low.b.fail(node.op, f"of different elements is not supported, got {type_}")
    uniform = low.b.constant_attribute(value.get_splat_value(), type_.element_type)
    low.values[node.results[0]] = Tensor(shape_of(node.results[0]), type_.element_type, None, node.op, uniform=uniform)


def lower_splat(low: Lowering, node: Node) -> None:
    source = low.scalar(node.operands[0])
    low.values[node.results[0]] = Tensor(shape_of(node.results[0]), element_of(node.results[0].type), None, node.op, uniform=source)


def lower_make_range(low: Lowering, node: Node) -> None:
    start, b = node.attribute("start").value, low.b

    def compute(at: Coordinates) -> Emitted:
        (coordinate,) = at
        first = b.cast_index(b.add(coordinate.start, b.constant(start)), b.i32)
        return b.op("arith.addi", b.i32, [b.iota(coordinate.width, b.i32), first]) if coordinate.width else first

    low.values[node.results[0]] = Tensor(shape_of(node.results[0]), b.i32, compute, node.op)


def renamed(low: Lowering, node: Node, source: Tensor, follows: tuple[int | None, ...], result: ir.Value | None = None) -> None:
    """A tensor whose element at `at` is the source's at `at[follows[d]]` (0 where None)."""
    result = node.results[0] if result is None else result
    shape = shape_of(result)
    if source.uniform is not None:
        low.values[result] = Tensor(shape, source.element, None, node.op, uniform=source.uniform)
        return

    def compute(at: Coordinates) -> Emitted:
        return low.evaluate(source, tuple(low.zero if d is None else at[d] for d in follows))

    tensor = Tensor(shape, source.element, compute, node.op, ((source, follows),), source.cost)
    if sorted(d for d in follows if d is not None) == list(range(len(shape))) and len(follows) == len(shape):
        tensor.permutes = (source, follows)
    low.values[result] = tensor
    if low.analysis.pulled_inside_region(node.results[0], node.block) and source.cost >= low.chip.costs.reuse and source.buffer is None:
        low.materialise(tensor)


def lower_expand_dims(low: Lowering, node: Node) -> None:
    axis, rank = node.attribute("axis").value, len(shape_of(node.results[0]))
    renamed(low, node, low.tensor(node.operands[0]), tuple(d for d in range(rank) if d != axis))


def lower_broadcast(low: Lowering, node: Node) -> None:
    source, shape = low.tensor(node.operands[0]), shape_of(node.results[0])
    computed = source
    while len(computed.sources) == 1 and computed.cost == computed.sources[0][0].cost:
        computed = computed.sources[0][0]  # what only was given dimensions
    costly = computed.cost >= low.chip.costs.reuse and isinstance(computed.element, ir.FloatType) and computed.uniform is None
    if costly and math.prod(computed.shape) == math.prod(source.shape) >= low.chip.costs.loop_elements:
        low.materialise(computed)  # once by vectors instead of each element for a row of its own, or all for every row
    renamed(low, node, source, tuple(d if n == shape[d] else None for d, n in enumerate(source.shape)))


def lower_trans(low: Lowering, node: Node) -> None:
    order = [int(i) for i in ir.DenseI32ArrayAttr(node.attribute("order"))]
    source = low.tensor(node.operands[0])
    follows = [0] * len(order)
    for d, s in enumerate(order):
        follows[s] = d
    renamed(low, node, source, tuple(follows))


def lower_reshape(low: Lowering, node: Node) -> None:
    source, shape = low.tensor(node.operands[0]), shape_of(node.results[0])
    if node.is_lazy or source.uniform is not None:
        kept = [d for d, n in enumerate(shape) if n != 1]
        follows = tuple(kept.pop(0) if n != 1 else None for n in source.shape) if source.uniform is None else ()
        renamed(low, node, source, follows)
        return
    others = low.analysis.pulls(node.operands[0]) != {node.order}
    result = low.from_buffer(low.contiguous(source), node, shape)
    result.shared = others or source.shared
    low.values[node.results[0]] = result


def lower_join(low: Lowering, node: Node) -> None:
    """Two tensors side by side on a new last dimension: interleaved in memory."""
    halves = [low.tensor(v) for v in node.operands]
    buffer = low.allocate(shape_of(node.results[0]), halves[0].element)
    low.write_all([(half, low.part(buffer, i)) for i, half in enumerate(halves)])
    low.values[node.results[0]] = low.from_buffer(buffer, node)


def lower_split(low: Lowering, node: Node) -> None:
    source = low.tensor(node.operands[0])
    rank = len(source.shape) - 1
    for i, result in enumerate(node.results):
        last = Coordinate(low.b.constant(i))
        if source.uniform is not None:
            low.values[result] = Tensor(shape_of(result), source.element, None, node.op, uniform=source.uniform)
            continue

        def compute(at: Coordinates, last: Coordinate = last) -> Emitted:
            return low.evaluate(source, (*at, last))

        low.values[result] = Tensor(shape_of(result), source.element, compute, node.op, ((source, (*range(rank), None)),), source.cost)


def lower_cat(low: Lowering, node: Node) -> None:
    parts = [low.tensor(v) for v in node.operands]
    buffer = low.allocate(shape_of(node.results[0]), parts[0].element)
    start = 0
    for part in parts:
        low.write_all([(part, low.window(buffer, start, part.shape))])
        start += part.shape[0]
    low.values[node.results[0]] = low.from_buffer(buffer, node)


def lower_gather(low: Lowering, node: Node) -> None:
    """`result[.., i, ..] = source[.., index[.., i, ..], ..]` along `axis`: the source lies in memory, the reads are an indexed load."""
    source, index = (low.tensor(v) for v in node.operands)
    axis, b = node.attribute("axis").value, low.b
    buffer = low.materialise(source)
    position = low.memory.buffer_access(buffer, node.op)
    stride = b.constant(buffer.strides[axis])
    shape = shape_of(node.results[0])
    identity = tuple(range(len(shape)))

    def scaled(at: Coordinates) -> Emitted:
        return b.op("arith.muli", b.i64, [b.cast_index(low.evaluate(index, at), b.i64), stride])

    offsets = Tensor(shape, b.i64, scaled, node.op, ((index, identity),), index.cost + 1)
    strides = [b.constant(0) if d == axis else s for d, s in enumerate(position.strides)]
    extents = [b.constant(n) for n in shape]
    size = bits(buffer.stored) // 8
    access = Access(buffer.base, strides, position.lower, extents, offsets, size, None, None, buffer.stored, shape, node.op)
    home = Tensor(shape, buffer.stored, None, node.op, home=b.depth)
    tensor = Tensor(
        shape, source.element, lambda at: low.memory.read_buffer(buffer, access, at, home), node.op, ((offsets, identity),), 8 + index.cost
    )
    low.values[node.results[0]] = tensor
    if low.analysis.pulled_inside_region(node.results[0], node.block):
        low.materialise(tensor)


def lower_unsplat(low: Lowering, node: Node) -> None:
    source = low.tensor(node.operands[0])
    low.values[node.results[0]] = low.evaluate(source, (low.zero,) * len(source.shape))
