"""Element-wise ops, and blocks that are the same everywhere or count their coordinates."""

import math
from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.module import NONPOSITIVE
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.facts.masks import Prefix
from triton_spacemit.passes.facts.maxima import exactness
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.facts import Place
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.ops import CHEAP_SYMBOLS, DIVISIONS, OPS
from triton_spacemit.passes.loops.recomputing import is_worth_storing
from triton_spacemit.passes.loops.services import check_divisor
from triton_spacemit.passes.loops.tensors import MOST_COST, Computed, Coordinate, Coordinates, Loaded, Tensor, Uniform, identity

_EXPONENTIALS = ("math.exp", "math.exp2")
_MANY = 8  # vectors of a row, of which one holds a place


def shape_of(value: ir.Value) -> tuple[int, ...]:
    return tuple(value.type.shape) if isinstance(value.type, ir.RankedTensorType) else ()


def element_of(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.RankedTensorType) else type_


def attributes_of(op: ir.Operation) -> dict[str, ir.Attribute]:
    row, attributes = OPS.get(op.name), op.attributes
    if row is None or not row.attributes:
        return {name: attributes[name] for name in attributes}
    return {name: attributes[name] for name in row.attributes if name in attributes}


def total_cost(low: Lowering, own: int, sources: set[Tensor]) -> int:
    """The cost of a block that is computed from `sources` at a cost of its `own`; one that the first loop stores is then only read."""
    return min(MOST_COST, own + sum(1 if source in low.storage.stored_later else low.cost(source) for source in sources))


def placed(low: Lowering, node: Node, result: ir.Value, tensor: Tensor) -> Tensor:
    """The lazy block of `result`; decides whether it is computed where it is needed, here, or by the first loop that needs it."""
    if isinstance(tensor, Uniform):
        return tensor
    inside = low.analysis.pulled_inside_region(result, node.block)
    costs = low.chip.costs
    if inside and (tensor.cost >= costs.reuse or (not isinstance(tensor, Loaded) and reads_loads(low, tensor))):
        low.storage.materialise(tensor)
    elif len(low.analysis.pulls(result)) > 1:
        # a cheap op is repeated along with what it takes, but chains of them do not grow without end
        if widened_often(low, node, result):
            low.storage.store_when_computed(tensor)
        elif tensor.cost >= costs.reuse and own_cost(low, node) >= costs.division or tensor.cost >= costs.chain:
            low.storage.store_when_computed(tensor)
        elif is_worth_storing(low, node, result, tensor):
            low.storage.store_when_computed(tensor)
    return tensor


def widened_often(low: Lowering, node: Node, result: ir.Value) -> bool:
    """Whether a block of bfloat16 is widened for so many loops that it costs less in memory: by two instructions, where there is none."""
    if node.name != "arith.extf" or not low.chip.is_riscv or low.chip.native_bfloat16 or len(low.analysis.pulls(result)) < 3:
        return False
    return isinstance(element_of(node.operands[0].type), ir.BF16Type)


def own_cost(low: Lowering, node: Node) -> int:
    """What the op costs by itself on this chip."""
    if node.name == "tt.extern_elementwise" and node.attribute("symbol").value in CHEAP_SYMBOLS:
        return 1
    name = "" if node.row is None else node.row.cost
    return getattr(low.chip.costs, name) if name else 1


def reads_loads(low: Lowering, tensor: Tensor) -> bool:
    """Whether evaluating `tensor` reads memory that a load of the program reads."""
    return any(isinstance(block, Loaded) for block, _, _ in low.evaluator.cone(tensor))


def lower_elementwise(low: Lowering, node: Node) -> list[Value]:
    """Any op that computes each element from the same element of its operands."""
    if node.name in DIVISIONS and not node.is_tensor:
        check_divisor(low, node)
    attributes = attributes_of(node.op)
    element = element_of(node.results[0].type)
    operands = [low.values[v] for v in node.operands]
    shape = shape_of(node.results[0])
    tensors = [o for o in operands if isinstance(o, Tensor)]
    compares = node.name == "arith.cmpi" and bool(shape)
    prefix = low.facts.prefix(node.results[0]) if compares else None
    place = low.facts.place(node.op) if compares and prefix is None and low.chip.active_lengths else None
    chosen = low.places.get(operands[0]) if node.name == "arith.select" and isinstance(operands[0], Tensor) else None
    asked = exactness(node.op) if node.name in _EXPONENTIALS else None
    if asked is not None:
        attributes[NONPOSITIVE] = ir.StringAttr.get(asked)

    def compute(at: Coordinates) -> Emitted:
        if prefix is not None and assume(low, prefix, at[prefix.dim]):
            return low.b.constant(1, low.b.i1)
        if place is not None and at[place.dim].width:
            return lanes_at(low, place, at[place.dim])
        if chosen is not None and 0 < _MANY * at[chosen.dim].width <= shape[chosen.dim]:
            return select_at(low, chosen, operands[1:], at)
        return apply(low, node.name, element, [low.evaluate(o, at) if isinstance(o, Tensor) else o for o in operands], attributes)

    if all(isinstance(t, Uniform) for t in tensors):
        result = compute(())
        return [Uniform(shape=shape, element=element, origin=node.op, value=result) if shape else result]
    sources = tuple((t, identity(len(shape))) for t in tensors)
    cost = total_cost(low, own_cost(low, node), set(tensors))
    tensor = Computed(
        shape=shape,
        element=element,
        origin=node.op,
        sources=sources,
        cost=cost,
        compute=compute,
        always=prefix is None and place is None and chosen is None,
    )
    if place is not None:
        low.places[tensor] = place
    return [placed(low, node, node.results[0], tensor)]


