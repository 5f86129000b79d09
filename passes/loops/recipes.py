"""How elements of blocks come to lie in the lanes of registers, found before there is any code.

A recipe says it for given lanes, each of which is an element whose coordinates are known. `Planner.plan` gives one where facts allow it:
a load without a mask, whose strides and index are known numbers, is so many whole registers, or one load by an index; what is computed
element by element is computed lane by lane. Blocks that other loops carry or that were loaded outside of this one have none.

Where the lanes are several parts with the same elements in each, a recipe has the lanes of one part.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.facts.divisibility import Divisibility
from triton_spacemit.passes.facts.steps import from_root
from triton_spacemit.passes.loops.analysis import Analysis, Block, Node
from triton_spacemit.passes.loops.elementwise import element_of
from triton_spacemit.passes.loops.numbers import Lanes, numbers_of, source_lanes
from triton_spacemit.passes.loops.register_loops import ELEMENTWISE, GROUP, NotInRegisters, fits, strides_of
from triton_spacemit.passes.loops.tensors import bits

_PART = 8  # bytes of the widest element that a load by an index takes


@dataclass(frozen=True, eq=False)
class Recipe:
    """lanes: how many it has, of `element`; 0 where it is one scalar for all."""

    lanes: int
    element: ir.Type

    @property
    def sources(self) -> "tuple[Recipe, ...]":
        """The recipes that are carried out first."""
        return ()


@dataclass(frozen=True, eq=False)
class Same(Recipe):
    """The scalar `value`."""

    value: ir.Value


@dataclass(frozen=True, eq=False)
class Known(Recipe):
    """Numbers that are known."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Carried(Recipe):
    """What the loop carries."""


@dataclass(frozen=True, eq=False)
class Read(Recipe):
    """Neighbours `first` bytes from `base` on; `chunk` lanes at each of several distances, where they are not all neighbours."""

    base: ir.Value
    firsts: tuple[int, ...]
    chunk: int
    alignment: int


@dataclass(frozen=True, eq=False)
class Indexed(Recipe):
    """Runs of `run` neighbours at each of the distances in bytes from the place `first` bytes behind `base`."""

    base: ir.Value
    first: int
    distances: tuple[int, ...]
    run: int


def index_bits(distances: Sequence[int]) -> int:
    """Of each place of a load by an index, all of which are at most as many registers as a group has."""
    return 16 if max(distances) < 1 << 16 else 32


@dataclass(frozen=True, eq=False)
class Applied(Recipe):
    """The result of an element-wise op."""

    op: ir.Operation
    operands: tuple[Recipe, ...]

    @property
    def sources(self) -> tuple[Recipe, ...]:
        return self.operands


