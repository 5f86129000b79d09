"""Loops of the program whose carried blocks stay in registers: all turns for one vector of the blocks, then all turns for the next one.

`for k: total += row(k)` would load and store the whole of `total` once a turn, if each turn went through the block. Here the loop over
vectors is the outer one, and what lies in memory is the last turn's result.

Turns may be taken so for three facts. The loop writes no memory and does nothing else that shows (`_is_pure`), so that loads of all turns
are of the same memory in any order. Each lane of the new blocks is computed from no lane of the old ones but its own (`_in_lanes`), so that
no vector waits for another. And what the body computes for all vectors together, it may compute again for each: scalars, and reductions
across the vectors' lanes (`_Reduced`), but no block that is costly (`_is_cheap`).
"""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.tt import combining_op
from triton_spacemit.passes.loops.analysis import Block, Node
from triton_spacemit.passes.loops.combiners import Combiner, combiner_of
from triton_spacemit.passes.loops.combining import KINDS
from triton_spacemit.passes.loops.elementwise import convert, element_of, shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.reductions import RowReduction
from triton_spacemit.passes.loops.shapes import LoopShape
from triton_spacemit.passes.loops.tensors import Computed, Coordinates, Follows, Tensor
from triton_spacemit.passes.loops.versions import unknown_strides

# Ops of blocks that compute an element from those at its own place, or only give elements other places.
_ELEMENTWISE = ("arith.", "math.", "tt.fp_to_fp", "tt.bitcast", "tt.clampf", "tt.mulhiui", "tt.precise_", "tt.extern_elementwise")
_PLACED = ("tt.splat", "tt.make_range", "tt.expand_dims", "tt.broadcast", "xsmt.descriptor_load", "xsmt.gather")
_SCALAR = ("arith.", "math.", "llvm.load", "llvm.getelementptr", "llvm.mlir.zero", "llvm.ptrtoint", "llvm.inttoptr", "scf.yield")


def lower_resident(low: Lowering, loop: Node) -> list[Value] | None:
    """The loop with its carried blocks in registers; None where that may not be, or does not pay."""
    if not _may_be(low, loop):
        return None
    resident = _Resident(low, loop)
    return resident.run() if resident.survey() else None


def _may_be(low: Lowering, loop: Node) -> bool:
    """Whether the three facts hold."""
    body = loop.regions[0]
    carried = [(argument, value) for argument, value in zip(body.arguments[1:], loop.results, strict=True)]
    blocks = [argument for argument, _ in carried if isinstance(argument.type, ir.RankedTensorType)]
    shapes = {shape_of(argument) for argument in blocks}
    if not low.chip.in_order or len(shapes) != 1 or loop.writes:
        return False
    if any(element_of(argument.type) == low.b.i1 for argument in blocks):
        return False
    starts = zip(body.arguments[1:], loop.operands[3:], strict=True)
    if not all(isinstance(low.values[start], Tensor) for argument, start in starts if argument in blocks):
        return False  # blocks are no arguments of functions, and are refused where loops carry them
    if any(low.analysis.users.get(value) for argument, value in carried if argument not in blocks):
        return False  # the last turn's scalars would come from one of several loops
    (shape,) = shapes
    reduced = {shape_of(node.operands[0]) for node in body.nodes if node.name == "tt.reduce"}
    return (
        _is_pure(body)
        and all(_is_cheap(node, shape, reduced) for node in body.nodes[:-1])
        and all(_in_lanes(low, body, argument) for argument in blocks)
    )


def _is_pure(body: Block) -> bool:
    """Whether all that the body does is to compute and to read memory."""
    for node in body.nodes[:-1]:
        if "volatile_" in node.op.attributes:
            return False
        if node.name == "scf.if" and not node.is_tensor and all(_is_pure(region) for region in node.regions):
            continue
        names = _SCALAR if not node.is_tensor else (*_ELEMENTWISE, *_PLACED, "tt.reduce")
        if not node.name.startswith(names) or (node.is_tensor and not node.is_lazy and node.name != "tt.reduce"):
            return False
    return True


