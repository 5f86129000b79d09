"""Strips of B: the columns of one register tile, copied to one place before the tiles that read them.

In a matrix, rows of B are far apart: each is in a page of its own, and where their distance is near a multiple of the size of a cache's
way, they are crowded in few of its sets. A strip's rows are neighbours, which stay in the first caches while the rows of A go past them.

A strip is copied while the one before is multiplied, some rows with each tile, for which memory was asked during the tile before: now and
then one of them, as a core forgets what it is asked for when too much is on its way. So no copy waits for memory, but for the first
strip's. There are places for two strips, in turns.
"""

from collections.abc import Callable

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.tensors import row_major
from triton_spacemit.passes.loops.views import View

#: B of a turn (None: the only one), and how many steps of k it has.
Right = Callable[[Emitted | None], tuple[View, Emitted]]


class Strips:
    """The strips of one product of `count` turns (None: one), at most `most`.

    Few wanted rows are not worth the copies, which is known at run time.
    """

    def __init__(self, low: Lowering, product: Product, count: Emitted | None, most: int, right: Right) -> None:
        self.low, self.product, self.count, self.right = low, product, count, right
        b, rows = low.b, product.wanted_rows
        self.height, self.columns, self.element = product.tile.rows, product.tile.columns, product.right.element
        shape = (2, most, product.inner, self.columns)
        self.buffer, self.strides = low.storage.allocate(shape, self.element), row_major(shape)
        self.worth = None if rows.constant is not None else b.compare("sge", rows, b.constant(low.chip.costs.strip_rows))
        self.part = -(-product.inner // -(-product.rows // self.height))  # steps of each turn that are copied with a tile
        self.apart = (product.inner // self.part).bit_length() - 1  # of a tile's steps, those in which the same one is asked for

    def begin(self, column: Emitted) -> None:
        """Copy what is not there yet of the strip at `column`, before the tiles that read it."""
        b = self.low.b
        tiles = self._tiles(b.add(self.product.wanted_rows, b.constant(self.height - 1)))
        done = b.select(b.compare("eq", column, b.constant(0)), b.constant(0), b.mul(tiles, b.constant(self.part)))
        self._copy(column, done, None, self.worth)

    def with_tile(self, row: Emitted, column: Emitted) -> None:
        """Copy a part of the next strip, with the tile at `row` and `column`."""
        b = self.low.b
        following = b.add(column, b.constant(self.columns))
        there = b.compare("slt", following, self.product.wanted_columns)
        first = b.mul(self._tiles(row), b.constant(self.part))
        self._copy(following, first, b.add(first, b.constant(self.part)), b.both(self.worth, there))

    def ask(self, row: Emitted, column: Emitted, view: View, k: Emitted) -> None:
        """At step `k` of the tile at `row` and `column`: ask for a row of the part that the next tile copies."""
        b = self.low.b
        first = b.mul(b.add(self._tiles(row), b.constant(1)), b.constant(self.part))
        number = b.add(first, b.op("arith.shrui", b.i64, [k, b.constant(self.apart)]))
        start = b.offset(view.base, b.add(column, b.constant(self.columns)), self.element)
        self.low.memory.prefetch(b.offset(start, b.mul(number, view.strides[-2]), self.element), self.element, self.columns)

    def words(self, turn: Emitted | None, column: Emitted, view: View, start: Emitted) -> tuple[View, Emitted]:
        """B of a turn and where its words at `column` begin: in the strip where it was copied, else as in `view` and `start`."""
        b = self.low.b
        place, distance = self._place(turn, column), b.constant(self.columns)
        if self.worth is not None:
            place, distance = b.select(self.worth, place, start), b.select(self.worth, distance, view.strides[-2])
        return View(place, [distance, b.constant(1)], self.element), place

    def _tiles(self, rows: Emitted) -> Emitted:
        return self.low.b.op("arith.divui", self.low.b.i64, [rows, self.low.b.constant(self.height)])

    def _copy(self, column: Emitted, begin: Emitted, end: Emitted | None, condition: Emitted | None) -> None:
        """Steps from `begin` to `end` (None: all) of each turn, of the strip at `column`, under the condition."""
        b, memory = self.low.b, self.low.memory
        active = b.minimum(b.sub(self.product.wanted_columns, column), b.constant(self.columns))
        mask = b.compare("slt", b.iota(self.columns, b.i32), b.cast_index(active, b.i32))

        def turn(number: Emitted | None) -> None:
            view, steps = self.right(number)
            source, place = b.offset(view.base, column, self.element), self._place(number, column)

            def step(k: Emitted) -> None:
                pointer = b.offset(source, b.mul(k, view.strides[-2]), self.element)
                value = memory.contiguous_load(pointer, self.element, self.columns, mask, None, b.depth)
                memory.contiguous_store(b.offset(place, b.mul(k, b.constant(self.columns)), self.element), value, None, self.element)

            b.repeat(begin, steps if end is None else b.minimum(end, steps), 1, step)

        b.when(condition, lambda: turn(None) if self.count is None else b.repeat(b.constant(0), self.count, 1, turn))

    def _place(self, turn: Emitted | None, column: Emitted) -> Emitted:
        b = self.low.b
        number = b.op("arith.divui", b.i64, [column, b.constant(self.columns)])
        second = b.op("arith.andi", b.i64, [number, b.constant(1)])
        base = b.offset(self.buffer.base, b.mul(second, b.constant(self.strides[0])), self.element)
        return base if turn is None else b.offset(base, b.mul(turn, b.constant(self.strides[1])), self.element)
