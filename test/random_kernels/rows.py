"""Along an axis: reductions, scans, sorting, histograms."""

from random_kernels.draft import Draft
from random_kernels.elementwise import exact
from random_kernels.masks import mask
from random_kernels.shapes import keeps
from random_kernels.values import EXACT, Shape, Value

HELPERS = {
    "largest": "    return tl.maximum(a, b)",
    "product": "    return a * b",
    "common": "    return a & b",
    "both": "    return a + b + a * b",
    "least": "    return tl.where(a < b, a, b)",
}
PAIR = "@triton.jit\ndef pair(a, b, c, d):\n    return tl.maximum(a, c), b + d"


def helper(draft: Draft, name: str) -> str:
    text = PAIR if name == "pair" else f"@triton.jit\ndef {name}(a, b):\n{HELPERS[name]}"
    if text not in draft.program.helpers:
        draft.program.helpers.append(text)
    return name


def without(shape: Shape, axis: int | None, keep: bool) -> Shape:
    if axis is None:
        return tuple(() for _ in shape) if keep else ()
    return shape[:axis] + (((),) if keep else ()) + shape[axis + 1 :]


def reduction(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and v.dtype != "int1")
    if not a:
        return None
    axis = None if draft.chance(0.15) else draft.random.randrange(len(a.shape))
    keep = draft.chance(0.2)
    shape = without(a.shape, axis, keep)
    kinds = {"sum": 4.0, "max": 2, "min": 1}
    if a.is_integer:
        kinds |= {"xor_sum": 1, "custom": 1.5}
    if not a.approximate and axis is not None and a.is_float:
        kinds |= {"argmax": 1, "argmin": 1, "custom": 1}
    kind = draft.weighted(kinds)
    count = draft.size(a.shape) if axis is None else draft.extent(a.shape[axis])
    rest = f"{axis}" + (", keep_dims=True" if keep else "")
    if kind in ("argmax", "argmin"):
        if a.special:
            a = draft.clamp(a, a.bound)
        return draft.emit(f"tl.{kind}({a.name}, {rest})", shape, "int32")
    if kind == "custom":
        return _custom(draft, a, axis, shape, rest)
    dtype, bound = a.dtype, a.bound
    if kind == "sum":
        if a.is_float and not a.approximate and a.bound * count > EXACT[a.dtype]:
            a = draft.cast(a, "float32")
            a = draft.fit(a, EXACT["float32"] / count)
            dtype = "float32"
        bound = a.bound * count
        dtype = _sum_type(dtype)
    elif kind in ("max", "min") and a.bits < 32:
        dtype = "float32" if a.is_float else "int32"
    known = {"bound": bound, "special": a.special, "approximate": a.approximate}
    return draft.emit(f"tl.{kind}({a.name}, {rest})", shape, dtype, **known)


def _sum_type(dtype: str) -> str:
    return {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}.get(dtype, dtype)


def _custom(draft: Draft, a: Value, axis: int | None, shape: Shape, rest: str) -> Value:
    """A reduction by a function of the program's own, of one block or of two."""
    place, _, keep = rest.partition(", ")
    keep = f", {keep}" if keep else ""
    if a.is_float:
        text = f"tl.reduce({a.name}, {place}, {helper(draft, 'largest')}{keep})"
        return draft.emit(text, shape, a.dtype, bound=a.bound, special=a.special)
    b = draft.pick(lambda v: v.is_integer and v.shape == a.shape)
    if b and draft.chance(0.3):
        pair = draft.name("t")
        draft.line(f"{pair} = tl.reduce(({a.name}, {b.name}), {place}, {helper(draft, 'pair')}{keep})")
        draft.emit(f"{pair}[1]", shape, b.dtype)
        return draft.emit(f"{pair}[0]", shape, a.dtype)
    name = helper(draft, draft.choice(list(HELPERS)))
    return draft.emit(f"tl.reduce({a.name}, {place}, {name}{keep})", shape, a.dtype)


def scan(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and exact(v))
    if not a:
        return None
    axis = draft.random.randrange(len(a.shape))
    count = draft.extent(a.shape[axis])
    reverse = ", reverse=True" if draft.chance(0.25) else ""
    if a.is_integer and draft.chance(0.4):
        if draft.chance(0.3):
            return draft.emit(f"tl.cumprod({a.name}, {axis}{reverse})", a.shape, _sum_type(a.dtype))
        name = helper(draft, draft.choice(list(HELPERS)))
        return draft.emit(f"tl.associative_scan({a.name}, {axis}, {name}{reverse})", a.shape, a.dtype)
    if a.is_float:
        if a.dtype == "bfloat16" or a.bound * count > EXACT[a.dtype]:
            a = draft.cast(a, "float32")
        a = draft.fit(a, EXACT["float32"] / count)
    return draft.emit(f"tl.cumsum({a.name}, {axis}{reverse})", a.shape, _sum_type(a.dtype), bound=a.bound * count, special=a.special)


def sort(draft: Draft) -> Value | None:
    """The interpreter makes float32 of bfloat16 here."""
    a = draft.pick(lambda v: bool(v.shape) and exact(v) and draft.size(v.shape) <= 512 and v.dtype not in ("bfloat16", "uint64", "float64"))
    if not a:
        return None
    if a.special:
        a = draft.clamp(a, a.bound)
    return draft.emit(f"tl.sort({a.name}{', descending=True' if draft.chance(0.3) else ''})", a.shape, a.dtype, **keeps(a))


def histogram(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: v.dtype == "int32" and len(v.shape) == 1)
    if not a:
        return None
    atom = draft.choice(list(draft.program.atoms))
    index = draft.emit(f"{a.name} & ({atom} - 1)", a.shape, "int32")
    mask_text = f", mask={mask(draft, a.shape).name}" if draft.chance(0.3) else ""
    return draft.emit(f"tl.histogram({index.name}, {atom}{mask_text})", ((atom,),), "int32")
