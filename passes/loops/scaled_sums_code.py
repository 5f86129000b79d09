"""Code for loops that add up scaled products of bytes (`scaled_sums.py`): the whole loop, once for each register tile."""

import itertools

from torch_mlir import ir

from triton_spacemit.dialect import ime
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.ime_tiles import PAIR, multiply_add, signs_of
from triton_spacemit.passes.loops.lane_results import LaneResult, in_memory, load_lanes, only_stored
from triton_spacemit.passes.loops.lanes import LaneCode, Tables, groups_of
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.recipes import Carried, Known, Read, Recipe, Same, parts_of
from triton_spacemit.passes.loops.register_loops import GROUP, in_order, run
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.scaled_sums import Product, ScaledSums
from triton_spacemit.passes.loops.tensors import Buffer, Uniform


def lower_scaled_sums(low: Lowering, found: ScaledSums) -> list[Value]:
    """The whole loop, once for each register tile."""
    start = low.tensor(found.loop.operands[3 + found.carried])
    begin = start.value if isinstance(start, Uniform) else low.storage.contiguous(start)
    lanes: list[tuple[int, int, Emitted]] = []
    scalars: list[Emitted] = []
    for row, column, recipe in found.plans:
        result, scalars = _Loop(low, found, begin, row, column, recipe).run()
        lanes.append((row, column, result))
    tile = ime.TILES[low.chip.vlen, 8]
    across = found.columns // tile.n
    block = LaneResult(shape=start.shape, element=start.element, origin=found.loop.op, tile=tile, across=across, lanes=tuple(lanes))
    value = found.loop.results[found.carried]
    return in_order(found.loop, [block if only_stored(low, found.loop, value) else in_memory(low, block, found.loop)], scalars)


class _Loop:
    """The loop for one register tile."""

    def __init__(self, low: Lowering, found: ScaledSums, start: Emitted | Buffer, row: int, column: int, recipe: Recipe) -> None:
        self.low, self.found, self.start, self.place, self.recipe = low, found, start, (row, column), recipe
        self.registers = Registers(low.b, low.chip.vlen)
        tile = ime.TILES[low.chip.vlen, 8]
        self.tile, self.across = tile, found.columns // tile.n
        self.halves = ir.IntegerType.get_signless(16)  # what LLVM takes sums for
        self.unit = self.registers.lanes(self.halves, PAIR)
        full = recipe.lanes == self.registers.lanes(low.b.f32, GROUP)
        self.tables = Tables(low, self.registers) if full else None
        self.cleared: Emitted | None = None  # zeros of all sums

    def run(self) -> tuple[Emitted, list[Emitted]]:
        """The tile's last sums, and the loop's scalars."""
        zeros = self._clear() if any(_begins_at_zero(part) for part in parts_of(self.recipe)) else []
        (result, *_), scalars = run(self.low, self.found.loop, [self._begin(), *zeros], self._turn)
        return result, scalars

    def _turn(self, values: list[Emitted]) -> list[Emitted]:
        carried, *zeros = values
        self.cleared = zeros[0] if zeros else None
        multiplied, reads = _of_rows(self.recipe)
        groups = groups_of(reads, multiplied, self.low.chip.vlen)
        code = LaneCode(
            self.low, self.registers, lambda recipe: self._special(code, carried, recipe), Product, groups, self.tables, self._reuse
        )
        return [code.make(self.recipe), *([self.cleared] if self.cleared is not None else [])]

    def _begin(self) -> Emitted:
        """The block at the start, in lanes."""
        f32, lanes = self.low.b.f32, self.recipe.lanes
        if not isinstance(self.start, Buffer):
            return self.registers.broadcast(self.start, f32, lanes)
        row, column = self.place
        return load_lanes(self.low, self.tile, self.across, self.start, row, column)

    def _clear(self) -> list[Emitted]:
        return [self.registers.splat(0, self.low.b.i32, self.recipe.lanes)]

    def _reuse(self, lanes: Emitted) -> None:
        """Zeros, in the registers of `lanes`, for sums that begin at zero. LLVM would keep zeros elsewhere and copy them, unit by unit."""
        if self.cleared is not None:
            i32, registers = self.low.b.i32, self.registers
            self.cleared = registers.zeros(registers.cast(lanes, i32, self.recipe.lanes), self.tables is not None)

    def _special(self, code: LaneCode, carried: Emitted, recipe: Recipe) -> Emitted:
        if isinstance(recipe, Carried):
            return carried
        assert isinstance(recipe, Product)
        sums = self._start(code, recipe)
        lefts = _words(self.registers, code, recipe.left)
        rights = _words(self.registers, code, recipe.right)
        ahead = 2  # steps whose words are made before any is multiplied: what two share a load leaves its register at once
        while True:
            pairs = list(itertools.islice(zip(lefts, rights, strict=True), ahead))
            if not pairs:
                break
            for (left,), words in pairs:
                sums = [self._multiply_add(recipe, left, right, total) for right, total in zip(words, sums, strict=True)]
        whole = self.registers.joined(sums, self.halves, self.unit)
        return self.registers.cast(whole, recipe.element, recipe.lanes)

    def _multiply_add(self, recipe: Product, left: Emitted, right: Emitted, total: Emitted) -> Emitted:
        return multiply_add(self.registers, self.low.b.constant(signs_of(recipe.row)), left, right, total)

    def _start(self, code: LaneCode, recipe: Product) -> list[Emitted]:
        """The sums of each unit at the start of a turn."""
        start, registers, lanes = recipe.start, self.registers, recipe.lanes // self.across
        value = self.cleared if _begins_at_zero(recipe) and self.cleared is not None else code.make(start)
        if value is self.cleared:
            start = Known(recipe.lanes, start.element, ())
        elif not start.lanes:
            value = registers.broadcast(value, start.element, recipe.lanes)
        repeats = start.lanes == lanes
        parts = [value if repeats else registers.part(value, start.element, unit * lanes, lanes) for unit in range(self.across)]
        return [registers.cast(part, self.halves, self.unit) for part in parts]


def _begins_at_zero(recipe: Recipe) -> bool:
    """Whether it is a product whose sums begin at zero."""
    if not isinstance(recipe, Product) or not isinstance(recipe.start, Same):
        return False
    number = constant_of(recipe.start.value)
    return number is not None and number.value == 0


def _of_rows(recipe: Recipe) -> tuple[set[Recipe], list[Read]]:
    """What products multiply the columns by; and what is read besides the columns: one load may bring several of these, since few registers
    hold them."""
    products = [part for part in parts_of(recipe) if isinstance(part, Product)]
    rows = {part for product in products for left, _ in product.left for part in parts_of(left)}
    columns = {part for product in products for right, _ in product.right for part in parts_of(right)}
    return rows, [part for part in parts_of(recipe) if isinstance(part, Read) and part not in columns]


def _words(registers: Registers, code: LaneCode, groups: tuple[tuple[Recipe, int], ...]):
    """The registers of each step, made as they are asked for."""
    size = registers.lanes(registers.b.i8)
    for recipe, steps in groups:
        value = code.make(recipe)
        per_step = recipe.lanes // size // steps
        for step in range(steps):
            yield [registers.part(value, recipe.element, (step * per_step + word) * size, size) for word in range(per_step)]
