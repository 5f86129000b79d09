"""Matrix operands as memory: in place where they were loaded from, behind one run-time check where needed, else copied."""

from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Buffer, Loaded, Renamed, Stored, Tensor, bits


@dataclass(eq=False)
class View:
    """A block in memory: element i at `base + sum strides[d] * i[d]`, every element valid."""

    base: Emitted
    strides: list[Emitted]
    element: ir.Type


def view_of(low: Lowering, buffer: Buffer, element: ir.Type) -> View:
    return View(buffer.base, [low.b.constant(s) for s in buffer.strides], element)


def either(low: Lowering, view: View, condition: Emitted | None, copied: Callable[[], View]) -> View:
    """`view` where the condition holds, else what `copied` makes; strides on which both agree are constants."""
    if condition is None:
        return view
    b = low.b
    types = [(b.ptr, 0)] + [(b.i64, 0)] * len(view.strides)
    copies: list[View] = []

    def otherwise() -> list[Emitted]:
        copies.append(copied())
        return [copies[0].base, *copies[0].strides]

    base, *chosen = b.if_else(condition, types, lambda: [view.base, *view.strides], otherwise)
    pairs = zip(view.strides, copies[0].strides, chosen, strict=True)
    return View(base, [s if s.constant is not None and s.constant == c.constant else e for s, c, e in pairs], view.element)


def in_place(low: Lowering, tensor: Tensor, wanted: list[Emitted]) -> tuple[View, Emitted | None] | None:
    """Where `tensor` lies already, and the condition (None: always) under which all its `wanted` first elements are there."""
    b, state = low.b, low.evaluator.now(tensor)
    if tensor.element == b.i1:
        return None
    if isinstance(state, Stored):
        return view_of(low, state.buffer, state.buffer.stored), None
    if isinstance(state, Renamed) and state.order is not None:
        follows = state.order
        found = in_place(low, state.source, [wanted[d] for d in follows])
        if found is None:
            return None
        view, condition = found
        strides = [b.constant(0)] * len(tensor.shape)
        for stride, dim in zip(view.strides, follows, strict=True):
            strides[dim] = stride
        return View(view.base, strides, view.element), condition
    if not isinstance(state, Loaded) or state.access.element != tensor.element:
        return None
    access = state.access
    if access.mask is not None and access.unmasked is None:
        return None
    base, strides, condition = access.base, list(access.strides), access.unmasked
    if access.index is not None:
        linear = None if access.index_value is None else low.facts.linear(access.index_value, wanted)
        if linear is None or access.unit != bits(access.element) // 8:
            return None
        base = b.offset(base, linear.base, access.element)
        strides = [b.add(s, t) for s, t in zip(strides, linear.steps, strict=True)]
        condition = b.both(condition, linear.condition)
    for lower, upper, extent, end in zip(access.lower, access.upper, access.shape, wanted, strict=True):
        if not (lower.constant is not None and lower.constant <= 0):
            condition = b.both(condition, b.compare("sle", lower, b.constant(0)))
        if not (upper.constant is not None and upper.constant >= extent):
            condition = b.both(condition, b.compare("sge", upper, end))
    return View(base, strides, access.element), condition
