"""Operations on blocks that need no memory. Each function makes one value, or None where the scope has nothing for it."""

import math

from random_kernels.draft import LARGEST, Draft
from random_kernels.masks import compared, mask
from random_kernels.memory_ops import load
from random_kernels.places import index_block
from random_kernels.values import (
    EXACT,
    FLOATS,
    INTEGERS,
    SIGNED,
    Shape,
    Value,
    broadcast,
    extent_text,
    same_shape,
    shape_text,
)

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


def exact(value: Value) -> bool:
    return value.dtype != "int1" and not value.approximate


def facts(*values: Value) -> dict:
    origins = {v.origin for v in values if v.shape}
    return {
        "special": any(v.special for v in values),
        "approximate": any(v.approximate for v in values),
        "origin": origins.pop() if len(origins) == 1 else None,
    }


def binary(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(exact)
    if not a or not exact(a):
        return None
    b = draft.pick(lambda v: v.dtype == a.dtype and exact(v) and broadcast(a.shape, v.shape) is not None)
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


# Shapes


def keeps(value: Value, shape: Shape) -> dict:
    return {"bound": value.bound, "special": value.special, "approximate": value.approximate}


def regrouped(draft: Draft, shape: Shape) -> Shape:
    """The same elements in another shape."""
    atoms = [atom for extent in shape for atom in extent]
    options = [other for other in draft.shapes if sorted(a for e in other for a in e) == sorted(atoms) and other != shape]
    if options and draft.chance(0.6):
        return draft.choice(options)
    if len(shape) > 1 and draft.chance(0.5):
        return (tuple(atoms),)
    if draft.chance(0.5):
        draft.random.shuffle(atoms)
    parts = draft.random.randint(1, min(3, max(len(atoms), 1)))
    cuts = sorted(draft.random.sample(range(1, len(atoms)), parts - 1)) if len(atoms) > 1 and parts > 1 else []
    ends = [0, *cuts, len(atoms)]
    return tuple(tuple(atoms[a:b]) for a, b in zip(ends, ends[1:], strict=False))


def reshape(draft: Draft, a: Value | None = None, shape: Shape | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape))
    if not a:
        return None
    shape = shape or regrouped(draft, a.shape)
    return draft.emit(f"tl.reshape({a.name}, {shape_text(shape)})", shape, a.dtype, "m" if a.dtype == "int1" else "v", **keeps(a, shape))


def transpose(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: len(v.shape) > 1)
    if not a:
        return None
    order = list(range(len(a.shape)))
    while order == sorted(order):
        draft.random.shuffle(order)
    shape = tuple(a.shape[d] for d in order)
    text = f"tl.trans({a.name})" if len(order) == 2 and draft.chance(0.7) else f"tl.permute({a.name}, {tuple(order)})"
    return draft.emit(text, shape, a.dtype, "m" if a.dtype == "int1" else "v", **keeps(a, shape))


def expand(draft: Draft) -> Value | None:
    """A block with one more dimension, broadcast along it mostly."""
    a = draft.pick(lambda v: len(v.shape) in (1, 2))
    if not a:
        return None
    rank = len(a.shape) + 1
    dim = draft.random.randrange(rank)
    wide = [shape for shape in draft.shapes if len(shape) == rank and shape[:dim] + shape[dim + 1 :] == a.shape]
    extent = draft.choice(wide)[dim] if wide else draft.choice([*((atom,) for atom in draft.program.atoms), ()])
    shape = a.shape[:dim] + (extent,) + a.shape[dim:]
    if draft.size(shape) > LARGEST:
        return None
    thin = a.shape[:dim] + ((),) + a.shape[dim:]
    subscript = "[" + ", ".join("None" if d == dim else ":" for d in range(rank)) + "]"
    text = f"{a.name}{subscript}" if draft.chance(0.6) else f"tl.expand_dims({a.name}, {dim})"
    if draft.chance(0.7):
        return draft.emit(f"tl.broadcast_to({text}, {shape_text(shape)})", shape, a.dtype, **keeps(a, shape))
    return draft.emit(text, thin, a.dtype, **keeps(a, thin))


def join(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: len(v.shape) in (1, 2) and draft.size(v.shape) * 2 <= LARGEST)
    if not a:
        return None
    b = draft.pick(lambda v: v.dtype == a.dtype and v.shape == a.shape and v.approximate == a.approximate)
    assert b is not None
    known = {"bound": max(a.bound, b.bound), "special": a.special or b.special, "approximate": a.approximate}
    if draft.chance(0.5):
        shape = ((*a.shape[0], "2"), *a.shape[1:])
        return draft.emit(f"tl.cat({a.name}, {b.name})", shape, a.dtype, **known)
    return draft.emit(f"tl.join({a.name}, {b.name})", (*a.shape, ("2",)), a.dtype, **known)


