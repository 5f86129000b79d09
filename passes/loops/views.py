"""Matrix operands as memory: in place where they were loaded from, behind one run-time check where needed, else copied."""

from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Buffer, Loaded, Renamed, Stored, Tensor, Uniform, bits


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


@dataclass(eq=False)
class Linear:
    """An integer block as `base + sum steps[d] * i[d]`, which holds if `condition` (None: always) does."""

    base: Emitted
    steps: list[Emitted]
    condition: Emitted | None = None


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
        linear = None if access.index_value is None else linear_form(low, access.index_value, wanted)
        if linear is None or access.unit != bits(access.element) // 8:
            return None
        base = b.offset(base, linear.base, access.element)
        strides = [b.add(s, t) for s, t in zip(strides, linear.steps, strict=True)]
        condition = linear.condition
    for lower, upper, extent, end in zip(access.lower, access.upper, access.shape, wanted, strict=True):
        if not (lower.constant is not None and lower.constant <= 0):
            condition = b.both(condition, b.compare("sle", lower, b.constant(0)))
        if not (upper.constant is not None and upper.constant >= extent):
            condition = b.both(condition, b.compare("sge", upper, end))
    return View(base, strides, access.element), condition


def linear_form(low: Lowering, value: ir.Value, wanted: list[Emitted]) -> Linear | None:
    """An index block as a linear function of its coordinates, if no remainder in it wraps around among the `wanted` first elements."""
    b = low.b
    node = low.analysis.producer.get(value)
    shape = tuple(value.type.shape)
    known = low.values.get(value)
    none = [b.constant(0)] * len(shape)
    if isinstance(known, Uniform):
        return Linear(b.cast_index(known.value, b.i64), none)
    if node is None:
        return None
    if node.name == "tt.make_range":
        return Linear(b.constant(node.attribute("start").value), [b.constant(1)])
    if value.type.element_type.width < 32:
        return None  # narrow integers wrap around in earnest
    if node.name == "arith.extsi":
        return linear_form(low, node.operands[0], wanted)
    if node.name in ("tt.expand_dims", "tt.broadcast"):
        axis = node.attribute("axis").value if node.name == "tt.expand_dims" else len(shape)
        source = linear_form(low, node.operands[0], [*wanted[:axis], *wanted[axis + 1 :]])
        if source is None:
            return None
        if node.name == "tt.expand_dims":
            return Linear(source.base, [*source.steps[:axis], b.constant(0), *source.steps[axis:]], source.condition)
        small = node.operands[0].type.shape
        return Linear(source.base, [b.constant(0) if n == 1 else s for n, s in zip(small, source.steps, strict=True)], source.condition)
    if node.name not in ("arith.addi", "arith.subi", "arith.muli", "arith.remsi"):
        return None
    left, right = (linear_form(low, v, wanted) for v in node.operands)
    if left is None or right is None:
        return None
    condition = b.both(left.condition, right.condition)
    if node.name in ("arith.addi", "arith.subi"):
        combine = b.add if node.name == "arith.addi" else b.sub
        return Linear(combine(left.base, right.base), [combine(s, t) for s, t in zip(left.steps, right.steps, strict=True)], condition)
    if node.name == "arith.muli" and any(s.constant != 0 for s in right.steps):
        left, right = right, left
    if any(s.constant != 0 for s in right.steps):
        return None
    if node.name == "arith.muli":
        return Linear(b.mul(left.base, right.base), [b.mul(s, right.base) for s in left.steps], condition)
    dims = [d for d, s in enumerate(left.steps) if s.constant != 0]
    if len(dims) != 1 or left.steps[dims[0]].constant != 1:
        return None
    first = b.op("arith.remsi", b.i64, [left.base, right.base], depth=b.depth)
    fits = b.compare("sle", b.add(first, wanted[dims[0]]), right.base)
    fits = b.both(fits, b.compare("sge", left.base, b.constant(0)))
    return Linear(first, left.steps, b.both(condition, fits))
