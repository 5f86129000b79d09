"""Reductions and scans: vector accumulators over the block, lanes combined once at the end.

A reduction that chooses, as argmax, takes one comparison a step, and keeps beside each lane's value the position of its vector.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, IntPredicate, attribute_of, predicate_of
from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Builder, Emitted
from triton_spacemit.passes.loops.elementwise import convert, converted, element_of, shape_of
from triton_spacemit.passes.loops.functions import inline
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.padding import ends
from triton_spacemit.passes.loops.tensors import Coordinate, Coordinates, Tensor, Uniform, bits

# op -> (vector.reduction kind, neutral element of (integer width, is signed) or of a float)
KINDS: dict[str, tuple[str, Callable[[ir.Type], int | float]]] = {
    "arith.addf": ("add", lambda t: -0.0),
    "arith.mulf": ("mul", lambda t: 1.0),
    "arith.maxnumf": ("maxnumf", lambda t: float("nan")),
    "arith.minnumf": ("minnumf", lambda t: float("nan")),
    "arith.maximumf": ("maximumf", lambda t: float("-inf")),
    "arith.minimumf": ("minimumf", lambda t: float("inf")),
    "arith.addi": ("add", lambda t: 0),
    "arith.muli": ("mul", lambda t: 1),
    "arith.andi": ("and", lambda t: -1),
    "arith.ori": ("or", lambda t: 0),
    "arith.xori": ("xor", lambda t: 0),
    "arith.maxsi": ("maxsi", lambda t: -(1 << (t.width - 1))),
    "arith.minsi": ("minsi", lambda t: (1 << (t.width - 1)) - 1),
    "arith.maxui": ("maxui", lambda t: 0),
    "arith.minui": ("minui", lambda t: -1),
}


# x86 has no instructions for these where an operand may be NaN; LLVM would take the lanes one by one.
_OF_NAN = ("arith.maxnumf", "arith.minnumf", "arith.maximumf", "arith.minimumf")
# Two of them take one comparison, of this predicate, where the left operand is a number: the right one is then taken, or is none.
_OF_NUMBERS = {"arith.maxnumf": "ogt", "arith.minnumf": "olt"}


def known_kind(op: ir.Operation) -> str | None:
    """The name of the one op that a reduction or scan combines elements by, where there is just one and it is known."""
    name = combining_op(op)
    return name if name in KINDS else None


# Outcomes of a comparison as a set of bits, which each predicate is one of.
_EQUAL, _GREATER, _LESS, _UNORDERED, _ANY = 1, 2, 4, 8, 15
# Those in which a predicate of two floats, or of two signed integers, holds.
_FLOAT = {
    FloatPredicate.false: 0,
    FloatPredicate.oeq: _EQUAL,
    FloatPredicate.ogt: _GREATER,
    FloatPredicate.oge: _GREATER | _EQUAL,
    FloatPredicate.olt: _LESS,
    FloatPredicate.ole: _LESS | _EQUAL,
    FloatPredicate.one: _LESS | _GREATER,
    FloatPredicate.ord: _LESS | _GREATER | _EQUAL,
    FloatPredicate.ueq: _UNORDERED | _EQUAL,
    FloatPredicate.ugt: _UNORDERED | _GREATER,
    FloatPredicate.uge: _UNORDERED | _GREATER | _EQUAL,
    FloatPredicate.ult: _UNORDERED | _LESS,
    FloatPredicate.ule: _UNORDERED | _LESS | _EQUAL,
    FloatPredicate.une: _UNORDERED | _LESS | _GREATER,
    FloatPredicate.uno: _UNORDERED,
    FloatPredicate.true: _ANY,
}
_SIGNED = {
    IntPredicate.eq: _EQUAL,
    IntPredicate.ne: _GREATER | _LESS,
    IntPredicate.slt: _LESS,
    IntPredicate.sle: _LESS | _EQUAL,
    IntPredicate.sgt: _GREATER,
    IntPredicate.sge: _GREATER | _EQUAL,
}


@dataclass(frozen=True)
class Choice:
    """A function that returns all its left or all its right arguments, as comparing arguments number `value` decides.

    `right`: the outcomes with which the right ones are taken, where the left ones come first.
    """

    compare: str
    value: int
    right: int

    @property
    def ignores_nan(self) -> bool:
        """Whether NaN may be taken for what every number replaces: on the left it is, and the order of combination is free."""
        return self.right in (_LESS | _UNORDERED, _GREATER | _UNORDERED)

    @property
    def kind(self) -> str:
        """The op that gives the value that is kept."""
        if self.compare == "arith.cmpi":
            return "arith.maxsi" if self.right & _LESS else "arith.minsi"
        return "arith.maxnumf" if self.right & _LESS else "arith.minnumf"

    def taken(self, b: Builder, left: Emitted, right: Emitted, ordered: bool = False) -> Emitted:
        """The condition of the right ones; `ordered`: NaN is not taken."""
        wanted = self.right & ~_UNORDERED if ordered else self.right
        held = _FLOAT if self.compare == "arith.cmpf" else _SIGNED
        predicate = next(predicate for predicate, outcomes in held.items() if outcomes == wanted)
        return b.op(self.compare, b.i1, [left, right], {"predicate": attribute_of(predicate)})


def choice_of(block: ir.Block, index: int) -> Choice | None:
    """The block as a choice, if it is one where argument number `index` is smaller on the left.

    Where equal ones leave the choice free, as both would be on one's right, the left one stays.
    """
    arguments, results = list(block.arguments), list(list(block.operations)[-1].operands)
    count = len(results)
    compared: set[tuple[str, int]] = set()

    def outcomes(condition: ir.Value, of_index: int) -> int | None:
        """Of comparing left to right: those in which the condition holds, where comparing the indices has the outcome `of_index`."""
        op = None if isinstance(condition.owner, ir.Block) else condition.owner
        if op is None or op.name not in ("arith.cmpf", "arith.cmpi", "arith.andi", "arith.ori"):
            return None
        if op.name in ("arith.andi", "arith.ori"):
            left, right = (outcomes(operand, of_index) for operand in op.operands)
            return None if left is None or right is None else left & right if op.name == "arith.andi" else left | right
        found = (_FLOAT | _SIGNED).get(predicate_of(op))
        if found is None:
            return None
        left, right = (arguments.index(operand) if operand in arguments else -1 for operand in op.operands)
        if left > right:
            left, right = right, left
            found = found & ~(_LESS | _GREATER) | bool(found & _LESS) * _GREATER | bool(found & _GREATER) * _LESS
        if left < 0 or right != left + count:
            return None
        if left == index:
            return _ANY if found & of_index else 0
        compared.add((op.name, left))
        return found

    conditions = set()
    for number, result in enumerate(results):
        op = None if isinstance(result.owner, ir.Block) else result.owner
        if op is None or op.name != "arith.select" or set(op.operands[1:]) != {arguments[number], arguments[count + number]}:
            return None
        conditions.add((op.operands[0], op.operands[1] == arguments[number]))
    if len(conditions) != 1:
        return None
    ((condition, is_left),) = conditions
    in_order, reverse = (outcomes(condition, of_index) for of_index in (_LESS, _GREATER))
    if in_order is None or reverse is None or len(compared) != 1:
        return None
    ((compare, value),) = compared
    right, right_of_later = (_ANY & ~found if is_left else found for found in (in_order, reverse))
    right &= ~(right & right_of_later & _EQUAL)
    if compare == "arith.cmpi":
        right &= ~_UNORDERED
    return Choice(compare, value, right) if right in (_FLOAT if compare == "arith.cmpf" else _SIGNED).values() else None


def neutral(b: Builder, kind: str | None, element: ir.Type) -> Emitted | None:
    return None if kind is None else b.constant(KINDS[kind][1](element), element)


@dataclass(eq=False)
class Reduction:
    """One reduction of a group that shares a loop."""

    node: Node
    sources: list[Tensor]
    block: ir.Block
    kind: str | None
    start: list[Emitted] | None

    wide: bool  # narrow floats are summed in float32 and rounded once
    # Where the function chooses and one operand counts the elements: the choice, that operand's number, and the first element's count.
    choice: Choice | None = None
    index: int | None = None
    first_index: Emitted | None = None
    # Whether NaN may be left out: the largest (or least) number is sought from the infinity on that every number replaces.
    numbers: bool = False

    @property
    def absorbed(self) -> float:
        """The number that changes no result that another number has a part in."""
        kind = self.kind if self.choice is None else self.choice.kind
        if kind in ("arith.maxnumf", "arith.minnumf"):
            return -math.inf if kind == "arith.maxnumf" else math.inf
        return KINDS[kind][1](self.sources[0].element) + 0  # +0.0 for -0.0

    def accumulate(self, low: Lowering, accumulators: list[Emitted], values: list[Emitted], ordered: bool = False) -> list[Emitted]:
        """The values stand behind those that were accumulated; of an index they have the vector's position. `ordered`: NaN is left out."""
        if self.numbers and ordered:
            return [extreme(low, self.kind, accumulators[0], values[0])]
        if self.choice is None:
            return self.combine(low, accumulators, values)
        taken = self.choice.taken(low.b, accumulators[self.choice.value], values[self.choice.value], ordered)
        return [low.b.select(taken, value, accumulator) for value, accumulator in zip(values, accumulators, strict=True)]

    def indices(self, low: Lowering, results: list[Emitted], lanes: int) -> list[Emitted]:
        """An accumulator of positions as one of indices; `lanes` of them lie along the axis (0 for none)."""
        if self.index is None:
            return results
        b, position = low.b, results[self.index]
        element = b.element(position)
        offset = b.cast_index(self.first_index, element)
        if lanes:
            offset = b.op("arith.addi", element, [b.iota(lanes, element), offset])
        index = b.op("arith.addi", element, [position, offset])
        return [*results[: self.index], index, *results[self.index + 1 :]]

    def combine(self, low: Lowering, accumulators: list[Emitted], values: list[Emitted]) -> list[Emitted]:
        if self.wide:
            return [low.b.op(self.kind, low.b.f32, [accumulators[0], values[0]])]
        widest = max(v.width for v in (*accumulators, *values))
        return inline(low, self.block, [low.b.broadcast(v, widest) for v in (*accumulators, *values)])


