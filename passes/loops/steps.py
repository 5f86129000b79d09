"""The loop over k of one register tile."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile
from triton_spacemit.passes.loops.views import View


@dataclass(eq=False)
class Carried:
    """What loops over steps and turns carry: the sums of each row of units; for each column of units its corrections; for each column of
    words the last two of B, where registers are tied to values."""

    unit: MicroTile
    sums: list[list[Emitted]]
    corrections: list[list[Emitted]]
    words: list[list[Emitted]]

    def flat(self) -> list[Emitted]:
        joined = [self.unit.joined(row) for row in self.sums]
        return [value for values in (*joined, *self.corrections, *self.words) for value in values]

    def filled(self, values: list[Emitted]) -> "Carried":
        """The same with other values."""
        rest = iter(values)
        sums = [self.unit.separated([next(rest) for _ in (row[:1] if self.unit.joins else row)]) for row in self.sums]
        return Carried(self.unit, sums, *([[next(rest) for _ in part] for part in parts] for parts in (self.corrections, self.words)))


@dataclass(eq=False)
class Steps:
    """The steps over k of a register tile in one turn: `rows_a` and `columns_b` are where its rows and columns of words begin in memory."""

    low: Lowering
    unit: MicroTile
    left: View
    right: View
    rows_a: list[Emitted]
    columns_b: list[Emitted]

    def run(self, inner: Emitted, unroll: int, carried: Carried) -> Carried:
        """`inner` steps: a loop that takes `unroll` at a time, and shorter ones for the rest."""
        b, part = self.low.b, self.low.chip.costs.tile_part
        places = self.places()
        done = b.constant(0)
        for count in [unroll, *([part] if unroll > 2 * part else []), 1]:
            end = self._multiple(inner, count)
            body = functools.partial(self._turn, count, carried)
            values, _ = b.for_loop(done, end, count, [*carried.flat(), *places], body)
            carried, places = carried.filled(values), values[len(values) - len(places) :]
            done = end
        return carried

    def _turn(self, count: int, shape: Carried, k: Emitted, values: list[Emitted]) -> list[Emitted]:
        carried = shape.filled(values)
        places = self.steps(count, k, carried, values[len(carried.flat()) :])
        return [*carried.flat(), *places]

    def _multiple(self, number: Emitted, count: int) -> Emitted:
        """The largest multiple of `count`, a power of two, that is not above `number`."""
        b = self.low.b
        if count == 1:
            return number
        return b.op("arith.andi", b.i64, [number, b.constant(-count)]) if number.constant is None else b.constant(number.constant & -count)

    def places(self) -> list[Emitted]:
        """Pointers that move with the steps."""
        return []

    def steps(self, count: int, k: Emitted, carried: Carried, places: list[Emitted]) -> list[Emitted]:
        """`count` steps from `k` on, which change `carried`; gives the places behind them."""
        b, unit = self.low.b, self.unit
        for u in range(count):
            step, rights = b.add(k, b.constant(u)), []
            for start in self.columns_b:
                rights += unit.right_words(unit.load_right(b.offset(start, b.mul(step, self.right.strides[-2]), self.right.element)))
            for column, right in enumerate(rights):
                carried.corrections[column] = unit.add_corrections(right, carried.corrections[column])
            rows = iter(carried.sums)
            for start in self.rows_a:
                pointer = b.offset(start, b.mul(step, self.left.strides[-1]), self.left.element)
                for left in unit.left_words(unit.load_left(pointer), 0):
                    sums = next(rows)
                    sums[:] = [unit.multiply_add(left, right, total) for right, total in zip(rights, sums, strict=True)]
        return []


class StepsAhead(Steps):
    """The same for an in-order core: behind each multiplication stands one load of what the next step multiplies.

    The loops carry the places of the next words. Where registers are tied to values, a word of B goes where the last but one was.
    """

    def places(self) -> list[Emitted]:
        # a constant distance would be added up from the loop's start, in two instructions once it is too large for one
        self.distance = self.low.b.opaque(self.right.strides[-2])
        self.along = self.left.strides[-1] if self.unit.immediates else self.low.b.opaque(self.left.strides[-1])
        return [*self.columns_b, *self.rows_a]

    def steps(self, count: int, k: Emitted, carried: Carried, places: list[Emitted]) -> list[Emitted]:
        b, unit, across = self.low.b, self.unit, len(self.columns_b)
        places = [b.freeze(place) for place in places]  # else loop passes compute them anew just before each load
        together = min(count, unit.left_steps)
        columns, rows = places[:across], Rows(self.low, self.left, places[across:], b.mul(self.along, b.constant(together)))
        rights = [self._right(place, words) for place, words in zip(columns, carried.words, strict=True)]
        lefts = [unit.load_left(rows.at(r, 0), together) for r in range(len(self.rows_a))]
        for u in range(count):
            columns = [b.offset(place, self.distance, self.right.element) for place in columns]
            following = self._loads(columns, rows, carried, u + 1, together) if u + 1 < count else iter(())
            loaded: list[Emitted] = []
            words = [word for right in rights for word in unit.right_words(right)]
            for c, right in enumerate(words):
                carried.corrections[c] = unit.add_corrections(right, carried.corrections[c])
            units = [word for left in lefts for word in unit.left_words(left, u % together)]
            for left, sums in zip(units, carried.sums, strict=True):
                for c, right in enumerate(words):
                    sums[c] = unit.multiply_add(left, right, sums[c])
                    loaded += itertools.islice(following, 1)
            loaded += following
            rights, lefts = loaded[:across], loaded[across:] or lefts
        return [*columns, *(rows.at(r, count // together) for r in range(len(self.rows_a)))]

    def _loads(self, columns: list[Emitted], rows: "Rows", carried: Carried, u: int, together: int) -> Iterator[Emitted]:
        """The words of step `u`, each loaded when it is asked for: a word of A comes a row behind the multiplication that reads the
        register of the one before. Those of A come for so many steps `together`."""
        for place, words in zip(columns, carried.words, strict=True):
            yield self._right(place, words)
        if u % together == 0:
            for r in range(len(self.rows_a)):
                yield self.unit.load_left(rows.at(r, u // together), together)

    def _right(self, place: Emitted, words: list[Emitted]) -> Emitted:
        """The word at `place`, in the register of the first of the last two `words`, where there are any."""
        word = self.unit.load_right(place, words[0] if words else None)
        if words:
            words[:] = [words[1], word]
        return word


class Rows:
    """Pointers into rows of words of A: at the first of some steps, and on at a `distance`."""

    def __init__(self, low: Lowering, view: View, starts: list[Emitted], distance: Emitted) -> None:
        self.b, self.distance, self.element = low.b, distance, view.element
        self.known = [[start] for start in starts]  # by row, then by load

    def at(self, r: int, number: int) -> Emitted:
        """The place of the load of this number of row `r`: at an immediate distance from the first where that is constant, else from the
        one before."""
        pointers = self.known[r]
        if self.distance.constant is not None:
            return self.b.offset(pointers[0], self.b.constant(number * self.distance.constant), self.element)
        while len(pointers) <= number:
            pointers.append(self.b.offset(pointers[-1], self.distance, self.element))
        return pointers[number]
