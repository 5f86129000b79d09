"""The operands of products in memory as the tiles read them: in place where they lie so, else copied."""

import math
from collections.abc import Callable
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Emitted, is_zero
from triton_spacemit.passes.loops.elementwise import converted, total_cost
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.tensors import (
    LINE,
    Access,
    Buffer,
    Computed,
    Coordinate,
    Coordinates,
    Loaded,
    Renamed,
    Tensor,
    bits,
    stored_type,
)
from triton_spacemit.passes.loops.views import View, either, in_place, view_of


def inner_limit(low: Lowering, product: Product, left: Tensor, right: Tensor) -> Emitted:
    """Where along k both operands are zero from there on: steps behind it need not run."""
    rank = len(product.batch)
    ends = [zero_from(low, left, rank + 1), zero_from(low, right, rank)]
    return low.b.constant(product.inner) if None in ends else low.b.maximum(*ends)


def zero_from(low: Lowering, tensor: Tensor, dim: int) -> Emitted | None:
    """The bound along `dim` behind which a load gives zeros, where it has one."""
    b, state = low.b, low.evaluator.now(tensor)
    if isinstance(state, Renamed) and state.order is not None:
        return zero_from(low, state.source, state.order.index(dim))
    if not isinstance(state, Loaded):
        return None
    access = state.access
    if isinstance(access.other, Tensor) or not (access.other is None or is_zero(access.other)):
        return None
    upper, extent = access.upper[dim], access.shape[dim]
    if upper.constant is not None and upper.constant >= extent:
        return None
    return b.maximum(b.minimum(upper, b.constant(extent)), b.constant(0))