def reduction_of(low: Lowering, node: Node) -> Reduction:
    sources = [low.tensor(v) for v in node.operands]
    block = node.op.regions[0].blocks[0]
    kind = known_kind(node.op)
    wide = kind in ("arith.addf", "arith.mulf") and bits(sources[0].element) < 32
    if wide:
        sources = [converted(low, sources[0], low.b.f32)]
    start = neutral(low.b, kind, sources[0].element)
    reduction = Reduction(node, sources, block, kind, None if start is None else [start], wide)
    if kind in _OF_NUMBERS and not low.chip.maximum_skips_nan and isinstance(sources[0].element, (ir.F32Type, ir.F64Type)):
        reduction.numbers = low.cost(sources[0]) <= low.chip.costs.repeated  # the code for a row without numbers computes it as well
    axis = node.attribute("axis").value
    for number, operand in enumerate(node.operands):
        choice = choice_of(block, number) if kind is None and isinstance(sources[number].element, ir.IntegerType) else None
        first = low.facts.counted_from(operand, axis) if choice is not None else None
        if first is not None:
            reduction.choice, reduction.index, reduction.first_index = choice, number, low.facts.emit(first)
            if isinstance(sources[choice.value].element, ir.BF16Type):
                sources[choice.value] = converted(low, sources[choice.value], low.b.f32)
            if choice.ignores_nan and len(sources) == 2:
                element = sources[choice.value].element
                infinite = low.b.constant(float("-inf") if choice.right & _LESS else float("inf"), element)
                reduction.start = [infinite if n == choice.value else low.b.constant(0, sources[n].element) for n in range(2)]
            break
    return reduction


