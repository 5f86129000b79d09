"""A loop in two versions for strides that are known at run time only: lanes are neighbours in memory where one test finds all strides 1.

The fact is `stride == 1` for every stride along the loop's vectors, of loads and stores alike, tested in front of the loop. Inside that
version the strides are the constant, and a load may not rise out of it. The other version takes strides as they come, where each access
tests its own (`Memory.load`, `Memory.store`). So a loop is there twice, however many strides there are; one that computes much is there
once, as it does not wait for its accesses.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.evaluation import Evaluator
from triton_spacemit.passes.loops.shapes import LoopShape
from triton_spacemit.passes.loops.tensors import Access, Loaded, Tensor

Emit = Callable[[Sequence[Access]], Sequence[Emitted]]


def in_versions(
    evaluator: Evaluator,
    shape: LoopShape,
    tensors: Sequence[Tensor],
    stores: Sequence[Access],
    emit: Emit,
    types: Sequence[ir.Type] = (),
) -> list[Emitted]:
    """`emit(stores)`, a loop of the `shape` that evaluates `tensors` and writes `stores`; its results are scalars of `types`."""
    b = evaluator.b
    if shape.computes or not shape.lanes:
        return list(emit(stores))
    loads = _loads(evaluator, tensors, shape.dim)
    strides = {s.value: s for access in stores if (s := _lane_stride(access, shape.dim)) is not None}
    strides |= {s.value: s for _, state, d in loads if (s := _lane_stride(state.access, d)) is not None}
    if not strides:
        return list(emit(stores))
    condition = None
    for stride in strides.values():
        condition = b.both(condition, b.compare("eq", stride, b.constant(1)))

    def neighbours() -> Sequence[Emitted]:
        with evaluator.region():
            for block, state, _ in loads:
                evaluator.becomes(block, replace(state, access=_with_units(evaluator, state.access, strides), home=b.depth))
            return emit([_with_units(evaluator, access, strides) for access in stores])

    return b.if_else(condition, [(type_, 0) for type_ in types], neighbours, lambda: emit(stores))


def unknown_strides(evaluator: Evaluator, tensors: Sequence[Tensor], dim: int) -> bool:
    """Whether a loop over `tensors` loads lanes along `dim` of which it is known at run time only how they lie."""
    return any(_lane_stride(state.access, d) is not None for _, state, d in _loads(evaluator, tensors, dim))


def _loads(evaluator: Evaluator, tensors: Sequence[Tensor], dim: int) -> list[tuple[Tensor, Loaded, int]]:
    """The blocks that a loop over `tensors` loads, each with a dimension of it that follows the loop's vectors."""
    found: dict[tuple[Tensor, int], Loaded] = {}
    for tensor in tensors:
        for block, state, follows in evaluator.cone(tensor):
            if isinstance(state, Loaded) and dim in follows:
                found.setdefault((block, follows.index(dim)), state)
    return [(block, state, d) for (block, d), state in found.items()]


def _lane_stride(access: Access, dim: int) -> Emitted | None:
    """The distance of the lanes, where it decides whether they are neighbours and is not known."""
    stride = access.strides[dim]
    decides = access.index is None and access.shape[dim] > 1 and stride.constant is None and not access.has_neighbours
    return stride if decides else None


def _with_units(evaluator: Evaluator, access: Access, strides: dict[ir.Value, Emitted]) -> Access:
    one = evaluator.b.constant(1)
    return replace(access, strides=[one if stride.value in strides else stride for stride in access.strides])
