"""Ops that put elements in other places: most only rename coordinates, some put their operands in memory and read them there."""

import math

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import own_cost, shape_of, total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import (
    Access,
    Computed,
    Coordinate,
    Coordinates,
    Loaded,
    Renamed,
    Tensor,
    Uniform,
    bits,
    identity,
)


def renamed(low: Lowering, node: Node, source: Tensor, places: tuple[int | Coordinate, ...], result: ir.Value | None = None) -> Tensor:
    """The block whose element at `at` is the source's at `at[places[d]]`, or at the fixed coordinate `places[d]`."""
    result = node.results[0] if result is None else result
    shape = shape_of(result)
    if isinstance(source, Uniform):
        return Uniform(shape=shape, element=source.element, origin=node.op, value=source.value)
    cost = low.cost(source)
    tensor = Renamed(shape=shape, element=source.element, origin=node.op, cost=cost, source=source, places=places)
    if low.analysis.pulled_inside_region(result, node.block) and cost >= low.chip.costs.reuse and low.storage.buffer_of(source) is None:
        low.storage.materialise(tensor)
    return tensor


def lower_expand_dims(low: Lowering, node: Node) -> list[Value]:
    axis, rank = node.attribute("axis").value, len(shape_of(node.results[0]))
    return [renamed(low, node, low.tensor(node.operands[0]), tuple(d for d in range(rank) if d != axis))]


def lower_broadcast(low: Lowering, node: Node) -> list[Value]:
    source, shape = low.tensor(node.operands[0]), shape_of(node.results[0])
    computed = source
    while isinstance(state := low.evaluator.now(computed), Renamed):
        computed = state.source  # what only was given dimensions
    costly = low.cost(computed) >= low.chip.costs.reuse and isinstance(computed.element, ir.FloatType)
    if costly and math.prod(computed.shape) == math.prod(source.shape) >= low.chip.costs.loop_elements:
        low.storage.materialise(computed)  # once by vectors instead of each element for a row of its own, or all for every row
    return [renamed(low, node, source, tuple(d if n == shape[d] else low.zero for d, n in enumerate(source.shape)))]


def lower_trans(low: Lowering, node: Node) -> list[Value]:
    order = [int(i) for i in ir.DenseI32ArrayAttr(node.attribute("order"))]
    source = low.tensor(node.operands[0])
    places = [0] * len(order)
    for d, s in enumerate(order):
        places[s] = d
    return [renamed(low, node, source, tuple(places))]


def lower_reshape(low: Lowering, node: Node) -> list[Value]:
    source, shape = low.tensor(node.operands[0]), shape_of(node.results[0])
    if node.is_lazy or isinstance(source, Uniform):
        kept = [d for d, n in enumerate(shape) if n != 1]
        places = tuple(kept.pop(0) if n != 1 else low.zero for n in source.shape) if node.is_lazy else ()
        return [renamed(low, node, source, places)]
    return [low.storage.from_buffer(low.storage.contiguous(source), node.op, shape)]


def lower_split(low: Lowering, node: Node) -> list[Value]:
    source = low.tensor(node.operands[0])
    dims = range(len(source.shape) - 1)
    return [renamed(low, node, source, (*dims, Coordinate(low.b.constant(i))), result) for i, result in enumerate(node.results)]


def lower_join(low: Lowering, node: Node) -> list[Value]:
    """Two tensors side by side on a new last dimension: interleaved in memory."""
    halves = [low.tensor(v) for v in node.operands]
    buffer = low.storage.allocate(shape_of(node.results[0]), halves[0].element)
    low.storage.write_all([(half, low.storage.part(buffer, i)) for i, half in enumerate(halves)])
    return [low.storage.from_buffer(buffer, node.op)]


def lower_cat(low: Lowering, node: Node) -> list[Value]:
    parts = [low.tensor(v) for v in node.operands]
    buffer = low.storage.allocate(shape_of(node.results[0]), parts[0].element)
    start = 0
    for part in parts:
        low.storage.write_all([(part, low.storage.window(buffer, start, part.shape))])
        start += part.shape[0]
    return [low.storage.from_buffer(buffer, node.op)]


def lower_gather(low: Lowering, node: Node) -> list[Value]:
    """`result[.., i, ..] = source[.., index[.., i, ..], ..]` along `axis`: the source lies in memory, the reads are an indexed load."""
    source, index = (low.tensor(v) for v in node.operands)
    axis, b = node.attribute("axis").value, low.b
    buffer = low.storage.materialise(source)
    position = low.memory.buffer_access(buffer, node.op)
    stride = b.constant(buffer.strides[axis])
    shape = shape_of(node.results[0])

    def scaled(at: Coordinates) -> Emitted:
        return b.op("arith.muli", b.i64, [b.cast_index(low.evaluate(index, at), b.i64), stride])

    sources = ((index, identity(len(shape))),)
    offsets = Computed(
        shape=shape, element=b.i64, origin=node.op, sources=sources, cost=total_cost(low, 1, {index}), compute=scaled, always=True
    )
    strides = [b.constant(0) if d == axis else s for d, s in enumerate(position.strides)]
    extents = [b.constant(n) for n in shape]
    size = bits(buffer.stored) // 8
    access = Access(buffer.base, strides, position.lower, extents, offsets, size, None, None, buffer.stored, shape, node.op)
    tensor = Loaded(
        shape=shape,
        element=source.element,
        origin=node.op,
        cost=total_cost(low, own_cost(low, node), {index}),
        access=access,
        home=b.depth,
        memory=buffer,
    )
    if low.analysis.pulled_inside_region(node.results[0], node.block):
        low.storage.materialise(tensor)
    return [tensor]
