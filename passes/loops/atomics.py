"""Atomics act where they stand, element by element."""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.passes.loops import services
from triton_spacemit.passes.loops.accesses import resolve
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.bounds import bounds_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Access, Coordinates, Uniform, bits

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


def integer(low: Lowering, value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(low.b.i64, value)


def one_atomic(low: Lowering, op: ir.OpView, element: ir.Type, pointer: Emitted, values: list[Emitted]) -> Emitted:
    """The atomic `op` on the element at `pointer`; its old value."""
    b, ordering = low.b, ORDERING[op.order.value]
    if op.operation.name == "xsmt.atomic_cas":
        # bit for bit: floats are compared as integers
        as_integer = ir.IntegerType.get_signless(bits(element))
        cast = isinstance(element, ir.FloatType)
        expected, new = (b.op("arith.bitcast", as_integer, [v]) if cast else v for v in values)
        old, _ = compare_exchange(low, pointer, expected, new, ordering)
        return b.op("arith.bitcast", element, [old]) if cast else old
    if element in (b.f16, b.bf16) and op.kind.value != "xchg":
        return exchange_until(low, pointer, values[0], op.kind.value, ordering)
    attributes = {"alignment": low.memory.alignment(element)}
    attributes |= {"bin_op": integer(low, BINARY[op.kind.value]), "ordering": integer(low, ordering)}
    result = b.create("llvm.atomicrmw", [element], [pointer.value, values[0].value], attributes).results[0]
    return Emitted(result, b.depth, 0)


def lower_atomic(low: Lowering, node: Node) -> list[Value]:
    """Atomics go element by element: each is one atomic instruction (or a compare-and-swap loop) on its own address."""
    op, b = node.op.opview, low.b
    access = resolve(low, node, op.value.type)
    before_write(low, node)
    bounds_of(low).check(node, access)
    element = access.element
    operands = [op.compare, op.value] if node.name == "xsmt.atomic_cas" else [op.value]

    def where(condition: Emitted | None, act: Callable[[], Emitted]) -> Emitted:
        """`act`, or zero where the condition does not hold."""
        if condition is None:
            return act()
        (old,) = b.if_else(condition, [(element, 0)], lambda: [act()], lambda: [low.memory.zero(element)])
        return old

    if not access.shape:
        condition = None if op.mask is None else low.scalar(op.mask)
        return [where(condition, lambda: one_atomic(low, op, element, access.base, [low.scalar(v) for v in operands]))]
    used = bool(low.analysis.users.get(node.results[0]))
    buffer = low.storage.allocate(access.shape, element) if used else None
    target = low.memory.buffer_access(buffer, node.op) if used else None

    def body(at: Coordinates) -> None:
        def act() -> Emitted:
            pointer = low.memory.addressing.address(access, at)[0]
            return one_atomic(low, op, element, pointer, [low.evaluate(low.tensor(v), at) for v in operands])

        old = where(low.memory.addressing.active(access, at)[0], act)
        if used:
            low.memory.store(target, old, at)

    low.nests.nest_scalar(access.shape, body)
    if used:
        return [low.storage.from_buffer(buffer, node.op)]
    zero = low.memory.zero(element)
    return [Uniform(shape=access.shape, element=element, origin=node.op, value=zero)]  # nobody reads it


def lower_atomic_poll(low: Lowering, node: Node) -> list[Value]:
    """Each element in turn is read until it has the expected value, or the time of all is over."""
    op, b = node.op.opview, low.b
    before_write(low, node)  # what it waits for, others write
    access = resolve(low, node, op.expected.type)
    bounds_of(low).check(node, access)
    deadline = None
    if op.timeout is not None:
        deadline = b.op("arith.addi", b.i64, [services.nanoseconds(low), low.scalar(op.timeout)], depth=b.depth)
    if not access.shape:
        return [poll(low, op, access, access.base, low.scalar(op.expected), deadline)]
    expected = low.tensor(op.expected)
    buffer = low.storage.allocate(access.shape, b.i1)
    target = low.memory.buffer_access(buffer, node.op)

    def body(at: Coordinates) -> None:
        pointer = low.memory.addressing.address(access, at)[0]
        low.memory.store(target, poll(low, op, access, pointer, low.evaluate(expected, at), deadline), at)

    low.nests.nest_scalar(access.shape, body)
    return [low.storage.from_buffer(buffer, node.op)]


def poll(low: Lowering, op: ir.OpView, access: Access, pointer: Emitted, expected: Emitted, deadline: Emitted | None) -> Emitted:
    """Read the element at `pointer` until it is the expected one, or it is past the deadline; whether it was."""
    b, element = low.b, access.element
    ordering = {"alignment": low.memory.alignment(element), "ordering": integer(low, ORDERING[op.order.value])}
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
