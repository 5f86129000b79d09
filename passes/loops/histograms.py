"""Histograms: counted element by element, since lanes may meet in one bin."""

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Coordinates, Uniform


def lower_histogram(low: Lowering, node: Node) -> list[Value]:
    """Lower a `tt.histogram` into a buffer; values outside the bins are not counted."""
    b = low.b
    source = low.tensor(node.operands[0])
    mask = low.tensor(node.operands[1]) if len(node.operands) > 1 else None
    bins, element = shape_of(node.results[0])[0], element_of(node.results[0].type)
    buffer = low.storage.allocate((bins,), element)
    access = low.memory.buffer_access(buffer, node.op)
    zero = Uniform(shape=(bins,), element=element, origin=node.op, value=b.constant(0, element))
    low.storage.write_all([(zero, buffer)])

    def body(at: Coordinates) -> None:
        index = b.cast_index(low.evaluate(source, at), b.i64)
        condition = b.compare("ult", index, b.constant(bins))
        if mask is not None:
            condition = b.both(condition, low.evaluate(mask, at))

        def count() -> None:
            pointer = b.offset(access.base, index, buffer.stored)
            old = low.memory.scalar_load(pointer, element, None, None, b.depth)
            low.memory.scalar_store(pointer, b.op("arith.addi", element, [old, b.constant(1, element)]))

        b.when(condition, count)

    low.nests.nest_scalar(source.shape, body)
    return [low.storage.from_buffer(buffer, node.op)]
