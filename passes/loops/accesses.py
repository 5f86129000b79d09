"""Loads stay lazy until something needs them; stores and atomics act where they stand."""

from torch_mlir import ir

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops import services
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import define, element_of
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.streams import streams
from triton_spacemit.passes.loops.tensors import Access, Coordinates, Tensor, bits


def resolve(low: Lowering, node: Node, block: ir.Type) -> Access:
    """The access that an `xsmt` op describes, in terms of the new code's values."""
    op = node.op.opview
    values = low.values

    def scalars(operands) -> list[Emitted]:
        return [low.scalar(v) for v in operands]

    index = getattr(op, "index", None)
    other = getattr(op, "other", None)
    if other is not None:
        other = values[other]
        if isinstance(other, Tensor) and other.uniform is not None:
            other = other.uniform
    shape = tuple(block.shape) if isinstance(block, ir.RankedTensorType) else ()
    mask = None
    if op.mask is not None:
        found = values[op.mask]
        mask = found if isinstance(found, Tensor) else Tensor(shape, low.b.i1, None, node.op, uniform=found)
    unit = op.unit.value if index is not None else bits(element_of(block)) // 8
    return Access(
        low.scalar(op.base),
        scalars(op.strides),
        scalars(op.lower),
        scalars(op.upper),
        None if index is None else low.tensor(index),
        unit,
        mask,
        other,
        element_of(block),
        shape,
        node.op,
        index,
        None if op.mask is None else everywhere(low, op.mask),
    )


def everywhere(low: Lowering, mask: ir.Value) -> Emitted | None:
    """A scalar condition under which a block of i1 is true everywhere, where it is the disjunction of one and something else."""
    either = producer_of(mask, "arith.ori")
    for operand in either.operands if either is not None else ():
        splat = producer_of(operand, "tt.splat")
        if splat is not None:
            return low.scalar(splat.operands[0])
    return None


def lower_load(low: Lowering, node: Node) -> None:
    result = node.results[0]
    access = resolve(low, node, result.type)
    identity = tuple(range(len(access.shape)))
    sources = [t for t in (access.index, access.mask, access.other) if isinstance(t, Tensor)]
    cost = (low.chip.costs.gather if access.index is not None else 1) + sum(t.cost for t in sources)
    tensor = Tensor(
        access.shape, access.element, None, node.op, tuple((t, identity) for t in sources), cost, home=low.b.depth, access=access
    )
    tensor.compute = lambda at: low.memory.load(tensor, access, at)
    low.values[result] = tensor
    if not low.analysis.pulls(result):
        return
    low.pending.append((result, tensor))
    inside = [user for user in (low.analysis.nodes[order] for order in low.analysis.pulls(result)) if user.block is not node.block]
    if access.index is not None and inside:
        define(low, node, result, tensor)
    elif low.chip.cache_way_bytes and any(user.name == "tt.dot" for user in inside):
        low.materialise(tensor)  # the product would copy its operand in every turn


def lower_store(low: Lowering, node: Node) -> None:
    op = node.op.opview
    value = low.tensor(op.value)
    access = resolve(low, node, op.value.type)
    before_write(low, node, access, value)
    shape = value.shape
    needed = [t for t in (value, access.index, access.mask) if t is not None]
    dim, width = low.vector_shape(needed, shape, [access]) if shape else (0, 0)
    b = low.b

    def body(at: Coordinates) -> None:
        low.memory.store(access, low.evaluate(value, at), at)

    def limit(at: Coordinates) -> Emitted | None:
        """Nothing is stored behind the upper bound, or at all where an outer bound does not hold."""
        end = b.maximum(b.minimum(access.upper[dim], b.constant(shape[dim])), b.constant(0))
        condition = None
        for d, coordinate in enumerate(at):
            if d != dim:
                upper, lower = access.upper[d], access.lower[d]
                if not (upper.constant is not None and upper.constant >= shape[d]):
                    condition = b.both(condition, b.compare("slt", coordinate.start, upper))
                if not (lower.constant is not None and lower.constant <= 0):
                    condition = b.both(condition, b.compare("sle", lower, coordinate.start))
        return end if condition is None else b.select(condition, end, b.constant(0))

    low.nest(shape, dim, width, body, limit, streams(low, node, access, value, dim, width) if shape else None)
    low.settle()


