"""What a program asks of the runtime: its place in the grid, assertions, printing."""

import re

from torch_mlir import ir

from triton_spacemit.dialect.abi import CONTEXT, SERVICES
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Coordinates, Uniform, bits, stored_type


def field(low: Lowering, name: str, type_: ir.Type, number: int = 0) -> Emitted:
    """A field of the context, the one with the `number` where it is an array; read at the function's start."""
    b = low.b
    offset = CONTEXT.offset(name) + number * (bits(type_) // 8)
    key = ("context", offset)
    known = b.scopes[0].known
    if key not in known:
        ip = b.entry_ip()
        attributes = {"rawConstantIndices": ir.DenseI32ArrayAttr.get([offset]), "elem_type": ir.TypeAttr.get(b.i8)}
        pointer = ir.Operation.create(
            "llvm.getelementptr", [b.ptr], [low.context.value], attributes, None, 0, b.location, ip, False
        ).results[0]
        attributes = {"alignment": ir.IntegerAttr.get(b.i64, 4 if type_ == b.i32 else 8)}
        value = ir.Operation.create("llvm.load", [type_], [pointer], attributes, None, 0, b.location, ip, False).results[0]
        known[key] = Emitted(value, 0, 0)
    return known[key]


def lower_program_id(low: Lowering, node: Node) -> list[Value]:
    name = "program_id" if node.name == "tt.get_program_id" else "num_programs"
    return [field(low, name, low.b.i32, int(node.attribute("axis").value))]


def text(low: Lowering, content: str) -> Emitted:
    """The address of a constant C string."""
    return low.address_of(low.strings.setdefault(content, f"__text_{len(low.strings)}"))


def nanoseconds(low: Lowering) -> Emitted:
    """The time now."""
    return call(low, "nanoseconds", [], low.b.i64)


def call(low: Lowering, service: str, arguments: list[Emitted], result: ir.Type | None = None) -> Emitted | None:
    """Call a service with the context and `arguments`; one that gives a result takes no context."""
    b = low.b
    services = field(low, "services", b.ptr)
    slot = b.offset(services, b.constant(SERVICES.offset(service)), b.i8)
    function = low.memory.scalar_load(slot, b.ptr, None, None, b.depth)
    context = [] if result is not None else [low.context.value]
    operands = [function.value, *context, *(a.value for a in arguments)]
    attributes = {
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands), 0]),
        "op_bundle_sizes": ir.DenseI32ArrayAttr.get([]),
        "CConv": ir.Attribute.parse("#llvm.cconv<ccc>"),
        "TailCallKind": ir.Attribute.parse("#llvm.tailcallkind<none>"),
        "fastmathFlags": ir.Attribute.parse("#llvm.fastmath<none>"),
    }
    op = b.create("llvm.call", [] if result is None else [result], operands, attributes)
    return None if result is None else Emitted(op.results[0], b.depth, 0)


def lower_assert(low: Lowering, node: Node) -> None:
    """Ends the program with a message where any element of the condition is false."""
    b = low.b
    condition = low.values[node.operands[0]]
    message = f"device assertion failed: {node.attribute('message').value}"

    def check(value: Emitted) -> None:
        fail_if(low, node, b.op("arith.xori", b.i1, [value, b.constant(1, b.i1)]), message)

    if isinstance(condition, Emitted | Uniform):
        check(condition if isinstance(condition, Emitted) else condition.value)
        return
    dim, width = low.storage.vector_shape([condition], condition.shape)

    def body(at: Coordinates) -> None:
        value = low.evaluate(condition, at)
        if value.width:
            kind = ir.Attribute.parse("#vector.kind<and>")
            reduced = b.create("vector.reduction", [b.i1], [value.value], {"kind": kind}, depth=value.depth).results[0]
            value = Emitted(reduced, value.depth, 0)
        check(value)

    low.nests.nest(condition.shape, dim, width, body)


def fail_if(low: Lowering, node: Node, condition: Emitted, message: str) -> None:
    """End the program with `message` and the line of `node` where the scalar `condition` holds."""
    where = place_of(node.op.location)
    content = message + (f" at {where}" if where else "")
    low.b.when(condition, lambda: call(low, "assert_failed", [text(low, content)]))


def check_divisor(low: Lowering, node: Node) -> None:
    """A scalar division by zero is an error of the program: it does not trap on RISC-V, and would end the process elsewhere."""
    divisor = low.scalar(node.operands[1])
    if not divisor.constant:
        fail_if(low, node, low.b.compare("eq", divisor, low.b.constant(0, divisor.value.type)), "integer division by zero")


def place_of(location: ir.Location) -> str:
    """`file:line` of a location, where it has one."""
    match = re.search(r'"([^"]+)":(\d+)', str(location))
    return f"{match[1]}:{match[2]}" if match else ""


def lower_print(low: Lowering, node: Node) -> None:
    b = low.b
    prefix = node.attribute("prefix").value
    hex_ = b.constant(int(node.attribute("hex").value), b.i32)
    signed = [int(i) for i in ir.DenseI32ArrayAttr(node.attribute("isSigned"))]
    null = Emitted(b.create("llvm.mlir.zero", [b.ptr], []).results[0], b.depth, 0)
    if not node.operands:
        call(low, "print", [text(low, prefix), b.constant(0, b.i32), hex_, b.constant(0, b.i32), null, null])
    for number, (value, is_signed) in enumerate(zip(node.operands, signed, strict=True)):
        name = f"{prefix}(operand {number}) " if len(node.operands) > 1 else prefix
        operand = low.values[value]
        if isinstance(operand, Emitted):
            element = operand.value.type
            operand = Uniform(shape=(), element=element, origin=node.op, value=operand)
        element = operand.element
        buffer = low.storage.contiguous(operand)
        shape = low.storage.allocate((max(1, len(operand.shape)),), b.i64)
        for d, extent in enumerate(operand.shape):
            low.memory.scalar_store(b.offset(shape.base, b.constant(d), b.i64), b.constant(extent))
        code = type_code(low, element, bool(is_signed))
        arguments = [text(low, name), b.constant(code, b.i32), hex_, b.constant(len(operand.shape), b.i32), shape.base, buffer.base]
        call(low, "print", arguments)


def type_code(low: Lowering, element: ir.Type, signed: bool) -> int:
    """`kind << 8 | bits` as the runtime's print expects it."""
    if isinstance(element, ir.BF16Type):
        return 3 << 8 | 16
    if isinstance(element, ir.FloatType):
        return 2 << 8 | bits(element)
    if element == low.b.ptr:
        return 4 << 8 | 64
    return (0 if signed and element != low.b.i1 else 1) << 8 | bits(stored_type(low.b, element))


def refuse_assembly(low: Lowering, node: Node) -> None:
    """Inline assembly cannot be checked before LLVM reads it, and is written for another processor than this one."""
    raise low.b.fail(node.op, f"is not supported: the text {node.attribute('asm_string').value!r} is of no processor known here")