def tile_steps(low: Lowering, product: Product, inner: Emitted) -> Emitted:
    """The tile's steps for so many of k."""
    b = low.b
    if product.depth == 1:
        return inner
    rounded = b.add(inner, b.constant(product.depth - 1))
    if rounded.constant is not None:
        return b.constant(rounded.constant // product.depth)
    return b.op("arith.shrui", b.i64, [rounded, b.constant(product.depth.bit_length() - 1)])


def stored_shape(product: Product, shape: tuple[int, ...], is_left: bool) -> tuple[int, ...]:
    """The shape of an operand's copy, in elements of `factor`."""
    along_k = len(shape) - (1 if is_left else 2)
    return tuple(n // product.depth if d == along_k else n for d, n in enumerate(shape))


def operand_buffer(low: Lowering, shape: tuple[int, ...], factor: ir.Type) -> Buffer:
    """Room for a copy of an operand; rows whose starts would meet in few sets of a cache lie a cache line further apart."""
    line = LINE * 8 // bits(factor)
    padded = shape[-1] if shape[-1] % (4 * line) else shape[-1] + line
    buffer = low.storage.allocate((*shape[:-1], padded), factor)
    if low.chip.slow_subnormals:  # whatever lies there may be subnormal numbers
        behind = low.b.offset(buffer.base, low.b.constant(math.prod((*shape[:-1], padded))), factor)
        zero, size = low.b.constant(0, low.b.i8), low.b.constant(buffer.room * bits(factor) // 8)
        once = {"isVolatile": ir.BoolAttr.get(False)}
        low.b.create("llvm.intr.memset", [], [behind.value, zero.value, size.value], once, depth=low.storage.frame)
    return replace(buffer, shape=shape)


def locate(low: Lowering, product: Product, tensor: Tensor, unit_dim: int | None, inner: Emitted, slot: Callable[[], Buffer]) -> View:
    """An operand in memory as the tiles read it, `inner` steps along k: in place where it can be, else packed into `slot()`."""
    b = low.b
    rank = len(product.batch)
    wanted = [b.constant(n) for n in tensor.shape]
    wanted[rank:] = [product.wanted_rows, inner] if unit_dim is None else [inner, product.wanted_columns]
    is_left = unit_dim is None
    uses = product.columns if is_left else product.rows
    if product.depth > 1:
        return locate_grouped(low, product, tensor, is_left, wanted, slot())
    if is_left and not low.chip.scaled_addresses and product.columns >= low.chip.costs.packed_columns:
        unit_dim = rank + 1  # elements of A at constant distances need no instructions for their addresses
    found = in_place(low, tensor, wanted)
    slack = product.height if is_left else 0

    def copied(found: tuple[View, Emitted | None] | None) -> View:
        buffer = slot()

        def copy_view(plain: Tensor) -> None:
            copy_wanted(low, converted(low, plain, product.factor), buffer, wanted, slack)

        copy_from(low, tensor, found, wanted, copy_view, lambda whole: pack(low, product, whole, buffer))
        return view_of(low, buffer, product.factor)

    view, condition = found or (None, None)
    if view is not None and tensor.element == product.factor and (unit_dim is None or view.strides[unit_dim].constant == 1):
        if not low.chip.cache_way_bytes or low.storage.buffer_of(tensor) is not None or uses < low.chip.costs.copied_uses:
            return either(low, view, condition, lambda: copied(None))
        return either(low, view, b.both(condition, spread(low, view)), lambda: copied(found))
    if is_left:
        product.rows_follow = True
    else:
        product.columns_follow = True
    return copied(found)


def spread(low: Lowering, view: View) -> Emitted:
    """Whether the first elements of neighbouring rows lie in different sets of the first cache."""
    b = low.b
    distance = b.mul(view.strides[-2], b.constant(bits(view.element) // 8))
    place = b.op("arith.andi", b.i64, [b.add(distance, b.constant(LINE)), b.constant(low.chip.cache_way_bytes - 1)])
    return b.compare("sge", place, b.constant(2 * LINE))


def copy_wanted(low: Lowering, tensor: Tensor, buffer: Buffer, wanted: list[Emitted], slack: int) -> None:
    """The `wanted` first elements of `tensor`, and zeros in `slack` rows behind them."""
    if low.storage.crosses(tensor, buffer):
        low.storage.write_all([(tensor, buffer)])
        return
    b = low.b
    access = low.memory.buffer_access(buffer, tensor.origin)
    dim, width = low.storage.vector_shape([tensor], tensor.shape, [access])
    if not low.chip.active_lengths:  # at least two vectors, so that full ones are read in a loop of their own, without a mask
        width = max(1, min(width, tensor.shape[dim] // 2))

    def body(at: Coordinates) -> None:
        low.memory.store(access, low.evaluate(tensor, at), at)

    def limit(at: Coordinates) -> Emitted | None:
        condition = None
        for d, (coordinate, end) in enumerate(zip(at, wanted, strict=True)):
            if d != dim and end.constant is None:
                condition = b.both(condition, b.compare("slt", coordinate.start, b.add(end, b.constant(slack if d == len(at) - 2 else 0))))
        end = wanted[dim]
        return end if condition is None else b.select(condition, end, b.constant(0))

    low.nests.nest(tensor.shape, dim, width, body, limit)


def locate_grouped(low: Lowering, product: Product, tensor: Tensor, is_left: bool, wanted: list[Emitted], buffer: Buffer) -> View:
    """The operand copied as `GroupedLanes` read it: A as it is (bytes plus 128), several rows of B as one; zero behind the wanted ones."""
    b, depth = low.b, product.depth
    product.rows_follow = product.columns_follow = True

    def copy(source: Tensor) -> None:
        with low.storage.region():
            if is_left:
                strides, stored = (buffer.strides[0] * depth, 1), stored_type(b, tensor.element)
                target = replace(buffer, shape=tensor.shape, strides=strides, element=tensor.element, stored=stored)
                low.storage.write_all([(raised(low, source) if tensor.element == b.i8 else source, target)])
                return
            load = low.storage.load_of(source)
            if load is not None and load.access.strides[-1].constant != 1:
                low.storage.materialise(source)  # along rows
            low.storage.write_all([(rows_joined(low, source, depth), buffer)])

    copy_from(low, tensor, in_place(low, tensor, wanted), wanted, copy, copy)
    return view_of(low, buffer, product.factor)


def raised(low: Lowering, tensor: Tensor) -> Tensor:
    """Signed bytes as unsigned ones that are 128 larger."""
    b = low.b

    def compute(at: Coordinates) -> Emitted:
        return b.op("arith.xori", b.i8, [low.evaluate(tensor, at), b.constant(-128, b.i8)])

    cost = total_cost(low, 1, {tensor})
    return Computed(
        shape=tensor.shape, element=b.i8, origin=tensor.origin, sources=((tensor, (0, 1)),), cost=cost, compute=compute, always=True
    )


def rows_joined(low: Lowering, tensor: Tensor, count: int) -> Tensor:
    """`count` rows as one row of 32 bits, the first lowest."""
    b = low.b
    shape = (tensor.shape[0] // count, tensor.shape[1])

    def compute(at: Coordinates) -> Emitted:
        total = None
        for i in range(count):
            row = Coordinate(b.add(b.mul(at[0].start, b.constant(count)), b.constant(i)))
            part = low.evaluate(tensor, (row, at[1]))
            if isinstance(tensor.element, ir.FloatType):
                part = b.op("arith.bitcast", ir.IntegerType.get_signless(bits(tensor.element)), [part])
            part = b.op("arith.extui", b.i32, [part])
            if total is None:
                total = part
                continue
            shifted = b.op("arith.shli", b.i32, [part, b.constant(32 // count * i, b.i32)], {"overflowFlags": b.no_flags})
            total = b.op("arith.ori", b.i32, [total, shifted])
        return total

    cost = total_cost(low, 2 * count, {tensor})
    return Computed(shape=shape, element=b.i32, origin=tensor.origin, sources=((tensor, (None, 1)),), cost=cost, compute=compute)


def pack(low: Lowering, product: Product, tensor: Tensor, buffer: Buffer) -> None:
    """Copy the whole operand."""
    with low.storage.region():
        low.storage.write_all([(converted(low, tensor, product.factor), buffer)])


def copy_from(
    low: Lowering,
    tensor: Tensor,
    found: tuple[View, Emitted | None] | None,
    wanted: list[Emitted],
    copy_view: Callable[[Tensor], None],
    copy_tensor: Callable[[Tensor], None],
) -> None:
    """`copy_view` of the wanted elements where they lie in memory, as `found` in place and under its condition; else `copy_tensor`."""
    if found is None or low.storage.buffer_of(tensor) is not None:
        copy_tensor(tensor)
        return
    view, condition = found
    plain = read_at(low, tensor, view, wanted)
    if condition is None:
        copy_view(plain)
    else:
        low.b.choose(condition, lambda: copy_view(plain), lambda: copy_tensor(tensor))


def read_at(low: Lowering, tensor: Tensor, view: View, wanted: list[Emitted]) -> Tensor:
    """The `wanted` first elements of a load, addressed as a view and without the bounds that it satisfies; zero behind them."""
    b = low.b
    zeros = [b.constant(0)] * len(tensor.shape)
    other = b.constant(0, view.element)
    access = Access(view.base, view.strides, zeros, wanted, None, 1, None, other, view.element, tensor.shape, tensor.origin)
    return Loaded(shape=tensor.shape, element=tensor.element, origin=tensor.origin, access=access, home=b.depth)
