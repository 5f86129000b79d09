"""Windows of matrices, and packed blocks where an op needs their tiles: coordinates are renamed, elements stay where they are."""

from collections.abc import Callable
from dataclasses import replace

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted, is_zero
from triton_spacemit.passes.loops.elementwise import shape_of
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Coordinates, Tensor


def offsets_of(low: Lowering, node: Node) -> list[Emitted]:
    return [low.b.cast_index(low.scalar(value), low.b.i64) for value in node.operands[1:]]


def lower_subview(low: Lowering, node: Node) -> None:
    """A window of a matrix."""
    base, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    if len(base.shape) != 2:
        raise low.b.fail(node.op, "of packed blocks is not supported here: run plain-blocks first")
    if base.uniform is not None and inside(starts, shape_of(result), base.shape):
        low.values[result] = Tensor(shape_of(result), base.element, None, node.op, uniform=base.uniform)
        return
    tensor = window(low, node, base, starts, shape_of(result))
    low.values[result] = tensor
    if base.buffer is None:
        low.pending.append((result, tensor))


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


def window(low: Lowering, node: Node, base: Tensor, starts: list[Emitted], shape: tuple[int, ...]) -> Tensor:
    """`shape` elements of `base` from `starts` on, zero behind its block: read where `base` is loaded from, if it is just that."""
    b, access = low.b, base.access
    if base.buffer is not None or access is None or access.index is not None or access.mask is not None or not zero_outside(access):
        access = low.memory.buffer_access(low.materialise(base), node.op)
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
    sources = ((base, (None, None)),) if base.buffer is not None else ()
    tensor = Tensor(shape, base.element, None, node.op, sources, home=b.depth, access=moved)
    if base.element == access.element:
        tensor.compute = lambda at: low.memory.load(tensor, moved, at)
    else:
        stored = Tensor(shape, access.element, None, node.op, home=b.depth)
        tensor.compute = lambda at: low.memory.from_stored(low.memory.load(stored, moved, at), base.element)
    return tensor


def lower_pack(low: Lowering, node: Node) -> None:
    """The tiles of a matrix."""
    base, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    tiles, tile = shape_of(result)[:2], shape_of(result)[2:]
    shape = (tiles[0] * tile[0], tiles[1] * tile[1])
    if base.uniform is not None and inside(starts, shape, base.shape):
        low.values[result] = Tensor(shape_of(result), base.element, None, node.op, uniform=base.uniform)
        return
    whole = shape == base.shape and all(start.constant == 0 for start in starts)
    matrix = base if whole else window(low, node, base, starts, shape)
    low.values[result] = tensor = Tensor(shape_of(result), base.element, None, node.op, ((matrix, (2, 3)),), base.cost, home=low.b.depth)

    def compute(at: Coordinates) -> Emitted:
        b = low.b
        across = [d for d in range(2) if at[d].width and tile[d] > 1]
        if across:
            d = across[0]
            return lanes_of(low, lambda i: (*at[:d], Coordinate(i), *at[d + 1 :]), at[d], tensor)
        places = [b.add(b.mul(at[d].start, b.constant(tile[d])), at[d + 2].start) for d in range(2)]
        return low.evaluate(matrix, tuple(Coordinate(place, at[d].width or at[d + 2].width) for d, place in enumerate(places)))

    tensor.compute = compute


def lanes_of(low: Lowering, place: Callable[[Emitted], Coordinates], along: Coordinate, tensor: Tensor) -> Emitted:
    """Lanes that are no vector of the matrix, one by one."""
    b = low.b
    lanes = [low.evaluate(tensor, place(b.add(along.start, b.constant(lane)))) for lane in range(along.width)]
    depth = max(lane.depth for lane in lanes)
    type_ = b.vector_type(tensor.element, along.width)
    vector = b.create("vector.from_elements", [type_], [lane.value for lane in lanes], depth=depth).results[0]
    return Emitted(vector, depth, along.width)


def lower_unpack(low: Lowering, node: Node) -> None:
    """The matrix of tiles: they are written where it has them."""
    tensor, result, starts = low.tensor(node.operands[0]), node.results[0], offsets_of(low, node)
    if tensor.uniform is not None:
        matrix = Tensor(matrix_shape(tensor), tensor.element, None, node.op, uniform=tensor.uniform)
    else:
        plain = low.allocate(matrix_shape(tensor), tensor.element)
        columns, (row, column) = plain.shape[1], tensor.shape[2:]
        tiles = Buffer(plain.base, tensor.shape, (row * columns, column, columns, 1), plain.element, plain.stored)
        low.write_all([(tensor, tiles)])
        matrix = low.from_buffer(plain, node)
    whole = shape_of(result) == matrix.shape and all(start.constant == 0 for start in starts)
    low.values[result] = matrix if whole else window(low, node, matrix, starts, shape_of(result))


def matrix_shape(tensor: Tensor) -> tuple[int, int]:
    rows, columns, row, column = tensor.shape
    return rows * row, columns * column
