"""Register tiles of a product's result: a loop over k that reads a vector of B and one element of A per row."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.dialect.module import SCHEDULED
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.lanes import GROUPED, ActiveLanes, FixedLanes, Lanes
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.views import View

Located = tuple[View, View, Emitted]  # A and B in memory, and how many steps of k there are


@dataclass(eq=False)
class Turns:
    """What is summed up: `count` turns (None: one), the operands of each, and whether the sums start at zero or at what C is in memory."""

    count: Emitted | None
    operands: Callable[[Emitted | None], Located]
    begin_at_zero: bool


@dataclass(eq=False)
class Place:
    """Where a tile is: its matrix in a batch, its first row and column, and how many columns it has where that is not known."""

    batch: list[Emitted]
    base_c: Emitted
    row: Emitted
    column: Emitted
    columns: Emitted | None


def run_tiles(low: Lowering, product: Product, turns: Turns) -> None:
    """All register tiles of the result."""
    b = low.b
    target, costs = product.target, low.chip.costs
    unroll = costs.tile_unroll if product.inner < costs.tile_long else costs.tile_unroll_long
    few_rows = product.rows % product.height
    if (product.height - few_rows) * costs.tile_spared < product.rows:
        few_rows = 0
    most_rows = b.maximum(b.sub(product.wanted_rows, b.constant(few_rows)), b.constant(0))
    last_row = round_up(low, most_rows, product.height) if few_rows else product.wanted_rows

    def batched(at: list[Emitted]) -> None:
        if len(at) < len(product.batch):
            b.repeat(b.constant(0), b.constant(product.batch[len(at)]), 1, lambda i: batched([*at, i]))
            return
        base_c = target.base
        for i, stride in zip(at, target.strides, strict=False):
            base_c = b.offset(base_c, b.mul(i, b.constant(stride)), target.stored)

        def column(j: Emitted) -> None:
            left = b.minimum(b.sub(product.wanted_columns, j), b.constant(product.lanes))
            whole = product.wanted_columns.constant is not None or (product.columns_follow and not low.chip.active_lengths)
            partial = None if whole else left

            def rows(part: Product, unroll: int) -> None:
                def row(height: int, unroll: int, i: Emitted) -> None:
                    run_tile(low, replace(part, height=height), Place(at, base_c, i, j, partial), turns, unroll)

                b.repeat(b.constant(0), most_rows, product.height, functools.partial(row, product.height, unroll))
                if few_rows:
                    few_unrolled = max(1, unroll // costs.tile_part)
                    b.repeat(last_row, product.wanted_rows, product.height, functools.partial(row, few_rows, few_unrolled))

            narrow = product.lanes // costs.tile_group
            if partial is None or not low.chip.active_lengths or narrow * 64 < low.chip.vlen:
                rows(product, unroll)
                return
            # an instruction's time goes by its registers, not by its active lanes: a few last columns get a quarter of them
            few = b.compare("sle", left, b.constant(narrow))
            b.choose(few, lambda: rows(replace(product, lanes=narrow), unroll // costs.tile_part), lambda: rows(product, unroll))

        b.repeat(b.constant(0), product.wanted_columns, product.lanes, column)

    batched([])


def round_up(low: Lowering, number: Emitted, unit: int) -> Emitted:
    """The least multiple of `unit` that is not below `number`."""
    b = low.b
    if number.constant is not None:
        return b.constant(-(-number.constant // unit) * unit)
    return b.mul(b.op("arith.divui", b.i64, [b.add(number, b.constant(unit - 1)), b.constant(unit)]), b.constant(unit))


def run_tile(low: Lowering, product: Product, place: Place, turns: Turns, most_unrolled: int) -> None:
    """`C[row : row + height, column : column + lanes] += sum over turns of A[row : row + height, :] @ B[:, column : column + lanes]`.

    The tile of C is in registers. Rows behind the wanted ones read the last wanted row of A; what they give lands behind C's rows, where
    every buffer has room.
    """
    b, target = low.b, product.target
    stride_c = b.constant(target.strides[-2])
    numbers = [b.add(place.row, b.constant(r)) for r in range(product.height)]
    rows_c = [b.offset(b.offset(place.base_c, b.mul(n, stride_c), target.stored), place.column, target.stored) for n in numbers]
    exact = product.rows_follow or product.wanted_rows.constant is not None and product.wanted_rows.constant % product.height == 0
    last = b.sub(product.wanted_rows, b.constant(1))
    rows = numbers if exact else [numbers[0]] + [b.minimum(n, last) for n in numbers[1:]]
    lanes = lanes_of(low, product, place.columns)
    unroll = math.gcd(product.inner // product.depth, most_unrolled)
    if lanes.in_order:
        low.module.operation.attributes[SCHEDULED] = ir.UnitAttr.get()

    def turn(number: Emitted | None, carried: list[Emitted]) -> list[Emitted]:
        left, right, inner = turns.operands(number)
        base_a, base_b = left.base, right.base
        for index, stride_a, stride_b in zip(place.batch, left.strides, right.strides, strict=False):
            base_a = b.offset(base_a, b.mul(index, stride_a), left.element)
            base_b = b.offset(base_b, b.mul(index, stride_b), right.element)
        rows_a = [b.offset(base_a, b.mul(r, left.strides[-2]), left.element) for r in rows]
        column_b = b.offset(base_b, place.column, right.element)
        return (StepsAhead if lanes.in_order else Steps)(low, lanes, left, right, rows_a, column_b).run(inner, unroll, carried)

    sums = [lanes.zero() if turns.begin_at_zero else lanes.load_sum(pointer) for pointer in rows_c]
    sums += lanes.nothing()
    if turns.count is None:
        sums = turn(None, sums)
    else:
        sums, _ = b.for_loop(b.constant(0), turns.count, 1, sums, turn)
    for pointer, value in zip(rows_c, sums, strict=False):
        lanes.store_sum(pointer, lanes.finished(value, sums[product.height :]))


def lanes_of(low: Lowering, product: Product, columns: Emitted | None) -> Lanes:
    """The vector instructions for `columns` columns (None: all) of a tile."""
    stored = product.target.stored
    if product.depth > 1:
        return GROUPED[product.depth](low, product.lanes)
    if ActiveLanes.fits(low, product.lanes, product.factor, product.accumulate, stored):
        return ActiveLanes(low, product.lanes, product.factor, product.accumulate, stored, columns or low.b.constant(product.lanes))
    return FixedLanes(low, product.lanes, product.factor, product.accumulate, stored, columns)


@dataclass(eq=False)
class Steps:
    """The steps over k of a tile in one turn: `rows_a` and `column_b` are where they begin in memory.

    What they carry: a sum for each row, then what the lanes carry.
    """

    low: Lowering
    lanes: Lanes
    left: View
    right: View
    rows_a: list[Emitted]
    column_b: Emitted

    def run(self, inner: Emitted, unroll: int, carried: list[Emitted]) -> list[Emitted]:
        """`inner` steps: a loop that takes `unroll` at a time, and shorter ones for the rest."""
        b, part = self.low.b, self.low.chip.costs.tile_part
        done = b.constant(0)
        for count in [unroll, *([part] if unroll > 2 * part else []), 1]:
            end = self._multiple(inner, count)
            carried, _ = b.for_loop(done, end, count, carried, functools.partial(self.steps, count))
            done = end
        return carried

    def _multiple(self, number: Emitted, count: int) -> Emitted:
        """The largest multiple of `count`, a power of two, that is not above `number`."""
        b = self.low.b
        if count == 1:
            return number
        return b.op("arith.andi", b.i64, [number, b.constant(-count)]) if number.constant is None else b.constant(number.constant & -count)

    def steps(self, count: int, k: Emitted, carried: list[Emitted]) -> list[Emitted]:
        """`count` steps from `k` on."""
        b, height = self.low.b, len(self.rows_a)
        sums, rest = list(carried[:height]), carried[height:]
        for u in range(count):
            place = b.offset(self.column_b, b.mul(b.add(k, b.constant(u)), self.right.strides[-2]), self.right.element)
            vector = self.lanes.load_factor(place)
            rest = self.lanes.seen(vector, rest)
            for r in range(height):
                sums[r] = self.lanes.multiply_add(self.scalar(k, u, r), vector, sums[r])
        return [*sums, *rest]

    def scalar(self, k: Emitted, u: int, r: int) -> Emitted:
        """The element of A in row `r` at step `k + u`."""
        b = self.low.b
        pointer = b.offset(self.rows_a[r], b.mul(b.add(k, b.constant(u)), self.left.strides[-1]), self.left.element)
        return self.low.memory.scalar_load(pointer, self.left.element, None, None, b.depth)


class StepsAhead(Steps):
    """The same for an in-order core: a vector and the scalars of a step are loaded among the multiplications of the one before.

    What they carry: a sum for each row, the vector's place in B, and the last two vectors, in whose registers the next two go in turn.
    """

    def run(self, inner: Emitted, unroll: int, carried: list[Emitted]) -> list[Emitted]:
        height = len(self.rows_a)
        # a constant distance would be added up from the loop's start, in two instructions once it is too large for one
        self.distance = self.low.b.opaque(self.right.strides[-2])
        carried = super().run(inner, unroll, [*carried[:height], self.column_b, *carried[height:]])
        return carried[:height] + carried[height + 1 :]

    def steps(self, count: int, k: Emitted, carried: list[Emitted]) -> list[Emitted]:
        b, height = self.low.b, len(self.rows_a)
        sums, (place, *vectors) = list(carried[:height]), carried[height:]
        place = b.freeze(place)  # else loop passes compute it just before the load
        vectors = [vectors[1], self.lanes.load_factor(place, vectors[0])]
        scalars = [self.scalar(k, 0, r) for r in range(height)]
        for u in range(count):
            vector, following = vectors[1], list(scalars)
            place = b.offset(place, self.distance, self.right.element)
            for r in range(height):
                sums[r] = self.lanes.multiply_add(scalars[r], vector, sums[r])
                if u + 1 == count:
                    continue
                if r == 0:
                    vectors = [vector, self.lanes.load_factor(place, vectors[0])]
                else:  # one row behind: not into a register that the multiplication just issued reads
                    following[r - 1] = self.scalar(k, u + 1, r - 1)
            if u + 1 < count:
                following[-1] = self.scalar(k, u + 1, height - 1)
            scalars = following
        return [*sums, place, *vectors]
