"""The loop over k of one register tile."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import MicroTile
from triton_spacemit.passes.loops.tensors import bits
from triton_spacemit.passes.loops.views import View

REACH = 2047  # bytes from a pointer to what an instruction loads there, either way


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
    """The steps over k of a register tile in one turn: `rows_a` and `columns_b` are where its rows and columns of words begin in memory.

    ask: called with the number of a step now and then, to ask for memory that is needed later.
    apart: the distance between neighbours of `rows_a`, in words, where it is a known number.
    """

    low: Lowering
    unit: MicroTile
    left: View
    right: View
    rows_a: list[Emitted]
    columns_b: list[Emitted]
    ask: Callable[[Emitted], None] | None = None
    apart: int | None = None

    def run(self, inner: Emitted, unroll: int, carried: Carried) -> Carried:
        """`inner` steps: a loop that takes `unroll` at a time, and shorter ones for the rest."""
        b, part = self.low.b, self.low.chip.costs.tile_part
        places = self.places(unroll)
        done = b.constant(0)
        for count in [unroll, *([part] if unroll > 2 * part else []), 1]:
            end = b.rounded_down(inner, count)
            body = functools.partial(self._turn, count, carried)
            values, _ = b.for_loop(done, end, count, [*carried.flat(), *places], body)
            carried, places = carried.filled(values), values[len(values) - len(places) :]
            done = end
            if end is inner:
                break
        return carried

    def _turn(self, count: int, shape: Carried, k: Emitted, values: list[Emitted]) -> list[Emitted]:
        carried = shape.filled(values)
        places = self.steps(count, k, carried, values[len(carried.flat()) :])
        return [*carried.flat(), *places]

    def places(self, unroll: int) -> list[Emitted]:
        """Pointers that move with the steps, of which a turn of a loop takes up to `unroll`."""
        return []

    def steps(self, count: int, k: Emitted, carried: Carried, places: list[Emitted]) -> list[Emitted]:
        """`count` steps from `k` on, which change `carried`; gives the places behind them."""
        b, unit = self.low.b, self.unit
        if self.ask is not None and count > 1:
            self.ask(k)
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

    def places(self, unroll: int) -> list[Emitted]:
        # a constant distance would be added up from the loop's start, in two instructions once it is too large for one
        self.down = self._opaque(self.right, self.right.strides[-2])
        self.along = None if self.unit.immediates else self._opaque(self.left, self.left.strides[-1])
        self.middle = len(self.rows_a) // 2
        self.is_near = self._is_near(unroll)
        return [*self.columns_b, *([self.rows_a[self.middle]] if self.is_near else self.rows_a)]

    def _is_near(self, unroll: int) -> bool:
        """Whether all of A that a turn of a loop loads is at immediate distances from where the middle row is."""
        if self.apart is None or not self.unit.immediates or self.left.strides[-1].constant != 1:
            return False
        behind = (len(self.rows_a) - 1 - self.middle) * self.apart + unroll
        return max(self.middle * self.apart, behind) * bits(self.left.element) // 8 <= REACH

    def _opaque(self, view: View, distance: Emitted) -> Emitted:
        """A distance in bytes that LLVM does not know."""
        b = self.low.b
        return b.opaque(b.mul(distance, b.constant(bits(view.element) // 8)))

    def steps(self, count: int, k: Emitted, carried: Carried, places: list[Emitted]) -> list[Emitted]:
        b, unit, across = self.low.b, self.unit, len(self.columns_b)
        places = [b.freeze(place) for place in places]  # else loop passes compute them anew just before each load
        together = min(count, unit.left_steps)
        columns = [Moving(self.low, self.right, place, self.right.strides[-2], self.down) for place in places[:across]]
        along = None if self.along is None else b.mul(self.along, b.constant(together))
        starts = places[across:]
        if self.is_near:
            assert self.apart is not None
            near = [(r - self.middle) * self.apart for r in range(len(self.rows_a))]
            starts = [b.offset(starts[0], b.constant(distance), self.left.element) for distance in near]
        rows = [Moving(self.low, self.left, start, self.left.strides[-1], along) for start in starts]
        rights = [self._right(place, words) for place, words in zip(columns, carried.words, strict=True)]
        lefts = [self._left(row, together) for row in rows]
        for u in range(count):
            for place in (*columns, *rows):
                place.at_rest()
            words = [word for right in rights for word in unit.right_words(right)]
            for c, right in enumerate(words):
                carried.corrections[c] = unit.add_corrections(right, carried.corrections[c])
            units = [word for left in lefts for word in unit.left_words(left, u % together)]
            following = []
            if u + 1 < count:
                following = [functools.partial(self._right, *pair) for pair in zip(columns, carried.words, strict=True)]
                if (u + 1) % together == 0:  # a word of A comes a row behind the multiplication that reads the register of the one before
                    following += [functools.partial(self._left, row, together) for row in rows]
            loads = iter(following)
            apart = max(1, len(words) * len(units) // max(1, len(following)))  # a load that has to wait for the last one holds up the rest
            loaded: list[Emitted] = []
            for number, (r, c) in enumerate(itertools.product(range(len(units)), range(len(words)))):
                carried.sums[r][c] = unit.multiply_add(units[r], words[c], carried.sums[r][c])
                if number % apart == 0:
                    loaded += (load() for load in itertools.islice(loads, 1))
            loaded += (load() for load in loads)
            rights, lefts = loaded[:across], loaded[across:] or lefts
        return [place.at_rest() for place in (*columns, *([rows[self.middle]] if self.is_near else rows))]

    def _left(self, row: "Moving", steps: int) -> Emitted:
        """The words of a row at its next place, so many steps of them."""
        return self.unit.load_left(row.take(steps), steps)

    def _right(self, column: "Moving", words: list[Emitted]) -> Emitted:
        """The word at the next place, in the register of the first of the last two `words`, where there are any."""
        word = self.unit.load_right(column.take(), words[0] if words else None)
        if words:
            words[:] = [words[1], word]
        return word


class Moving:
    """A pointer that moves on along k with each load: by `distance` bytes, or where that is None by the view's `stride`."""

    def __init__(self, low: Lowering, view: View, start: Emitted, stride: Emitted, distance: Emitted | None) -> None:
        self.b, self.element, self.stride, self.distance = low.b, view.element, stride, distance
        self.start = self.pointer = start
        self.taken, self.passed = 0, False

    def take(self, steps: int = 1) -> Emitted:
        """Where the next load is, of so many steps."""
        place = self.at_rest()
        self.taken, self.passed = self.taken + steps, True
        return place

    def at_rest(self) -> Emitted:
        """The place of the next load: best known well before it, since a load waits for its address."""
        if not self.passed:
            return self.pointer
        self.passed = False
        if self.distance is not None:
            self.pointer = self.b.offset(self.pointer, self.distance, self.b.i8)
        elif self.stride.constant is not None:  # an immediate distance from the first one
            self.pointer = self.b.offset(self.start, self.b.constant(self.taken * self.stride.constant), self.element)
        else:
            self.pointer = self.b.offset(self.pointer, self.stride, self.element)
        return self.pointer
