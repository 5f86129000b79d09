"""The operands of products in memory as the tiles read them: in place where they lie so, else copied."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.passes.loops.copies import copy_from, copy_wanted, copy_words, pack, read_at
from triton_spacemit.passes.loops.elementwise import converted
from triton_spacemit.passes.loops.emitter import Emitted, is_zero
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.narrow import as_bytes
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.tensors import LINE, Buffer, Loaded, Renamed, Tensor, bits
from triton_spacemit.passes.loops.views import View, either, in_place, view_of


@dataclass(frozen=True, eq=False)
class Operand:
    """Where an operand's words are. padded: there are zeros behind the wanted rows of A, or columns of B. strips: of B, that it is worth
    copying strip by strip."""

    view: View
    padded: bool
    strips: bool = False


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
    b, depth = low.b, product.left.depth
    return b.divided(inner if inner.divisor % depth == 0 else b.add(inner, b.constant(depth - 1)), depth)


def operand_buffer(low: Lowering, layout: Layout, shape: tuple[int, ...], turns: tuple[int, ...] = ()) -> Buffer:
    """Room for the words of a copy of an operand of `shape`, for so many turns."""
    *others, rows, columns = (*turns, *layout.words(shape))
    if not layout.by_column:
        return matrix_buffer(low, (*others, rows, columns), layout.word)
    buffer = matrix_buffer(low, (*others, columns, rows), layout.word)
    *strides, column, row = buffer.strides
    return replace(buffer, shape=(*others, rows, columns), strides=(*strides, row, column))


def matrix_buffer(low: Lowering, shape: tuple[int, ...], word: ir.Type) -> Buffer:
    """Room for matrices; rows whose starts would meet in few sets of a cache lie a cache line further apart."""
    line = LINE * 8 // bits(word)
    padded = shape[-1] if line == 0 or shape[-1] % (4 * line) else shape[-1] + line
    buffer = low.storage.allocate((*shape[:-1], padded), word)
    if low.chip.slow_subnormals:  # whatever lies there may be subnormal numbers
        behind = low.b.offset(buffer.base, low.b.constant(math.prod((*shape[:-1], padded))), word)
        zero, size = low.b.constant(0, low.b.i8), low.b.constant(buffer.room * bits(word) // 8)
        once = {"isVolatile": ir.BoolAttr.get(False)}
        low.b.create("llvm.intr.memset", [], [behind.value, zero.value, size.value], once, depth=low.storage.frame)
    return replace(buffer, shape=shape)


def locate(low: Lowering, product: Product, layout: Layout, tensor: Tensor, inner: Emitted, slot: Callable[[], Buffer]) -> Operand:
    """An operand in memory as the tiles read it, `inner` steps along k: in place where it can be, else copied into `slot()`."""
    wanted = [low.b.constant(n) for n in tensor.shape]
    wanted[len(product.batch) :] = [product.wanted_rows, inner] if layout.is_left else [inner, product.wanted_columns]
    if layout.is_plain:
        return _plain(low, product, layout, tensor, wanted, slot)
    if layout.element == low.b.i8 and tensor.element != low.b.i8:
        tensor = as_bytes(low, tensor)
    buffer = slot()
    source = product.tile.form.prepared_left if layout.is_left else lambda low, tensor: tensor

    found = in_place(low, tensor, wanted)

    def held(part: Tensor) -> Tensor:
        return source(low, converted(low, part, layout.element))

    def copy(bounded: Tensor, plain: Tensor | None) -> None:
        with low.storage.region():
            copy_words(low, layout, held(bounded), None if plain is None else held(plain), buffer, wanted)

    def copy_view(bounded: Tensor) -> None:
        assert found is not None
        copy(bounded, read_at(low, tensor, found[0], [low.b.constant(n) for n in tensor.shape]))

    copy_from(low, tensor, found, wanted, copy_view, lambda whole: copy(whole, None))
    return Operand(view_of(low, buffer, layout.word), True)


def _plain(low: Lowering, product: Product, layout: Layout, tensor: Tensor, wanted: list[Emitted], slot: Callable[[], Buffer]) -> Operand:
    """The same where words are elements."""
    b, chip = low.b, low.chip
    found = in_place(low, tensor, wanted)
    uses, least, slack = product.rows, chip.costs.copied_uses_of_b, 0
    if layout.is_left:
        uses, least, slack = product.columns, chip.costs.copied_uses, product.tile.rows

    def copied(found: tuple[View, Emitted | None] | None) -> View:
        buffer = slot()

        def copy_view(plain: Tensor) -> None:
            copy_wanted(low, converted(low, plain, layout.element), buffer, wanted, slack)

        copy_from(low, tensor, found, wanted, copy_view, lambda whole: pack(low, converted(low, whole, layout.element), buffer))
        return view_of(low, buffer, layout.element)

    view, condition = found or (None, None)
    if view is None or tensor.element != layout.element or (layout.adjacent and view.strides[-1].constant != 1):
        return Operand(copied(found), True)
    is_buffer = low.storage.buffer_of(tensor) is not None
    if not layout.is_left and not product.batch and 0 < chip.costs.strip_rows <= product.rows and not is_buffer:
        return Operand(either(low, view, condition, lambda: copied(None)), False, True)
    if not chip.cache_way_bytes or is_buffer or uses < least:
        return Operand(either(low, view, condition, lambda: copied(None)), False)
    return Operand(either(low, view, b.both(condition, spread(low, product, layout, view)), lambda: copied(found)), False)


def spread(low: Lowering, product: Product, layout: Layout, view: View) -> Emitted:
    """Whether the first elements of neighbouring rows lie in different sets of the caches.

    Of B a register tile reads a few columns of all rows of a chunk, again and again: they have to share half of the first cache.
    """
    b, chip = low.b, low.chip
    distance = b.mul(view.strides[-2], b.constant(bits(view.element) // 8))

    def apart(way: int, slack: int) -> Emitted:
        """Whether the distance is no multiple of `way`, by at least so many bytes."""
        place = b.op("arith.andi", b.i64, [b.add(distance, b.constant(slack)), b.constant(way - 1)])
        return b.compare("sge", place, b.constant(2 * slack))

    far, way = apart(chip.cache_way_bytes, LINE), 2 * chip.costs.chunk_bytes // product.steps
    return far if layout.is_left or way < LINE else b.both(far, apart(way, LINE // 4))
