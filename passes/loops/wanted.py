"""How much of a matrix is needed: the rows and columns that the one store it goes to, element by element, stores."""

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering


def wanted(low: Lowering, node: Node, value: ir.Value) -> tuple[Emitted | None, Emitted | None]:
    """How many rows and columns of the matrix `value`, which `node` makes, are needed; None for all."""
    nothing = (None, None)
    store = only_store(low, node, value)
    if store is None:
        return nothing
    bounds = list(store.op.opview.upper)
    ahead: list[Node] = []
    if not all(available(low, bound, node, ahead) for bound in bounds):
        return nothing
    for producer in ahead:
        low.lower_ahead(producer)
    limits: list[Emitted | None] = []
    for bound, extent in zip(bounds, value.type.shape, strict=True):
        limit = low.extent(bound)
        if limit.constant is not None and limit.constant >= extent:
            limits.append(None)
        else:
            limits.append(low.b.maximum(low.b.minimum(limit, low.b.constant(extent)), low.b.constant(0)))
    return limits[0], limits[1]


def only_store(low: Lowering, node: Node, value: ir.Value) -> Node | None:
    """The store in `node`'s block that is all that needs `value`, through element-wise ops only."""
    orders = low.analysis.pulls(value)
    if len(orders) != 1:
        return None
    store = low.analysis.nodes[next(iter(orders))]
    if store.name not in ("xsmt.descriptor_store", "xsmt.scatter") or store.block is not node.block:
        return None
    stack, seen = [value], {value}
    while stack:
        current = stack.pop()
        for user in low.analysis.users[current]:
            if user is store:
                if store.op.opview.value != current or store.operands.count(current) != 1:
                    return None
            elif not user.name.startswith(("arith.", "math.", "tt.fp_to_fp")) or user.results[0].type.shape != value.type.shape:
                return None
            elif user.results[0] not in seen:
                seen.add(user.results[0])
                stack.append(user.results[0])
    return store


def available(low: Lowering, value: ir.Value, node: Node, ahead: list[Node]) -> bool:
    """Whether the scalar `value` can be had at `node`: it is there, or `ahead`, ops that compute numbers and addresses, makes it."""
    if value in low.values:
        return True
    producer = low.analysis.producer.get(value)
    if producer is None or producer.block is not node.block or producer.is_tensor:
        return False
    if not producer.name.startswith("arith.") and producer.name != "llvm.getelementptr":
        return False
    if producer not in ahead:
        if not all(available(low, operand, node, ahead) for operand in producer.operands):
            return False
        ahead.append(producer)
    return True
