"""Copies of a product's operands, in the layout that its tiles read."""

from collections.abc import Callable
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.elementwise import total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.panels import copy_panels
from triton_spacemit.passes.loops.tensors import Access, Buffer, Computed, Coordinate, Coordinates, Loaded, Tensor, bits, stored_type
from triton_spacemit.passes.loops.transposes import crossing_of
from triton_spacemit.passes.loops.views import View


def copy_wanted(low: Lowering, tensor: Tensor, buffer: Buffer, wanted: list[Emitted], slack: int) -> None:
    """The `wanted` first elements of `tensor`, and zeros in `slack` rows behind them."""
    b = low.b
    access = low.memory.buffer_access(buffer, tensor.origin)
    if crossing_of(low.evaluator, low.chip, [tensor], [access]) is not None:
        low.storage.write_all([(tensor, buffer)])
        return
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


def pack(low: Lowering, tensor: Tensor, buffer: Buffer) -> None:
    """Copy the whole operand."""
    with low.storage.region():
        low.storage.write_all([(tensor, buffer)])


def copy_words(low: Lowering, layout: Layout, tensor: Tensor, plain: Tensor | None, buffer: Buffer, wanted: list[Emitted]) -> None:
    """Copy a matrix into a buffer of words: at least those that have any of the `wanted` first rows and columns.

    plain: the same in these, without conditions; it may not be read elsewhere. None where there is no such thing.
    """
    if layout.across > 1:
        copy_panels(low, layout, tensor, plain, buffer, wanted)
    elif layout.is_left:  # the words of a row, one behind the other, are the row
        strides, stored = (buffer.strides[0] * layout.depth, 1), stored_type(low.b, tensor.element)
        low.storage.write_all([(tensor, replace(buffer, shape=tensor.shape, strides=strides, element=tensor.element, stored=stored))])
    else:
        load = low.storage.load_of(tensor)
        if load is not None and load.access.strides[-1].constant != 1:
            low.storage.materialise(tensor)  # along rows
        low.storage.write_all([(_rows_joined(low, tensor, layout.depth), buffer)])


def _rows_joined(low: Lowering, tensor: Tensor, count: int) -> Tensor:
    """`count` rows as one row of words, the first row lowest in each."""
    b = low.b
    shape, width = (tensor.shape[0] // count, tensor.shape[1]), bits(tensor.element)
    word = ir.IntegerType.get_signless(width * count)

    def compute(at: Coordinates) -> Emitted:
        total = None
        for i in range(count):
            row = Coordinate(b.add(b.mul(at[0].start, b.constant(count)), b.constant(i)))
            part = low.evaluate(tensor, (row, at[1]))
            if isinstance(tensor.element, ir.FloatType):
                part = b.op("arith.bitcast", ir.IntegerType.get_signless(width), [part])
            part = b.op("arith.extui", word, [part])
            if total is None:
                total = part
                continue
            shifted = b.op("arith.shli", word, [part, b.constant(width * i, word)], {"overflowFlags": b.no_flags})
            total = b.op("arith.ori", word, [total, shifted])
        return total

    cost = total_cost(low, 2 * count, {tensor})
    return Computed(shape=shape, element=word, origin=tensor.origin, sources=((tensor, (None, 1)),), cost=cost, compute=compute)


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
