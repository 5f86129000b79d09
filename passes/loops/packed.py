"""Windows of matrices, and packed blocks where an op needs their tiles: coordinates are renamed, elements stay where they are."""

from collections.abc import Callable
from dataclasses import replace

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import shape_of, uniform
from triton_spacemit.passes.loops.emitter import Emitted, is_zero
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Access, Buffer, Computed, Coordinate, Coordinates, Loaded, Tensor, Uniform


def offsets_of(low: Lowering, node: Node) -> list[Emitted]:
    return [low.b.cast_index(low.scalar(value), low.b.i64) for value in node.operands[1:]]


def lower_subview(low: Lowering, node: Node) -> list[Value]:
    """A window of a matrix."""
    base, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    if len(base.shape) != 2:
        raise low.b.fail(node.op, "of packed blocks is not supported here: run plain-blocks first")
    if isinstance(base, Uniform) and inside(starts, shape_of(result), base.shape):
        return [uniform(node, result, base.value)]
    tensor = window(low, node, base, starts, shape_of(result))
    if tensor.memory is None:
        low.pending.append((result, tensor))
    return [tensor]


def inside(starts: list[Emitted], shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether the elements from `starts` on are known to lie in a block of the shape `whole`."""
    return all(
        start.constant is not None and 0 <= start.constant <= extent - size
        for start, size, extent in zip(starts, shape, whole, strict=True)
    )


def zero_outside(access: Access) -> bool:
    """Whether elements that are not read are zero, as those outside of a view's base are."""
    bounded = any(
        lower.constant is None or lower.constant > 0 or upper.constant is None or upper.constant < extent
        for lower, upper, extent in zip(access.lower, access.upper, access.shape, strict=True)
    )
    return not bounded or (isinstance(access.other, Emitted) and is_zero(access.other))


def window(low: Lowering, node: Node, base: Tensor, starts: list[Emitted], shape: tuple[int, ...]) -> Loaded:
    """`shape` elements of `base` from `starts` on, zero behind its block: read where `base` is loaded from, if it is just that."""
    b, load, memory = low.b, low.storage.load_of(base), None
    if load is not None and load.memory is None and load.access.index is None and load.access.mask is None and zero_outside(load.access):
        access = load.access
    else:
        memory = low.storage.materialise(base)
        access = low.memory.buffer_access(memory, node.op)
    pointer = access.base
    for start, stride in zip(starts, access.strides, strict=True):
        pointer = b.offset(pointer, b.mul(start, stride), access.element)
    lower, upper = [], []
    for d, start in enumerate(starts):
        first, last = access.lower[d], access.upper[d]
        if not (start.constant is not None and 0 <= start.constant <= access.shape[d] - shape[d]):
            first, last = b.maximum(first, b.constant(0)), b.minimum(last, b.constant(access.shape[d]))
        lower.append(b.sub(first, start))
        upper.append(b.sub(last, start))
    other = access.other if isinstance(access.other, Emitted) else b.constant(0, access.element)
    moved = replace(access, base=pointer, lower=lower, upper=upper, shape=shape, other=other, op=node.op)
    return Loaded(shape=shape, element=base.element, origin=node.op, access=moved, home=b.depth, memory=memory)


def lower_pack(low: Lowering, node: Node) -> list[Value]:
    """The tiles of a matrix."""
    base, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    tiles, tile = shape_of(result)[:2], shape_of(result)[2:]
    shape = (tiles[0] * tile[0], tiles[1] * tile[1])
    if isinstance(base, Uniform) and inside(starts, shape, base.shape):
        return [uniform(node, result, base.value)]
    whole = shape == base.shape and all(start.constant == 0 for start in starts)
    matrix = base if whole else window(low, node, base, starts, shape)

    def compute(at: Coordinates) -> Emitted:
        b = low.b
        across = [d for d in range(2) if at[d].width and tile[d] > 1]
        if across:
            d = across[0]
            return lanes_of(low, lambda i: (*at[:d], Coordinate(i), *at[d + 1 :]), at[d], tensor)
        places = [b.add(b.mul(at[d].start, b.constant(tile[d])), at[d + 2].start) for d in range(2)]
        return low.evaluate(matrix, tuple(Coordinate(place, at[d].width or at[d + 2].width) for d, place in enumerate(places)))

    # an element's row is that of its tile and that in its tile: it follows neither
    sources = ((matrix, (None, None)),)
    cost = low.cost(base)
    tensor = Computed(shape=shape_of(result), element=base.element, origin=node.op, sources=sources, cost=cost, compute=compute)
    return [tensor]


def lanes_of(low: Lowering, place: Callable[[Emitted], Coordinates], along: Coordinate, tensor: Tensor) -> Emitted:
    """Lanes that are no vector of the matrix, one by one."""
    b = low.b
    lanes = [low.evaluate(tensor, place(b.add(along.start, b.constant(lane)))) for lane in range(along.width)]
    depth = max(lane.depth for lane in lanes)
    type_ = b.vector_type(tensor.element, along.width)
    vector = b.create("vector.from_elements", [type_], [lane.value for lane in lanes], depth=depth).results[0]
    return Emitted(vector, depth, along.width)


def lower_unpack(low: Lowering, node: Node) -> list[Value]:
    """The matrix of tiles: they are written where it has them."""
    tensor, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    if isinstance(tensor, Uniform):
        matrix: Tensor = Uniform(shape=matrix_shape(tensor), element=tensor.element, origin=node.op, value=tensor.value)
    else:
        plain = low.storage.allocate(matrix_shape(tensor), tensor.element)
        columns, (row, column) = plain.shape[1], tensor.shape[2:]
        tiles = Buffer(plain.base, tensor.shape, (row * columns, column, columns, 1), plain.element, plain.stored)
        low.storage.write_all([(tensor, tiles)])
        matrix = low.storage.from_buffer(plain, node.op)
    whole = shape_of(result) == matrix.shape and all(start.constant == 0 for start in starts)
    return [matrix if whole else window(low, node, matrix, starts, shape_of(result))]


def matrix_shape(tensor: Tensor) -> tuple[int, int]:
    rows, columns, row, column = tensor.shape
    return rows * row, columns * column
