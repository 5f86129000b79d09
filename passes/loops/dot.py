"""Matrix products: one on its own, in one turn. `chunks.py` has those that a loop accumulates."""

import functools

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.emitter import Emitted, is_zero
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.operands import inner_limit, locate, operand_buffer, tile_steps
from triton_spacemit.passes.loops.product import make_product
from triton_spacemit.passes.loops.tensors import Buffer, Coordinate, Renamed, Tensor, Uniform, row_major
from triton_spacemit.passes.loops.tiles import Begin, Tiles, Turns
from triton_spacemit.passes.loops.wanted import wanted

LINKS = 8  # products in a row that are followed to where their result ends


def lower_dot(low: Lowering, node: Node) -> list[Value]:
    """A product on its own: one turn."""
    return multiply(low, node, low.tensor(node.operands[0]), low.tensor(node.operands[1]), node.operands[2])


def multiply(low: Lowering, node: Node, left: Tensor, right: Tensor, start: ir.Value | None) -> list[Value]:
    """The result of `node` is `left @ right`, plus `start` if there is one."""
    element = element_of(node.results[0].type)
    if start is None:
        target, begin = destination(low, node, [left, right]) or low.storage.allocate(shape_of(node.results[0]), element), Begin(True)
    else:
        target, begin = scaled_start(low, node, start, [left, right]) or result_buffer(low, node, start, [left, right])
    needed = wanted(low, node, node.results[0]) if len(target.shape) == 2 else (None, None)
    product = make_product(low, node, left, right, target, needed)
    inner = inner_limit(low, product, left, right)
    operands = []
    for tensor, layout in ((left, product.left), (right, product.right)):
        slot = functools.partial(operand_buffer, low, layout, tensor.shape)
        operands.append(locate(low, product, layout, tensor, inner, slot))
    a, b = operands
    steps = tile_steps(low, product, inner)
    Tiles(low, product, Turns(None, lambda turn: (a.view, b.view, steps), begin, a.padded, b.padded, strips=b.strips)).run()
    return [low.storage.from_buffer(target, node.op)]


def scaled_start(low: Lowering, node: Node, value: ir.Value, operands: list[Tensor]) -> tuple[Buffer, Begin] | None:
    """Where the start is a block in memory times a number for each row, as attention corrects its sums: that block's buffer, if the product
    accumulates there. Its tiles then multiply what they load, and nothing is stored in between.

    This is legal where nothing else needs the start, and where the numbers do not lie in that buffer and are the same for all columns.
    """
    producer = low.analysis.producer.get(value)
    if producer is None or producer.name != "arith.mulf" or low.analysis.users[value] != [node] or len(value.type.shape) != 2:
        return None
    target = destination(low, node, operands)
    if target is None or target.element != target.stored or not isinstance(target.element, ir.F32Type):
        return None
    for block, other in (producer.operands, reversed(producer.operands)):
        held, factor = low.storage.buffer_of(low.tensor(block)), low.tensor(other)
        if held is None or held.base.value != target.base.value or held.strides != target.strides:
            continue
        is_cheap = cost_of_element(low, factor) <= low.chip.costs.division  # it is computed once for each tile
        if by_row(low, factor) and is_cheap and not low.evaluator.reads_buffer(factor, target):
            return target, Begin(False, functools.partial(element_of_row, low, factor))
    return None


def by_row(low: Lowering, tensor: Tensor) -> bool:
    """Whether an element of a matrix is known not to depend on its column."""
    state = low.evaluator.now(tensor)
    return isinstance(state, Uniform) or (isinstance(state, Renamed) and all(place != 1 for place in state.places))


def element_of_row(low: Lowering, tensor: Tensor, row: Emitted) -> Emitted:
    return low.evaluate(tensor, (Coordinate(row), low.evaluator.zero))


def cost_of_element(low: Lowering, tensor: Tensor) -> int:
    """What computing an element costs by now, of a block that may only be given more dimensions."""
    while isinstance(state := low.evaluator.now(tensor), Renamed):
        tensor = state.source
    return state.cost


def result_buffer(low: Lowering, node: Node, value: ir.Value, operands: list[Tensor]) -> tuple[Buffer, Begin]:
    """Where the product accumulates, and where it begins there: at zero if nothing is stored yet.

    It is the start value's own buffer if nothing else needs that, else one with a copy of it; never memory that an operand is read from.
    """
    start, storage = low.tensor(value), low.storage
    own = storage.buffer_of(start)
    if own is not None and by_rows(own) and storage.is_free(own, node, last=value) and not reads_any(low, operands, own):
        storage.hand_over(own)
        return own, Begin(False)
    buffer = destination(low, node, operands)
    if buffer is None or low.evaluator.reads_elsewhere(start, buffer):
        buffer = storage.allocate(start.shape, start.element)
    if is_zero(start.uniform):
        return buffer, Begin(True)
    storage.write_all([(start, buffer)])
    return buffer, Begin(False)


def by_rows(buffer: Buffer) -> bool:
    """Whether the columns of a row are neighbours in memory, as register tiles store them."""
    return buffer.strides == row_major(buffer.shape)


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
        if buffer is None or not by_rows(buffer) or not low.storage.is_free(buffer, node) or reads_any(low, operands, buffer):
            return None
        return buffer
    return None
