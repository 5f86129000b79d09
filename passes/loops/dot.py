"""Matrix products, alone and in loops.

A product inside the loop `for ..: acc = dot(a, b, acc)` keeps its tile of `acc` in registers over many turns of that loop: the turns'
operands are located (or packed, where they do not lie in memory as they are needed) for a chunk of turns first, then the tiles run over
the chunk.
"""

import functools
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted, is_zero
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.operands import inner_limit, locate, operand_buffer, stored_shape, tile_steps
from triton_spacemit.passes.loops.product import make_product
from triton_spacemit.passes.loops.tensors import Buffer, Tensor
from triton_spacemit.passes.loops.tiles import Located, Turns, run_tiles
from triton_spacemit.passes.loops.views import View
from triton_spacemit.passes.loops.wanted import wanted

LINKS = 8  # products in a row that are followed to where their result ends


def lower_dot(low: Lowering, node: Node) -> list[Value]:
    """A product on its own: one turn."""
    return multiply(low, node, low.tensor(node.operands[0]), low.tensor(node.operands[1]), node.operands[2])


def multiply(low: Lowering, node: Node, left: Tensor, right: Tensor, start: ir.Value | None) -> list[Value]:
    """The result of `node` is `left @ right`, plus `start` if there is one."""
    element = element_of(node.results[0].type)
    if start is None:
        target, at_zero = destination(low, node, [left, right]) or low.storage.allocate(shape_of(node.results[0]), element), True
    else:
        target, at_zero = result_buffer(low, node, start, [left, right])
    product = make_product(low, node, left, right, target, (None, None))
    inner = inner_limit(low, product, left, right)
    operands = []
    for tensor, unit_dim in ((left, None), (right, len(product.batch) + 1)):
        shape = stored_shape(product, tensor.shape, unit_dim is None)
        operands.append(locate(low, product, tensor, unit_dim, inner, functools.partial(operand_buffer, low, shape, product.factor)))
    steps = tile_steps(low, product, inner)
    run_tiles(low, product, Turns(None, lambda turn: (operands[0], operands[1], steps), at_zero))
    return [low.storage.from_buffer(target, node.op)]


def result_buffer(low: Lowering, node: Node, value: ir.Value, operands: list[Tensor]) -> tuple[Buffer, bool]:
    """Where the product accumulates, and whether it starts at zero there (nothing is stored yet).

    It is the start value's own buffer if nothing else needs that, else one with a copy of it; never memory that an operand is read from.
    """
    start, storage = low.tensor(value), low.storage
    own = storage.buffer_of(start)
    if own is not None and storage.is_free(own, node, last=value) and not reads_any(low, operands, own):
        storage.hand_over(own)
        return own, False
    buffer = destination(low, node, operands)
    if buffer is None or low.evaluator.reads_elsewhere(start, buffer):
        buffer = storage.allocate(start.shape, start.element)
    if is_zero(start.uniform):
        return buffer, True
    storage.write_all([(start, buffer)])
    return buffer, False


def reads_any(low: Lowering, operands: list[Tensor], buffer: Buffer) -> bool:
    return any(low.evaluator.reads_buffer(operand, buffer) for operand in operands)


def destination(low: Lowering, node: Node, operands: list[Tensor]) -> Buffer | None:
    """The carried buffer that the product's result ends in, where neither an operand nor anything behind `node` needs its old content.

    The result may be the start of further products that end there; they come after `node` and write what it wrote.
    """
    value, users = node.results[0], low.analysis.users
    for _ in range(LINKS):
        if len(users.get(value, ())) != 1:
            return None
        (user,) = users[value]
        if user.block is not node.block or user.operands.count(value) != 1:
            return None
        if user.name == "tt.dot" and user.operands[2] == value:
            value = user.results[0]
            continue
        if user.name != "scf.yield" or user.block.parent is None or user.block.parent.name != "scf.for":
            return None
        carried = low.values.get(user.block.arguments[1 + user.operands.index(value)])
        buffer = low.storage.buffer_of(carried) if isinstance(carried, Tensor) else None
        return buffer if buffer is not None and low.storage.is_free(buffer, node) and not reads_any(low, operands, buffer) else None
    return None


# -- products in a loop


def accumulating(low: Lowering, loop: Node) -> tuple[Node, int] | None:
    """The product of a loop `for ..: acc = dot(a, b, acc)` that does nothing else, and which carried value `acc` is."""
    carried = [i for i, v in enumerate(loop.operands[3:]) if isinstance(v.type, ir.RankedTensorType)]
    step = low.scalar(loop.operands[2]).constant
    if len(carried) != 1 or loop.writes or not step or step < 0 or "unsignedCmp" in loop.op.attributes:
        return None
    body = loop.regions[0]
    argument, end = body.arguments[1 + carried[0]], body.nodes[-1]
    product = low.analysis.producer.get(end.operands[carried[0]])
    if product is None or product.name != "tt.dot" or product.block is not body or len(argument.type.shape) != 2:
        return None
    if product.operands[2] != argument or low.analysis.users[argument] != [product] or low.analysis.users[product.results[0]] != [end]:
        return None
    plain = all(node is product or node.is_lazy or (not node.is_tensor and node.name.startswith("llvm.")) for node in body.nodes[:-1])
    return (product, carried[0]) if plain else None


