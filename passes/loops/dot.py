"""Matrix products: register tiles of the result, a loop over k that reads a vector of B and one element of A per row."""

import math

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import element_of
from triton_spacemit.passes.loops.lowering import GROUP, Lowering
from triton_spacemit.passes.loops.tensors import Buffer, Tensor, bits
from triton_spacemit.passes.loops.views import View, view_of

UNROLL = 4  # steps of k in one turn of the loop


def tile_rows(rows: int, most: int) -> list[tuple[int, int]]:
    """Split `rows` into tiles of nearly equal height, at most `most`: (height, number of such tiles), the taller first."""
    tiles = -(-rows // most)
    height, taller = divmod(rows, tiles)
    return [(h, n) for h, n in ((height + 1, taller), (height, tiles - taller)) if n]


def lower_dot(low: Lowering, node: Node) -> None:
    b = low.b
    left, right, start = (low.tensor(v) for v in node.operands[:3])
    element = element_of(node.results[0].type)
    accumulate = element if isinstance(element, (ir.F64Type, ir.IntegerType)) else b.f32
    *batch, rows, inner = left.shape
    columns = right.shape[-1]
    target = result_buffer(low, node, start)
    begin_at_zero = is_zero(start)
    a = view_of(low, left, None)
    bb = view_of(low, right, len(right.shape) - 1)
    c = View(target.base, [b.constant(s) for s in target.strides], target.stored)
    lanes = min(columns, low.chip.lanes(bits(accumulate), GROUP))
    groups = max(1, bits(accumulate) * lanes // low.chip.vlen)
    most = max(1, (low.chip.vector_registers - groups) // groups)
    tiles = tile_rows(rows, most)

    def batched(at: list[Emitted]) -> None:
        if len(at) < len(batch):
            b.for_loop(b.constant(0), b.constant(batch[len(at)]), 1, [], lambda i, _: batched([*at, i]) or [])
            return
        bases = []
        for view in (a, bb, c):
            base = view.base
            for i, stride in zip(at, view.strides, strict=False):
                base = b.offset(base, b.mul(i, stride), view.element)
            bases.append(base)

        def column(j: Emitted, _: list[Emitted]) -> list[Emitted]:
            row = 0
            for height, count in tiles:
                first = row

                def tile(t: Emitted, _: list[Emitted], height: int = height, first: int = first) -> list[Emitted]:
                    i = b.add(b.mul(t, b.constant(height)), b.constant(first))
                    micro_kernel(low, bases, (a, bb, c), i, j, height, lanes, inner, accumulate, begin_at_zero)
                    return []

                b.for_loop(b.constant(0), b.constant(count), 1, [], tile)
                row += height * count
            return []

        b.for_loop(b.constant(0), b.constant(columns), lanes, [], column)

    batched([])
    low.values[node.results[0]] = low.from_buffer(target, node)


def is_zero(tensor: Tensor) -> bool:
    owner = tensor.uniform.value.owner if tensor.uniform is not None else None
    attribute = (
        owner.attributes["value"] if isinstance(owner, ir.Operation | ir.OpView) and owner.operation.name == "arith.constant" else None
    )
    return isinstance(attribute, ir.IntegerAttr | ir.FloatAttr) and attribute.value == 0


def result_buffer(low: Lowering, node: Node, start: Tensor) -> Buffer:
    """Where the product accumulates: in the start value's own buffer if nothing else needs that, else in one with a copy of it."""
    alone = low.analysis.pulls(node.operands[2]) == {node.order} and node.operands.count(node.operands[2]) == 1
    if start.buffer is not None and alone and not start.shared:
        return start.buffer
    buffer = low.destination(node) or low.allocate(start.shape, start.element)
    if not is_zero(start):
        low.write_all([(start, buffer)])
    return buffer


def micro_kernel(
    low: Lowering,
    bases: list[Emitted],
    views: tuple[View, View, View],
    i: Emitted,
    j: Emitted,
    height: int,
    lanes: int,
    inner: int,
    accumulate: ir.Type,
    begin_at_zero: bool,
) -> None:
    """`C[i : i + height, j : j + lanes] += A[i : i + height, :] @ B[:, j : j + lanes]` with the tile of C in registers."""
    b = low.b
    a, bb, c = views
    base_a, base_b, base_c = bases
    vector = lanes if lanes > 1 else 0
    rows_a = [b.offset(base_a, b.mul(b.add(i, b.constant(r)), a.strides[-2]), a.element) for r in range(height)]
    column_b = b.offset(base_b, j, bb.element)
    rows_c = [b.offset(b.offset(base_c, b.mul(b.add(i, b.constant(r)), c.strides[-2]), c.element), j, c.element) for r in range(height)]

    def load(pointer: Emitted, element: ir.Type, width: int) -> Emitted:
        if width:
            return low.memory.contiguous_load(pointer, element, width, None, None, b.depth)
        return low.memory.scalar_load(pointer, element, None, None, b.depth)

    if begin_at_zero:
        tile = [b.broadcast(b.constant(0, accumulate), vector)] * height
    else:
        tile = [convert(low, load(pointer, c.element, vector), accumulate) for pointer in rows_c]

    def step(k: Emitted, carried: list[Emitted]) -> list[Emitted]:
        sums = list(carried)
        for u in range(unroll):
            here = b.add(k, b.constant(u))
            row = convert(low, load(b.offset(column_b, b.mul(here, bb.strides[-2]), bb.element), bb.element, vector), accumulate)
            along = b.mul(here, a.strides[-1])
            for r in range(height):
                factor = convert(low, load(b.offset(rows_a[r], along, a.element), a.element, 0), accumulate)
                sums[r] = multiply_add(low, factor, row, sums[r], accumulate)
        return sums

    unroll = math.gcd(inner, UNROLL)
    tile, _ = b.for_loop(b.constant(0), b.constant(inner), unroll, tile, step)
    for pointer, value in zip(rows_c, tile, strict=True):
        value = convert(low, value, c.element)
        if vector:
            low.memory.contiguous_store(pointer, value, None, c.element)
        else:
            low.memory.scalar_store(pointer, value)


def convert(low: Lowering, value: Emitted, type_: ir.Type) -> Emitted:
    b = low.b
    old = b.element(value)
    if old == type_:
        return value
    if isinstance(old, ir.FloatType):
        return b.op("arith.extf" if bits(old) < bits(type_) else "arith.truncf", type_, [value])
    return b.op("arith.extsi" if bits(old) < bits(type_) else "arith.trunci", type_, [value])


def multiply_add(low: Lowering, a: Emitted, x: Emitted, y: Emitted, type_: ir.Type) -> Emitted:
    b = low.b
    if isinstance(type_, ir.FloatType):
        return b.op("math.fma", type_, [a, x, y])
    return b.op("arith.addi", type_, [b.op("arith.muli", type_, [a, x]), y])