def group_of(low: Lowering, first: Node) -> list[Reduction]:
    """`first` and the reductions behind it over the same block that do not need its result: they share its loop.

    What stands between them and does not need it either is lowered on the way.
    """
    group = [reduction_of(low, first)]
    axis, shape = first.attribute("axis").value, shape_of(first.operands[0])
    needing = set(first.results)
    nodes = first.block.nodes
    for node in nodes[nodes.index(first) + 1 : -1]:
        if needing.intersection(node.operands):
            needing.update(node.results)
            if node.is_lazy or node.name == "tt.reduce":
                continue
            break
        if node.name == "tt.reduce":
            if node.attribute("axis").value == axis and shape_of(node.operands[0]) == shape:
                group.append(reduction_of(low, node))
                low.lowered.add(node)
            needing.update(node.results)
        elif node.is_lazy:
            low.lower_ahead(node)
        else:
            break
    return group


def end_of_rows(low: Lowering, group: list[Reduction], axis: int, at: Coordinates) -> tuple[Emitted, list[tuple[Tensor, float]]] | None:
    """The position in the row from `at` on behind which nothing changes a result, and what the blocks that the loop stores are there."""
    found = []
    for r in group:
        padding = low.facts.padding(r.node.operands[0 if r.choice is None else r.choice.value], axis)
        if padding is None or padding.number != r.absorbed:
            return None
        found.append(padding)
    stored = []
    for tensor in {t for r in group for s in r.sources for t, _, _ in low.evaluator.cone(s) if t in low.storage.stored_later}:
        results = tensor.origin.results
        padding = low.facts.padding(results[0], axis) if len(results) == 1 and low.values.get(results[0]) is tensor else None
        if padding is None or tensor.shape != group[0].sources[0].shape:
            return None
        stored.append((tensor, padding.number))
        found.append(padding)
    limits = [limit for padding in found for limit in ends(low, padding, group[0].sources[0].shape[axis], at)]
    if not limits:
        return None
    limit = limits[0]
    for other in limits[1:]:
        limit = low.b.maximum(limit, other)
    return limit, stored


