"""Blocks that several loops need: whether one costs less in memory than computed again.

On cores that run in order, whose every instruction counts, the first loop stores what it computes of a row, and a later one loads it, where
that is less than the loads and operations that it takes. The rule is for rows that lie in the first cache by then.
"""

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Computed, Loaded, Stored, Tensor, bits, identity

_LARGEST = 1 << 13  # bytes of a block: with what it is computed from, a part of the first cache
_STORED = 2  # a store, and a load in its place
_FUSED = ("arith.addf", "arith.subf")


def is_worth_storing(low: Lowering, node: Node, result: ir.Value, tensor: Tensor) -> bool:
    """Whether loops that cannot be one need the float block `tensor`, the result of `node`, at several places, and memory is the least."""
    if not low.chip.in_order or not isinstance(tensor, Computed) or not isinstance(tensor.element, ir.FloatType):
        return False
    size = bits(tensor.element) // 8
    for extent in tensor.shape:
        size *= extent
    users = set(low.analysis.users[result])
    if size <= low.chip.costs.stack_bytes or size > _LARGEST or len(users) < 2:
        return False  # what is small stays in registers; of a chain the last block is the one to be stored
    fused = low.fuses and node.name == "arith.mulf" and any(user.name in _FUSED for user in users)
    return _operations(low, tensor, set()) - fused > _STORED and _has_loops_apart(low, node, result)


def _operations(low: Lowering, tensor: Tensor, seen: set[Tensor]) -> int:
    """Loads and operations of one vector, from memory; masks and what is the same for several rows take none."""
    state = low.evaluator.now(tensor)
    if tensor in seen or state.uniform is not None:
        return 0
    seen.add(tensor)
    if isinstance(state, Loaded | Stored) or tensor in low.storage.stored_later:
        return 1
    own = isinstance(state, Computed) and isinstance(tensor.element, ir.FloatType) and tensor.origin.name != "arith.select"
    whole = identity(len(tensor.shape))
    return own + sum(_operations(low, source, seen) for source, follows in state.sources if follows == whole)


def _has_loops_apart(low: Lowering, node: Node, result: ir.Value) -> bool:
    """Whether one of the ops that need the block is a reduction beside `node`, and another one needs what that gives."""
    nodes = [low.analysis.nodes[order] for order in sorted(low.analysis.pulls(result))]
    first = nodes[0]
    return first.name == "tt.reduce" and first.block is node.block and any(_needs(low, other, first) for other in nodes[1:])


def _needs(low: Lowering, node: Node, other: Node) -> bool:
    """Whether `node` needs a result of `other`, which stands before it, directly or through other ops."""
    stack, seen = list(node.operands), set()
    while stack:
        value = stack.pop()
        producer = low.analysis.producer.get(value)
        if producer is other:
            return True
        if producer is not None and producer.order > other.order and producer not in seen:
            seen.add(producer)
            stack += producer.operands
    return False
