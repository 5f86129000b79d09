"""`tt.dot_scaled`: operands in microscaling formats become float32 blocks, which are multiplied like any other.

Formats and scales are those of the OCP Microscaling Formats specification: e2m1 packs two elements a byte, the first in the low half;
a scale is a power of two as a biased exponent (e8m0, 255 is NaN), or a float of 8 bits, for each group of elements along k.
"""

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.dot import multiply
from triton_spacemit.passes.loops.elementwise import converted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Coordinate, Coordinates, Tensor

E2M1 = 4  # of Triton's ScaleDotElemType


def lower_scaled_dot(low: Lowering, node: Node) -> None:
    sizes = [int(n) for n in ir.DenseI32ArrayAttr(node.attribute("operandSegmentSizes"))]
    operands = iter(node.operands)
    left, right, start, left_scale, right_scale = (next(operands) if n else None for n in sizes)
    rank = len(left.type.shape)
    a = dequantised(low, node, left, left_scale, "a", rank - 1)
    b = dequantised(low, node, right, right_scale, "b", rank - 2)
    multiply(low, node, a, b, start)


def dequantised(low: Lowering, node: Node, value: ir.Value, scale: ir.Value | None, side: str, k_dim: int) -> Tensor:
    """An operand as float32, in memory where it is packed or scaled."""
    tensor = low.tensor(value)
    if node.attribute(f"{side}_elem_type").value == E2M1:
        packed_along_k = node.attribute(f"{'lhs' if side == 'a' else 'rhs'}_k_pack").value
        rank = len(tensor.shape)
        other = rank - 1 if k_dim == rank - 2 else rank - 2
        tensor = unpacked(low, node, tensor, k_dim if packed_along_k else other)
    tensor = converted(low, tensor, low.b.f32)
    return tensor if scale is None else scaled(low, node, tensor, low.tensor(scale), k_dim)


def unpacked(low: Lowering, node: Node, tensor: Tensor, dim: int) -> Tensor:
    """The e2m1 elements of a block of bytes as float32, twice as many along `dim`."""
    b = low.b
    shape = tuple(n * 2 if d == dim else n for d, n in enumerate(tensor.shape))
    buffer = low.allocate(shape, b.f32)
    identity = tuple(range(len(shape)))
    for half in range(2):

        def compute(at: Coordinates, half: int = half) -> Emitted:
            return e2m1(low, b.op("arith.extui", b.i32, [low.evaluate(tensor, at)]), 4 * half)

        elements = Tensor(tensor.shape, b.f32, compute, node.op, ((tensor, identity),), tensor.cost + 8)
        low.write_all([(elements, low.every_other(buffer, dim, half))])
    return low.from_buffer(buffer, node)


def e2m1(low: Lowering, byte: Emitted, shift: int) -> Emitted:
    """The element in bits shift..shift+3: sign, two bits of exponent (bias 1), one of mantissa."""
    b = low.b

    def integer(name: str, x: Emitted, y: int) -> Emitted:
        return b.op(name, b.i32, [x, b.constant(y, b.i32)])

    magnitude = integer("arith.andi", integer("arith.shrui", byte, shift), 7)
    normal = integer("arith.addi", integer("arith.shli", magnitude, 22), 126 << 23)
    half = b.constant(126 << 23, b.i32)  # 0.5, the one subnormal number
    zero = b.constant(0, b.i32)
    small = b.select(b.compare("eq", magnitude, b.constant(1, b.i32)), half, zero)
    small = b.broadcast(small, magnitude.width)
    bits = b.select(b.compare("sge", magnitude, b.constant(2, b.i32)), normal, small)
    sign = integer("arith.shli", integer("arith.andi", integer("arith.shrui", byte, shift), 8), 28)
    return b.op("arith.bitcast", b.f32, [b.op("arith.ori", b.i32, [bits, sign])])


def scaled(low: Lowering, node: Node, tensor: Tensor, scale: Tensor, k_dim: int) -> Tensor:
    """Each element times the scale of its group along k; `scale` is [.., rows, groups] for both operands."""
    b = low.b
    rank = len(tensor.shape)
    row_dim = rank - 1 if k_dim == rank - 2 else rank - 2
    group = tensor.shape[k_dim] // scale.shape[-1]
    buffer = low.allocate(tensor.shape, b.f32)
    access = low.memory.buffer_access(buffer, node.op)
    last = rank - 1
    width = min(tensor.shape[last], low.chip.lanes(32, 4), group if last == k_dim else tensor.shape[last])

    def body(at: Coordinates) -> None:
        # a vector along k lies within one group
        start = b.op("arith.divui", b.i64, [at[k_dim].start, b.constant(group)])
        factor = power(low, low.evaluate(scale, (*at[: rank - 2], at[row_dim], Coordinate(start))))
        low.memory.store(access, b.op("arith.mulf", b.f32, [low.evaluate(tensor, at), factor]), at)

    low.nest(tensor.shape, last, width, body)
    return low.from_buffer(buffer, node)


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
