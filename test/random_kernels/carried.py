"""What loops and branches carry: the values that they may replace, and each one's next content."""

from collections.abc import Callable

from random_kernels import elementwise, memory_ops, products, rows, shapes
from random_kernels.draft import Draft
from random_kernels.masks import mask
from random_kernels.program import Line
from random_kernels.values import CARRIED, Value


def assign(draft: Draft) -> None:
    """Give a value that a loop or branch may replace its next content."""
    target = draft.choice([v for v in draft.values if v.replaceable])
    # What is derived from the old content and used after the new one has taken its place needs a copy, or must come first.
    view = _view(draft, target) if target.shape and draft.chance(0.6) else None
    made = None
    found = [v for v in draft.values if v is not target and v.shape == target.shape and v.approximate == target.approximate]
    if found and draft.chance(0.35):
        made = draft.coerce(draft.choice(found), target)
    while made is None:
        new = _next(draft, target)
        if new is not None and new is not target:
            made = draft.coerce(new, target)
        if made is None and draft.chance(0.3):
            return
    made.used += 1
    draft.body.append(Line(f"{target.name} = {_again(made) if made.replaceable else made.name}"))
    if view and draft.chance(0.8):
        memory_ops.store(draft, view)


def _again(value: Value) -> str:
    """The same values by an operation that folds.

    Triton's code generator tells names that a loop changes by their values: of two names for one value, `v = m; m = x` in the loop leaves
    v as it was, on every backend (3.9). Behind the frontend it is one value with two names again.
    """
    return f"{value.name} * 1.0" if value.is_float else f"{value.name} | {value.name}"


def _view(draft: Draft, value: Value) -> Value | None:
    """The value in another shape or order, which costs nothing where it can share the memory."""
    makers: dict[Callable[[Draft, Value], Value | None], float] = {shapes.reshape: 4, elementwise.with_constant: 1, shapes.gather: 0.7}
    if len(value.shape) > 1:
        makers[shapes.transpose] = 2
    return draft.weighted(makers)(draft, value)


def _next(draft: Draft, target: Value) -> Value | None:
    """Something of the target's shape, mostly made of what it holds now."""
    shape = target.shape
    table: dict[str, float] = {
        "binary": 4,
        "constant": 2,
        "where": 1.5,
        "gather": 2,
        "scan": 0.5,
        "load": 0.7,
        "dot": 0,
        "transpose": 0,
        "reduce": 0,
    }
    if not shape:
        table |= {"gather": 0, "scan": 0, "load": 0, "where": 0, "reduce": 3}
    if len(shape) == 2 and target.dtype in ("float32", "int32"):
        table["dot"] = 9
    if len(shape) == 2 and shape[0] == shape[1]:
        table["transpose"] = 2
    if target.dtype == "int1":
        return elementwise.comparison(draft) if draft.chance(0.3) else mask(draft, shape)
    kind = draft.weighted(table)
    target.used += 1
    if kind == "dot":
        return products.dot(draft, shape)
    if kind == "load":
        return memory_ops.load(draft, shape, target.dtype)
    if kind == "reduce":
        return rows.reduction(draft)
    makers: dict[str, Callable[[Draft, Value], Value | None]] = {
        "binary": elementwise.binary,
        "constant": elementwise.with_constant,
        "where": elementwise.where,
        "gather": shapes.gather,
        "scan": rows.scan,
        "transpose": shapes.transpose,
    }
    return makers[kind](draft, target)


def carry(draft: Draft) -> list[Value]:
    """Values that the region may replace: old ones, or others that start with what those hold."""
    chosen = []
    for _ in range(draft.choice((1, 1, 2, 3))):
        value = draft.pick(lambda v: not v.approximate and not v.index and not v.replaceable)
        square = [shape for shape in draft.shapes if len(shape) == 2 and shape[0] == shape[1]]
        if square and draft.chance(0.35):
            value = memory_ops.load(draft, square[0], draft.choice(("float32", "float32", "int32")))
        if not value or value in chosen:
            continue
        if value.shape and draft.chance(0.4):
            value = _view(draft, value) or value
        elif draft.chance(0.4):
            text = _again(value) if draft.chance(0.5) or value.dtype == "int1" else f"{value.name} + {'0.0' if value.is_float else '0'}"
            value = draft.emit(text, value.shape, value.dtype, bound=value.bound, special=value.special)
        if value.is_float:
            value = draft.fit(value, CARRIED[value.dtype])
            value.bound = CARRIED[value.dtype]
        chosen.append(value)
    return chosen
