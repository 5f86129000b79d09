"""Loops that add up scaled products of bytes: `for ..: acc = dot(a, b).to(float32) * scale + acc`, as weights quantised in blocks take it.

One of the two ways in which blocks live in registers (`register_loops.py`): the sums of bytes of a turn lie there as the matrix instruction
leaves them, tile behind tile, and all else that meets them (scales of rows and of columns, minima) is brought into the same lanes.

Besides the facts that both ways stand on, the loop carries one block, of float32, which is needed only element by element, and all that
meets it is computed of loads of the same turn and of numbers that are known (`recipes.py`).
"""

import itertools
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect import ime
from triton_spacemit.dialect.chips import IME, MatrixTile
from triton_spacemit.dialect.module import storages_of
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.narrow import factor_name
from triton_spacemit.passes.loops.numbers import Lanes
from triton_spacemit.passes.loops.recipes import Carried, Planner, Recipe, in_words, whole_registers
from triton_spacemit.passes.loops.register_loops import GROUP

_TILES = 4  # register tiles for which the loop is made: a block of more takes the general way


@dataclass(frozen=True, eq=False)
class Product(Recipe):
    """Sums of products, added to `start`. left, right: what a group of steps of k multiplies, and how many steps it has."""

    row: MatrixTile
    start: Recipe
    left: tuple[tuple[Recipe, int], ...]
    right: tuple[tuple[Recipe, int], ...]

    @property
    def sources(self) -> tuple[Recipe, ...]:
        return (self.start, *(recipe for recipe, _ in (*self.left, *self.right)))


@dataclass(frozen=True, eq=False)
class ScaledSums:
    """Such a loop. carried: the number of the block that it carries. rows, columns: of a register tile. plans: for each register tile its
    first row and column, and how what it holds comes to be in a turn."""

    loop: Node
    carried: int
    rows: int
    columns: int
    plans: tuple[tuple[int, int, Recipe], ...]


def scaled_sums(low: Lowering, loop: Node) -> ScaledSums | None:
    """The loop as one of these, if it is one."""
    blocks = [i for i, v in enumerate(loop.operands[3:]) if isinstance(v.type, ir.RankedTensorType)]
    if not low.chip.ime or len(blocks) != 1 or storages_of(low.module):
        return None
    (index,) = blocks
    type_ = loop.operands[3 + index].type
    if type_.rank != 2 or not isinstance(type_.element_type, ir.F32Type):
        return None
    tile = ime.TILES.get((low.chip.vlen, 8))
    rows, columns = type_.shape
    if tile is None or rows % tile.m or columns % tile.n:
        return None
    across = next(count for count in (4, 2, 1) if columns % (count * tile.n) == 0)
    firsts = list(itertools.product(range(0, rows, tile.m), range(0, columns, across * tile.n)))
    if len(firsts) > _TILES:
        return None
    plans = []
    for row, column in firsts:
        recipe = _Tile(low, loop, index, row, column, tile, across).plan()
        if recipe is None:
            return None
        plans.append((row, column, recipe))
    return ScaledSums(loop, index, tile.m, across * tile.n, tuple(plans))


class _Tile:
    """The recipe of one register tile, whose lanes are unit by unit the elements of a unit, row by row."""

    def __init__(self, low: Lowering, loop: Node, index: int, row: int, column: int, tile: ime.Tile, across: int) -> None:
        self.low, self.loop, self.tile, self.across = low, loop, tile, across
        self.row, self.column = row, column
        body = loop.regions[0]
        self.argument, self.result = body.arguments[1 + index], body.nodes[-1].operands[index]
        at = [(row + i, column + j) for unit in range(across) for i in range(tile.m) for j in range(unit * tile.n, (unit + 1) * tile.n)]
        self.lanes: Lanes = tuple(i for i, _ in at), tuple(j for _, j in at)
        self.planner = Planner(low.chip, low.analysis, body, self._special)
        self.products = 0

    def plan(self) -> Recipe | None:
        recipe = self.planner.plan(self.result, self.lanes, self.across)
        return recipe if self.products and recipe is not None and recipe.lanes == len(self.lanes[0]) else None

    def _special(self, value: ir.Value, lanes: Lanes) -> Recipe | None:
        if lanes != self.lanes:
            return None
        if value == self.argument:
            return Carried(len(lanes[0]), value.type.element_type)
        node = self.low.analysis.producer.get(value)
        return self._product(node) if node is not None and node.name == "tt.dot" and node.block is self.loop.regions[0] else None

    def _product(self, dot: Node) -> Recipe | None:
        left, right, start = dot.operands[:3]
        names = [factor_name(value) for value in (left, right)]
        rows = [row for row in self.low.chip.matrix if row.form == IME and [row.left, row.right] == names]
        if not rows or shape_of(dot.results[0])[0] % self.tile.m or str(element_of(dot.results[0].type)) != "i32":
            return None
        a, b = (_bytes(value) for value in (left, right))
        steps, rest = divmod(shape_of(left)[1], self.tile.k)
        begin = self.planner.plan(start, self.lanes, self.across)
        if rest or begin is None or a is None or b is None:
            return None
        lefts, rights = self._words(a, True, steps), self._words(b, False, steps)
        if lefts is None or rights is None:
            return None
        self.products += 1
        return Product(len(self.lanes[0]), element_of(dot.results[0].type), rows[0], begin, lefts, rights)

    def _words(self, value: ir.Value, is_left: bool, steps: int) -> tuple[tuple[Recipe, int], ...] | None:
        """An operand in words, of as many steps at a time as one load brings."""
        wide = 1 if is_left else self.across  # registers of a step
        together = GROUP // wide
        while together > 1:
            if steps % together == 0:
                found = [self.planner.plan(value, self._lanes_of(is_left, step, together)) for step in range(0, steps, together)]
                if all(whole_registers(recipe, self.low.chip.vlen) for recipe in found):
                    return tuple((recipe, together) for recipe in found if recipe is not None)
            together //= 2
        found = [self.planner.plan(value, self._lanes_of(is_left, step, 1)) for step in range(steps)]
        return tuple((recipe, 1) for recipe in found if recipe is not None) if all(in_words(recipe) for recipe in found) else None

    def _lanes_of(self, is_left: bool, first: int, steps: int) -> Lanes:
        """The lanes of words of some steps: line by line, each with its steps of k."""
        tile, lines, ks = self.tile, [], []
        units = range(1 if is_left else self.across)
        start, size = (self.row, tile.m) if is_left else (self.column, tile.n)
        for step, unit in itertools.product(range(first, first + steps), units):
            for line, k in itertools.product(range(size), range(tile.k)):
                lines.append(start + unit * size + line)
                ks.append(step * tile.k + k)
        return (tuple(lines), tuple(ks)) if is_left else (tuple(ks), tuple(lines))


def _bytes(value: ir.Value) -> ir.Value | None:
    """The bytes that an operand is, or that it was widened from."""
    if str(element_of(value.type)) == "i8":
        return value
    op = producer_of(value, "arith.extsi", "arith.extui")
    return op.operands[0] if op is not None and str(element_of(op.operands[0].type)) == "i8" else None