def lower_llvm_store(low: Lowering, node: Node) -> None:
    """A scalar store: one element, at a place that is not known relative to any block."""
    before_write(low, node, None)
    value, pointer = (low.scalar(v) for v in node.operands)
    low.memory.scalar_store(pointer, value)


def lower_llvm_load(low: Lowering, node: Node) -> None:
    pointer = low.scalar(node.operands[0])
    volatile = "volatile_" in node.op.attributes
    low.values[node.results[0]] = low.memory.scalar_load(pointer, node.results[0].type, None, None, low.b.depth, volatile)


def lower_fence(low: Lowering, node: Node) -> None:
    """Loads before it are carried out before it."""
    before_write(low, node, None)
    low.b.create("llvm.fence", [], [], {name: node.op.attributes[name] for name in ("ordering", "syncscope")})


ORDERING = {"relaxed": 2, "acquire": 4, "release": 5, "acq_rel": 6}
BINARY = {
    "xchg": 0,
    "add": 1,
    "and": 3,
    "or": 5,
    "xor": 6,
    "max": 7,
    "min": 8,
    "umax": 9,
    "umin": 10,
    "fadd": 11,
    "fmax": 13,
    "fmin": 14,
}


def compare_exchange(low: Lowering, pointer: Emitted, expected: Emitted, new: Emitted, ordering: int) -> tuple[Emitted, Emitted]:
    """(old value, whether it was the expected one and `new` was written), of integers."""
    b = low.b
    type_ = b.element(new)
    attributes = {
        "alignment": low.memory.alignment(type_),
        "success_ordering": ir.IntegerAttr.get(b.i64, ordering),
        "failure_ordering": ir.IntegerAttr.get(b.i64, 2 if ordering in (2, 5) else 4),
    }
    pair = ir.Type.parse(f"!llvm.struct<({type_}, i1)>")
    exchanged = b.create("llvm.cmpxchg", [pair], [pointer.value, expected.value, new.value], attributes).results[0]
    parts = [
        b.create("llvm.extractvalue", [t], [exchanged], {"position": ir.DenseI64ArrayAttr.get([i])}).results[0]
        for i, t in enumerate((type_, b.i1))
    ]
    return Emitted(parts[0], b.depth, 0), Emitted(parts[1], b.depth, 0)


def exchange_until(low: Lowering, pointer: Emitted, value: Emitted, kind: str, ordering: int) -> Emitted:
    """Arithmetic on a float of 16 bits, which targets have no atomic instruction for: computed in float32, exchanged until it holds."""
    b = low.b
    element, i16 = b.element(value), ir.IntegerType.get_signless(16)
    name = {"fadd": "arith.addf", "fmax": "arith.maxnumf", "fmin": "arith.minnumf"}[kind]
    operand = b.op("arith.extf", b.f32, [value])
    first = low.memory.scalar_load(pointer, i16, None, None, b.depth)
    loop = b.create("scf.while", [i16], [first.value], regions=2)
    before, after = (region.blocks.append(i16, arg_locs=[b.location]) for region in loop.regions)
    with b.inside(loop, before) as depth:
        expected = Emitted(before.arguments[0], depth, 0)
        old = b.op("arith.extf", b.f32, [b.op("arith.bitcast", element, [expected])])
        new = b.op("arith.truncf", element, [b.op(name, b.f32, [old, operand])])
        found, done = compare_exchange(low, pointer, expected, b.op("arith.bitcast", i16, [new]), ordering)
        again = b.op("arith.xori", b.i1, [done, b.constant(1, b.i1)])
        b.create("scf.condition", [], [again.value, found.value])
    with b.inside(loop, after):
        b.create("scf.yield", [], [after.arguments[0]])
    return b.op("arith.bitcast", element, [Emitted(loop.results[0], b.depth, 0)])