@dataclass(eq=False)
class Planner:
    """Recipes of one block of code. `special` answers first: for what a loop carries, and for products. `on_load` is told of loads.
    `indexed`: what lies apart is loaded by an index, even where each part fills registers."""

    chip: Chip
    analysis: Analysis
    body: Block
    special: Callable[[ir.Value, Lanes], Recipe | None]
    on_load: Callable[[Node], object] = lambda node: None
    indexed: bool = False

    def __post_init__(self) -> None:
        self._divisibility = Divisibility()
        self._known: dict[tuple[ir.Value, Lanes, int], Recipe | None] = {}

    def plan(self, value: ir.Value, lanes: Lanes, parts: int = 1) -> Recipe | None:
        """How `value` comes to lie in these lanes, which are so many equal parts; None where it does not."""
        key = (value, lanes, parts)
        if key not in self._known:
            self._known[key] = self._plan(value, lanes, parts)
        return self._known[key]

    def _plan(self, value: ir.Value, lanes: Lanes, parts: int) -> Recipe | None:
        element = element_of(value.type)
        found = self.special(value, lanes)
        if found is not None:
            return found
        op, constant = producer_of(value), constant_of(value)
        if op is None or not fits(element):
            return None
        if constant is not None:
            return Same(0, element, value)
        numbers = numbers_of(value, lanes)
        if numbers is not None:
            return Known(len(numbers) if len(set(numbers)) > 1 else 0, element, numbers)
        if op.name == "tt.splat":
            return Same(0, element, op.operands[0])
        places = source_lanes(op, lanes)
        if places is not None:
            return self.plan(op.operands[0], places, parts)
        node = self.analysis.producer[value]
        if node.block is not self.body:
            return None
        if op.name in ("xsmt.descriptor_load", "xsmt.gather"):
            return self._load(node, lanes, parts)
        if op.name not in ELEMENTWISE:
            return None
        operands = [self.plan(operand, lanes, parts) for operand in op.operands]
        if any(operand is None for operand in operands):
            return None
        recipes = tuple(operand for operand in operands if operand is not None)
        return Applied(max(recipe.lanes for recipe in recipes), element, op, recipes)

    def _load(self, node: Node, lanes: Lanes, parts: int) -> Recipe | None:
        places = places_of(node.op, node.results[0].type, lanes)
        if places is None:
            return None
        self.on_load(node)
        element, (base, distance) = element_of(node.results[0].type), from_root(node.op.opview.base)
        size = bits(element) // 8
        places = _period(tuple(place + distance for place in places), parts)
        alignment = min(self._divisibility.of_pointer(base), 64)
        chunk = _run(places, size, len(places))
        apart = chunk < len(places) and (self.indexed and len(set(places)) == len(places) or chunk * size * 8 % self.chip.vlen)
        if not apart:
            firsts = places[::chunk]
            aligned = min([alignment, *(first & -first for first in firsts if first)])
            return Read(len(places), element, base, firsts, chunk, max(aligned, size))
        first = min(places)
        widest = max(1, min(alignment, _PART) // size)
        run = _run(places, size, widest)
        while run > 1 and any(place % (run * size) for place in places[::run]):
            run //= 2  # a part of an element of memory, aligned to its size, begins there
        distances = tuple(place - first for place in places[::run])
        if len(distances) * index_bits(distances) > GROUP * self.chip.vlen:
            return None
        return Indexed(len(places), element, base, first, distances, run)


def parts_of(recipe: Recipe) -> Iterator[Recipe]:
    """The recipe and all that it is made from, each once, in the order in which they are needed."""
    stack, seen = [recipe], set()
    while stack:
        current = stack.pop()
        if current not in seen:
            seen.add(current)
            yield current
            stack += reversed(current.sources)


def whole_registers(recipe: Recipe | None, vlen: int) -> bool:
    """Whether all that a recipe reads comes by loads of neighbours: one, or such as bring several registers each."""
    if isinstance(recipe, Applied):
        return all(whole_registers(operand, vlen) for operand in recipe.operands)
    if isinstance(recipe, Read):
        return len(recipe.firsts) == 1 or (recipe.chunk * bits(recipe.element) > vlen and len(set(recipe.firsts)) == len(recipe.firsts))
    return recipe is not None and not isinstance(recipe, Indexed)


def in_words(recipe: Recipe | None) -> bool:
    """Whether all that a recipe reads comes by registers, or by the widest elements that are loaded by an index."""
    if isinstance(recipe, Applied):
        return all(in_words(operand) for operand in recipe.operands)
    if isinstance(recipe, Indexed):
        return recipe.run * bits(recipe.element) == 8 * _PART
    return recipe is not None


def _period(places: tuple[int, ...], parts: int) -> tuple[int, ...]:
    """What places repeat in so many equal parts, or in half as many and so on."""
    while parts > 1:
        count = len(places) // parts
        if all(places[start : start + count] == places[:count] for start in range(count, len(places), count)):
            return places[:count]
        parts //= 2
    return places


def _run(places: tuple[int, ...], size: int, most: int) -> int:
    """The largest power of two up to `most` such that runs of so many places are neighbours."""
    run = 1
    while run * 2 <= most and len(places) % (run * 2) == 0:
        step = run * 2
        if any(places[i + j] != places[i] + j * size for i in range(0, len(places), step) for j in range(step)):
            break
        run = step
    return run


def places_of(op: ir.Operation, block: ir.Type, lanes: Lanes) -> tuple[int, ...] | None:
    """Where an access of a block is, in bytes from its base: None where that is not known, or a bound or a mask may keep it from memory."""
    view = op.opview
    shape, size = block.shape, bits(element_of(block)) // 8
    try:
        strides = strides_of(op, shape)
    except NotInRegisters:
        return None
    index = getattr(view, "index", None)
    rest, unit = (0,) * len(lanes[0]), 0
    if index is not None:
        found = numbers_of(index, lanes)
        if found is None:
            return None
        rest, unit = found, view.unit.value
    return tuple(
        size * sum(stride * place for stride, place in zip(strides, element, strict=True)) + unit * number
        for *element, number in zip(*lanes, rest, strict=True)
    )
