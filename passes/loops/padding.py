"""Where rows end in what they are filled up with (`passes/facts/padding.py`), as code."""

import math

from triton_spacemit.dialect.predicates import FloatPredicate, attribute_of
from triton_spacemit.passes.facts.padding import Padding
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Coordinates


def ends(low: Lowering, padding: Padding, extent: int, at: Coordinates) -> list[Emitted]:
    """The positions behind all of which the row that begins at `at` is the padding's number; `extent` where that is not sure."""
    b, sure = low.b, None
    for value in padding.greater:
        number = low.evaluate(low.tensor(value), at)
        infinite = b.constant(-math.inf, b.element(number))
        greater = {"predicate": attribute_of(FloatPredicate.ogt)}
        sure = b.both(sure, b.op("arith.cmpf", b.i1, [number, infinite], greater))
    limits = [low.facts.emit(limit) for limit in padding.limits]
    return limits if sure is None else [b.select(sure, limit, b.constant(extent)) for limit in limits]