def lower_atomic(low: Lowering, node: Node) -> None:
    """Atomics go element by element: each is one atomic instruction (or a compare-and-swap loop) on its own address."""
    op, b = node.op.opview, low.b
    block = op.value.type
    access = resolve(low, node, block)
    before_write(low, node, None)
    element = access.element
    is_cas = node.name == "xsmt.atomic_cas"
    operands = [op.compare, op.value] if is_cas else [op.value]
    ordering = ORDERING[op.order.value]

    def one(pointer: Emitted, values: list[Emitted]) -> Emitted:
        attributes = {"alignment": low.memory.alignment(element)}
        if not is_cas and element in (b.f16, b.bf16) and op.kind.value != "xchg":
            return exchange_until(low, pointer, values[0], op.kind.value, ordering)
        if not is_cas:
            attributes |= {"bin_op": integer(BINARY[op.kind.value]), "ordering": integer(ordering)}
            result = b.create("llvm.atomicrmw", [element], [pointer.value, values[0].value], attributes).results[0]
            return Emitted(result, b.depth, 0)
        # bit for bit: floats are compared as integers
        as_integer = ir.IntegerType.get_signless(bits(element))
        cast = isinstance(element, ir.FloatType)
        expected, new = (b.op("arith.bitcast", as_integer, [v]) if cast else v for v in values)
        old, _ = compare_exchange(low, pointer, expected, new, ordering)
        return b.op("arith.bitcast", element, [old]) if cast else old

    def integer(value: int) -> ir.Attribute:
        return ir.IntegerAttr.get(b.i64, value)

    if not isinstance(block, ir.RankedTensorType):
        condition = None if op.mask is None else low.scalar(op.mask)
        values = [low.scalar(v) for v in operands]
        if condition is None:
            low.values[node.results[0]] = one(access.base, values)
        else:
            zero = low.memory.zero(element)
            (low.values[node.results[0]],) = b.if_else(condition, [(element, 0)], lambda: [one(access.base, values)], lambda: [zero])
        return
    used = bool(low.analysis.users.get(node.results[0]))
    buffer = low.allocate(access.shape, element) if used else None
    target = low.memory.buffer_access(buffer, node.op) if used else None

    def body(at: Coordinates) -> None:
        condition, _ = low.memory.active(access, at)

        def act() -> list[Emitted]:
            pointer = low.memory.address(access, at)[0]
            return [one(pointer, [low.evaluate(low.tensor(v), at) for v in operands])]

        if condition is None:
            (old,) = act()
        else:
            (old,) = b.if_else(condition, [(element, 0)], act, lambda: [low.memory.zero(element)])
        if used:
            low.memory.store(target, old, at)

    low.nest_scalar(access.shape, body)
    if used:
        low.values[node.results[0]] = low.from_buffer(buffer, node)


def lower_atomic_poll(low: Lowering, node: Node) -> None:
    """Each element in turn is read until it has the expected value, or the time of all is over."""
    op, b = node.op.opview, low.b
    before_write(low, node, None)  # what it waits for, others write
    access = resolve(low, node, op.expected.type)
    element = access.element
    deadline = None
    if op.timeout is not None:
        deadline = b.op("arith.addi", b.i64, [services.nanoseconds(low), low.scalar(op.timeout)], depth=b.depth)
    ordering = {"alignment": low.memory.alignment(element), "ordering": ir.IntegerAttr.get(b.i64, ORDERING[op.order.value])}

    def wait(pointer: Emitted, expected: Emitted) -> Emitted:
        loop = b.create("scf.while", [b.i1], [], regions=2)
        before, after = loop.regions[0].blocks.append(), loop.regions[1].blocks.append(b.i1, arg_locs=[b.location])
        with b.inside(loop, before) as depth:
            found = Emitted(b.create("llvm.load", [element], [pointer.value], ordering).results[0], depth, 0)
            equal = b.compare("eq", found, expected)
            again = b.op("arith.xori", b.i1, [equal, b.constant(1, b.i1)])
            if deadline is not None:
                again = b.both(again, b.compare("slt", services.nanoseconds(low), deadline))
            b.create("scf.condition", [], [again.value, equal.value])
        with b.inside(loop, after):
            b.create("scf.yield", [], [])
        return Emitted(loop.results[0], b.depth, 0)

    result = node.results[0]
    if not isinstance(op.expected.type, ir.RankedTensorType):
        low.values[result] = wait(access.base, low.scalar(op.expected))
        return
    expected = low.tensor(op.expected)
    buffer = low.allocate(access.shape, b.i1)
    target = low.memory.buffer_access(buffer, node.op)

    def body(at: Coordinates) -> None:
        low.memory.store(target, wait(low.memory.address(access, at)[0], low.evaluate(expected, at)), at)

    low.nest_scalar(access.shape, body)
    low.values[result] = low.from_buffer(buffer, node)