def assume(low: Lowering, mask: Prefix, coordinate: Coordinate) -> bool:
    """Whether a mask is true in the main part of the coordinate's loop, which then ends where it would not be."""
    if coordinate.assumed is None:
        return False
    end = low.facts.emit(mask.end)
    if mask.holds is not None:
        end = low.b.select(low.facts.emit(mask.holds), end, low.b.constant(0))
    if end.depth >= coordinate.start.depth:
        return False
    coordinate.assumed.append(end)
    return True


def lanes_at(low: Lowering, place: Place, coordinate: Coordinate, distance: Emitted | None = None) -> Emitted:
    """The mask's lanes: their numbers, in 8 or 16 bits, are compared with the place's distance, or with one that no lane has.

    Distances of 64 bits that wrap around are those of no lane, as the numbers that are counted do not.
    """
    b = low.b
    width = coordinate.width
    type_ = b.i8 if width <= 128 else ir.IntegerType.get_signless(16)
    distance = b.op("arith.minui", b.i64, [distance or distance_to(low, place, coordinate), b.constant(width)])
    return b.compare("eq" if place.inside else "ne", b.iota(width, type_), b.broadcast(b.cast_index(distance, type_), width))


def distance_to(low: Lowering, place: Place, coordinate: Coordinate) -> Emitted:
    """How many lanes behind the first one the place lies."""
    b, plain = low.b, {"overflowFlags": low.b.no_flags}
    first, number = b.cast_index(low.facts.emit(place.first), b.i64), b.cast_index(place.number, b.i64)
    return b.op("arith.subi", b.i64, [b.op("arith.subi", b.i64, [number, first], plain), coordinate.start], plain)


def select_at(low: Lowering, place: Place, values: Sequence[Tensor | Emitted], at: Coordinates) -> Emitted:
    """Lanes that are another value in one place: most vectors do not hold it, and branch around it."""
    b, coordinate = low.b, at[place.dim]
    distance = distance_to(low, place, coordinate)

    def lanes(value: Tensor | Emitted) -> Emitted:
        return b.broadcast(low.evaluate(value, at) if isinstance(value, Tensor) else value, coordinate.width)

    elsewhere = lanes(values[1 if place.inside else 0])

    def with_place() -> list[Emitted]:
        there = lanes(values[0 if place.inside else 1])
        pair = (there, elsewhere) if place.inside else (elsewhere, there)
        mask = lanes_at(low, place, coordinate, b.pinned(distance))  # else LLVM computes both
        return [b.select(mask, *pair)]

    holds = b.compare("ult", distance, b.constant(coordinate.width))
    return b.if_else(holds, [(b.element(elsewhere), coordinate.width)], with_place, lambda: [elsewhere])[0]


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
    """`tensor` with its elements as floats or integers of another width."""
    if tensor.element == type_:
        return tensor

    def compute(at: Coordinates) -> Emitted:
        return convert(low, low.evaluate(tensor, at), type_)

    sources = ((tensor, identity(len(tensor.shape))),)
    cost = total_cost(low, 1, {tensor})
    return Computed(shape=tensor.shape, element=type_, origin=tensor.origin, sources=sources, cost=cost, compute=compute, always=True)


def convert(low: Lowering, value: Emitted, type_: ir.Type) -> Emitted:
    b = low.b
    old = b.element(value)
    if old == type_:
        return value
    if isinstance(old, ir.FloatType):
        return b.op("arith.extf" if old.width < type_.width else "arith.truncf", type_, [value])
    return b.op("arith.extsi" if old.width < type_.width else "arith.trunci", type_, [value])


def uniform(node: Node, result: ir.Value, value: Emitted) -> Uniform:
    """The block `result` of which every element is `value`."""
    return Uniform(shape=shape_of(result), element=element_of(result.type), origin=node.op, value=value)


def lower_constant(low: Lowering, node: Node) -> list[Value]:
    value = node.attribute("value")
    type_ = node.results[0].type
    if not isinstance(type_, ir.RankedTensorType):
        constant = low.b.constant_attribute(value, type_)
        if isinstance(value, ir.IntegerAttr):
            constant.constant = value.value
        return [constant]
    if not value.is_splat:
        raise low.b.fail(node.op, f"of different elements is not supported, got {type_}")
    return [uniform(node, node.results[0], low.b.constant_attribute(value.get_splat_value(), type_.element_type))]


def lower_poison(low: Lowering, node: Node) -> list[Value]:
    """A value that nobody may depend on."""
    type_ = node.results[0].type
    poison = low.b.create("ub.poison", [element_of(type_)], [], {"value": ir.Attribute.parse("#ub.poison")})
    value = Emitted(poison.results[0], low.b.depth, 0)
    return [uniform(node, node.results[0], value) if isinstance(type_, ir.RankedTensorType) else value]


def lower_splat(low: Lowering, node: Node) -> list[Value]:
    return [uniform(node, node.results[0], low.scalar(node.operands[0]))]


def lower_unsplat(low: Lowering, node: Node) -> list[Value]:
    source = low.tensor(node.operands[0])
    return [low.evaluate(source, (low.zero,) * len(source.shape))]


def lower_make_range(low: Lowering, node: Node) -> list[Value]:
    start, b = node.attribute("start").value, low.b

    def compute(at: Coordinates) -> Emitted:
        (coordinate,) = at
        first = b.cast_index(b.add(coordinate.start, b.constant(start)), b.i32)
        return b.op("arith.addi", b.i32, [b.iota(coordinate.width, b.i32), first]) if coordinate.width else first

    return [Computed(shape=shape_of(node.results[0]), element=b.i32, origin=node.op, compute=compute)]
