"""Matrix products: one on its own, in one turn. `chunks.py` has those that a loop accumulates."""

import functools

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import is_zero
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.operands import inner_limit, locate, operand_buffer, tile_steps
from triton_spacemit.passes.loops.product import make_product
from triton_spacemit.passes.loops.tensors import Buffer, Tensor
from triton_spacemit.passes.loops.tiles import Tiles, Turns
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
    needed = wanted(low, node, node.results[0]) if len(target.shape) == 2 else (None, None)
    product = make_product(low, node, left, right, target, needed)
    inner = inner_limit(low, product, left, right)
    operands = []
    for tensor, layout in ((left, product.left), (right, product.right)):
        slot = functools.partial(operand_buffer, low, layout, tensor.shape)
        operands.append(locate(low, product, layout, tensor, inner, slot))
    a, b = operands
    steps = tile_steps(low, product, inner)
    Tiles(low, product, Turns(None, lambda turn: (a.view, b.view, steps), at_zero, a.padded, b.padded, strips=b.strips)).run()
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
