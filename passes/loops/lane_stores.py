"""Stores of a whole block that is a few registers, to neighbours in memory, of what is read by known places: in lanes, without a loop.

`tl.store(to + arange(0, 64), tl.load(scales + arange(0, 64) // 16 * 4 + arange(0, 64) % 4))` is one load by an index, of four scales at a
time, and one store. What makes that legal: every value is computed of loads of the same block of code that no mask or bound cuts short
(`recipes.py`), and nothing writes between such a load and the store but to memory that does not meet what is loaded.
"""

import itertools
import math

from torch_mlir import ir

from triton_spacemit.dialect.module import storages_of
from triton_spacemit.passes.facts.steps import lie_apart
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import element_of, shape_of
from triton_spacemit.passes.loops.lanes import LaneCode, together_of
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.numbers import Lanes
from triton_spacemit.passes.loops.recipes import Indexed, Planner, Read, Recipe, parts_of, places_of
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.tensors import bits

_GROUPS = (1, 2, 4, 8)  # registers
_MOST = 8  # of the largest groups that a store may have
_HELD = 16  # registers that hold what is read before anything is written


def stored_in_lanes(low: Lowering, node: Node) -> list[Recipe]:
    """How the value of a store comes to lie in lanes in the order of memory, group of registers behind group, where the store is one of
    these; else nothing."""
    op = node.op.opview
    shape, element = shape_of(op.value), element_of(op.value.type)
    if not low.chip.ime or storages_of(low.module) or not shape or isinstance(op.value.owner, ir.Block):
        return []
    size, count = bits(element) // 8, math.prod(shape)
    most = low.chip.lanes(8 * size, _GROUPS[-1])
    if count * size * 8 not in [low.chip.vlen * number for number in _GROUPS] and not (count % most == 0 and count <= _MOST * most):
        return []
    lanes: Lanes = tuple(zip(*itertools.product(*(range(extent) for extent in shape)), strict=True))
    places = places_of(node.op, op.value.type, lanes)
    if places != tuple(range(0, count * size, size)):
        return []
    loads: list[Node] = []
    planner = Planner(low.chip, low.analysis, node.block, lambda value, at: None, loads.append, indexed=True)
    recipes: list[Recipe] = []
    for first in range(0, count, most):
        recipe = planner.plan(op.value, tuple(place[first : first + most] for place in lanes))
        if recipe is None or not recipe.lanes:
            return []
        recipes.append(recipe)
    if not loads or any(_overwritten(load, node) for load in loads):
        return []
    one_turn = count <= low.chip.lanes(32, _GROUPS[-1])  # of a loop
    indexed = any(isinstance(part, Indexed) for recipe in recipes for part in parts_of(recipe))
    return recipes if indexed or not (one_turn or len(recipes) > 1) else []


def _overwritten(load: Node, store: Node) -> bool:
    """Whether something between a load and a store of the same block of code may write what is loaded."""
    between = [node for node in store.block.between(load, store) if node.writes]
    plain = ("xsmt.descriptor_store", "xsmt.scatter")
    return any(node.name not in plain or not lie_apart(node.operands[0], load.operands[0]) for node in between)


def store_in_lanes(low: Lowering, node: Node, recipes: list[Recipe]) -> None:
    """Carry out the store. All that is read is read before anything is written, as one load by an index may serve several groups, unless
    that is more than registers hold and lies apart from what is written."""
    registers = Registers(low.b, low.chip.vlen)
    code = LaneCode(low, registers, lambda other: low.zero.start, together=together_of(recipes, low.chip.vlen))
    reads = [part for recipe in recipes for part in parts_of(recipe) if isinstance(part, Indexed | Read)]
    held = sum(part.lanes * bits(part.element) for part in reads) <= _HELD * low.chip.vlen
    if held or not all(lie_apart(node.op.opview.base, part.base) for part in reads):
        for part in reads:
            code.make(part)
    base = low.scalar(node.op.opview.base)
    size = bits(recipes[0].element) // 8
    attributes = {"alignment": ir.IntegerAttr.get(low.b.i64, size)}
    for number, recipe in enumerate(recipes):
        pointer = low.b.offset(base, low.b.constant(number * recipe.lanes * size), low.b.i8)
        low.b.create("llvm.store", [], [code.make(recipe).value, pointer.value], attributes)
