"""Register tiles of a product's result: where they are, and what one computes."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.module import SCHEDULED
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.steps import Carried, Steps, StepsAhead
from triton_spacemit.passes.loops.strips import Strips
from triton_spacemit.passes.loops.tile_places import (
    Destination,
    Place,
    ask_for_sums,
    destination_rows,
    unit_rows,
    words_of_a,
    words_of_b,
)
from triton_spacemit.passes.loops.views import View


@dataclass(frozen=True, eq=False)
class Begin:
    """What sums start at: zero, which may be known at run time only, or what C is in memory, times a number for each row (`factor`)."""

    at_zero: bool | Emitted
    factor: Callable[[Emitted], Emitted] | None = None


@dataclass(frozen=True, eq=False)
class Turns:
    """What is summed up: `count` turns (None: one), where A and B of each lie and how many of the tile's steps of k there are, and
    what the sums start at.

    padded_rows, padded_columns: A, and B, have elements behind the wanted ones. most: what `count` may be. strips: B is copied by strips.
    destination: where sums are stored, if that is not where they are loaded from.
    """

    count: Emitted | None
    operands: Callable[[Emitted | None], tuple[View, View, Emitted]]
    begin: Begin
    padded_rows: bool
    padded_columns: bool
    most: int = 1
    strips: bool = False
    destination: Destination | None = None


class Tiles:
    """All register tiles of one product."""

    def __init__(self, low: Lowering, product: Product, turns: Turns) -> None:
        self.low, self.product, self.turns = low, product, turns
        b, costs = low.b, low.chip.costs
        height = product.tile.rows
        self.unroll = costs.tile_unroll if product.inner < costs.tile_long else costs.tile_unroll_long
        self.few_rows = product.rows % height  # that are left over, in a tile of their own if that spares enough
        if (height - self.few_rows) * costs.tile_spared < product.rows:
            self.few_rows = 0
        self.most_rows = b.maximum(b.sub(product.wanted_rows, b.constant(self.few_rows)), b.constant(0))
        self.last_rows = round_up(low, self.most_rows, height) if self.few_rows else product.wanted_rows
        self.strips = Strips(low, product, turns.count, turns.most, lambda turn: turns.operands(turn)[1:]) if turns.strips else None

    def run(self) -> None:
        b, target = self.low.b, self.product.target

        def matrix(at: list[Emitted]) -> None:
            if len(at) < len(self.product.batch):
                b.repeat(b.constant(0), b.constant(self.product.batch[len(at)]), 1, lambda i: matrix([*at, i]))
                return
            base_c = target.base
            for i, stride in zip(at, target.strides, strict=False):
                base_c = b.offset(base_c, b.mul(i, b.constant(stride)), target.stored)
            self._columns(at, base_c)

        matrix([])

    def _columns(self, batch: list[Emitted], base_c: Emitted) -> None:
        b, product, costs = self.low.b, self.product, self.low.chip.costs
        columns = product.tile.columns
        narrow = product.tile.form.narrower(self.low.chip, columns)
        if math.gcd(product.wanted_columns.divisor, columns) > narrow:
            narrow = 0  # so many columns, or a multiple of them, are left in every register tile
        wanted, lengths = product.wanted_columns, self.low.chip.active_lengths
        exact = wanted.constant is not None and wanted.constant % columns == 0
        whole = wanted.constant is not None or (self.turns.padded_columns and not lengths)
        if self.turns.destination is not None and lengths:
            whole = exact

        def column(j: Emitted) -> None:
            left = b.minimum(b.sub(product.wanted_columns, j), b.constant(columns))
            if self.strips is not None:
                self.strips.begin(j)

            def wide() -> None:
                self._rows(batch, base_c, j, columns, None if whole else left, None if exact else left, self.unroll)

            if whole or not narrow:
                wide()
                return
            few = b.compare("sle", left, b.constant(narrow))
            b.choose(few, lambda: self._rows(batch, base_c, j, narrow, left, left, self.unroll // costs.tile_part), wide)

        b.repeat(b.constant(0), product.wanted_columns, columns, column)

    def _rows(
        self,
        batch: list[Emitted],
        base_c: Emitted,
        column: Emitted,
        columns: int,
        active: Emitted | None,
        left: Emitted | None,
        unroll: int,
    ) -> None:
        b, product, few = self.low.b, self.product, self.few_rows
        height = product.tile.rows

        def tiles(begin: Emitted, end: Emitted, rows: int, unroll: int) -> None:
            exact = begin.constant is not None and end.constant is not None and (end.constant - begin.constant) % rows == 0

            def tile(row: Emitted) -> None:
                if self.strips is not None:
                    self.strips.with_tile(row, column)
                place = Place(batch, base_c, row, column, rows, columns, active, left, self.strips, exact)
                run_tile(self.low, product, place, self.turns, unroll)

            b.repeat(begin, end, height, tile)

        tiles(b.constant(0), self.most_rows, height, unroll)
        if few:
            tiles(self.last_rows, product.wanted_rows, few, max(1, unroll // self.low.chip.costs.tile_part))


def round_up(low: Lowering, number: Emitted, unit: int) -> Emitted:
    """The least multiple of `unit` that is not below `number`."""
    b = low.b
    if number.constant is not None:
        return b.constant(-(-number.constant // unit) * unit)
    return b.mul(b.op("arith.divui", b.i64, [b.add(number, b.constant(unit - 1)), b.constant(unit)]), b.constant(unit))


def run_tile(low: Lowering, product: Product, place: Place, turns: Turns, most_unrolled: int) -> None:
    """`C[row : row + rows, column : column + columns] += sum over turns of A[row : row + rows, :] @ B[:, column : column + columns]`.

    The tile of C is in registers, unit by unit. Rows behind the wanted ones read the last wanted row of A; what they give lands behind
    C's rows, where every buffer has room.
    """
    unit = product.units(low, (place.rows, place.columns), place.active)
    if unit.in_order:
        low.module.operation.attributes[SCHEDULED] = ir.UnitAttr.get()
    rows_c = unit_rows(low, product, place, unit)
    is_consecutive = product.left.across > 1 or turns.padded_rows or place.exact
    unroll = math.gcd(product.inner // unit.k, min(most_unrolled, unit.most_steps))
    across = range(place.columns // unit.n)
    words = range(0, place.columns, max(unit.n, product.right.across))

    def turn(number: Emitted | None, carried: Carried) -> Carried:
        left, right, inner = turns.operands(number)
        rows, columns = words_of_a(low, product, place, left, is_consecutive), words_of_b(low, product, place, right, words)
        strips, ask = place.strips, None
        if strips is not None:
            ask = functools.partial(strips.ask, place.row, place.column, right)
            right, columns[0] = strips.words(number, place.column, right, columns[0])
        apart = left.strides[-2].constant if is_consecutive else None
        return (StepsAhead if unit.in_order else Steps)(low, unit, left, right, rows, columns, ask, apart).run(inner, unroll, carried)

    if place.strips is not None:
        ask_for_sums(low, product, place, unit, rows_c)
    start = first_sums(low, product, place, turns.begin, unit, rows_c)
    carried = Carried(unit, start, [unit.corrections() for _ in across], [unit.placeholders() for _ in words])
    if turns.count is None:
        carried = turn(None, carried)
    else:
        values, _ = low.b.for_loop(low.b.constant(0), turns.count, 1, carried.flat(), lambda i, v: turn(i, carried.filled(v)).flat())
        carried = carried.filled(values)
    left = None
    if turns.destination is not None:
        rows_c, left = destination_rows(low, product, place, turns.destination, unit), place.left
    for row, sums in zip(rows_c, carried.sums, strict=True):
        for pointers, value, corrections in zip(row, sums, carried.corrections, strict=True):
            unit.store_sums(pointers, unit.finished(value, corrections), left)


def first_sums(
    low: Lowering, product: Product, place: Place, begin: Begin, unit: MicroTile, rows_c: list[list[list[Emitted]]]
) -> list[list[Emitted]]:
    """The sums of each row of units before the first step."""

    def zeros() -> list[list[Emitted]]:
        return [[unit.zero() for _ in row] for row in rows_c]

    def loaded() -> list[list[Emitted]]:
        return sums_in_memory(low, product, place, begin, unit, rows_c)

    if isinstance(begin.at_zero, bool):
        return zeros() if begin.at_zero else loaded()

    def flat(sums: list[list[Emitted]]) -> list[Emitted]:
        return [value for row in sums for value in unit.joined(row)]

    types = [(low.b.element(value), value.width) for value in flat(zeros())]
    values = low.b.if_else(begin.at_zero, types, lambda: flat(zeros()), lambda: flat(loaded()))
    each = len(values) // len(rows_c)
    return [unit.separated(values[r * each : (r + 1) * each]) for r in range(len(rows_c))]


def sums_in_memory(
    low: Lowering, product: Product, place: Place, begin: Begin, unit: MicroTile, rows_c: list[list[list[Emitted]]]
) -> list[list[Emitted]]:
    """The sums of each row of units that C holds."""
    sums = [[unit.load_sums(pointers) for pointers in row] for row in rows_c]
    if begin.factor is None:
        return sums
    b, last = low.b, low.b.constant(product.rows - 1)
    rows = [b.add(place.row, b.constant(r)) for r in range(0, place.rows, unit.m)]
    if not place.exact:
        rows = [b.minimum(row, last) for row in rows]  # those behind C repeat its last
    factors = [begin.factor(row) for row in rows]
    return [[unit.scaled(value, factor) for value in values] for values, factor in zip(sums, factors, strict=True)]
