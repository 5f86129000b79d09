"""What a reduction or scan does to its accumulators: the function of one op, on scalars, vectors and the lanes of a vector."""

import math
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.choices import Choice, choice_of
from triton_spacemit.passes.loops.combining import KINDS, OF_NUMBERS, extreme, known_kind, neutral, reduced
from triton_spacemit.passes.loops.elementwise import converted
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.functions import inline
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Tensor, bits


@dataclass(eq=False)
class Combiner:
    """The function of a reduction or scan, of the blocks `sources`; `kind` is its one op where that is known."""

    node: Node
    sources: list[Tensor]
    block: ir.Block
    kind: str | None
    start: list[Emitted] | None

    wide: bool  # narrow floats are summed in float32 and rounded once
    # Where the function chooses and one operand counts the elements: the choice, that operand's number, and the first element's count.
    choice: Choice | None = None
    index: int | None = None
    first_index: Emitted | None = None
    # Whether NaN may be left out: the largest (or least) number is sought from the infinity on that every number replaces.
    numbers: bool = False

    @property
    def absorbed(self) -> float:
        """The number that changes no result that another number has a part in."""
        kind = self.kind if self.choice is None else self.choice.kind
        if kind in ("arith.maxnumf", "arith.minnumf"):
            return -math.inf if kind == "arith.maxnumf" else math.inf
        return KINDS[kind][1](self.sources[0].element) + 0  # +0.0 for -0.0

    def accumulate(self, low: Lowering, accumulators: list[Emitted], values: list[Emitted], ordered: bool = False) -> list[Emitted]:
        """The values stand behind those that were accumulated; of an index they have the vector's position. `ordered`: NaN is left out."""
        if self.numbers and ordered:
            return [extreme(low, self.kind, accumulators[0], values[0])]
        if self.choice is None:
            return self.combine(low, accumulators, values)
        taken = self.choice.taken(low.b, accumulators[self.choice.value], values[self.choice.value], ordered)
        return [low.b.select(taken, value, accumulator) for value, accumulator in zip(values, accumulators, strict=True)]

    def combine(self, low: Lowering, accumulators: list[Emitted], values: list[Emitted]) -> list[Emitted]:
        if self.wide:
            return [low.b.op(self.kind, low.b.f32, [accumulators[0], values[0]])]
        widest = max(v.width for v in (*accumulators, *values))
        return inline(low, self.block, [low.b.broadcast(v, widest) for v in (*accumulators, *values)])

    def indices(self, low: Lowering, results: list[Emitted], lanes: int) -> list[Emitted]:
        """An accumulator of positions as one of indices; `lanes` of them lie along the axis (0 for none)."""
        if self.index is None:
            return results
        b, position = low.b, results[self.index]
        element = b.element(position)
        offset = b.cast_index(self.first_index, element)
        if lanes:
            offset = b.op("arith.addi", element, [b.iota(lanes, element), offset])
        index = b.op("arith.addi", element, [position, offset])
        return [*results[: self.index], index, *results[self.index + 1 :]]

    def lanes_together(self, low: Lowering, values: list[Emitted], lanes: int, behind: Emitted | None = None) -> list[Emitted]:
        """Combine the lanes of vectors to scalars, and with the scalar `behind`: one instruction where the target has it, else halves."""
        b = low.b
        element = b.element(values[0])
        native = not isinstance(element, ir.FloatType) or isinstance(element, (ir.F32Type, ir.F64Type, ir.F16Type))
        if self.kind is not None and native and bits(element) >= 8 and element != b.i1:
            return [reduced(low, self.kind, values[0], start=behind)]
        while lanes > 1:
            lanes //= 2
            low_half = [b.shuffle(v, v, range(lanes)) for v in values]
            high_half = [b.shuffle(v, v, range(lanes, 2 * lanes)) for v in values]
            values = self.combine(low, low_half, high_half)
        results = [low.memory.extract(v, b.constant(0)) for v in values]
        return results if behind is None else self.combine(low, results, [behind])

    def chosen_lane(self, low: Lowering, values: list[Emitted], lanes: int) -> list[Emitted]:
        """Of lanes without NaN the value and index that are chosen, and nothing else: the least index of those with the best value."""
        b, choice = low.b, self.choice
        lane_values, indices = values[choice.value], values[self.index]
        best = reduced(low, choice.kind, lane_values, numbers=True)
        is_best = b.compare_floats("oeq", lane_values, best)
        element = b.element(indices)
        last = b.constant((1 << (element.width - 1)) - 1, element)
        index = reduced(low, "arith.minsi", b.select(is_best, indices, b.broadcast(last, lanes)))
        return [best if number == choice.value else index for number in range(2)]


def combiner_of(low: Lowering, node: Node) -> Combiner:
    """The function of the op, and what its operands let it do: start at a number, leave out NaN, count positions in place of indices."""
    sources = [low.tensor(v) for v in node.operands]
    block = node.op.regions[0].blocks[0]
    kind = known_kind(node.op)
    wide = kind in ("arith.addf", "arith.mulf") and bits(sources[0].element) < 32
    if wide:
        sources = [converted(low, sources[0], low.b.f32)]
    start = neutral(low.b, kind, sources[0].element)
    combiner = Combiner(node, sources, block, kind, None if start is None else [start], wide)
    if kind in OF_NUMBERS and not low.chip.maximum_skips_nan and isinstance(sources[0].element, (ir.F32Type, ir.F64Type)):
        combiner.numbers = low.cost(sources[0]) <= low.chip.costs.repeated  # the code for a row without numbers computes it as well
    if kind is None:
        _find_choice(low, combiner)
    return combiner


def _find_choice(low: Lowering, combiner: Combiner) -> None:
    """Where the function chooses by value and an operand that counts the elements along the axis, say so in `combiner`."""
    node, sources = combiner.node, combiner.sources
    axis = node.attribute("axis").value
    for number, operand in enumerate(node.operands):
        choice = choice_of(combiner.block, number) if isinstance(sources[number].element, ir.IntegerType) else None
        first = low.facts.counted_from(operand, axis) if choice is not None else None
        if first is not None:
            combiner.choice, combiner.index, combiner.first_index = choice, number, low.facts.emit(first)
            if isinstance(sources[choice.value].element, ir.BF16Type):
                sources[choice.value] = converted(low, sources[choice.value], low.b.f32)
            if choice.ignores_nan and len(sources) == 2:
                element = sources[choice.value].element
                infinite = low.b.constant(float("-inf") if choice.is_largest else float("inf"), element)
                combiner.start = [infinite if n == choice.value else low.b.constant(0, sources[n].element) for n in range(2)]
            return
