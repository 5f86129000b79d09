"""Parallel loops, barriers and buffers: what the threads of one program do and share.

The body of a parallel loop is lowered in place, like that of any loop, and then becomes a function of its own, which the runtime calls for
every index on threads of the program. What it needs from around it is passed in one struct; constants, and whatever lies in memory of the
thread, it computes itself. Buffers made inside the body are the thread's, buffers made outside of it are shared.
"""

from collections.abc import Iterator

from torch_mlir import ir

from triton_spacemit.dialect.abi import BARRIER_BYTES
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import CONCURRENT, say
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.services import call, field, place_of, text
from triton_spacemit.passes.loops.storage import ALIGNMENT
from triton_spacemit.passes.loops.tensors import Buffer

_REMADE = ("arith.constant", "llvm.mlir.constant", "llvm.mlir.addressof", "llvm.mlir.zero", "ub.poison")  # cheaper to repeat than to pass


def lower_parallel(low: Lowering, node: Node) -> None:
    b = low.b
    say(low.module, CONCURRENT)
    before_write(low, node)
    bounds = [low.scalar(value) for value in node.operands]
    storage = low.storage
    outer = storage.scratch, storage.scratch_bytes, storage.frame
    private = _Private(low)
    loop = b.create("scf.for", [], [bound.value for bound in bounds], regions=1)
    block = loop.regions[0].blocks.append(bounds[0].value.type, arg_locs=[b.location])
    body = node.regions[0]
    with b.inside(loop, block) as depth:
        storage.frame = depth
        low.bind_value(body.arguments[0], Emitted(block.arguments[0], depth, 0))
        low.run_block(body, lambda end: [])
        b.create("scf.yield", [], [])
    scratch_bytes = storage.scratch_bytes
    storage.scratch, storage.scratch_bytes, storage.frame = outer
    outline = _Outline(low, loop, private)
    symbol = outline.run()
    private.close()
    environment = outline.environment()
    loop.erase()
    function_type = ir.FunctionType.get([b.ptr, b.i64, b.ptr, b.ptr], [])
    function = b.create("func.constant", [function_type], [], {"value": ir.FlatSymbolRefAttr.get(symbol)}).results[0]
    address = b.create("builtin.unrealized_conversion_cast", [b.ptr], [function]).results[0]
    indices = [b.cast_index(bound, b.i64) for bound in bounds]
    call(low, "parallel", [Emitted(address, b.depth, 0), environment, *indices, b.constant(scratch_bytes)])


class _Private:
    """Memory of one thread while a body is lowered: its allocations stand at the function's start between two marks."""

    def __init__(self, low: Lowering) -> None:
        self.low = low
        self.resume = low.b.entry_ip()
        self.first, self.last = self._mark(), self._mark()
        low.b.set_entry(self.last)
        low.storage.scratch, low.storage.scratch_bytes = Emitted(self.last.result, 0, 0), 0

    def _mark(self) -> ir.Operation:
        b = self.low.b
        return ir.Operation.create("llvm.mlir.zero", [b.ptr], [], None, None, 0, b.location, self.resume, False)

    def roots(self) -> set[ir.Value]:
        """What is the thread's own: the mark that stands for its scratch memory, and what was allocated on the stack."""
        block = self.first.block
        operations = [view.operation for view in block.operations]
        inside = operations[operations.index(self.first) : operations.index(self.last)]
        return {self.last.result, *(op.result for op in inside if op.name == "llvm.alloca")}

    def close(self) -> None:
        """Allocations that are in the body's function now go; constants among them stay."""
        self.low.b.set_entry(self.resume.ref_operation)
        dead = self.roots()
        for view in reversed(list(self.first.block.operations)):
            op = view.operation
            unused = bool(op.results) and next(iter(op.results[0].uses), None) is None
            if op != self.last and unused and _remakes(op) and (op.result in dead or _depends(op, dead)):
                op.erase()
        if next(iter(self.last.result.uses), None) is not None:
            raise LoweringError("a thread's memory is used outside of its iterations", self.last.location)
        self.first.erase()
        self.last.erase()


def _remakes(op: ir.Operation) -> bool:
    """Whether an op can be computed again elsewhere with the same result."""
    pure = op.name.startswith(("arith.", "vector.broadcast")) or op.name in ("llvm.getelementptr", "llvm.ptrtoint", "llvm.alloca")
    return pure or op.name in _REMADE


