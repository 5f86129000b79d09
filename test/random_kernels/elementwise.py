"""Lane by lane: arithmetic, conversions, comparisons, choices. Each makes a value, or None where the scope has nothing for it."""

import math

from random_kernels.draft import LARGEST, Draft
from random_kernels.masks import compared, mask
from random_kernels.values import EXACT, FLOATS, INTEGERS, SIGNED, Value, broadcast, same_shape


def exact(value: Value) -> bool:
    return value.dtype != "int1" and not value.approximate


def facts(*values: Value) -> dict:
    origins = {v.origin for v in values if v.shape}
    return {
        "special": any(v.special for v in values),
        "approximate": any(v.approximate for v in values),
        "origin": origins.pop() if len(origins) == 1 else None,
    }


def binary(draft: Draft, a: Value | None = None, b: Value | None = None) -> Value | None:
    a = a or draft.pick(exact)
    if not a or not exact(a):
        return None
    b = b or draft.pick(lambda v: v.dtype == a.dtype and exact(v) and broadcast(a.shape, v.shape) is not None)
    if not b or draft.chance(0.25):
        return with_constant(draft, a)
    shape = broadcast(a.shape, b.shape)
    assert shape is not None
    if draft.size(shape) > LARGEST:
        return None
    if draft.chance(0.3):
        a, b = b, a
    if a.is_float:
        kind = draft.weighted({"+": 3, "-": 3, "*": 2, "maximum": 1, "minimum": 1})
        if kind == "*" and a.bound * b.bound > EXACT[a.dtype] / 8:
            a, b = draft.fit(a, 8.0), draft.fit(b, 8.0)
        if kind in "+-" and a.bound + b.bound > EXACT[a.dtype] / 8:
            a, b = draft.fit(a, 16.0), draft.fit(b, 16.0)
        bound = a.bound * b.bound if kind == "*" else a.bound + b.bound if kind in "+-" else max(a.bound, b.bound)
    else:
        kind, bound = draft.choice(("+", "-", "*", "&", "|", "^", "maximum", "minimum", "//")), math.inf
        if kind == "//":
            return draft.emit(f"{a.name} // ((({b.name}) & 7) + 1)", shape, a.dtype, **facts(a, b))
    text = f"tl.{kind}({a.name}, {b.name})" if kind.isalpha() else f"{a.name} {kind} {b.name}"
    return draft.emit(text, shape, a.dtype, bound=bound, **facts(a, b))


def with_constant(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(exact)
    if not a or not exact(a):
        return None
    number = draft.choice((1, 2, 3))
    if a.is_float:
        kind = draft.choice(("+", "-", "*", "abs", "neg", "index"))
        a = draft.fit(a, EXACT[a.dtype] / 8)
        index = draft.pick(lambda v: v.index and not v.shape) if kind == "index" else None
        if index:
            bound = a.bound + max(abs(index.low), abs(index.high))
            return draft.emit(f"{a.name} + {index.name}.to(tl.{a.dtype})", a.shape, a.dtype, bound=bound, **facts(a))
        if kind in ("abs", "neg"):
            return draft.emit(f"tl.abs({a.name})" if kind == "abs" else f"-{a.name}", a.shape, a.dtype, bound=a.bound, **facts(a))
        kind = "+" if kind == "index" else kind
        bound = a.bound * number if kind == "*" else a.bound + number
        return draft.emit(f"{a.name} {kind} {number}.0", a.shape, a.dtype, bound=bound, **facts(a))
    kind = draft.choice(("+", "-", "*", "<<", ">>", "//", "%", "&", "^", "abs", "neg", "not"))
    if kind in ("abs", "neg", "not") and a.dtype not in SIGNED:
        kind = "+"
    text = {"abs": f"tl.abs({a.name})", "neg": f"-{a.name}", "not": f"~{a.name}"}.get(kind, f"{a.name} {kind} {number}")
    return draft.emit(text, a.shape, a.dtype, **facts(a))


def cast(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: not v.approximate)
    if not a:
        return None
    return draft.cast(a, draft.choice([t for t in INTEGERS + FLOATS if t != a.dtype]))


def where(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and v.dtype != "int1")
    if not a:
        return None
    b = draft.pick(lambda v: v.dtype == a.dtype and v.approximate == a.approximate and same_shape(a.shape, v.shape))
    condition = mask(draft, a.shape) if a.shape else None
    if not condition:
        return None
    other, special, bound, values = ("0" if not a.is_float else "0.0"), False, a.bound, [a]
    if b and draft.chance(0.6):
        other, bound, values = b.name, max(a.bound, b.bound), [a, b]
    elif a.is_float and draft.chance(0.4):
        other, special = draft.choice(("-float('inf')", "float('nan')")), True
    pair = f"{a.name}, {other}" if draft.chance(0.6) else f"{other}, {a.name}"
    known = facts(*values)
    known["special"] |= special
    known["origin"] = None
    return draft.emit(f"tl.where({condition.name}, {pair})", a.shape, a.dtype, bound=bound, **known)


def comparison(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: bool(v.shape) and exact(v))
    if not a:
        return None
    b = draft.pick(lambda v: v.dtype == a.dtype and exact(v) and v is not a and broadcast(a.shape, v.shape) == a.shape)
    if b and draft.chance(0.6):
        return draft.emit(f"{a.name} {draft.choice(('<', '<=', '>', '==', '!='))} {b.name}", a.shape, "int1", "m")
    return draft.emit(compared(draft, a), a.shape, "int1", "m")


def combined_masks(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: v.dtype == "int1" and bool(v.shape))
    if not a:
        return None
    b = draft.pick(lambda v: v.dtype == "int1" and v.shape == a.shape and v is not a) or mask(draft, a.shape)
    return draft.emit(f"{a.name} {draft.choice(('&', '|', '^'))} {b.name}", a.shape, "int1", "m")
