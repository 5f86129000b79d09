"""Code for windows of one block (`windows.py`): one version of a store's loop, which loads a row once for all windows that read it.

It is for stores that do not meet the block, and where nothing wraps around; the usual loop is the other version. Down a vector of columns
go eight rows at a time, the last of them once more where rows are left over. What can be computed from the rows that are loaded so far is
computed at once, so that only the rows of the windows' height, and as many results, are in registers.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

from torch_mlir import ir

from triton_spacemit.dialect.module import SCHEDULED
from triton_spacemit.passes.loops.aliasing import overlaps
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Computed, Coordinate, Coordinates, Tensor, bits, identity
from triton_spacemit.passes.loops.windows import ROWS, Windows

_GROUP = 4  # registers of a vector
_AHEAD = 2  # loads that are under way while a vector is multiplied


def store_windows(low: Lowering, windows: Windows, value: Tensor, store: Access, usual: Callable[[], object]) -> None:
    """The loop that stores `value`, in its two versions."""
    b = low.b
    fits = b.compare("sle", b.constant(ROWS), store.upper[0])
    for condition in windows.holds:
        fits = b.both(fits, condition)
    fits = b.both(fits, b.op("arith.xori", b.i1, [overlaps(b, windows.block, store), b.constant(1, b.i1)]))

    def shared() -> None:
        with low.storage.region():
            _Loop(low, windows, value, store).run()

    def alone() -> None:
        with low.storage.region():
            usual()

    b.choose(fits, shared, alone)


class _Loop:
    """`taps`: rows and elements of the windows, in order. `steps`: what is computed when a window's vector is there.

    That is, of the blocks that are computed from this window, from earlier ones, and from none of the later, those that meet later ones.
    """

    def __init__(self, low: Lowering, windows: Windows, value: Tensor, store: Access) -> None:
        self.low, self.b, self.windows = low, low.b, windows
        self.value, self.store = value, store
        self.taps = sorted(set(windows.taps.values()))
        self.steps = self._steps()
        floats = [bits(block.element) for block, _, _ in low.evaluator.cone(value) if isinstance(block.element, ir.FloatType)]
        self.lanes = min(low.chip.lanes(max(bits(store.element), *floats), _GROUP), store.shape[1])
        self.other = windows.block.other if isinstance(windows.block.other, Emitted) else self.b.constant(0, windows.block.element)
        self.row_of: dict[Coordinate, int] = {}
        self.load: Callable[[int, int], Emitted]

    def _steps(self) -> dict[tuple[int, int], list[Tensor]]:
        evaluator, last = self.low.evaluator, dict[Tensor, int]()

        def last_of(tensor: Tensor) -> int:
            if tensor not in last:
                tap = self.windows.taps.get(tensor)
                sources = evaluator.now(tensor).sources
                last[tensor] = self.taps.index(tap) if tap else max((last_of(source) for source, _ in sources), default=-1)
            return last[tensor]

        steps: list[list[Tensor]] = [[] for _ in self.taps]
        stack, seen = [self.value], {self.value}
        while stack:
            tensor = stack.pop()
            for source, follows in evaluator.now(tensor).sources:
                number = last_of(source)
                if -1 < number < last_of(tensor) and follows == identity(2) and source not in steps[number]:
                    steps[number].append(source)
                if source not in seen:
                    seen.add(source)
                    stack.append(source)
        return dict(zip(self.taps, steps, strict=True))

    def run(self) -> None:
        """Eight rows, and in them vectors of columns, as rows lie in memory."""
        low, b, store, block = self.low, self.b, self.store, self.windows.block
        low.module.operation.attributes[SCHEDULED] = ir.UnitAttr.get()  # sums are where the rows are loaded that they need
        for tensor, (row, element) in self.windows.taps.items():
            low.evaluator.becomes(tensor, self._window(tensor, row, element))
        vectors = 1 - -max(element for _, element in self.taps) // self.lanes  # as many as a window's own one may reach into
        self.absent = low.storage.allocate((vectors * self.lanes,), block.element).base
        for start in range(0, vectors * self.lanes, self.lanes):
            pointer = b.offset(self.absent, b.constant(start), block.element)
            low.memory.contiguous_store(pointer, b.broadcast(self.other, self.lanes), None, block.element)
        columns, rows = (b.maximum(b.minimum(store.upper[d], b.constant(store.shape[d])), b.constant(0)) for d in (1, 0))
        last = b.sub(rows, b.constant(ROWS))

        def at(row: Emitted, are_there: Emitted, start: Emitted) -> None:
            column = Coordinate(start, self.lanes)
            inside = self._within(start, self.lanes, 1)

            def all_rows() -> None:
                b.choose(inside, lambda: self._rows(row, column, True, True), lambda: self._rows(row, column, True, False))

            b.choose(are_there, all_rows, lambda: self._rows(row, column, False, False))

        def across(i: Emitted) -> None:
            row = b.minimum(i, last)
            are_there = self._within(row, ROWS, 0)
            b.repeat(b.constant(0), columns, self.lanes, lambda start: at(row, are_there, start))

        b.repeat(b.constant(0), rows, ROWS, across)

    def _within(self, start: Emitted, count: int, dim: int) -> Emitted:
        """Whether all windows find so many places of a dimension, and all of them are stored."""
        b, block, store = self.b, self.windows.block, self.store
        reach = b.add(start, b.constant(count + max(tap[dim] for tap in self.windows.taps.values())))
        found = b.both(b.compare("sle", block.lower[dim], start), b.compare("sle", reach, block.upper[dim]))
        return b.both(found, b.compare("sle", b.add(start, b.constant(count)), store.upper[dim]))

    def _window(self, tensor: Tensor, row: int, element: int) -> Tensor:
        def compute(at: Coordinates) -> Emitted:
            return self.load(self.row_of[at[0]] + row, element)

        return Computed(shape=tensor.shape, element=tensor.element, origin=tensor.origin, compute=compute)

    def _rows(self, start: Emitted, column: Coordinate, are_there: bool, inside: bool) -> None:
        """Rows from `start` on: each row of the block is loaded once, and then all is computed that it was the last to be needed for.

        `are_there`: all these rows are. `inside`: all columns are.
        """
        low, b = self.low, self.b
        rows = [Coordinate(b.add(start, b.constant(row)), end=self.store.upper[0]) for row in range(ROWS)]
        self.row_of = {row: number for number, row in enumerate(rows)}
        pointer_to = self._pointers(self.windows.block, start, column)
        stored_at = self._pointers(self.store, start, column)
        row_at = functools.cache(lambda row: pointer_to(row) if are_there else self._or_absent(pointer_to(row), start, row))
        self.load = functools.cache(lambda row, element: self._loaded(column, inside, row_at(row), element))
        mask = None if inside else low.memory.addressing.below(column, self.store.upper[1])
        order = list(self._order())
        places = [(number + row, element) for number, (row, element) in order]
        loads = list(dict.fromkeys(places))
        for (number, tap), place in zip(order, places, strict=True):
            at, first = (rows[number], column), loads.index(place)
            for ahead in loads[first : first + _AHEAD + 1]:
                self.load(*ahead)
            for tensor in self.steps[tap]:
                low.evaluate(tensor, at)
            if tap == self.taps[-1]:
                value = b.broadcast(low.memory.to_stored(low.evaluate(self.value, at)), self.lanes)
                low.memory.contiguous_store(stored_at(number), value, mask, b.element(value))

    def _order(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Rows and windows, by the vector of the block that they read: what it is multiplied for in turn are different sums."""
        elements = sorted({element for _, element in self.taps})
        for row, element in itertools.product(range(ROWS + self.windows.rows), elements):
            for tap in reversed(self.taps):
                if tap[1] == element and 0 <= row - tap[0] < ROWS:
                    yield row - tap[0], tap

    def _pointers(self, access: Access, start: Emitted, column: Coordinate) -> Callable[[int], Emitted]:
        """Where the vectors of rows from `start` on begin: each from the one before, else all would be computed at once, and spilled."""
        b = self.b
        first = b.offset(b.offset(access.base, b.mul(start, access.strides[0]), access.element), column.start, access.element)
        pointers = [b.pinned(first)]

        def pointer_to(row: int) -> Emitted:
            while len(pointers) <= row:
                pointers.append(b.offset(pointers[-1], access.strides[0], access.element))
            return pointers[row]

        return pointer_to

    def _or_absent(self, pointer: Emitted, start: Emitted, row: int) -> Emitted:
        """The pointer to a row of the block, or to what stands for it where it is not there."""
        b, (low, high) = self.b, (self.windows.block.lower[0], self.windows.block.upper[0])
        number = b.sub(b.add(start, b.constant(row)), low)
        there = b.compare("ult", number, b.maximum(b.sub(high, low), b.constant(0)))
        return b.opaque(b.select(there, pointer, self.absent))

    def _loaded(self, column: Coordinate, inside: bool, pointer: Emitted, element: int) -> Emitted:
        b, memory, block, lanes = self.b, self.low.memory, self.windows.block, self.lanes
        pointer = b.offset(pointer, b.constant(element), block.element)
        if inside:
            return memory.contiguous_load(pointer, block.element, lanes, None, None, b.depth)
        place = Coordinate(b.add(column.start, b.constant(element)), lanes)
        low, high = block.lower[1], block.upper[1]
        below = memory.addressing.below(place, high)
        if low.constant is not None and low.constant <= element:
            if self.windows.unseen is not None and element <= self.windows.unseen:
                return memory.unfilled(block, pointer, below, lanes, b.depth)
            return memory.contiguous_load(pointer, block.element, lanes, below, self.other, b.depth)
        mask = b.both(below, memory.addressing.below(place, low, negate=True))
        return memory.contiguous_load(pointer, block.element, lanes, mask, self.other, b.depth)
