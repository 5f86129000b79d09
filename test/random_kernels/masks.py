"""Conditions: blocks of int1 from indices and from data, and scalars for `if` and `while`."""

from random_kernels.draft import Draft
from random_kernels.places import FAR, FARTHER, arange, wild
from random_kernels.values import SIGNED, Extent, Shape, Value, along, same_shape, shape_text

COMPARISONS = ("<", "<", "<", "<=", ">", ">=", "==", "!=")


def bound(draft: Draft, count: int) -> str:
    """What indices below `count` are compared with."""
    near = (0, 1, count // 2, count - 1, count, count + 5, draft.random.randrange(count + 1), draft.random.randrange(count + 1), -3)
    return draft.integer(draft.choice(near) if draft.chance(0.9) else draft.choice(FAR[:3]))


def _along(draft: Draft, extent: Extent) -> str:
    """A condition along one dimension."""
    count, text = draft.extent(extent), arange(draft, extent)
    kind = draft.weighted({"plain": 6, "single": 2, "shifted": 2, "unsigned": 1.5, "far": 1.5, "wild": 3, "periodic": 1})
    if kind == "plain":
        return f"{text} {draft.choice(COMPARISONS)} {bound(draft, count)}"
    if kind == "single":
        return f"{text} == {draft.choice((0, count - 1, draft.random.randrange(count)))}"
    if kind == "shifted":
        index = draft.pick(lambda v: v.dtype == "int32" and not v.shape)
        shift = f"{index.name} * {draft.choice((1, 2, 8))}" if index and draft.chance(0.6) else draft.integer(draft.choice((1, 3, 16, -2)))
        return f"{text} {draft.choice('+-')} {shift} {draft.choice(COMPARISONS)} {bound(draft, count)}"
    if kind == "unsigned":
        shifted = f"({text} - {draft.integer(draft.choice((1, 3, 5)))}).to(tl.uint32)"
        return f"{shifted} {draft.choice(COMPARISONS[:6])} {draft.random.randrange(count + 2)}"
    if kind == "far":
        return f"{text} + {draft.integer(draft.choice(FAR))} {draft.choice(COMPARISONS[:6])} {bound(draft, count)}"
    if kind == "periodic":
        return f"({text} {draft.choice(('%', '&', '//'))} {draft.choice((2, 3, 4))}) {draft.choice(COMPARISONS)} {draft.choice((0, 1, 2))}"
    chain, dtype = wild(draft, text, draft.choice((1, 2, 3, 4)))
    limit = str(draft.choice((0, 1, 5, 100, min(count, 120))))
    if dtype in SIGNED:
        limit = draft.choice((limit, "-1"))
    if dtype == "int64":
        limit = draft.choice((limit, bound(draft, count), draft.scalar(draft.choice(FARTHER))))
    if dtype == "int32":
        limit = draft.choice((limit, bound(draft, count)))
    return f"{chain} {draft.choice(COMPARISONS[:6])} {limit}"


def mask(draft: Draft, shape: Shape, prefix: bool = False) -> Value:
    """A mask of this shape, new or one of the scope; a `prefix` is of the usual form, of the rows' first elements."""
    if prefix:
        text = f"{arange(draft, shape[-1])} < {bound(draft, draft.extent(shape[-1]))}"
        if len(shape) > 1:
            text = f"tl.broadcast_to(({text}){along(len(shape) - 1, len(shape))}, {shape_text(shape)})"
        return draft.emit(text, shape, "int1", "m")
    old = draft.pick(lambda v: v.dtype == "int1" and same_shape(v.shape, shape))
    if old and draft.chance(0.35):
        return old
    kind = draft.weighted({"index": 6, "data": 3, "offsets": 1})
    if kind == "data":
        made = of_data(draft, shape)
        if made:
            return made
    if kind == "offsets":
        found = [o for o in draft.offsets if o.shape == shape]
        if found:
            offsets = draft.choice(found)
            return draft.emit(
                f"{offsets.name} {draft.choice(COMPARISONS[:6])} {bound(draft, max(offsets.high, 0) + 1)}", shape, "int1", "m"
            )
    dims = [dim for dim in range(len(shape)) if draft.chance(0.7)] or [draft.random.randrange(len(shape))]
    parts = [f"({_along(draft, shape[dim])}){along(dim, len(shape))}" for dim in dims]
    if draft.chance(0.15):
        dim = draft.choice(dims)
        parts.append(f"({_along(draft, shape[dim])}){along(dim, len(shape))}")
    text = draft.choice((" & ", " & ", " | ")).join(parts)
    if len(shape) > 1:
        text = f"tl.broadcast_to({text}, {shape_text(shape)})"
    return draft.emit(text, shape, "int1", "m")


def of_data(draft: Draft, shape: Shape) -> Value | None:
    data = draft.pick(lambda v: v.dtype != "int1" and not v.approximate and v.shape == shape)
    return draft.emit(compared(draft, data), shape, "int1", "m") if data else None


def compared(draft: Draft, value: Value) -> str:
    """A block or scalar compared with a small number."""
    number = draft.choice((0, 1, 2, 3, -1))
    if value.dtype.startswith("u"):
        number = abs(number)
    return f"{value.name} {draft.choice(COMPARISONS)} {number}{'.0' if value.is_float else ''}"


def condition(draft: Draft) -> str:
    """A scalar condition: of an argument, a loop's index, a result of a reduction, or a number in memory."""
    value = draft.pick(lambda v: not v.shape and not v.approximate and v.dtype != "int1")
    if value and draft.chance(0.8):
        text = compared(draft, value)
        return f"({text}) & ({draft.scalar(draft.choice((0, 1, 3)))} < 3)" if draft.chance(0.1) else text
    return f"{draft.scalar(draft.choice((0, 1, 2, 5)))} {draft.choice(COMPARISONS)} {draft.choice((0, 1, 2))}"