def _depends(op: ir.Operation, roots: set[ir.Value]) -> bool:
    return any(
        operand in roots
        or (isinstance(operand, ir.OpResult) and _remakes(operand.owner.operation) and _depends(operand.owner.operation, roots))
        for operand in op.operands
    )


def _inner(block: ir.Block) -> Iterator[ir.Operation]:
    for view in block.operations:
        yield view.operation
        for region in view.operation.regions:
            for inner in region.blocks:
                yield from _inner(inner)


class _Outline:
    """Moves a loop's body into a function `(environment, index, context, scratch)`."""

    def __init__(self, low: Lowering, loop: ir.Operation, private: _Private) -> None:
        self.low, self.b, self.loop = low, low.b, loop
        self.roots = private.roots()
        self.captured: dict[ir.Value, int] = {}  # with their offsets in the struct
        self.size = 0
        self.mapped: dict[ir.Value, ir.Value] = {}

    def run(self) -> str:
        """The function's name."""
        name, end = self._declare()
        body = self.loop.regions[0].blocks[0]
        environment, index, context, scratch = self.block.arguments
        self.mapped[self.low.context.value] = context
        for root in self.roots:
            if root.owner.operation.name == "llvm.mlir.zero":
                self.mapped[root] = scratch
        type_ = body.arguments[0].type
        if type_ != self.b.i64:
            cast = "arith.index_cast" if isinstance(type_, ir.IndexType) else "arith.trunci"
            index = self._create(cast, [type_], [index]).result
        body.arguments[0].replace_all_uses_with(index)
        inner = list(_inner(body))
        mine = {*self.block.arguments, index}
        for op in inner:
            mine.update(op.results, *(block.arguments for region in op.regions for block in region.blocks))
        for op in inner:
            for number, operand in enumerate(op.operands):
                if operand not in mine:
                    op.operands[number] = self._value(operand, environment)
        for view in list(body.operations)[:-1]:
            view.operation.move_before(end)
        return name

    def _declare(self) -> tuple[str, ir.Operation]:
        """Make the function, whose body is only its return yet; its name and that return."""
        b, module = self.b, self.low.module
        name = f"{self.low.function.attributes['sym_name'].value}.parallel"
        number = len([op for op in module.body.operations if name in str(op.operation.attributes["sym_name"])])
        types = [b.ptr, b.i64, b.ptr, b.ptr]
        attributes = {
            "sym_name": ir.StringAttr.get(f"{name}.{number}"),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
            "sym_visibility": ir.StringAttr.get("private"),
            "llvm.linkage": ir.Attribute.parse("#llvm.linkage<internal>"),
        }
        table = ir.SymbolTable(module.operation)
        with ir.InsertionPoint.at_block_begin(module.body):
            function = ir.Operation.create("func.func", [], [], attributes, None, 1, b.location)
        table.insert(function)
        self.block = function.regions[0].blocks.append(*types, arg_locs=[b.location] * 4)
        with ir.InsertionPoint(self.block):
            end = ir.Operation.create("func.return", [], [], None, None, 0, b.location)
        self.start = ir.InsertionPoint(end)
        return ir.StringAttr(function.attributes["sym_name"]).value, end

    def _create(self, name: str, results: list[ir.Type], operands: list[ir.Value], attributes: dict | None = None) -> ir.Operation:
        return ir.Operation.create(name, results, operands, attributes, None, 0, self.b.location, self.start, False)

    def _value(self, value: ir.Value, environment: ir.Value) -> ir.Value:
        """What stands for the outer `value` in the function."""
        if value in self.mapped:
            return self.mapped[value]
        op = value.owner.operation if isinstance(value, ir.OpResult) else None
        if op is not None and (op.name in _REMADE or value in self.roots or (_remakes(op) and _depends(op, self.roots))):
            copy = op.clone(self.start)
            for number, operand in enumerate(copy.operands):
                copy.operands[number] = self._value(operand, environment)
            result = copy.result
            copy.move_before(self.start.ref_operation)
        else:
            size = self._bytes(value.type)
            alignment = min(1 << (size - 1).bit_length(), ALIGNMENT)
            offset = -(-self.size // alignment) * alignment
            self.captured[value] = offset
            self.size = offset + size
            stored = self.b.i64 if isinstance(value.type, ir.IndexType) else value.type
            pointer = self._create("llvm.getelementptr", [self.b.ptr], [environment], self._at(offset)).result
            aligned = {"alignment": ir.IntegerAttr.get(self.b.i64, alignment)}
            result = self._create("llvm.load", [stored], [pointer], aligned).result
            if stored != value.type:
                result = self._create("arith.index_cast", [value.type], [result]).result
        self.mapped[value] = result
        return result

    def _at(self, offset: int) -> dict[str, ir.Attribute]:
        return {"rawConstantIndices": ir.DenseI32ArrayAttr.get([offset]), "elem_type": ir.TypeAttr.get(self.b.i8)}

    def _bytes(self, type_: ir.Type) -> int:
        lanes, element = (type_.shape[0], type_.element_type) if isinstance(type_, ir.VectorType) else (1, type_)
        width = element.width if isinstance(element, ir.IntegerType | ir.FloatType) else 64
        return -(-lanes * width // 8)

    def environment(self) -> Emitted:
        """The struct that the function gets, which lies on the stack of the program: it is filled before the loop."""
        b = self.b
        attributes = {
            "elem_type": ir.TypeAttr.get(b.vector_type(b.i8, max(self.size, 1))),
            "alignment": ir.IntegerAttr.get(b.i64, ALIGNMENT),
        }
        one = b.constant(1)
        struct = ir.Operation.create("llvm.alloca", [b.ptr], [one.value], attributes, None, 0, b.location, b.entry_ip(), False).result
        for value, offset in self.captured.items():
            if isinstance(value.type, ir.IndexType):
                value = b.create("arith.index_cast", [b.i64], [value]).result
            alignment = min(1 << (self._bytes(value.type) - 1).bit_length(), ALIGNMENT)
            pointer = b.create("llvm.getelementptr", [b.ptr], [struct], self._at(offset)).result
            b.create("llvm.store", [], [value, pointer], {"alignment": ir.IntegerAttr.get(b.i64, alignment)})
        return Emitted(struct, 0, 0)


# Buffers


def lower_alloc(low: Lowering, node: Node) -> list[Value]:
    """Scratch memory that kernels point to."""
    element = node.attribute("element").value
    buffer = low.storage.allocate((int(node.attribute("size").value),), element)
    return [buffer.base]


def lower_num_threads(low: Lowering, node: Node) -> list[Value]:
    say(low.module, CONCURRENT)
    return [field(low, "num_threads", low.b.i32)]


# Barriers


def handle(low: Lowering, value: ir.Value) -> Emitted:
    """The address of the barrier behind a handle."""
    return low.b.op("llvm.inttoptr", low.b.ptr, [low.scalar(value)])


def lower_mbarrier(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    flag, arrived, _, expected = (low.scalar(value) for value in node.operands)
    copies = int(node.attribute("copies").value)
    state: Buffer = low.storage.allocate((copies * BARRIER_BYTES // 8,), b.i64)
    call(low, "init_barriers", [state.base, b.constant(copies, b.i32), flag, arrived, expected])
    return [b.op("llvm.ptrtoint", b.i64, [state.base], depth=b.depth)]


def lower_global_mbarrier(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    place = low.storage.allocate((1,), b.i64)
    call(low, "global_barrier", [low.scalar(node.operands[0]), place.base])
    return [low.memory.scalar_load(place.base, b.i64, None, None, b.depth)]


def lower_barrier_at(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    bars, index = (low.scalar(value) for value in node.operands)
    return [b.add(bars, b.mul(b.cast_index(index, b.i64), b.constant(BARRIER_BYTES)))]


def lower_arrive(low: Lowering, node: Node) -> None:
    before_write(low, node)
    call(low, "arrive", [handle(low, node.operands[0])])


def lower_wait(low: Lowering, node: Node) -> None:
    where = text(low, place_of(node.op.location) or "an unknown line")
    call(low, "wait", [handle(low, node.operands[0]), low.scalar(node.operands[1]), where])


def lower_set_expect(low: Lowering, node: Node) -> None:
    before_write(low, node)
    call(low, "expect", [handle(low, node.operands[0]), low.scalar(node.operands[1])])