def _is_cheap(node: Node, shape: tuple[int, ...], reduced: set[tuple[int, ...]]) -> bool:
    """Whether the op may be repeated for each vector of blocks of `shape`: it is computed for that vector alone, or costs little.

    `reduced`: the shapes of blocks that are reduced to such.
    """
    if node.name == "tt.reduce":
        return shape_of(node.results[0]) == shape and _is_known(node)
    return not node.is_tensor or shape_of(node.results[0]) in {shape, *reduced} or (node.row is not None and not node.row.cost)


def _is_known(reduce: Node) -> bool:
    """Whether it combines elements by one known operation, none of which is the last along memory: lanes are then never combined."""
    axis = reduce.attribute("axis").value
    return combining_op(reduce.op) in KINDS and len(reduce.results) == 1 and axis + 1 < len(shape_of(reduce.operands[0]))


def _in_lanes(low: Lowering, body: Block, argument: ir.Value) -> bool:
    """Whether each element of the new blocks is computed from no element of the carried block `argument` but the one at its own place."""
    shape, end = argument.type.shape, body.nodes[-1]
    stack, seen = [argument], {argument}
    while stack:
        for user in low.analysis.users.get(stack.pop(), ()):
            if user is end:
                continue
            if not user.name.startswith(_ELEMENTWISE) or not user.is_tensor or user.results[0].type.shape != shape:
                return False
            for result in user.results:
                if result not in seen:
                    seen.add(result)
                    stack.append(result)
    return True


class _Resident:
    """One such loop. `bounds` are its first index, its end and its step; `starts` what it carries into the first turn."""

    def __init__(self, low: Lowering, loop: Node) -> None:
        self.low, self.b, self.loop, self.body = low, low.b, loop, loop.regions[0]
        self.bounds = [low.scalar(v) for v in loop.operands[:3]]
        self.starts = [low.values[v] for v in loop.operands[3:]]
        self.shape = next(start.shape for start in self.starts if isinstance(start, Tensor))
        self.chosen: LoopShape | None = None

    def survey(self) -> bool:
        """Find the shape of the loop over vectors, from what the body computes; whether its lanes lie where is known."""
        low = self.low
        found: list[bool] = []

        def look(new: Sequence[Value]) -> list[Emitted]:
            tensors = [value for value in new if isinstance(value, Tensor)]
            self.chosen = low.storage.loop_shape(tensors, self.shape, carried=len(tensors))
            found.append(not unknown_strides(low.evaluator, tensors, self.chosen.dim) and not self.chosen.once)
            return [value for value in new if isinstance(value, Emitted)]

        self._turns([start for start in self.starts if isinstance(start, Emitted)], look).erase()
        return found[0]

    def run(self) -> list[Value]:
        low, b, origin = self.low, self.b, self.loop.op
        blocks = [start for start in self.starts if isinstance(start, Tensor)]
        buffers = [low.storage.allocate(self.shape, block.element) for block in blocks]
        accesses = [low.memory.buffer_access(buffer, origin) for buffer in buffers]

        chosen = self.chosen
        together = chosen.together if chosen.lanes * chosen.together <= self.shape[chosen.dim] else 1

        def vectors(at: Coordinates) -> None:
            places = low.nests.parts(at, chosen.dim, together)

            def values_at(values: Sequence[Value]) -> list[Emitted]:
                """The scalars once, and each block's vectors."""
                lanes = max(coordinate.width for coordinate in places[0])
                return [
                    b.broadcast(low.evaluate(value, place), lanes) if isinstance(value, Tensor) else value
                    for value in values
                    for place in (places if isinstance(value, Tensor) else places[:1])
                ]

            first = values_at(self.starts)
            loop = self._turns(first, values_at, places)
            results = (Emitted(r, b.depth, f.width) for r, f in zip(loop.results, first, strict=True))
            targets = iter(zip(accesses, buffers, strict=True))
            for start in self.starts:
                if not isinstance(start, Tensor):
                    next(results)
                    continue
                access, buffer = next(targets)
                for place in places:
                    low.memory.store(access, convert(low, next(results), buffer.element), place)

        low.nests.nest(self.shape, chosen.dim, chosen.lanes * together, vectors, alone=True)
        rest = iter(buffers)
        return [low.storage.from_buffer(next(rest), origin) if isinstance(s, Tensor) else s for s in self.starts]

    def _turns(
        self, first: list[Emitted], finish: Callable[[Sequence[Value]], list[Emitted]], places: Sequence[Coordinates] = ()
    ) -> ir.Operation:
        """The program's loop, which carries `first`: scalars, and of blocks the vectors at `places`; `finish` makes the new ones."""
        low, b, node = self.low, self.b, self.loop
        types = [value.value.type for value in first]
        attributes = {"unsignedCmp": node.op.attributes["unsignedCmp"]} if "unsignedCmp" in node.op.attributes else None
        operands = [*(bound.value for bound in self.bounds), *(value.value for value in first)]
        loop = b.create("scf.for", types, operands, attributes, regions=1)
        block = loop.regions[0].blocks.append(operands[0].type, *types, arg_locs=[b.location] * (1 + len(types)))
        with b.inside(loop, block) as depth, low.storage.region():
            number, *arguments = (Emitted(a, depth, w) for a, w in zip(block.arguments, (0, *(f.width for f in first)), strict=True))
            low.bind_value(self.body.arguments[0], number)
            rest = iter(arguments)
            for argument, start in zip(self.body.arguments[1:], self.starts, strict=True):
                value: Value = self._block(start, {place: next(rest) for place in places}) if isinstance(start, Tensor) else next(rest)
                low.bind_value(argument, value)
            outer = b.location
            self._lower_body(places)
            results = finish([low.values[v] for v in self.body.nodes[-1].operands])
            b.location = outer
            b.create("scf.yield", [], [result.value for result in results])
        return loop

    def _block(self, start: Tensor, vectors: dict[Coordinates, Emitted]) -> Tensor:
        """A carried block, of which the turn has the vectors that it needs."""
        return Computed(shape=start.shape, element=start.element, origin=start.origin, compute=vectors.__getitem__)

    def _lower_body(self, places: Sequence[Coordinates]) -> None:
        low, nodes = self.low, self.body.nodes[:-1]
        reductions = _Reductions(low, places)
        for node in nodes:
            low.b.location = node.op.location
            if node.name == "tt.reduce":
                low.bind_value(node.results[0], reductions.add(node))
            else:
                low.lower(node)
        low.b.location = self.body.nodes[-1].op.location