def lower_reduce(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    axis = node.attribute("axis").value
    group = group_of(low, node)
    sources = [s for r in group for s in r.sources]
    shape, result_shape = sources[0].shape, sources[0].shape[:axis] + sources[0].shape[axis + 1 :]
    dim, width = low.storage.vector_shape(sources, shape)
    have_start = all(r.start is not None for r in group)

    def parts(values: list[Emitted]) -> Iterator[tuple[Reduction, list[Emitted]]]:
        rest = iter(values)
        for r in group:
            yield r, [next(rest) for _ in r.sources]

    def accumulate(accumulators: list[Emitted], values: list[Emitted], ordered: bool = False) -> list[Emitted]:
        pairs = zip(parts(accumulators), parts(values), strict=True)
        return [v for (r, left), (_, right) in pairs for v in r.accumulate(low, left, right, ordered)]

    def value_at(r: Reduction, number: int, at: Coordinates) -> Emitted:
        source = r.sources[number]
        return b.cast_index(at[axis].start, source.element) if number == r.index else low.evaluate(source, at)

    def values_at(outer: Coordinates, coordinate: Coordinate) -> list[Emitted]:
        at = (*outer[:axis], coordinate, *outer[axis:])
        with low.storage.covering(at):
            values = [value_at(r, number, at) for r in group for number in range(len(r.sources))]
        lanes = max(c.width for c in at)
        return [b.broadcast(v, lanes) for v in values]

    def starts(lanes: int, limit: Emitted | None = None, ordered: bool = False) -> list[Emitted]:
        """Where the loop ends at a limit, the number behind it counts if there is room for it: a maximum of nothing is -inf, not NaN."""

        def start_of(r: Reduction) -> list[Emitted]:
            if r.choice is not None or limit is None and not (r.numbers and ordered):
                return r.start
            absorbed = b.constant(r.absorbed, r.sources[0].element)
            return [absorbed if r.numbers and ordered else b.select(b.compare("slt", limit, b.constant(shape[axis])), absorbed, r.start[0])]

        return [b.broadcast(start, lanes) for r in group for start in start_of(r)]

    def along(outer: Coordinates) -> list[Emitted]:
        """Reduce one row whose lanes run along the axis; gives scalars."""
        lanes = width if dim == axis else 0
        extent = shape[axis]
        if extent == 1:
            return [v for r, values in parts(values_at(outer, low.zero)) for v in r.indices(low, values, 0)]
        if not lanes:
            return across(outer)
        from_start = have_start and (extent > lanes or any(r.numbers for r in group))
        padding = end_of_rows(low, group, axis, (*outer[:axis], low.zero, *outer[axis:])) if from_start and extent > lanes else None
        limit, filled = (None, []) if padding is None else padding
        if from_start:
            first, begin = starts(lanes, limit, True), 0
        else:
            first, begin = values_at(outer, Coordinate(b.constant(0), lanes)), lanes
        results = low.nests.vector_loop(extent, lanes, first, lambda c, acc: accumulate(acc, values_at(outer, c), from_start), limit, begin)
        for tensor, number in filled:
            fill(outer, tensor, number, limit, lanes)
        return [v for r, values in parts(results) for v in together(outer, r, r.indices(low, values, lanes), lanes, from_start)]

    def fill(outer: Coordinates, tensor: Tensor, number: float, limit: Emitted, lanes: int) -> None:
        """Behind the last vector that the loop has stored."""
        buffer = low.storage.stored_later.get(tensor)
        if buffer is None:
            return
        access = low.memory.buffer_access(buffer, tensor.origin)
        value = b.broadcast(b.constant(number, tensor.element), lanes)
        first = b.op("arith.andi", b.i64, [b.add(b.maximum(limit, b.constant(0)), b.constant(lanes - 1)), b.constant(-lanes)])

        def store(i: Emitted) -> None:
            low.memory.store(access, value, (*outer[:axis], Coordinate(i, lanes), *outer[axis:]))

        b.repeat(first, b.constant(shape[axis]), lanes, store)

    def together(outer: Coordinates, r: Reduction, values: list[Emitted], lanes: int, from_start: bool) -> list[Emitted]:
        """The lanes' results as one. Nothing but NaN and the start's own value leaves the start: then element by element."""
        if not from_start or r.choice is None and not r.numbers:
            return lanes_together(low, r, values, lanes)
        if r.numbers:
            found, kept, start = [reduced(low, r.kind, values[0], numbers=True)], 0, b.constant(r.absorbed, r.sources[0].element)
        else:
            found, kept = chosen_lane(low, r, values, lanes), r.choice.value
            start = r.start[kept]
        unchanged = b.compare_floats("oeq", found[kept], start)

        def at(i: Emitted) -> list[Emitted]:
            place = (*outer[:axis], Coordinate(i), *outer[axis:])
            return [value_at(r, number, place) for number in range(len(r.sources))]

        def one_by_one() -> list[Emitted]:
            if r.numbers:
                return [first_number(low, b.element(found[0]), shape[axis], lambda i: at(i)[0])]
            first, end = at(b.constant(0)), b.constant(shape[axis])
            values, _ = b.for_loop(b.constant(1), end, 1, first, lambda i, old: r.accumulate(low, old, at(i)))
            return r.indices(low, values, 0)

        return b.if_else(unchanged, [(b.element(v), 0) for v in found], one_by_one, lambda: found)

    def across(outer: Coordinates) -> list[Emitted]:
        """Reduce with one accumulator for each lane of the outer coordinates."""
        lanes = max((c.width for c in outer), default=0)
        first, begin = (starts(lanes), 0) if have_start else (values_at(outer, low.zero), 1)
        end = b.constant(shape[axis])
        results, _ = b.for_loop(b.constant(begin), end, 1, first, lambda i, acc: accumulate(acc, values_at(outer, Coordinate(i))))
        return [v for r, values in parts(results) for v in r.indices(low, values, 0)]

    results = [v for r in group for v in r.node.results]
    if not result_shape:
        made: list[Value] = [convert(low, value, result.type) for result, value in zip(results, along(()), strict=True)]
        low.storage.settle()
        return bound(low, group, made)
    buffers = [low.storage.allocate(result_shape, r.type.element_type) for r in results]
    accesses = [low.memory.buffer_access(buffer, node.op) for buffer in buffers]

    def body(outer: Coordinates) -> None:
        for buffer, access, value in zip(buffers, accesses, along(outer), strict=True):
            low.memory.store(access, convert(low, value, buffer.element), outer)

    if dim == axis:
        low.nests.nest_scalar(result_shape, body)
    else:
        low.nests.nest(result_shape, dim - (dim > axis), width, body)
    low.storage.settle()
    return bound(low, group, [low.storage.from_buffer(buffer, node.op) for buffer in buffers])


def bound(low: Lowering, group: list[Reduction], made: list[Value]) -> list[Value]:
    """What the first reduction of the group gives; the others' results are bound here."""
    rest = iter(made)
    first, *others = ([next(rest) for _ in r.node.results] for r in group)
    for r, values in zip(group[1:], others, strict=True):
        low.bind(r.node, values)
    return first


def chosen_lane(low: Lowering, reduction: Reduction, values: list[Emitted], lanes: int) -> list[Emitted]:
    """Of lanes without NaN the value and the index that are chosen, where nothing else is: the least index of those with the best value."""
    b, choice = low.b, reduction.choice
    lane_values, indices = values[choice.value], values[reduction.index]
    best = reduced(low, choice.kind, lane_values, numbers=True)
    is_best = b.compare_floats("oeq", lane_values, best)
    element = b.element(indices)
    last = b.constant((1 << (element.width - 1)) - 1, element)
    index = reduced(low, "arith.minsi", b.select(is_best, indices, b.broadcast(last, lanes)))
    return [best if number == choice.value else index for number in range(2)]


def extreme(low: Lowering, kind: str, left: Emitted, right: Emitted) -> Emitted:
    """The larger or smaller one, where `left` is a number, as one instruction of x86."""
    return low.b.select(low.b.compare_floats(_OF_NUMBERS[kind], right, left), right, left)


def first_number(low: Lowering, element: ir.Type, extent: int, at: Callable[[Emitted], Emitted]) -> Emitted:
    """The first element that is not NaN, or NaN where there is none."""
    b = low.b
    loop = b.create("scf.while", [b.i64, element], [b.constant(0).value], regions=2)
    before, after = (
        loop.regions[0].blocks.append(b.i64, arg_locs=[b.location]),
        loop.regions[1].blocks.append(b.i64, element, arg_locs=[b.location] * 2),
    )
    with b.inside(loop, before) as depth:
        i = Emitted(before.arguments[0], depth, 0)
        value = at(i)
        is_nan = b.compare_floats("uno", value, value)
        again = b.both(is_nan, b.compare("slt", i, b.constant(extent - 1)))
        b.create("scf.condition", [], [again.value, i.value, value.value])
    with b.inside(loop, after) as depth:
        b.create("scf.yield", [], [b.add(Emitted(after.arguments[0], depth, 0), b.constant(1)).value])
    return Emitted(loop.results[1], b.depth, 0)


def reduced(low: Lowering, kind: str, value: Emitted, numbers: bool = False) -> Emitted:
    """The lanes of a vector combined by a known operation: one instruction on RISC-V, else as LLVM does it. `numbers`: none is NaN."""
    b = low.b
    element = b.element(value)
    if not low.chip.maximum_skips_nan and kind in _OF_NAN:
        numbers &= kind in _OF_NUMBERS
        while value.width > 1:
            half = value.width // 2
            left, right = b.shuffle(value, value, range(half)), b.shuffle(value, value, range(half, 2 * half))
            value = extreme(low, kind, left, right) if numbers else b.op(kind, element, [left, right])
        return low.memory.extract(value, b.constant(0))
    attributes = {"kind": ir.Attribute.parse(f"#vector.kind<{KINDS[kind][0]}>")}
    if isinstance(element, ir.FloatType):
        attributes["fastmath"] = ir.Attribute.parse("#arith.fastmath<reassoc>")
    start = [b.constant(-0.0, element).value] if kind == "arith.addf" else []  # not +0.0, which would turn a sum of -0.0
    return Emitted(b.create("vector.reduction", [element], [value.value, *start], attributes, depth=value.depth).results[0], value.depth, 0)


def lanes_together(low: Lowering, reduction: Reduction, values: list[Emitted], lanes: int) -> list[Emitted]:
    """Combine the lanes of vectors to scalars: one instruction where the target has it, else halves with halves."""
    b = low.b
    element, kind = b.element(values[0]), reduction.kind
    native = kind is not None and (not isinstance(element, ir.FloatType) or isinstance(element, (ir.F32Type, ir.F64Type, ir.F16Type)))
    if native and bits(element) >= 8 and element != b.i1:
        return [reduced(low, kind, values[0])]
    while lanes > 1:
        lanes //= 2
        low_half = [b.shuffle(v, v, range(lanes)) for v in values]
        high_half = [b.shuffle(v, v, range(lanes, 2 * lanes)) for v in values]
        values = reduction.combine(low, low_half, high_half)
    return [low.memory.extract(v, b.constant(0)) for v in values]


def lower_scan(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    axis, reverse = node.attribute("axis").value, bool(node.attribute("reverse").value)
    scan = reduction_of(low, node)
    sources = scan.sources
    shape = sources[0].shape
    extent = shape[axis]
    buffers = [low.storage.allocate(shape, r.type.element_type) for r in node.results]
    accesses = [low.memory.buffer_access(buffer, node.op) for buffer in buffers]

    def combine(left: list[Emitted], right: list[Emitted]) -> list[Emitted]:
        widest = max(v.width for v in (*left, *right))
        return scan.combine(low, [b.broadcast(v, widest) for v in left], [b.broadcast(v, widest) for v in right])

    def values_at(at: Coordinates) -> list[Emitted]:
        lanes = max(c.width for c in at)
        return [b.broadcast(low.evaluate(s, at), lanes) for s in sources]

    def write(at: Coordinates, values: list[Emitted]) -> None:
        for buffer, access, value in zip(buffers, accesses, values, strict=True):
            low.memory.store(access, convert(low, value, buffer.element), at)

    def position(i: Emitted, size: int) -> Emitted:
        return b.sub(b.constant(extent - size), i) if reverse else i

    def step_by_step(outer: Coordinates) -> None:
        """One element after the other; the outer coordinates' lanes are independent rows."""

        def at(i: Emitted) -> Coordinates:
            return (*outer[:axis], Coordinate(position(i, 1)), *outer[axis:])

        first = at(b.constant(0))
        values = values_at(first)
        write(first, values)

        def step(i: Emitted, carried: list[Emitted]) -> list[Emitted]:
            here = at(i)
            results = combine(carried, values_at(here))
            write(here, results)
            return results

        b.for_loop(b.constant(1), b.constant(extent), 1, values, step)

    def within_vectors(outer: Coordinates, lanes: int) -> None:
        """Doubling distances inside a vector, then the carry of all vectors before."""

        def at(i: Emitted) -> Coordinates:
            return (*outer[:axis], Coordinate(position(i, lanes), lanes), *outer[axis:])

        def prefix(values: list[Emitted]) -> list[Emitted]:
            distance = 1
            while distance < lanes:
                if reverse:
                    moved = [b.shuffle(v, v, [min(i + distance, lanes - 1) for i in range(lanes)]) for v in values]
                    valid = b.compare("slt", b.iota(lanes, b.i32), b.constant(lanes - distance, b.i32))
                else:
                    moved = [b.shuffle(v, v, [max(i - distance, 0) for i in range(lanes)]) for v in values]
                    valid = b.compare("sge", b.iota(lanes, b.i32), b.constant(distance, b.i32))
                values = [b.select(valid, c, v) for c, v in zip(combine(moved, values), values, strict=True)]
                distance *= 2
            return values

        def last(values: list[Emitted]) -> list[Emitted]:
            return [low.memory.extract(v, b.constant(0 if reverse else lanes - 1)) for v in values]

        first = at(b.constant(0))
        values = prefix(values_at(first))
        write(first, values)

        def step(i: Emitted, carried: list[Emitted]) -> list[Emitted]:
            here = at(i)
            results = combine(carried, prefix(values_at(here)))
            write(here, results)
            return last(results)

        if extent > lanes:
            b.for_loop(b.constant(lanes), b.constant(extent), lanes, last(values), step)

    others = [d for d in range(len(shape)) if d != axis and shape[d] >= 4]
    outer_shape = shape[:axis] + shape[axis + 1 :]
    if others:
        dim = max(others, key=lambda d: (shape[d], d))
        _, lanes = low.storage.vector_shape(sources, shape)
        lanes = min(shape[dim], max(lanes, low.chip.lanes(max(bits(s.element) for s in sources), 2)))
        low.nests.nest(outer_shape, dim - (dim > axis), lanes, step_by_step)
    else:
        lanes = min(extent, low.chip.lanes(max(bits(s.element) for s in sources), 1))
        low.nests.nest_scalar(outer_shape, lambda outer: within_vectors(outer, lanes) if lanes > 1 else step_by_step(outer))
    return [low.storage.from_buffer(buffer, node.op) for buffer in buffers]


def lower_histogram(low: Lowering, node: Node) -> list[Value]:
    """Counts, element by element: lanes may hit the same bin. Values outside the bins are not counted."""
    b = low.b
    source = low.tensor(node.operands[0])
    mask = low.tensor(node.operands[1]) if len(node.operands) > 1 else None
    bins, element = shape_of(node.results[0])[0], element_of(node.results[0].type)
    buffer = low.storage.allocate((bins,), element)
    access = low.memory.buffer_access(buffer, node.op)
    zero = Uniform(shape=(bins,), element=element, origin=node.op, value=b.constant(0, element))
    low.storage.write_all([(zero, buffer)])

    def body(at: Coordinates) -> None:
        index = b.cast_index(low.evaluate(source, at), b.i64)
        condition = b.compare("ult", index, b.constant(bins))
        if mask is not None:
            condition = b.both(condition, low.evaluate(mask, at))

        def count() -> None:
            pointer = b.offset(access.base, index, buffer.stored)
            old = low.memory.scalar_load(pointer, element, None, None, b.depth)
            low.memory.scalar_store(pointer, b.op("arith.addi", element, [old, b.constant(1, element)]))

        b.when(condition, count)

    low.nests.nest_scalar(source.shape, body)
    return [low.storage.from_buffer(buffer, node.op)]
