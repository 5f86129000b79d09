"""Where register tiles of a product are: the pointers to the rows of their sums, and to the words of A and B that they read."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.strips import Strips
from triton_spacemit.passes.loops.views import View

# Pointers into A up to which the loop over k has a register left for one into C. Of that, not looked through, others are at immediate
# distances; else each is a variable of the loop over tiles.
POINTERS = 8


@dataclass(frozen=True, eq=False)
class Destination:
    """Memory of the caller where tiles store their sums: its rows lie `stride` elements apart, and end where the wanted columns do."""

    base: Emitted
    stride: Emitted


@dataclass(frozen=True, eq=False)
class Place:
    """Where a register tile is, and its size: its matrix in a batch, first row and column, rows and columns, of these the first
    `active` (None: all) that are multiplied and the first `left` (None: all) that are wanted, and B's strips where it is copied by such.
    exact: all its rows are wanted."""

    batch: list[Emitted]
    base_c: Emitted
    row: Emitted
    column: Emitted
    rows: int
    columns: int
    active: Emitted | None
    left: Emitted | None
    strips: Strips | None
    exact: bool


def unit_rows(low: Lowering, product: Product, place: Place, unit: MicroTile) -> list[list[list[Emitted]]]:
    """For each row of units, for each unit in it, where its rows begin in C."""
    b, target = low.b, product.target

    def start(number: Emitted) -> Emitted:
        pointer = b.offset(place.base_c, b.mul(number, b.constant(target.strides[-2])), target.stored)
        return b.offset(pointer, place.column, target.stored)

    if place.rows // product.left.across <= POINTERS:
        first = b.freeze(start(place.row))
        starts = [b.offset(first, b.constant(r * target.strides[-2]), target.stored) for r in range(place.rows)]
    else:
        starts = [start(b.add(place.row, b.constant(r))) for r in range(place.rows)]
    return units_at(low, product, place, unit, starts)


def units_at(low: Lowering, product: Product, place: Place, unit: MicroTile, starts: list[Emitted]) -> list[list[list[Emitted]]]:
    """The same of a tile whose rows begin at `starts`."""
    b, stored, rows = low.b, product.target.stored, []
    for row in range(0, place.rows, unit.m):
        at = [[b.offset(p, b.constant(c), stored) for p in starts[row : row + unit.m]] for c in range(0, place.columns, unit.n)]
        rows.append(at)
    return rows


def destination_rows(low: Lowering, product: Product, place: Place, destination: Destination, unit: MicroTile) -> list[list[list[Emitted]]]:
    """The same in the memory of the caller. Rows behind the wanted ones are stored in C's own buffer, which has room for them."""
    b, target = low.b, product.target

    def aside() -> list[Emitted]:
        row, pointers = b.pinned(place.row), []  # else LLVM would compute it for every tile
        wanted = b.offset(b.offset(destination.base, place.column, target.stored), b.mul(row, destination.stride), target.stored)
        own = b.offset(b.offset(target.base, place.column, target.stored), b.mul(row, b.constant(target.strides[-2])), target.stored)
        for r in range(place.rows):
            behind = b.offset(own, b.constant(r * target.strides[-2]), target.stored)
            pointers.append(b.select(b.compare("slt", b.add(row, b.constant(r)), product.wanted_rows), wanted, behind))
            wanted = b.offset(wanted, destination.stride, target.stored)
        return pointers

    base = b.offset(destination.base, place.column, target.stored)
    starts = row_pointers(low, product, place, base, destination.stride, target.stored, place.exact, aside)
    return units_at(low, product, place, unit, starts)


def row_pointers(
    low: Lowering,
    product: Product,
    place: Place,
    base: Emitted,
    stride: Emitted,
    element: ir.Type,
    consecutive: bool,
    otherwise: Callable[[], list[Emitted]],
) -> list[Emitted]:
    """Where the rows of a tile begin that lie `stride` elements apart; unless they are `consecutive`, in a tile that is not all wanted,
    what `otherwise` gives."""
    b = low.b

    def plain(row: Emitted) -> list[Emitted]:
        pointers = [b.offset(base, b.mul(row, stride), element)]
        for number in range(1, place.rows):
            if stride.constant is None:
                pointers.append(b.offset(pointers[-1], stride, element))
            else:
                pointers.append(b.offset(pointers[0], b.constant(number * stride.constant), element))
        return pointers

    if consecutive or place.rows == 1:
        return plain(place.row)
    whole = b.compare("sle", b.add(place.row, b.constant(place.rows)), product.wanted_rows)
    return b.if_else(whole, [(b.ptr, 0)] * place.rows, lambda: plain(b.freeze(place.row)), otherwise)


def ask_for_sums(low: Lowering, product: Product, place: Place, unit: MicroTile, rows: list[list[list[Emitted]]]) -> None:
    """Ask for the memory of the next tile's sums; `rows` are this one's, of `unit_rows`."""
    b, target = low.b, product.target
    for pointer in itertools.chain.from_iterable(itertools.chain.from_iterable(rows)):
        below = b.offset(pointer, b.constant(place.rows * target.strides[-2]), target.stored)
        low.memory.prefetch(below, target.stored, unit.n)


def words_of_a(low: Lowering, product: Product, place: Place, view: View, is_consecutive: bool) -> list[Emitted]:
    """Where the rows of words of A begin that a register tile reads: those behind the wanted ones repeat the last of these, where A ends
    there (not `is_consecutive`)."""
    b, base, stride, across = low.b, view.base, view.strides[-2], product.left.across
    for index, distance in zip(place.batch, view.strides, strict=False):
        base = b.offset(base, b.mul(index, distance), view.element)
    if across > 1:
        first = b.op("arith.divui", b.i64, [place.row, b.constant(across)])
        return [b.offset(base, b.mul(b.add(first, b.constant(r)), stride), view.element) for r in range(place.rows // across)]

    def repeated(row: Emitted) -> list[Emitted]:
        last = b.sub(product.wanted_rows, b.constant(1))
        numbers = [row, *(b.minimum(b.add(row, b.constant(r)), last) for r in range(1, place.rows))]
        return [b.offset(base, b.mul(number, stride), view.element) for number in numbers]

    if not is_consecutive and not low.chip.in_order:
        return repeated(place.row)
    return row_pointers(low, product, place, base, stride, view.element, is_consecutive, lambda: repeated(b.pinned(place.row)))


def words_of_b(low: Lowering, product: Product, place: Place, view: View, columns: range) -> list[Emitted]:
    """Where the words that begin at these columns of the register tile are."""
    b, base, across = low.b, view.base, product.right.across
    for index, stride in zip(place.batch, view.strides, strict=False):
        base = b.offset(base, b.mul(index, stride), view.element)
    first = place.column if across == 1 else b.op("arith.divui", b.i64, [place.column, b.constant(across)])
    base = b.offset(base, b.mul(first, view.strides[-1]), view.element)
    return [b.offset(base, b.mul(b.constant(column // across), view.strides[-1]), view.element) for column in columns]