class _Reductions:
    """Reductions of a turn, computed for the vector that needs them; those over blocks of one shape and axis in one loop."""

    def __init__(self, low: Lowering, places: Sequence[Coordinates]) -> None:
        self.low, self.places = low, places
        self.groups: dict[tuple[int, tuple[int, ...]], list[Combiner]] = {}
        self.made: set[Tensor] = set()

    def add(self, node: Node) -> Tensor:
        """The block that the reduction gives."""
        low = self.low
        combiner = combiner_of(low, node)
        axis, shape = node.attribute("axis").value, shape_of(node.operands[0])
        needs_another = any(block in self.made for source in combiner.sources for block, _, _ in low.evaluator.cone(source))
        group = [] if needs_another else self.groups.setdefault((axis, shape), [])
        number = len(group)
        group.append(combiner)
        element = element_of(node.results[0].type)
        follows: Follows = tuple(None if d == axis else d - (d > axis) for d in range(len(shape)))

        def compute(at: Coordinates) -> Emitted:
            return convert(low, self._all(group, at)[number], element)

        sources = tuple((source, follows) for source in combiner.sources)
        cost = low.cost(combiner.sources[0])
        tensor = Computed(shape=shape_of(node.results[0]), element=element, origin=node.op, sources=sources, cost=cost, compute=compute)
        self.made.add(tensor)
        return tensor

    def _all(self, group: list[Combiner], at: Coordinates) -> list[Emitted]:
        """The results of a group at one of the places, computed for all places together."""
        known = self.low.b.scopes[-1].known
        if ("reduced", id(group)) not in known:
            known["reduced", id(group)] = dict(zip(self.places, RowReduction(self.low, group).across(self.places), strict=True))
        return known["reduced", id(group)][at]
