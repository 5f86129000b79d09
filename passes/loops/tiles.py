"""Register tiles of a product's result: a loop over k that reads a vector of B and one element of A per row."""

import math
from collections.abc import Callable
from dataclasses import replace

from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.lanes import GROUPED, ActiveLanes, FixedLanes, Lanes
from triton_spacemit.passes.loops.lowering import GROUP, Lowering
from triton_spacemit.passes.loops.product import Product
from triton_spacemit.passes.loops.views import View

UNROLL = {False: 4, True: 16}  # steps of k in one turn of the inner loop; more where each needs instructions for addresses

Located = tuple[View, View, Emitted]  # A and B in memory, and how many steps of k there are


def run_tiles(
    low: Lowering, product: Product, b_turns: Emitted | None, views: Callable[[Emitted | None], Located], begin_at_zero: bool
) -> None:
    """All register tiles of the result, each over `b_turns` turns (None: the one turn); `views(turn)` gives the operands of a turn."""
    b = low.b
    target = product.target
    c_strides = [b.constant(s) for s in target.strides]

    def batched(at: list[Emitted]) -> None:
        if len(at) < len(product.batch):
            b.repeat(b.constant(0), b.constant(product.batch[len(at)]), 1, lambda i: batched([*at, i]))
            return
        base_c = target.base
        for i, stride in zip(at, c_strides, strict=False):
            base_c = b.offset(base_c, b.mul(i, stride), target.stored)

        def column(j: Emitted) -> None:
            left = b.minimum(b.sub(product.wanted_columns, j), b.constant(product.lanes))
            whole = product.wanted_columns.constant is not None or (product.columns_follow and not low.chip.has_vl)
            partial = None if whole else left

            def rows(part: Product, unroll: int) -> list[Emitted]:
                def row(i: Emitted) -> None:
                    tile(low, part, base_c, c_strides, at, i, j, partial, b_turns, views, begin_at_zero, unroll)

                b.repeat(b.constant(0), product.wanted_rows, product.height, row)
                return []

            unroll, narrow = UNROLL[low.chip.has_vl], product.lanes // GROUP
            if partial is None or not low.chip.has_vl or narrow * 64 < low.chip.vlen:
                rows(product, unroll)
                return
            # an instruction's time goes by its registers, not by its active lanes: a few last columns get a quarter of them
            few = b.compare("sle", left, b.constant(narrow))
            b.if_else(few, [], lambda: rows(replace(product, lanes=narrow), unroll // GROUP), lambda: rows(product, unroll))

        b.repeat(b.constant(0), product.wanted_columns, product.lanes, column)

    batched([])


def tile(
    low: Lowering,
    product: Product,
    base_c: Emitted,
    c_strides: list[Emitted],
    at: list[Emitted],
    i: Emitted,
    j: Emitted,
    partial: Emitted | None,
    b_turns: Emitted | None,
    views: Callable[[Emitted | None], Located],
    begin_at_zero: bool,
    most_unrolled: int,
) -> None:
    """`C[i : i + height, j : j + lanes] += sum over turns of A[i : i + height, :] @ B[:, j : j + lanes]`, the tile of C in registers.

    Rows behind the wanted ones read the last wanted row of A; what they give lands behind C's rows, where every buffer has room.
    """
    b, element = low.b, product.target.stored
    places = [b.add(i, b.constant(r)) for r in range(product.height)]
    rows_c = [b.offset(b.offset(base_c, b.mul(p, c_strides[-2]), element), j, element) for p in places]
    exact = product.rows_follow or product.wanted_rows.constant is not None and product.wanted_rows.constant % product.height == 0
    last = b.sub(product.wanted_rows, b.constant(1))
    rows = places if exact else [places[0]] + [b.minimum(p, last) for p in places[1:]]
    lanes: Lanes
    if product.depth > 1:
        lanes = GROUPED[product.depth](low, product.lanes)
    elif ActiveLanes.fits(low, product.lanes, product.factor, product.accumulate, element):
        lanes = ActiveLanes(low, product.lanes, product.factor, product.accumulate, element, partial or b.constant(product.lanes))
    else:
        lanes = FixedLanes(low, product.lanes, product.factor, product.accumulate, element, partial)

    def turn(number: Emitted | None, carried: list[Emitted]) -> list[Emitted]:
        a, bb, inner = views(number)
        base_a, base_b = a.base, bb.base
        for index, stride_a, stride_b in zip(at, a.strides, bb.strides, strict=False):
            base_a = b.offset(base_a, b.mul(index, stride_a), a.element)
            base_b = b.offset(base_b, b.mul(index, stride_b), bb.element)
        rows_a = [b.offset(base_a, b.mul(r, a.strides[-2]), a.element) for r in rows]
        column_b = b.offset(base_b, j, bb.element)
        unroll = math.gcd(product.inner // product.depth, most_unrolled)

        def address_of_row(k: Emitted, u: int) -> Emitted:
            return b.offset(column_b, b.mul(b.add(k, b.constant(u)), bb.strides[-2]), bb.element)

        def scalar_of(k: Emitted, u: int, r: int) -> Emitted:
            pointer = b.offset(rows_a[r], b.mul(b.add(k, b.constant(u)), a.strides[-1]), a.element)
            return low.memory.scalar_load(pointer, a.element, None, None, b.depth)

        def steps(count: int) -> Callable[[Emitted, list[Emitted]], list[Emitted]]:
            def step(k: Emitted, sums: list[Emitted]) -> list[Emitted]:
                sums, rest = list(sums[: product.height]), sums[product.height :]
                for u in range(count):
                    row = lanes.load_factor(address_of_row(k, u))
                    rest = lanes.seen(row, rest)
                    for r in range(product.height):
                        sums[r] = lanes.multiply_add(scalar_of(k, u, r), row, sums[r])
                return [*sums, *rest]

            def step_ahead(k: Emitted, carried: list[Emitted]) -> list[Emitted]:
                """The same for an in-order core: a vector and the scalars of a step are loaded among the multiplications of the one before.

                Its place in B is passed from step to step, behind a freeze: else loop passes compute it just before the load.
                """
                sums, (place, *vectors) = list(carried[: product.height]), carried[product.height :]
                place = b.freeze(place)
                vectors = [vectors[1], lanes.load_factor(place, vectors[0])]
                scalars = [scalar_of(k, 0, r) for r in range(product.height)]
                for u in range(count):
                    row, following = vectors[1], list(scalars)
                    place = b.offset(place, bb.strides[-2], bb.element)
                    for r in range(product.height):
                        sums[r] = lanes.multiply_add(scalars[r], row, sums[r])
                        if u + 1 == count:
                            continue
                        if r == 0:
                            vectors = [row, lanes.load_factor(place, vectors[0])]
                        for ready in [r - 1] * (r > 0) + [r] * (r + 1 == product.height):
                            following[ready] = scalar_of(k, u + 1, ready)
                    scalars = following
                return [*sums, place, *vectors]

            return step_ahead if lanes.in_order else step

        if inner.constant is not None:
            whole = b.constant(inner.constant & -unroll)
        else:
            whole = b.op("arith.andi", b.i64, [inner, b.constant(-unroll)])
        if lanes.in_order:
            carried = [*carried[: product.height], column_b, *carried[product.height :]]
        carried, _ = b.for_loop(b.constant(0), whole, unroll, carried, steps(unroll))
        carried, _ = b.for_loop(whole, inner, 1, carried, steps(1))
        if lanes.in_order:
            del carried[product.height]
        return carried

    sums = [lanes.zero() if begin_at_zero else lanes.load_sum(pointer) for pointer in rows_c]
    sums += lanes.nothing()
    if b_turns is None:
        sums = turn(None, sums)
    else:
        sums, _ = b.for_loop(b.constant(0), b_turns, 1, sums, turn)
    for pointer, value in zip(rows_c, sums, strict=False):
        lanes.store_sum(pointer, lanes.finished(value, sums[product.height :]))
