"""Products whose register tiles store the result where the program does: at the end of a loop that accumulates them, straight into the
memory of the one store that the result goes to.

This is for cores that run in order, where every instruction counts. The tiles run before that store stands, and read operands in place
while they store. So nothing may lie between loop and store that reads or writes memory; no load from before may still be needed behind it;
and, which is tested at run time, what the tiles read in place may not meet what they store. Where it does, tiles store into the product's
own buffer, and the store copies it.
"""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.bounds import bounds_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.operands import Operand
from triton_spacemit.passes.loops.overlap import overlaps
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.tensors import Access, bits
from triton_spacemit.passes.loops.tile_places import Destination
from triton_spacemit.passes.loops.wanted import available, only_store


@dataclass(frozen=True, eq=False)
class DirectStore:
    """The store that the tiles of `product` take over, and the memory it goes to."""

    low: Lowering
    product: Product
    node: Node
    access: Access

    def meets(self, operand: Operand, shape: tuple[int, int], rows: Emitted, columns: Emitted) -> Emitted:
        """Whether what tiles read of an operand, so many of its rows and columns, may be where they store; what was copied is not."""
        b, view = self.low.b, operand.view
        if operand.padded:
            return b.constant(0, b.i1)
        zero, size = b.constant(0), bits(view.element) // 8
        read = Access(view.base, view.strides, [zero, zero], [rows, columns], None, size, None, None, view.element, shape, None)
        return overlaps(b, read, self.access)

    def destination(self, condition: Emitted) -> Destination:
        """The memory of the store where the condition holds, else the product's buffer."""
        b, target = self.low.b, self.product.target
        stride = b.select(condition, self.access.strides[0], b.constant(target.strides[0]))
        return Destination(b.select(condition, self.access.base, target.base), stride)


def direct_store(low: Lowering, loop: Node, value: ir.Value, product: Product) -> DirectStore | None:
    """The store of `value`, a result of `loop`, where the product's tiles may take it over."""
    store = only_store(low, loop, value)
    if not low.chip.in_order or store is None:
        return None  # other cores compute on while they copy
    if store.name != "xsmt.descriptor_store" or store.op.opview.value != value or not product.tile.form.by_rows:
        return None
    op, target = store.op.opview, product.target
    if op.mask is not None or target.element != target.stored or bounds_of(low).storages:
        return None
    if any(node.row is None or not _is_harmless(node) for node in loop.block.between(loop, store)):
        return None
    if any(order >= loop.order for result, _ in low.pending for order in low.analysis.pulls(result)):
        return None
    ahead: list[Node] = []
    if not all(available(low, scalar, loop, ahead) for scalar in (op.base, *op.strides, *op.lower, *op.upper)):
        return None
    for producer in ahead:
        low.lower_ahead(producer)
    strides, lower, upper = ([low.extent(v) for v in values] for values in (op.strides, op.lower, op.upper))
    if strides[1].constant != 1 or any(bound.constant is None or bound.constant > 0 for bound in lower):
        return None
    base, shape, size = low.scalar(op.base), tuple(value.type.shape), bits(target.stored) // 8
    return DirectStore(low, product, store, Access(base, strides, lower, upper, None, size, None, None, target.stored, shape, store.op))


def _is_harmless(node: Node) -> bool:
    """Whether it makes no difference on which side of the op a store of memory stands."""
    return node.name.startswith(("arith.", "math.")) or node.name in ("llvm.getelementptr", "tt.make_range", "tt.splat")
