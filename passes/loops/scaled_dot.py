"""`tt.dot_scaled`: operands in microscaling formats become float32 blocks, which are multiplied like any other.

Formats and scales are those of the OCP Microscaling Formats specification: e2m1 packs two elements a byte, the first in the low half;
a scale is a power of two as a biased exponent (e8m0, 255 is NaN), or a float of 8 bits, for each group of elements along k.
"""

from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.dot import multiply
from triton_spacemit.passes.loops.elementwise import converted, total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Computed, Coordinate, Coordinates, Loaded, Renamed, Tensor, stored_type
from triton_spacemit.passes.loops.views import View, either, in_place, view_of

E2M1 = 4  # of Triton's ScaleDotElemType


def lower_scaled_dot(low: Lowering, node: Node) -> list[Value]:
    sizes = [int(n) for n in ir.DenseI32ArrayAttr(node.attribute("operandSegmentSizes"))]
    operands = iter(node.operands)
    left, right, start, left_scale, right_scale = (next(operands) if n else None for n in sizes)
    rank = len(left.type.shape)
    a = dequantised(low, node, left, left_scale, "a", rank - 1)
    b = dequantised(low, node, right, right_scale, "b", rank - 2)
    return multiply(low, node, a, b, start)


def dequantised(low: Lowering, node: Node, value: ir.Value, scale: ir.Value | None, side: str, k_dim: int) -> Tensor:
    """An operand as float32; in memory where it is scaled. A transposed one is expanded in the order it was loaded in."""
    tensor = low.tensor(value)
    rank = len(tensor.shape)
    order: tuple[int, ...] = tuple(range(rank))  # which dimension of the operand each of the source's follows
    source = tensor
    state = low.evaluator.now(tensor)
    if isinstance(state, Renamed) and state.order is not None:
        source, order = state.source, state.order
    if scale is not None:
        source = readable(low, source)
    if node.attribute(f"{side}_elem_type").value == E2M1:
        packed_along_k = node.attribute(f"{'lhs' if side == 'a' else 'rhs'}_k_pack").value
        other = rank - 1 if k_dim == rank - 2 else rank - 2
        source = unpacked(low, source, order.index(k_dim if packed_along_k else other))
    source = converted(low, source, low.b.f32)
    if scale is not None:
        source = scaled(low, node, source, low.tensor(scale), [order.index(d) for d in range(rank)], k_dim)
    if order == tuple(range(rank)):
        return source
    shape = tuple(source.shape[order.index(d)] for d in range(rank))
    return Renamed(shape=shape, element=source.element, origin=node.op, cost=low.cost(source), source=source, places=order)


def readable(low: Lowering, tensor: Tensor) -> Tensor:
    """`tensor` at constant distances in memory, where it is a load that has them under a condition (rows that wrap around); else a copy."""
    b = low.b
    extents = [b.constant(n) for n in tensor.shape]
    load = low.storage.load_of(tensor)
    found = None if load is None else in_place(low, tensor, extents)
    if found is None or found[1] is None:
        return tensor
    view, condition = found
    stored = stored_type(b, tensor.element)

    def copied() -> View:
        buffer = low.storage.allocate(tensor.shape, tensor.element)
        with low.storage.region():
            low.storage.write_all([(tensor, buffer)])
        return view_of(low, buffer, stored)

    chosen = either(low, view, condition, copied)
    lower = [b.constant(0)] * len(extents)
    access = replace(
        load.access, base=chosen.base, strides=chosen.strides, lower=lower, upper=extents, index=None, mask=None, element=stored
    )
    return Loaded(shape=tensor.shape, element=tensor.element, origin=tensor.origin, access=access, home=b.depth)