def lower_accumulating(low: Lowering, loop: Node, dot: Node, index: int) -> list[Value]:
    """The whole loop: for a chunk of its turns locate the operands, then run the tiles over the chunk."""
    b = low.b
    first, last, step = (low.scalar(v) for v in loop.operands[:3])
    inits = loop.operands[3:]
    target, at_zero = result_buffer(low, loop, inits[index], [])
    if at_zero:
        low.storage.write_all([(low.tensor(inits[index]), target)])
    scalars = [low.scalar(v) for i, v in enumerate(inits) if i != index]
    body = loop.regions[0]
    arguments = [a for i, a in enumerate(body.arguments[1:]) if i != index]
    left, right = (Tensor(shape=shape_of(v), element=element_of(v.type)) for v in dot.operands[:2])
    product = make_product(low, dot, left, right, target, wanted(low, loop, loop.results[index]))
    per_chunk = max(1, low.chip.costs.chunk_steps // product.inner)
    distance = b.sub(b.cast_index(last, b.i64), b.cast_index(first, b.i64))
    rounded = b.add(distance, b.constant(step.constant - 1))
    turns = b.maximum(b.op("arith.divsi", b.i64, [rounded, b.constant(step.constant)]), b.constant(0))

    def slot(side: int, turn: Emitted, tensor: Tensor) -> Buffer:
        """Room for the copy of an operand in one turn of a chunk."""
        whole = operand_buffer(low, (per_chunk, *stored_shape(product, tensor.shape, side == 0)), product.factor)
        base = b.offset(whole.base, b.mul(turn, b.constant(whole.strides[0])), whole.stored)
        return Buffer(base, whole.shape[1:], whole.strides[1:], whole.element, whole.stored)

    def chunk(start: Emitted, carried: list[Emitted]) -> list[Emitted]:
        count = b.minimum(b.sub(turns, start), b.constant(per_chunk))
        kept = Kept(low, per_chunk)

        def find(turn: Emitted, carried: list[Emitted]) -> list[Emitted]:
            with low.storage.region():
                return find_in(turn, carried)

        def find_in(turn: Emitted, carried: list[Emitted]) -> list[Emitted]:
            number = b.mul(b.add(start, turn), b.constant(step.constant))
            low.bind_value(body.arguments[0], b.cast_index(b.add(b.cast_index(first, b.i64), number), first.value.type))
            for argument, value in zip(arguments, carried, strict=True):
                low.bind_value(argument, value)
            for node in body.nodes[:-1]:
                if node is not dot:
                    b.location = node.op.location
                    low.lower(node)
            b.location = dot.op.location  # of the tiles, too
            operands = [low.tensor(v) for v in dot.operands[:2]]
            inner = inner_limit(low, product, *operands)
            kept.keep(tile_steps(low, product, inner), turn)
            for side, tensor in enumerate(operands):
                view = locate(low, product, tensor, 1 if side else None, inner, functools.partial(slot, side, turn, tensor))
                for value in (view.base, *view.strides):
                    kept.keep(value, turn)
            end = body.nodes[-1]
            return [low.scalar(v) for i, v in enumerate(end.operands) if i != index]

        carried, _ = b.for_loop(b.constant(0), count, 1, carried, find)

        def views(turn: Emitted | None) -> Located:
            inner, *values = kept.at(turn)
            return View(values[0], values[1:3], product.factor), View(values[3], values[4:], product.factor), inner

        run_tiles(low, product, Turns(count, views, begin_at_zero=False))
        return carried

    results, _ = b.for_loop(b.constant(0), turns, per_chunk, scalars, chunk)
    made: list[Value] = list(results)
    made.insert(index, low.storage.from_buffer(target, loop.op))
    return made


class Kept:
    """Values of each turn of a chunk, for the tiles that run behind these turns: in tables, or themselves where all turns agree."""

    def __init__(self, low: Lowering, turns: int) -> None:
        self.low, self.turns, self.outside = low, turns, low.b.depth
        self.getters: list[Callable[[Emitted | None], Emitted]] = []

    def keep(self, value: Emitted, turn: Emitted) -> None:
        if value.depth <= self.outside:
            self.getters.append(lambda _: value)
            return
        b, memory, type_ = self.low.b, self.low.memory, value.value.type
        table = self.low.storage.allocate((self.turns,), type_)
        memory.scalar_store(b.offset(table.base, turn, type_), value)
        self.getters.append(lambda t: memory.scalar_load(b.offset(table.base, t, type_), type_, None, None, b.depth))

    def at(self, turn: Emitted | None) -> list[Emitted]:
        """The values of one turn, in the order in which they were kept."""
        return [get(turn) for get in self.getters]
