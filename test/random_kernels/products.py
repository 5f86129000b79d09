"""Products, and what looks like a softmax."""

import math

from random_kernels.draft import LARGEST, Draft
from random_kernels.elementwise import exact
from random_kernels.masks import mask
from random_kernels.memory_ops import load
from random_kernels.rows import without
from random_kernels.values import EXACT, Shape, Value, broadcast


def dot(draft: Draft, shape: Shape | None = None) -> Value | None:
    """A product. Its operands are blocks of the scope where there are fitting ones."""

    def fits(v: Value) -> bool:
        return len(v.shape) == 2 and v.dtype in ("float32", "float16", "bfloat16", "int8", "float64") and exact(v)

    a = draft.pick(lambda v: fits(v) and (shape is None or v.shape[0] == shape[0]))
    if not a:
        if not shape:
            return None
        inner = draft.choice([(atom,) for atom in draft.program.atoms])
        if draft.size((shape[0], inner)) > LARGEST:
            return None
        a = load(draft, (shape[0], inner), draft.choice(("float32", "float32", "float16", "int8", "int8", "bfloat16")))
        if a.dtype not in ("float32", "float16", "bfloat16", "int8"):  # an integer of another type, from a pointer that was cast
            a = draft.cast(a, "int8")
    b = draft.pick(lambda v: fits(v) and v.dtype == a.dtype and v.shape[0] == a.shape[1] and (shape is None or v.shape[1] == shape[1]))
    if not b:
        columns = shape[1] if shape else draft.choice([a.shape[0], *((atom,) for atom in draft.program.atoms)])
        if draft.size((a.shape[1], columns)) > LARGEST:
            return None
        b = load(draft, (a.shape[1], columns), a.dtype)
        if b.dtype != a.dtype:
            b = draft.cast(b, a.dtype)
    result, count = (a.shape[0], b.shape[1]), draft.extent(a.shape[1])
    if draft.size(result) > LARGEST or draft.size(result) * count > 1 << 18:
        return None
    dtype = {"int8": "int32", "float64": "float64"}.get(a.dtype, "float32")
    if a.is_float and a.bound * b.bound * count > EXACT[dtype] / 4:
        a, b = draft.fit(a, 8.0), draft.fit(b, 8.0)
    bound = a.bound * b.bound * count if a.is_float else math.inf
    special = a.special or b.special
    acc = draft.pick(lambda v: v.dtype == dtype and v.shape == result and exact(v))
    text = f"tl.dot({a.name}, {b.name}"
    if acc and draft.chance(0.5):
        acc = draft.fit(acc, EXACT[dtype] / 4) if acc.is_float else acc
        text += f", {acc.name}"
        bound, special = bound + acc.bound, special or acc.special
    tail = ', input_precision="ieee"' if dtype == "float32" else ", out_dtype=tl.float64" if dtype == "float64" else ""
    return draft.emit(f"{text}{tail})", result, dtype, bound=bound, special=special)


def exponentials(draft: Draft) -> Value | None:
    """What looks like a softmax, or nearly: exp of a difference, reduced, divided, its logarithm."""
    a = draft.pick(lambda v: bool(v.shape) and v.is_float and exact(v))
    if not a or draft.chance(0.5):
        a = load(draft, draft.choice(draft.shapes), "float32", padded=draft.chance(0.8))
    a = draft.fit(draft.cast(a, "float32"), 20.0)
    if draft.chance(0.7):
        b = draft.pick(lambda v: v.dtype == "float32" and exact(v) and v is not a and broadcast(a.shape, v.shape) == a.shape)
        if draft.chance(0.4):
            axis = draft.random.randrange(len(a.shape))
            shape = without(a.shape, axis, True)
            b = draft.emit(f"tl.{draft.choice(('max', 'max', 'min', 'sum'))}({a.name}, {axis}, keep_dims=True)", shape, "float32",
                           bound=a.bound * draft.extent(a.shape[axis]), special=a.special)  # fmt: skip
        if b is None or draft.chance(0.3):
            b = load(draft, a.shape, "float32", padded=draft.chance(0.5))
        b = draft.fit(draft.cast(b, "float32"), 20.0)
        sign = draft.weighted({"-": 5, "+": 1})
        a = draft.emit(f"{a.name} {sign} {b.name}", a.shape, "float32", bound=a.bound + b.bound, special=a.special or b.special)
    e = draft.emit(f"tl.{draft.choice(('exp', 'exp', 'exp2'))}({a.name})", a.shape, "float32", "e", approximate=True, special=True)
    if draft.chance(0.2):
        e = draft.emit(f"tl.where({mask(draft, e.shape).name}, {e.name}, 0.0)", e.shape, "float32", "e", approximate=True, special=True)
    if draft.chance(0.2):
        e = draft.emit(
            f"{e.name} {draft.choice(('* 2.0', '+ 1.0', '* ' + e.name))}", e.shape, "float32", "e", approximate=True, special=True
        )
    if draft.chance(0.75):
        axis, keep = draft.random.randrange(len(e.shape)), draft.chance(0.3)
        shape = without(e.shape, axis, keep)
        kind = draft.weighted({"sum": 5, "max": 1, "min": 1})
        total = draft.emit(
            f"tl.{kind}({e.name}, {axis}{', keep_dims=True' if keep else ''})", shape, "float32", "e", approximate=True, special=True
        )
        if draft.chance(0.2):
            total = draft.emit(f"tl.log({total.name})", shape, "float32", "e", approximate=True, special=True)
        if keep or not shape:
            ratio = draft.emit(f"{e.name} / {total.name}", e.shape, "float32", "e", approximate=True, special=True)
            return ratio if draft.chance(0.6) else total
        return total
    return e
