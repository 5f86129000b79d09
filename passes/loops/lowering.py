"""The lowering's state, and what every op's lowering uses: evaluation, loops over a block, buffers."""

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.abi import SCRATCH_ALIGNMENT
from triton_spacemit.dialect.chips import Chip
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes.loops.analysis import Analysis, Block, Node
from triton_spacemit.passes.loops.builder import Builder, Emitted
from triton_spacemit.passes.loops.memory import Memory
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Coordinates, Tensor, bits, row_major, stored_type

ALIGNMENT = SCRATCH_ALIGNMENT  # of everything that the program allocates
ROOM = 16  # rows behind a matrix that a product's last register tile may write
CONVERSIONS = ("arith.extf", "arith.truncf", "tt.fp_to_fp")


class Lowering(ABC):
    """Turns one function's block program into loops over vectors."""

    module: ir.Module
    function: ir.Operation
    strings: dict[str, str]  # constant texts, with the names of their globals
    fuses: bool  # whether a product and a sum may become one operation

    def __init__(self, function: ir.Operation, chip: Chip, builder: Builder) -> None:
        self.chip = chip
        self.b = builder
        self.memory = Memory(builder, chip, self.evaluate)
        self.analysis = Analysis(function)
        self.values: dict[ir.Value, Tensor | Emitted] = {}
        self.zero = Coordinate(builder.constant(0))
        self.pending: list[tuple[ir.Value, Tensor]] = []
        self.computes = False  # whether a loop computes much, rather than wait for memory
        self.frame = 0  # the scope in which the scratch memory's owner begins: the program, or an iteration of a parallel loop
        self.scratch_bytes = 0
        self.scratch: Emitted | None = None
        self.context: Emitted | None = None
        self.stored_later: dict[Tensor, Buffer | None] = {}  # tensors that the loop which first computes them also stores
        self.changed: list[tuple[Tensor, dict]] = []  # tensors that became something else in the current region, and what they were
        self.cover: Coordinates | None = None
        self.lowered: set[Node] = set()  # nodes lowered ahead of their turn

    @abstractmethod
    def lower(self, node: Node) -> None:
        """Lower one op."""

    @abstractmethod
    def run_block(self, block: Block, finish: Callable[[Node], list[Emitted]]) -> list[Emitted]:
        """Lower a block's ops in order; `finish(terminator)` gives what the new terminator returns."""

    # -- evaluation

    def evaluate(self, tensor: Tensor, at: Coordinates) -> Emitted:
        """The lanes of `tensor` at coordinates; computed once per place."""
        if tensor.uniform is not None:
            return tensor.uniform
        key = (tensor, at)
        for scope in reversed(self.b.scopes):
            if key in scope.known:
                return scope.known[key]
        outer = self.b.location
        if tensor.origin is not None:
            self.b.location = tensor.origin.location
        result = tensor.compute(at)
        self.b.location = outer
        self.b.scopes[result.depth].known[key] = result
        if tensor in self.stored_later and self.cover == at:
            buffer = self.stored_later[tensor] = self.stored_later[tensor] or self.allocate(tensor.shape, tensor.element)
            self.memory.store(self.memory.buffer_access(buffer, tensor.origin), result, at)
        return result

    def tensor(self, value: ir.Value) -> Tensor:
        result = self.values[value]
        if not isinstance(result, Tensor):
            raise LoweringError(f"expected a block, got {value.type}", self.b.location)
        return result

    def scalar(self, value: ir.Value) -> Emitted:
        result = self.values[value]
        if not isinstance(result, Emitted):
            raise LoweringError(f"expected a scalar, got {value.type}", self.b.location)
        return result

    @contextlib.contextmanager
    def region(self) -> Iterator[None]:
        """Code that may not run, or runs several times: what it stores of values from outside is not there afterwards."""
        outer, self.changed = self.changed, []
        waiting = list(self.stored_later)
        yield
        for tensor, state in reversed(self.changed):
            tensor.__dict__.update(state)
        self.stored_later = dict.fromkeys(waiting)
        self.changed = outer

    # -- what a tensor reads

    def cone(self, tensor: Tensor, dims: tuple[int | None, ...] | None = None) -> Iterator[tuple[Tensor, tuple[int | None, ...]]]:
        """Every tensor that evaluating `tensor` evaluates, with the dimension of `tensor` that each of its own dimensions follows."""
        seen = set()
        stack = [(tensor, tuple(range(len(tensor.shape))) if dims is None else dims)]
        while stack:
            current, follows = stack.pop()
            if (current, follows) in seen:
                continue
            seen.add((current, follows))
            yield current, follows
            if current.buffer is None and current.uniform is None:
                for source, mapping in current.sources:
                    stack.append((source, tuple(None if m is None else follows[m] for m in mapping)))

    def vector_shape(self, tensors: Sequence[Tensor], shape: tuple[int, ...], stores: Sequence[Access] = ()) -> tuple[int, int]:
        """(dimension, lanes) for a loop over `shape`: the dimension along which most accesses are contiguous."""
        score = [0.0] * len(shape)
        costs: dict[Tensor, tuple[int, tuple[int | None, ...]]] = {}  # of computing floats, and the dimensions that this is done along
        widest, lanes_of_64, apart = 8, False, False
        for tensor in tensors:
            widest = max(widest, bits(tensor.element))
            for source, follows in self.cone(tensor):
                width = bits(source.element)
                lanes_of_64 |= width == 64
                apart |= width < 32 and source.access is not None and source.access.index is not None
                if isinstance(source.element, ir.FloatType) and source.uniform is None:
                    cost = source.cost - sum({s: s.cost for s, _ in source.sources}.values())
                    if source.origin is None or source.origin.name not in CONVERSIONS:
                        costs[source] = (cost, follows)
                    if cost >= self.chip.costs.reuse:
                        widest = max(widest, 32)  # functions of narrow floats are computed in float32
                if source.access is not None or isinstance(source.element, ir.FloatType) or source.buffer is not None:
                    widest = max(widest, width)
                strides = source.buffer.strides if source.buffer is not None else None
                if strides is None and source.access is not None:
                    strides = tuple(s.constant for s in source.access.strides)
                for dim, stride in zip(follows, strides or (), strict=False):
                    if dim is not None and source.shape[follows.index(dim)] > 1:
                        score[dim] += 1 if stride == 1 else 0 if stride == 0 else -1
        for access in stores:
            widest = max(widest, bits(access.element))
            for dim, step in enumerate(access.strides):
                score[dim] += 2 if step.constant == 1 else -2 if step.constant != 0 else 0
        useful = self.chip.lanes(32)
        # a dimension that is too short to fill a register loses to one that is not
        dim = max(range(len(shape)), key=lambda d: (min(shape[d], useful) * (4 if score[d] >= 0 else 1), score[d], d))
        much = sum(cost for cost, follows in costs.values() if dim in follows) > self.chip.costs.much
        self.computes |= much
        lanes = self.chip.lanes(widest, self.chip.costs.computing_group if much else self.chip.costs.group)
        lanes = min(lanes, self.chip.lanes(64, 8) if lanes_of_64 else self.chip.lanes(32, 8))
        if apart and not self.chip.narrow_gathers:  # one by one: code for each lane
            lanes = min(lanes, self.chip.lanes(32))
        return dim, min(lanes, shape[dim])

    # -- loops over a block

    def vector_loop(
        self,
        extent: int,
        width: int,
        carried: Sequence[Emitted],
        body: Callable[[Coordinate, list[Emitted]], Sequence[Emitted]],
        limit: Emitted | None = None,
        begin: int = 0,
        streams: Emitted | None = None,
    ) -> list[Emitted]:
        """`body` at every `width` lanes from `begin` to `extent`: a main part in which bounded accesses need no mask, then the rest.

        `limit`: nothing has to be done from this position on. `streams`: where it holds, the main part stores past the caches (a loop
        of its own; nothing may be carried).
        """
        b = self.b
        first, end = b.constant(begin), b.constant(extent)
        if begin >= extent:
            return list(carried)
        if extent <= width:
            return list(body(Coordinate(first, extent if extent > 1 else 0), list(carried)))
        assumed: list[Emitted] = []
        streaming = None
        if streams is not None:
            _, streaming = b.for_loop(first, end, width, [], lambda i, c: body(Coordinate(i, width, assumed, streams=True), c))
        results, loop = b.for_loop(first, end, width, carried, lambda i, c: body(Coordinate(i, width, assumed), c))
        if not assumed and streaming is None:
            return results
        scope = b.scopes[-1]
        resume, scope.ip = scope.ip, ir.InsertionPoint(streaming or loop)
        bound = end
        for other in {id(a.value): a for a in assumed}.values():
            bound = b.minimum(bound, other)
        if assumed:
            bound = b.op("arith.andi", b.i64, [b.maximum(bound, first), b.constant(-width)])
            loop.operands[1] = bound.value
        if streaming is not None:
            streaming.operands[1] = loop.operands[0] = b.select(streams, bound, first).value
        scope.ip = resume
        if not assumed:
            return results
        stop = end if limit is None else b.minimum(end, limit)
        results, _ = b.for_loop(bound, stop, width, results, lambda i, c: body(Coordinate(i, width), c))
        return results

    def nest(
        self,
        shape: tuple[int, ...],
        dim: int,
        width: int,
        body: Callable[[Coordinates], None],
        limit: Callable[[Coordinates], Emitted | None] | None = None,
        streams: Emitted | None = None,
    ) -> None:
        """`body` at all coordinates of `shape`, vectors along `dim` innermost.

        `limit` and `streams` as in `vector_loop`, the former from the outer coordinates.
        """
        b = self.b
        outer = [d for d in range(len(shape)) if d != dim]
        at: list[Coordinate | None] = [None] * len(shape)

        def run(level: int) -> None:
            if level == len(outer):

                def innermost(coordinate: Coordinate, carried: list[Emitted]) -> list[Emitted]:
                    at[dim] = coordinate
                    body(tuple(at))
                    return []

                at[dim] = self.zero
                self.vector_loop(shape[dim], width, [], innermost, limit(tuple(at)) if limit else None, streams=streams)
                return
            d = outer[level]
            if shape[d] == 1:
                at[d] = self.zero
                run(level + 1)
                return

            def step(i: Emitted) -> None:
                at[d] = Coordinate(i)
                run(level + 1)

            b.repeat(b.constant(0), b.constant(shape[d]), 1, step)

        if not shape:
            body(())
        else:
            run(0)

    def nest_scalar(self, shape: tuple[int, ...], body: Callable[[Coordinates], None]) -> None:
        """`body` at every single element of `shape`, in row-major order."""
        b = self.b

        def run(at: tuple[Coordinate, ...]) -> None:
            if len(at) == len(shape):
                body(at)
            elif shape[len(at)] == 1:
                run((*at, self.zero))
            else:
                b.repeat(b.constant(0), b.constant(shape[len(at)]), 1, lambda i: run((*at, Coordinate(i))))

        run(())

    # -- buffers

    def part(self, buffer: Buffer, index: int) -> Buffer:
        """`buffer[..., index]`."""
        base = self.b.offset(buffer.base, self.b.constant(index * buffer.strides[-1]), buffer.stored)
        return Buffer(base, buffer.shape[:-1], buffer.strides[:-1], buffer.element, buffer.stored)

    def window(self, buffer: Buffer, start: int, shape: tuple[int, ...]) -> Buffer:
        """`buffer[start : start + shape[0]]`."""
        base = self.b.offset(buffer.base, self.b.constant(start * buffer.strides[0]), buffer.stored)
        return Buffer(base, shape, buffer.strides, buffer.element, buffer.stored)

    def contiguous(self, tensor: Tensor) -> Buffer:
        """`tensor` in memory, in row-major order."""
        buffer = self.materialise(tensor)
        if buffer.strides == row_major(buffer.shape):
            return buffer
        packed = self.allocate(tensor.shape, tensor.element)
        self.write_all([(tensor, packed)])
        return packed

    def allocate(self, shape: tuple[int, ...], element: ir.Type) -> Buffer:
        """Memory for a block, of the program or of the thread that runs this code; of a matrix with room for `ROOM` rows behind it."""
        b = self.b
        stored = stored_type(b, element)
        room = ROOM * shape[-1] if len(shape) > 1 else 0
        count = math.prod(shape) + room
        size = count * bits(stored) // 8
        if size <= self.chip.costs.stack_bytes:
            name, operands = "llvm.alloca", [b.constant(1)]
            attributes = {"elem_type": ir.TypeAttr.get(b.vector_type(stored, count)), "alignment": ir.IntegerAttr.get(b.i64, ALIGNMENT)}
        else:
            name, operands = "llvm.getelementptr", [self.scratch, b.constant(self.scratch_bytes)]
            attributes = {"elem_type": ir.TypeAttr.get(b.i8), "rawConstantIndices": ir.DenseI32ArrayAttr.get([-(2**31)])}
            self.scratch_bytes += -(-size // ALIGNMENT) * ALIGNMENT
        values = [operand.value for operand in operands]
        base = ir.Operation.create(name, [b.ptr], values, attributes, None, 0, b.location, b.entry_ip(), False).results[0]
        return Buffer(Emitted(base, 0, 0), shape, row_major(shape), element, stored, room)

    def from_buffer(self, buffer: Buffer, node: Node, shape: tuple[int, ...] | None = None) -> Tensor:
        """A tensor that is read from a buffer filled by now."""
        result = Tensor(shape or buffer.shape, buffer.element, None, node.op, buffer=buffer, home=self.b.depth)
        self._read_from(result, buffer)
        return result

    def _read_from(self, tensor: Tensor, buffer: Buffer) -> None:
        self.changed.append((tensor, dict(tensor.__dict__)))
        if tensor.shape != buffer.shape:
            buffer = Buffer(buffer.base, tensor.shape, row_major(tensor.shape), buffer.element, buffer.stored, buffer.room)
        access = self.memory.buffer_access(buffer, tensor.origin)
        home = Tensor(tensor.shape, buffer.stored, None, home=self.b.depth)
        tensor.buffer, tensor.home, tensor.cost, tensor.sources = buffer, self.b.depth, 1, ()
        tensor.compute = lambda at: self.memory.read_buffer(buffer, access, at, home)

    def materialise(self, tensor: Tensor, into: Buffer | None = None) -> Buffer:
        """Compute the whole of `tensor` into memory now."""
        if tensor.buffer is not None and into is None:
            return tensor.buffer
        buffer = into or self.allocate(tensor.shape, tensor.element)
        self.write_all([(tensor, buffer)])
        if tensor.uniform is None:
            self._read_from(tensor, buffer)
        return buffer

    def write_all(self, pairs: Sequence[tuple[Tensor, Buffer]]) -> None:
        """Store tensors of one shape in one loop; at each place all values are computed before any is stored."""
        shape = pairs[0][0].shape
        if len(pairs) == 1 and self.crosses(*pairs[0]):
            self.write_transposed(*pairs[0])
            return
        accesses = [self.memory.buffer_access(buffer, tensor.origin) for tensor, buffer in pairs]
        dim, width = self.vector_shape([t for t, _ in pairs], shape, accesses) if shape else (0, 0)

        def body(at: Coordinates) -> None:
            values = [self.evaluate(tensor, at) for tensor, _ in pairs]
            for access, value in zip(accesses, values, strict=True):
                self.memory.store(access, value, at)

        self.nest(shape, dim, width, self.covering(body))
        self.settle()

    def crosses(self, tensor: Tensor, buffer: Buffer) -> bool:
        """Whether `tensor` lies in memory contiguously down its columns, is to lie along its rows, and the chip has no strided accesses."""
        if self.chip.strided_accesses or len(tensor.shape) != 2 or buffer.strides[1] != 1 or bits(buffer.stored) > 32:
            return False
        square = self.chip.lanes(32)
        if any(n % square for n in tensor.shape):
            return False
        reads = [(t, follows) for t, follows in self.cone(tensor) if t.access is not None or t.buffer is not None]
        if len(reads) != 1:
            return False
        ((source, follows),) = reads
        if source.buffer is not None:
            strides: list[int | None] = list(source.buffer.strides)
        elif source.access is not None and source.access.index is None:
            strides = [s.constant for s in source.access.strides]
        else:
            return False
        return any(stride == 1 and dim == 0 for stride, dim in zip(strides, follows, strict=True))

    def write_transposed(self, tensor: Tensor, buffer: Buffer) -> None:
        """Square by square: read vectors down the columns, transpose them in registers, store them along the rows."""
        b, size = self.b, self.chip.lanes(32)
        target = self.memory.buffer_access(buffer, tensor.origin)

        def square(i: Emitted, j: Emitted) -> None:
            down = Coordinate(i, size)
            lines = [self.evaluate(tensor, (down, Coordinate(b.add(j, b.constant(u))))) for u in range(size)]
            along = Coordinate(j, size)
            for u, line in enumerate(self.transposed([b.broadcast(v, size) for v in lines])):
                self.memory.store(target, line, (Coordinate(b.add(i, b.constant(u))), along))

        def row(i: Emitted) -> None:
            b.repeat(b.constant(0), b.constant(tensor.shape[1]), size, lambda j: square(i, j))

        b.repeat(b.constant(0), b.constant(tensor.shape[0]), size, row)

    def transposed(self, lines: list[Emitted]) -> list[Emitted]:
        """A square of vectors with rows and columns exchanged: blocks of 1, 2, 4, .. lanes off the diagonal change places."""
        lines, size, block = list(lines), len(lines), 1
        while block < size:
            for i in range(size):
                if not i & block:
                    low, high = lines[i], lines[i + block]
                    lines[i] = self.b.shuffle(low, high, [n if not n & block else size + n - block for n in range(size)])
                    lines[i + block] = self.b.shuffle(low, high, [n + block if not n & block else size + n for n in range(size)])
            block *= 2
        return lines

    # -- values stored by the loop that computes them

    def covering(self, body: Callable[[Coordinates], None]) -> Callable[[Coordinates], None]:
        """Inside `body`, tensors evaluated exactly at the loop's own coordinates cover their whole block."""

        def noted(at: Coordinates) -> None:
            self.cover = at
            body(at)
            self.cover = None

        return noted

    def reads(self, tensor: Tensor, buffer: Buffer) -> bool:
        """Whether evaluating `tensor` reads the memory of `buffer`."""
        return any(t.buffer is not None and t.buffer.base.value == buffer.base.value for t, _ in self.cone(tensor))

    def settle(self) -> None:
        """After a loop: the tensors that it stored are read from memory from now on."""
        for tensor, buffer in list(self.stored_later.items()):
            if buffer is not None:
                self._read_from(tensor, buffer)
                del self.stored_later[tensor]

    def wanted(self, node: Node, value: ir.Value) -> tuple[Emitted | None, Emitted | None]:
        """How many rows and columns of the matrix `value` are needed: those that the one store it goes to, element by element, stores."""
        nothing = (None, None)
        orders = self.analysis.pulls(value)
        if len(orders) != 1:
            return nothing
        store = self.analysis.nodes[next(iter(orders))]
        if store.name != "xsmt.descriptor_store" or store.block is not node.block:
            return nothing
        stack, seen = [value], set()
        while stack:
            current = stack.pop()
            for user in self.analysis.users[current]:
                if user is store:
                    if store.op.opview.value != current:
                        return nothing
                elif not user.name.startswith(("arith.", "math.", "tt.fp_to_fp")) or user.results[0].type.shape != value.type.shape:
                    return nothing
                elif user.results[0] not in seen:
                    seen.add(user.results[0])
                    stack.append(user.results[0])
        limits: list[Emitted | None] = []
        for bound, extent in zip(store.op.opview.upper, value.type.shape, strict=True):
            if not self.available(bound, node):
                return nothing
            limit = self.scalar(bound)
            if limit.constant is not None and limit.constant >= extent:
                limits.append(None)
            else:
                limits.append(self.b.maximum(self.b.minimum(limit, self.b.constant(extent)), self.b.constant(0)))
        return limits[0], limits[1]

    def available(self, value: ir.Value, node: Node) -> bool:
        """Whether the scalar `value` can be had at `node`: it is there already, or follows from what is by plain arithmetic."""
        if value in self.values:
            return True
        producer = self.analysis.producer.get(value)
        if producer is None or producer.block is not node.block or not producer.name.startswith("arith.") or producer.is_tensor:
            return False
        if not all(self.available(operand, node) for operand in producer.operands):
            return False
        self.lower(producer)
        self.lowered.add(producer)
        return True

    def destination(self, node: Node) -> Buffer | None:
        """The carried buffer that `node`'s result ends in, where nothing needs the buffer's old content after `node`."""
        if len(node.results) != 1:
            return None
        value = node.results[0]
        for _ in range(8):
            users = self.analysis.users.get(value, ())
            if len(users) != 1:
                return None
            user = users[0]
            if user.block is not node.block:
                return None
            if user.name == "scf.yield" and user.block.parent is not None and user.block.parent.name == "scf.for":
                argument = user.block.arguments[1 + user.operands.index(value)]
                carried = self.values.get(argument)
                if not isinstance(carried, Tensor) or user.operands.count(value) != 1:
                    return None
                if all(order <= node.order for order in self.analysis.pulls(argument)):
                    return carried.buffer
                return None
            if user.name == "tt.dot" and user.operands[2] == value:
                value = user.results[0]
                continue
            return None
        return None
