"""Blocks that are held in vector registers, as what their elements are lanes of. Nothing is emitted here.

A `Source` is some neighbouring lanes that are loaded or computed together; a `View` is a block, each element of which is one lane of one
of its sources. Blocks have constant shapes and are small, so a view lists the lane of every element: what reshapes, transposes, splits or
joins blocks makes a new list, and whether lanes lie in registers as an instruction wants them is seen by looking at each of them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.register_loops import GROUP, NotInRegisters
from triton_spacemit.passes.loops.tensors import bits, row_major


@dataclass(frozen=True, eq=False)
class Source:
    """`count` lanes of `element`."""

    element: ir.Type
    count: int


@dataclass(frozen=True, eq=False)
class Scalar(Source):
    """One lane, that the program's scalar or constant block `value` is."""

    value: ir.Value


@dataclass(frozen=True, eq=False)
class LoadedLanes(Source):
    """Elements that lie one behind the other in memory, from `start` bytes behind the base of the load `node` on."""

    node: Node
    start: int


@dataclass(frozen=True, eq=False)
class ComputedLanes(Source):
    """The element-wise op `node` of the elements of `operands`, in their order."""

    node: Node
    operands: "tuple[View, ...]"


@dataclass(frozen=True, eq=False)
class ProductLanes(Source):
    """The product `node`, row by row: `left` times `right`, added to `start`."""

    node: Node
    left: "View"
    right: "View"
    start: "View"


@dataclass(frozen=True, eq=False)
class CarriedLanes(Source):
    """The block that a loop carries as its value of this number, in order."""

    number: int


@dataclass(frozen=True, eq=False)
class Piece:
    """Lanes that come together: `count` of `source` from `first` on, or `count` times the one at `first` where they are all the `same`, or
    those of these numbers, in their order, by a shuffle."""

    source: Source
    first: int
    count: int
    same: bool = False
    shuffled: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class View:
    """A block of `shape`: element i, row by row, is lane `lanes[i]` of `sources`, whose lanes are counted on from one to the next."""

    shape: tuple[int, ...]
    element: ir.Type
    sources: tuple[Source, ...]
    lanes: tuple[int, ...]

    @property
    def is_uniform(self) -> bool:
        return isinstance(self.sources[0], Scalar) and len(self.sources) == 1

    def only(self, positions: Sequence[int], shape: tuple[int, ...] | None = None) -> "View":
        """The block of the elements at these positions."""
        lanes = self.lanes
        return View((len(positions),) if shape is None else shape, self.element, self.sources, tuple(lanes[p] for p in positions))

    def located(self, lane: int) -> tuple[Source, int]:
        """The source that a lane is of, and its number there."""
        for source in self.sources:
            if lane < source.count:
                return source, lane
            lane -= source.count
        raise AssertionError("a lane is one of a source")


def whole(source: Source, shape: tuple[int, ...] | None = None) -> View:
    """The block of all lanes of a source, in order."""
    return View((source.count,) if shape is None else shape, source.element, (source,), tuple(range(source.count)))


def joined(sources: Sequence[Source], shape: tuple[int, ...]) -> View:
    """The block of all lanes of several sources, in order."""
    return View(shape, sources[0].element, tuple(sources), tuple(range(math.prod(shape))))


def uniform(value: ir.Value, element: ir.Type, shape: tuple[int, ...]) -> View:
    return View(shape, element, (Scalar(element, 1, value),), (0,) * math.prod(shape))


# Ops that put elements in other places


def transposed(view: View, order: Sequence[int]) -> View:
    """Dimension d of the result is dimension `order[d]` of the view."""
    strides = row_major(view.shape)
    shape = tuple(view.shape[d] for d in order)
    return view.only([sum(i * strides[d] for i, d in zip(at, order, strict=True)) for at in _places(shape)], shape)


def reshaped(view: View, shape: tuple[int, ...]) -> View:
    return View(shape, view.element, view.sources, view.lanes)


def broadcast(view: View, shape: tuple[int, ...]) -> View:
    strides = [0 if extent == 1 else stride for extent, stride in zip(view.shape, row_major(view.shape), strict=True)]
    return view.only([sum(i * stride for i, stride in zip(at, strides, strict=True)) for at in _places(shape)], shape)


def interleaved(first: View, second: View) -> View:
    """Two blocks side by side on a new last dimension."""
    behind = sum(source.count for source in first.sources)
    lanes = tuple(lane for pair in zip(first.lanes, second.lanes, strict=True) for lane in (pair[0], pair[1] + behind))
    return View((*first.shape, 2), first.element, first.sources + second.sources, lanes)


def halves(view: View) -> tuple[View, View]:
    """The two blocks side by side on the last dimension."""
    first, second = (view.only(range(start, len(view.lanes), 2), view.shape[:-1]) for start in (0, 1))
    return first, second


def _places(shape: tuple[int, ...]) -> itertools.product:
    return itertools.product(*(range(extent) for extent in shape))


# Lanes in registers


