"""Blocks in memory of the program: buffers, the loops that fill them, and who still needs what lies in one.

Whether a buffer may be written is asked here and nowhere else (`is_free`). Each program value that reads a buffer is noted with it, whether
the buffer holds the value, or one that it was reshaped from, gathered from or computed from.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.abi import SCRATCH_ALIGNMENT
from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.loops.analysis import Analysis, Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.evaluation import Evaluator
from triton_spacemit.passes.loops.nests import Nests
from triton_spacemit.passes.loops.shapes import ELEMENT, LoopShape, loop_shape
from triton_spacemit.passes.loops.tensors import (
    Access,
    Buffer,
    Coordinates,
    Loaded,
    Stored,
    Tensor,
    Uniform,
    bits,
    row_major,
    stored_type,
)
from triton_spacemit.passes.loops.transposes import crossing_of, store_transposed
from triton_spacemit.passes.loops.versions import in_versions

ALIGNMENT = SCRATCH_ALIGNMENT  # of everything that the program allocates
LARGEST_FRAME = 1 << 18  # bytes of a function's buffers on the stack, of which threads of the runtime have a MiB or more
ROOM = 16  # rows behind a matrix that a product's last register tile may write


class Storage:
    """The buffers of one function. `scratch` is the memory that large ones share, `scratch_bytes` of it are taken.

    `frame` is the depth of the scope in which that memory's owner begins: the program, or an iteration of a parallel loop. `computes`:
    whether any loop so far computes much, rather than wait for memory.
    """

    def __init__(self, evaluator: Evaluator, nests: Nests, analysis: Analysis, chip: Chip, scratch: Emitted) -> None:
        self.evaluator, self.nests, self.analysis, self.chip = evaluator, nests, analysis, chip
        self.b, self.memory = evaluator.b, evaluator.memory
        self.scratch, self.scratch_bytes, self.frame = scratch, 0, 0
        self.stack_bytes = 0
        self.computes = False
        self.stored_later: dict[Tensor, Buffer | None] = {}  # blocks that the loop which first computes them also stores
        self._cover: tuple[Coordinates, int] | None = None  # a loop's own coordinates, and how deep its body's code lies
        self._missed: set[Tensor] = set()  # blocks that the loop computes in a branch, which not every turn takes
        self._values: dict[Tensor, list[ir.Value]] = {}  # the program values that a block is
        self._readers: dict[ir.Value, list[ir.Value]] = {}  # by a buffer's address, the program values that read it
        self._nameless: dict[ir.Value, Tensor] = {}  # by a buffer's address, a block in it that is no program value
        evaluator.on_computed = self._computed

    # Who needs a buffer

    def bind(self, value: ir.Value, tensor: Tensor) -> None:
        """Note that the program's `value` is `tensor`, and so needs the buffers that this reads."""
        self._values.setdefault(tensor, []).append(value)
        stack, seen = [tensor], {tensor}
        while stack:
            current = stack.pop()
            state = self.evaluator.now(current)
            buffer = state.buffer if isinstance(state, Stored) else state.memory if isinstance(state, Loaded) else None
            if buffer is not None:
                self._note(value, buffer)
                if self._nameless.get(buffer.base.value) is tensor:
                    del self._nameless[buffer.base.value]
            for source, _ in state.sources:
                # what a program value reads is noted with that value; whoever needs this one needs that one, too
                if source not in seen and source not in self._values:
                    seen.add(source)
                    stack.append(source)

    def _note(self, value: ir.Value, buffer: Buffer) -> None:
        readers = self._readers.setdefault(buffer.base.value, [])
        if value not in readers:
            readers.append(value)

    def is_free(self, buffer: Buffer, node: Node, last: ir.Value | None = None) -> bool:
        """Whether nothing needs the content of `buffer` behind `node`, nor `node` itself but as its operand `last`, read once.

        A value of another block than `node`'s counts as needed: `node` may run more often than it, or where it is not.
        """
        readers = self._readers.get(buffer.base.value)
        if not readers or buffer.base.value in self._nameless:
            return False
        for value in readers:
            orders = self.analysis.pulls(value)
            if self.analysis.block_of(value) is not node.block or any(order > node.order for order in orders):
                return False
            if last is not None and node.order in orders and (value != last or node.operands.count(value) != 1):
                return False
        return True

    def hand_over(self, buffer: Buffer) -> None:
        """What lay in `buffer` so far is gone: another value lives in it now."""
        self._readers[buffer.base.value] = []

    # Memory

    def allocate(self, shape: tuple[int, ...], element: ir.Type, along: int | None = None, rare: bool = False) -> Buffer:
        """Memory for a block, of the program or of the thread that runs this code; of a matrix with room for `ROOM` rows behind it.

        Elements are neighbours along the last dimension, or along `along`. `rare`: it is hardly ever used, and no frame is made for it.
        """
        b = self.b
        stored = stored_type(b, element)
        room = ROOM * shape[-1] if len(shape) > 1 else 0
        count = math.prod(shape) + room
        size = count * bits(stored) // 8
        if not rare and size <= self.chip.costs.stack_bytes and self.stack_bytes + size <= LARGEST_FRAME:
            self.stack_bytes += size
            name, operands = "llvm.alloca", [b.constant(1)]
            attributes = {"elem_type": ir.TypeAttr.get(b.vector_type(stored, count)), "alignment": ir.IntegerAttr.get(b.i64, ALIGNMENT)}
        else:
            name, operands = "llvm.getelementptr", [self.scratch, b.constant(self.scratch_bytes)]
            attributes = {"elem_type": ir.TypeAttr.get(b.i8), "rawConstantIndices": ir.DenseI32ArrayAttr.get([-(2**31)])}
            self.scratch_bytes += -(-size // ALIGNMENT) * ALIGNMENT
        values = [operand.value for operand in operands]
        base = ir.Operation.create(name, [b.ptr], values, attributes, None, 0, b.location, b.entry_ip(), False).results[0]
        strides = list(row_major(shape))
        if along is not None and along + 1 < len(shape):
            others = row_major((*shape[:along], *shape[along + 1 :], shape[along]))
            strides = [*others[:along], 1, *others[along:-1]]
        return Buffer(Emitted(base, 0, 0), shape, tuple(strides), element, stored, room)

    def part(self, buffer: Buffer, index: int) -> Buffer:
        """`buffer[..., index]`."""
        base = self.b.offset(buffer.base, self.b.constant(index * buffer.strides[-1]), buffer.stored)
        return Buffer(base, buffer.shape[:-1], buffer.strides[:-1], buffer.element, buffer.stored)

    def window(self, buffer: Buffer, start: int, shape: tuple[int, ...]) -> Buffer:
        """`buffer[start : start + shape[0]]`."""
        base = self.b.offset(buffer.base, self.b.constant(start * buffer.strides[0]), buffer.stored)
        return Buffer(base, shape, buffer.strides, buffer.element, buffer.stored)

    # Blocks that are in memory

    def from_buffer(self, buffer: Buffer, origin: ir.Operation | None, shape: tuple[int, ...] | None = None) -> Stored:
        """The block that fills `buffer`; of another `shape` where the buffer is contiguous and holds as many elements."""
        shape = buffer.shape if shape is None else shape
        if shape != buffer.shape:
            buffer = Buffer(buffer.base, shape, row_major(shape), buffer.element, buffer.stored, buffer.room)
        return Stored(shape=shape, element=buffer.element, origin=origin, buffer=buffer, home=self.b.depth)

    def buffer_of(self, tensor: Tensor) -> Buffer | None:
        """The buffer that `tensor` fills by now."""
        state = self.evaluator.now(tensor)
        return state.buffer if isinstance(state, Stored) else None

    def load_of(self, tensor: Tensor) -> Loaded | None:
        """The load that `tensor` is, where it has not been carried out yet."""
        state = self.evaluator.now(tensor)
        return state if isinstance(state, Loaded) else None

    def materialise(self, tensor: Tensor) -> Buffer:
        """The whole of `tensor` in memory, computed now where it is not there yet."""
        buffer = self.buffer_of(tensor)
        return self._filled([tensor])[0] if buffer is None else buffer

    def materialise_all(self, tensors: Sequence[Tensor]) -> None:
        """The same of several; those of one shape in one loop."""
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for tensor in dict.fromkeys(tensors):
            if self.buffer_of(tensor) is None:
                by_shape.setdefault(tensor.shape, []).append(tensor)
        for together in by_shape.values():
            self._filled(together)

    def _filled(self, tensors: Sequence[Tensor]) -> list[Buffer]:
        """New buffers with the tensors, which are of one shape; they are read from there from now on."""
        buffers = [self.allocate(tensor.shape, tensor.element) for tensor in tensors]
        self.write_all(list(zip(tensors, buffers, strict=True)))
        for tensor, buffer in zip(tensors, buffers, strict=True):
            if not isinstance(tensor, Uniform):
                self._read_from(tensor, buffer)
        return buffers

    def contiguous(self, tensor: Tensor) -> Buffer:
        """`tensor` in memory, in row-major order."""
        buffer = self.materialise(tensor)
        if buffer.strides == row_major(buffer.shape):
            return buffer
        packed = self.allocate(tensor.shape, tensor.element)
        self.write_all([(tensor, packed)])
        return packed

    def _read_from(self, tensor: Tensor, buffer: Buffer) -> None:
        self.evaluator.becomes(tensor, self.from_buffer(buffer, tensor.origin))
        for value in self._values.get(tensor, ()):
            self._note(value, buffer)
        if tensor not in self._values:
            self._nameless[buffer.base.value] = tensor

    # Loops that write blocks

    def loop_shape(
        self, tensors: Sequence[Tensor], shape: tuple[int, ...], stores: Sequence[Access] = (), carried: int = 0, axis: int | None = None
    ) -> LoopShape:
        """Of the loop over `shape` that the caller emits next, as `shapes.py` takes it."""
        chosen = loop_shape(self.evaluator, self.chip, tensors, shape, stores, carried, axis)
        self.computes |= chosen.computes
        return chosen

    def vector_shape(self, tensors: Sequence[Tensor], shape: tuple[int, ...], stores: Sequence[Access] = ()) -> tuple[int, int]:
        """(dimension, lanes) of the loop over `shape` that the caller emits next."""
        chosen = self.loop_shape(tensors, shape, stores)
        return chosen.dim, chosen.lanes

    def write_all(self, pairs: Sequence[tuple[Tensor, Buffer]]) -> None:
        """Store tensors of one shape in one loop; at each place all values are computed before any is stored."""
        shape = pairs[0][0].shape
        accesses = [self.memory.buffer_access(buffer, tensor.origin) for tensor, buffer in pairs]
        tensors = [t for t, _ in pairs]
        crossing = crossing_of(self.evaluator, self.chip, tensors, accesses)
        if crossing is not None:
            store_transposed(self.evaluator, self.nests, crossing, tensors[0], accesses[0])
            return
        chosen = self.loop_shape(tensors, shape, accesses) if shape else ELEMENT

        def body(at: Coordinates) -> None:
            with self.covering(at):
                values = [self.evaluator.evaluate(tensor, at) for tensor, _ in pairs]
                for access, value in zip(accesses, values, strict=True):
                    self.memory.store(access, value, at)

        def emit(_: Sequence[Access]) -> list[Emitted]:
            first = chosen.vectors_first
            self.nests.nest(shape, chosen.dim, chosen.lanes, body, once=chosen.once, alone=first, vectors_first=first)
            return []

        in_versions(self.evaluator, chosen, tensors, [], emit)
        self.settle()

    # Blocks that are stored by the loop that computes them

    def store_when_computed(self, tensor: Tensor) -> None:
        """Have the first loop that covers the whole of `tensor` store what it computes."""
        self.stored_later[tensor] = None

    @contextlib.contextmanager
    def covering(self, at: Coordinates) -> Iterator[None]:
        """Inside, blocks that are evaluated exactly at the loop's own coordinates are covered as a whole by the loop."""
        outer, self._cover = self._cover, (at, self.b.depth)
        try:
            yield
        finally:
            self._cover = outer

    def _computed(self, tensor: Tensor, at: Coordinates, lanes: Emitted) -> None:
        if tensor not in self.stored_later or self._cover is None or self._cover[0] != at:
            return
        if self.b.depth != self._cover[1]:
            self._missed.add(tensor)
        else:
            along = next((d for d, coordinate in enumerate(at) if coordinate.width), None)
            buffer = self.stored_later[tensor] = self.stored_later[tensor] or self.allocate(tensor.shape, tensor.element, along)
            self.memory.store(self.memory.buffer_access(buffer, tensor.origin), lanes, at)

    def settle(self) -> None:
        """After a loop: the blocks that it stored are read from memory from now on; those of which it may have left parts out are not."""
        for tensor, buffer in list(self.stored_later.items()):
            if tensor in self._missed:
                self.stored_later[tensor] = None
            elif buffer is not None:
                self._read_from(tensor, buffer)
                del self.stored_later[tensor]
        self._missed.clear()

    @contextlib.contextmanager
    def region(self) -> Iterator[None]:
        """Code that may not run, or runs several times: what it stores of blocks from outside is not there behind it."""
        waiting = list(self.stored_later)
        with self.evaluator.region():
            try:
                yield
            finally:
                self.stored_later = dict.fromkeys(waiting)