def split(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: len(v.shape) > 1 and v.shape[-1] == ("2",))
    if not a:
        b = draft.pick(lambda v: bool(v.shape) and "2" in [atom for extent in v.shape for atom in extent])
        if not b:
            return None
        atoms = [atom for extent in b.shape for atom in extent]
        atoms.remove("2")
        a = reshape(draft, b, (tuple(atoms), ("2",)))
    pair = draft.name("t")
    draft.line(f"{pair} = tl.split({a.name})")
    first, shape = draft.random.randrange(2), a.shape[:-1]
    if draft.chance(0.5):
        draft.emit(f"{pair}[{1 - first}]", shape, a.dtype, **keeps(a, shape))
    return draft.emit(f"{pair}[{first}]", shape, a.dtype, **keeps(a, shape))


def gather(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and v.dtype != "int1")
    if not a or a.dtype == "int1":
        return None
    axis = draft.random.randrange(len(a.shape))
    index = index_block(draft, a.shape, a.shape[axis])
    return draft.emit(f"tl.gather({a.name}, {index.name}, {axis})", a.shape, a.dtype, **keeps(a, a.shape))


# Along an axis


def _without(shape: Shape, axis: int | None, keep: bool) -> Shape:
    if axis is None:
        return tuple(() for _ in shape) if keep else ()
    return shape[:axis] + (((),) if keep else ()) + shape[axis + 1 :]


def reduction(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and v.dtype != "int1")
    if not a:
        return None
    axis = None if draft.chance(0.15) else draft.random.randrange(len(a.shape))
    keep = draft.chance(0.2)
    shape = _without(a.shape, axis, keep)
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
    a = draft.pick(lambda v: bool(v.shape) and exact(v) and draft.size(v.shape) <= 512 and v.dtype not in ("uint64", "float64"))
    if not a:
        return None
    if a.special:
        a = draft.clamp(a, a.bound)
    return draft.emit(f"tl.sort({a.name}{', descending=True' if draft.chance(0.3) else ''})", a.shape, a.dtype, **keeps(a, a.shape))


def histogram(draft: Draft) -> Value | None:
    a = draft.pick(lambda v: v.dtype == "int32" and len(v.shape) == 1)
    if not a:
        return None
    atom = draft.choice(list(draft.program.atoms))
    index = draft.emit(f"{a.name} & ({atom} - 1)", a.shape, "int32")
    mask_text = f", mask={mask(draft, a.shape).name}" if draft.chance(0.3) else ""
    return draft.emit(f"tl.histogram({index.name}, {atom}{mask_text})", ((atom,),), "int32")


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
        a = load(draft, (shape[0], inner), draft.choice(("float32", "float32", "float16", "int8", "bfloat16")))
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


# exp and log


def exponentials(draft: Draft) -> Value | None:
    """What looks like a softmax, or nearly: exp of a difference, reduced, divided, its logarithm."""
    a = draft.pick(lambda v: bool(v.shape) and v.is_float and exact(v))
    if not a:
        return None
    a = draft.fit(draft.cast(a, "float32"), 20.0)
    if draft.chance(0.7):
        b = draft.pick(lambda v: v.dtype == "float32" and exact(v) and v is not a and broadcast(a.shape, v.shape) == a.shape)
        if draft.chance(0.4):
            axis = draft.random.randrange(len(a.shape))
            shape = _without(a.shape, axis, True)
            b = draft.emit(f"tl.{draft.choice(('max', 'max', 'min', 'sum'))}({a.name}, {axis}, keep_dims=True)", shape, "float32",
                           bound=a.bound * draft.extent(a.shape[axis]), special=a.special)  # fmt: skip
        b = b or load(draft, a.shape, "float32")
        b = draft.fit(draft.cast(b, "float32"), 20.0)
        sign = draft.weighted({"-": 5, "+": 1})
        a = draft.emit(f"{a.name} {sign} {b.name}", a.shape, "float32", bound=a.bound + b.bound, special=a.special or b.special)
    e = draft.emit(f"tl.{draft.choice(('exp', 'exp', 'exp2'))}({a.name})", a.shape, "float32", "e", approximate=True, special=True)
    if draft.chance(0.2):
        e = draft.emit(f"tl.where({mask(draft, e.shape).name}, {e.name}, 0.0)", e.shape, "float32", "e", approximate=True, special=True)
    if draft.chance(0.2):
        e = draft.emit(f"{e.name} {draft.choice(('* 2.0', '+ 1.0', '* ' + e.name))}", e.shape, "float32", "e", approximate=True, special=True)
    if draft.chance(0.75):
        axis, keep = draft.random.randrange(len(e.shape)), draft.chance(0.3)
        shape = _without(e.shape, axis, keep)
        kind = draft.weighted({"sum": 5, "max": 1, "min": 1})
        total = draft.emit(f"tl.{kind}({e.name}, {axis}{', keep_dims=True' if keep else ''})", shape, "float32", "e", approximate=True, special=True)
        if draft.chance(0.2):
            total = draft.emit(f"tl.log({total.name})", shape, "float32", "e", approximate=True, special=True)
        if keep or not shape:
            ratio = draft.emit(f"{e.name} / {total.name}", e.shape, "float32", "e", approximate=True, special=True)
            return ratio if draft.chance(0.6) else total
        return total
    return e