def most_lanes(chip: Chip, *types: ir.Type) -> int:
    """How many lanes of the widest of some types a group of registers holds."""
    return GROUP * chip.vlen // max(bits(type_) for type_ in types)


def pieces(chip: Chip, view: View, shuffles: bool = False) -> list[Piece]:
    """How the elements, in order, come into registers: whole registers of sources one behind the other, or one lane many times; with
    `shuffles`, also a register of lanes of one source in any order.

    Raises NotInRegisters where they do not.
    """
    lanes = view.lanes
    source, first = view.located(lanes[0])
    count, size = len(lanes), bits(view.element)
    if count * 64 % chip.vlen == 0 or not chip.active_lengths:  # else LLVM has no type for so few
        if lanes == tuple(range(lanes[0], lanes[0] + count)) and first + count <= source.count and _apart(chip, source, first, count):
            return [Piece(source, first, count)]
        if isinstance(source, Scalar | LoadedLanes) and len(set(lanes)) == 1:
            return [Piece(source, first, count, same=True)]
        if count * size > chip.vlen and count % 2 == 0:
            parts = [view.only(range(start, start + count // 2)) for start in (0, count // 2)]
            return [piece for part in parts for piece in pieces(chip, part, shuffles)]
        if shuffles and count * size == chip.vlen and lanes[0] - first <= min(lanes) and max(lanes) - lanes[0] + first < source.count:
            return [Piece(source, first, count, shuffled=tuple(lane - lanes[0] + first for lane in lanes))]
    raise NotInRegisters(f"{count} elements of {view.element} lie apart")


def _apart(chip: Chip, source: Source, first: int, count: int) -> bool:
    """Whether these lanes of a source are a value of their own: all of it, whole registers of it, or what can be loaded alone."""
    if count == source.count or isinstance(source, LoadedLanes) or not chip.active_lengths:
        return True
    return count * bits(source.element) % chip.vlen == 0 and first % count == 0


def in_order(chip: Chip, view: View) -> bool:
    """Whether `pieces` has an answer."""
    try:
        pieces(chip, view)
    except NotInRegisters:
        return False
    return True


def _run(chip: Chip, view: View) -> int:
    """In how many lanes at a time a block is computed with: those of one number, which an instruction takes as a scalar, else all."""
    found = pieces(chip, view) if in_order(chip, view) else []
    sizes = {piece.count for piece in found}
    return sizes.pop() if len(sizes) == 1 and all(piece.same for piece in found) else len(view.lanes)


def loaded(chip: Chip, node: Node, element: ir.Type, shape: tuple[int, ...], strides: Sequence[int]) -> View:
    """The block of a load whose element i lies `sum strides[d] * i[d]` elements behind its base: a source for each run of neighbours."""
    places = [sum(i * stride for i, stride in zip(at, strides, strict=True)) for at in _places(shape)]
    size, most = bits(element) // 8, most_lanes(chip, element)
    sources: list[LoadedLanes] = []
    numbers: dict[int, int] = {}
    run: list[int] = []

    def end() -> None:
        sources.append(LoadedLanes(element, len(run), node, run[0] * size))
        run.clear()

    for place in sorted(set(places)):
        if run and (place != run[-1] + 1 or len(run) == most):
            end()
        run.append(place)
        numbers[place] = len(numbers)
    end()
    return View(shape, element, tuple(sources), tuple(numbers[place] for place in places))


def computed(chip: Chip, node: Node, element: ir.Type, shape: tuple[int, ...], operands: Sequence[View]) -> View:
    """The block of an element-wise op: in order where its operands can be had in order, else in the order of their sources.

    Raises NotInRegisters where these differ.
    """
    types = [element, *(view.element for view in operands)]
    count = math.prod(shape)
    most = min([count, most_lanes(chip, *types), *(_run(chip, view) for view in operands if not view.is_uniform)])
    chunks = [range(start, start + most) for start in range(0, count, most)]
    parts = [tuple(view.only(chunk) for view in operands) for chunk in chunks]
    if count % most == 0 and all(in_order(chip, view) for part in parts for view in part):
        return joined([ComputedLanes(element, most, node, part) for part in parts], shape)
    varying = [view for view in operands if not view.is_uniform]
    first = varying[0]
    sizes = [source.count for source in first.sources]
    for view in varying[1:]:
        if view.lanes != first.lanes or [source.count for source in view.sources] != sizes:
            raise NotInRegisters(f"the operands of {node.name} lie in different orders")
    sources = []
    for number, size in enumerate(sizes):
        if size > most_lanes(chip, *types):
            raise NotInRegisters(f"{size} elements of {element} are too many")
        part = tuple(view.only((0,) * size) if view.is_uniform else whole(view.sources[number]) for view in operands)
        if not all(in_order(chip, view) for view in part):
            raise NotInRegisters(f"{size} elements of {element} are too few")
        sources.append(ComputedLanes(element, size, node, part))
    return View(shape, element, tuple(sources), first.lanes)