def unpacked(low: Lowering, tensor: Tensor, dim: int) -> Tensor:
    """The e2m1 elements of a block of bytes as float32, twice as many along `dim`; vectors along `dim` start at even elements."""
    b = low.b
    shape = tuple(n * 2 if d == dim else n for d, n in enumerate(tensor.shape))

    def compute(at: Coordinates) -> Emitted:
        width = at[dim].width
        start = b.op("arith.shrui", b.i64, [at[dim].start, b.constant(1)])
        half = Coordinate(start, width // 2 if width > 2 else 0)
        byte = b.op("arith.extui", b.i32, [low.evaluate(tensor, (*at[:dim], half, *at[dim + 1 :]))])
        if not width:
            odd = b.cast_index(b.op("arith.andi", b.i64, [at[dim].start, b.constant(1)]), b.i32)
            return e2m1(low, b.op("arith.shrui", b.i32, [byte, b.op("arith.shli", b.i32, [odd, b.constant(2, b.i32)])]))
        even, odd = (e2m1(low, b.op("arith.shrui", b.i32, [byte, b.constant(shift, b.i32)])) for shift in (0, 4))
        if width == 2:
            even, odd = b.broadcast(even, 2), b.broadcast(odd, 2)
            return b.shuffle(even, odd, [0, 2])
        return b.shuffle(even, odd, [i // 2 + (i % 2) * (width // 2) for i in range(width)])

    # along `dim` an element of the source is two of this one: no loop may take its bounds for this one's
    follows = tuple(None if d == dim else d for d in range(len(shape)))
    cost = total_cost(low, 8, {tensor})
    return Computed(shape=shape, element=b.f32, origin=tensor.origin, sources=((tensor, follows),), cost=cost, compute=compute)


def e2m1(low: Lowering, code: Emitted) -> Emitted:
    """The element in the four low bits: sign, two bits of exponent (bias 1), one of mantissa."""
    b = low.b

    def integer(name: str, x: Emitted, y: int) -> Emitted:
        return b.op(name, b.i32, [x, b.constant(y, b.i32)])

    magnitude = integer("arith.andi", code, 7)
    normal = integer("arith.addi", integer("arith.shli", magnitude, 22), 126 << 23)
    half = b.constant(126 << 23, b.i32)  # 0.5, the one subnormal number
    zero = b.constant(0, b.i32)
    small = b.select(b.compare("eq", magnitude, b.constant(1, b.i32)), half, zero)
    small = b.broadcast(small, magnitude.width)
    bits = b.select(b.compare("sge", magnitude, b.constant(2, b.i32)), normal, small)
    sign = integer("arith.shli", integer("arith.andi", code, 8), 28)
    return b.op("arith.bitcast", b.f32, [b.op("arith.ori", b.i32, [bits, sign])])


def scaled(low: Lowering, node: Node, tensor: Tensor, scale: Tensor, place: list[int], k_dim: int) -> Tensor:
    """Each element times the scale of its group along k; `scale` is [.., rows, groups] for both operands.

    The operand's dimension d is dimension `place[d]` of `tensor`.
    """
    b = low.b
    rank = len(tensor.shape)
    row = place[rank - 1 if k_dim == rank - 2 else rank - 2]
    along_k, last = place[k_dim], rank - 1
    groups = scale.shape[-1]
    group = tensor.shape[along_k] // groups
    buffer = low.storage.allocate(tensor.shape, b.f32)
    access = low.memory.buffer_access(buffer, node.op)
    width = min(low.chip.lanes(32, low.chip.costs.group), group if along_k == last else tensor.shape[last])

    def body(at: Coordinates) -> None:
        """All elements of a group along k, in a vector of rows or of k."""
        factor = power(low, low.evaluate(scale, (*(at[place[d]] for d in range(rank - 2)), at[row], at[along_k])))
        first = b.mul(at[along_k].start, b.constant(group))

        def step(offset: Emitted) -> None:
            k = Coordinate(b.add(first, offset), width if along_k == last and width > 1 else 0)
            here = (*at[:along_k], k, *at[along_k + 1 :])
            low.memory.store(access, b.op("arith.mulf", b.f32, [low.evaluate(tensor, here), factor]), here)

        b.repeat(b.constant(0), b.constant(group), width if along_k == last else 1, step)

    shape = tuple(groups if d == along_k else n for d, n in enumerate(tensor.shape))
    if along_k == last:
        low.nests.nest_scalar(shape, body)
    else:
        low.nests.nest(shape, last, width, body)
    return low.storage.from_buffer(buffer, node.op)


def power(low: Lowering, scale: Emitted) -> Emitted:
    """A scale as float32."""
    b = low.b
    if isinstance(b.element(scale), ir.FloatType):
        return b.op("arith.extf", b.f32, [scale])
    exponent = b.op("arith.extui", b.i32, [scale])
    bits = b.op("arith.shli", b.i32, [exponent, b.constant(23, b.i32)])
    least = b.broadcast(b.constant(1 << 22, b.i32), exponent.width)  # 2^-127 is subnormal
    bits = b.select(b.compare("eq", exponent, b.constant(0, b.i32)), least, bits)
    nan = b.broadcast(b.constant(0x7FC00000, b.i32), exponent.width)
    bits = b.select(b.compare("eq", exponent, b.constant(255, b.i32)), nan, bits)
    return b.op("arith.bitcast", b.f32, [bits])
