"""What optimisations look for, and the nearest programs in which they may not be made: loads that are needed behind several writes, stores
behind each other, taps of a convolution, the one place of a row, tensor descriptors, and bytes that are masks or float8.

Memory of the role "own" is one pattern's alone: what it stores there may be larger than what others expect to load.
"""

import math

from random_kernels import elementwise, memory_ops
from random_kernels.draft import LARGEST, Draft
from random_kernels.masks import mask
from random_kernels.places import arange, close_places, numbers_along, places
from random_kernels.program import SIZES, Pointer
from random_kernels.shapes import gather, transpose
from random_kernels.values import FLOATS, STORED, Value, shape_text

TYPES = {"float32": 6, "int32": 4, "float16": 1, "int8": 1, "int16": 1, "bfloat16": 0.5, "int64": 0.5, "float64": 0.5}


def another(draft: Draft, number: int, dtype: str | None = None) -> Pointer:
    """A pointer to this storage: one that there is, or one more, perhaps some elements further on."""
    old = [p for p in draft.program.pointers if p.storage == number and dtype in (None, p.dtype)]
    if old and draft.chance(0.5):
        return draft.choice(old)
    size = SIZES[draft.program.storages[number].dtype]
    return draft.pointer(number, dtype, size * draft.choice((0, 0, 1, 2, 5, 16, 33)))


def own(draft: Draft, dtype: str) -> int:
    number = draft.storage(dtype, "own")
    if dtype in FLOATS:
        draft.program.storages[number].fill = "small"
    return number


def kept(draft: Draft, value: Value, dtype: str) -> Value:
    """What a pattern stores into its own memory: small again where another turn loads it."""
    made = draft.cast(value, dtype)
    return draft.clamp(made, STORED[dtype]) if draft.turns > 1 and made.is_float else made


def late_loads(draft: Draft) -> None:
    """Loads, several writes to the same memory through the same or other pointers, and only then what is made of the loads."""
    shape, dtype = draft.choice(draft.shapes), draft.weighted(TYPES)
    square = draft.chance(0.2)
    if square:  # what is transposed has the places of what is loaded
        shape = ((draft.choice(("4", "32", "64")),),) * 2
    if len(shape) == 1 and draft.size(shape) <= LARGEST // 4 and draft.chance(0.7):
        shape = (("4",), *shape)  # rows, which may share places
    number = draft.storage(dtype, "data")
    loaded = []
    for _ in range(draft.choice((1, 1, 2, 3))):
        where = close_places(draft, shape) if draft.chance(0.2 if square else 0.6) else places(draft, shape, True)
        at = another(draft, number)
        loaded.append((memory_ops.load(draft, shape, at=at, offsets=where), at))
    for _ in range(draft.choice((0, 0, 1, 2, 2, 3, 4))):
        _write(draft, number, draft.choice(loaded)[0])
    for value, at in loaded:
        makers: dict = {elementwise.binary: 3, elementwise.with_constant: 3, gather: 1.5}
        if len(shape) > 1:
            makers[transpose] = 9 if square else 2
        made = (draft.weighted(makers)(draft, value) if draft.chance(0.75) else value) or value
        own_places = next((o for o in draft.offsets if o.name == value.origin and o.shape == made.shape), None)
        if own_places and (own_places.injective or made.origin) and draft.chance(0.8 if square else 0.5):
            where, at = own_places, at if draft.chance(0.7) else another(draft, number)
        else:
            where = places(draft, made.shape, True) if draft.chance(0.7) else None
            at = another(draft, number) if draft.chance(0.7) else None
        memory_ops.store(draft, made, at=at, offsets=where)


def _write(draft: Draft, number: int, loaded: Value) -> None:
    """Changes memory, be it the loads' or other memory."""
    kind = draft.weighted({"other": 4, "full": 2, "loaded": 2, "scalar": 1, "atomic": 1, "elsewhere": 2})
    dtype = draft.program.storages[number].dtype
    at = another(draft, number, dtype)
    if kind == "scalar":
        draft.touch(at, 0, 3)
        place, new = f"{at.name} + {draft.choice((0, 1, 3))}", draft.choice((0, 1, 7))
        if dtype in ("int32", "int64") and draft.chance(0.4):
            draft.emit(f"tl.atomic_cas({place}, {draft.choice((0, 1, 2))}, {new})", (), dtype, "c")
        else:
            draft.line(f"tl.store({place}, {new})")
        return
    where = places(draft, loaded.shape, True)
    if kind == "atomic" and dtype in ("int32", "int64"):
        draft.touch(at, where.low, where.high)
        masked = f", mask={mask(draft, loaded.shape).name}" if draft.chance(0.4) else ""
        draft.line(f"tl.atomic_{draft.choice(('add', 'max', 'and', 'xchg'))}({at.name} + {where.name}, {loaded.name}{masked})")
        return
    value = loaded
    if kind == "other":
        value = draft.pick(lambda v: v.shape == loaded.shape and not v.approximate and v is not loaded) or loaded
    elif kind == "full":
        shape = loaded.shape if draft.chance(0.5) else draft.choice(draft.shapes)
        value = draft.emit(f"tl.full({shape_text(shape)}, {draft.choice((0, 1, 3))}, tl.{dtype})", shape, dtype, bound=3.0)
    offsets = where if value.shape == loaded.shape and draft.chance(0.6) else None
    memory_ops.store(draft, value, at=None if kind == "elsewhere" else at, offsets=offsets)


def stores_behind_each_other(draft: Draft) -> None:
    """Two to four stores of what is made of the same loads, a distance apart or through different pointers; halves that are turned."""
    shape, dtype = draft.choice(draft.shapes), draft.choice(("float32", "float32", "int32", "float16"))
    source = own(draft, dtype)
    target = source if draft.chance(0.5) else own(draft, dtype)
    where = places(draft, shape, True)
    distance = draft.choice((0, 1, draft.size(shape), draft.extent(shape[-1]), where.high + 1))
    loads = []
    for step in (0, distance):
        at = another(draft, source)
        draft.touch(at, where.low + step, where.high + step)
        bound = STORED[dtype] if dtype in FLOATS else float("inf")
        loads.append(draft.emit(f"tl.load({at.name} + {where.name} + {step})", shape, dtype, bound=bound, memory=source))
    made = [elementwise.binary(draft, v) or v for v in loads]
    masked = f", mask={mask(draft, shape).name}" if draft.chance(0.2) else ""
    at = another(draft, target)
    for number in range(draft.choice((2, 2, 3, 4))):
        value = made[number % 2] if made[number % 2].shape == shape else loads[number % 2]
        value = kept(draft, value, dtype)
        step = number * distance if draft.chance(0.8) else draft.choice((0, 1, -1))
        draft.touch(at, where.low + step, where.high + step)
        draft.line(f"tl.store({at.name} + {where.name} + {step}, {value.name}{masked})")
        if draft.chance(0.2):  # what the next one stores needs what this one has stored
            bound = max(value.bound, STORED.get(dtype, math.inf))
            again = draft.emit(
                f"tl.load({at.name} + {where.name} + {step})", shape, dtype, bound=bound, special=value.special, memory=target
            )
            made[(number + 1) % 2] = elementwise.binary(draft, again, loads[0]) or again
        at = at if draft.chance(0.7) else another(draft, target)


def taps(draft: Draft) -> None:
    """Loads of one image some rows and elements apart, within its bounds, times weights; the sum goes beside the image, or over it."""
    rows, columns = draft.choice((8, 8, 16)), draft.choice((32, 32, 64))
    shape = ((str(rows),), (str(columns),))
    height, width = draft.choice((3, 7, rows, rows + 2)), draft.choice((5, 31, columns, columns + 8))
    h, w = draft.scalar(height), draft.scalar(width)
    image = own(draft, "float32")
    at = draft.pointer(image)
    top, left = draft.choice((0, 0, 2)), draft.choice((0, 0, 1, 8))
    y, x = draft.name("o"), draft.name("o")
    draft.line(f"{y} = {arange(draft, shape[0])} + {draft.integer(top)}")
    draft.line(f"{x} = {arange(draft, shape[1])} + {draft.integer(left)}")
    total = None
    for _ in range(draft.choice((2, 3, 4, 6))):
        row, column = (f"({name} + {draft.choice((-1, 0, 1, 2))})" for name in (y, x))
        below, right = (
            limit if draft.chance(0.85) else draft.integer(number + draft.choice((-1, 0, 1))) for limit, number in ((h, height), (w, width))
        )
        inside = f"(({row} >= 0) & ({row} < {below}))[:, None] & (({column} >= 0) & ({column} < {right}))[None, :]"
        draft.touch(at, 0, (height + 1) * width)
        other = draft.choice(("2.0", "float('inf')")) if draft.chance(0.1) else "0.0"
        text = f"tl.load({at.name} + {row}[:, None] * {w} + {column}[None, :], mask={inside}, other={other})"
        special = "inf" in other
        tap = draft.emit(text, shape, "float32", bound=16.0, special=special, memory=image)
        tap = draft.emit(f"{tap.name} * {draft.choice((1, 2, 3))}.0", shape, "float32", bound=48.0, special=special)
        if total is None:
            total = tap
        else:
            both = {"bound": total.bound + 48.0, "special": special or total.special}
            total = draft.emit(f"{total.name} + {tap.name}", shape, "float32", **both)
        if draft.chance(0.05):
            memory_ops.store(draft)
    assert total is not None
    value = kept(draft, total, "float32")
    target = another(draft, image) if draft.chance(0.5) else draft.pointer(own(draft, "float32"))
    draft.touch(target, 0, (top + rows) * width + left + columns)
    mask_text = f", mask=({y} < {h})[:, None] & ({x} < {w})[None, :]" if draft.chance(0.8) else ""
    if mask_text or width >= columns:
        draft.line(f"tl.store({target.name} + {y}[:, None] * {w} + {x}[None, :], {value.name}{mask_text})")
    if draft.chance(0.2):
        memory_ops.store(draft, tap)


def one_place(draft: Draft) -> None:
    """Of each row the element whose number is a scalar, reduced; and the values stored, or others but for that one."""
    shape = draft.choice(draft.shapes)
    dim = draft.random.randrange(len(shape))
    count = draft.extent(shape[dim])
    target = draft.scalar(draft.choice((0, count - 1, count // 2, count, -1, 3)))
    hit = f"{numbers_along(draft, shape, dim)} {draft.choice(('==', '==', '!='))} {target}"
    if draft.chance(0.2):
        hit = f"{numbers_along(draft, shape, dim)} + {draft.choice((1, -3))} == {target}"
    place = draft.emit(f"tl.broadcast_to({hit}, {shape_text(shape)})", shape, "int1", "m")
    a = memory_ops.load(draft, shape, "float32", padded=draft.chance(0.4))
    a = draft.fit(a, 16.0)
    approximate = draft.chance(0.5)
    if approximate:
        a = draft.emit(f"tl.exp({draft.clamp(a, 8.0).name})", shape, "float32", "e", approximate=True, bound=3000.0)
    elif draft.chance(0.6):
        a = draft.clamp(a, 8.0)
        a = draft.emit(f"{a.name} * {a.name} - {a.name}", shape, "float32", bound=72.0)
    known = {"special": a.special, "approximate": approximate}
    chosen = draft.emit(f"tl.where({place.name}, {a.name}, 0.0)", shape, "float32", bound=a.bound, **known)
    axis = draft.random.randrange(len(shape))
    rest = shape[:axis] + shape[axis + 1 :]
    kind = draft.choice(("sum", "sum", "max"))
    text = f"tl.{kind}({chosen.name}, {axis})"
    stores = [lambda: draft.emit(text, rest, "float32", bound=a.bound * draft.extent(shape[axis]), **known)]
    stores.append(lambda: memory_ops.store(draft, a, plain=True))
    if draft.chance(0.4):
        stores.append(lambda: memory_ops.store(draft, chosen))
    if draft.chance(0.3):
        draft.random.shuffle(stores)
    for act in stores:
        act()


def described(draft: Draft) -> None:
    """Loads and stores through tensor descriptors, whose blocks reach over the tensor's sides; memory may be shared."""
    dtype = draft.choice(("float32", "int32", "float16", "int8"))
    shape = draft.choice([s for s in draft.shapes if len(s) <= 2])
    step = 16 // SIZES[dtype]
    number = draft.storage(dtype, "data")
    extents = [draft.extent(e) for e in shape]
    if extents[-1] < step or len(shape) > 2:
        return
    width = -(-draft.choice((1, extents[-1] - 1, extents[-1], extents[-1] + 9)) // step) * step
    sizes = [*(draft.choice((1, max(e - 1, 1), e, e + 3)) for e in extents[:-1]), draft.choice((max(width - 3, 1), width))]
    strides = [draft.integer(width)] * (len(shape) - 1) + ["1"]
    block = "[" + shape_text(shape)[1:-1].rstrip(",") + "]"
    lines = ", ".join(draft.integer(size) for size in sizes)
    made: list[Value] = []
    for _ in range(draft.choice((2, 3, 4))):
        name, at = draft.name("d"), draft.pointer(number, None, 16 * draft.choice((0, 0, 1, 4)))
        draft.touch(at, 0, width * (extents[0] + 8 if len(shape) > 1 else 1))
        padding = ", padding_option='nan'" if dtype in FLOATS and draft.chance(0.2) else ""
        draft.line(f"{name} = tl.make_tensor_descriptor({at.name}, [{lines}], [{', '.join(strides)}], {block}{padding})")
        first = [*(draft.integer(draft.choice((0, 0, 1, -1, 3))) for _ in extents[:-1]), str(step * draft.choice((0, 0, 0, 1, -1)))]
        if made and draft.chance(0.5):
            value = memory_ops.stored(draft, draft.choice(made), dtype, "data")
            draft.line(f"{name}.store([{', '.join(first)}], {value.name})")
        else:
            special = bool(padding) or draft.program.storages[number].fill == "special"
            bound = STORED[dtype] if dtype in FLOATS else float("inf")
            made.append(draft.emit(f"{name}.load([{', '.join(first)}])", shape, dtype, bound=bound, special=special, memory=number))


def pairs(draft: Draft) -> None:
    """Neighbours that are split, changed and joined again, as rotary embeddings take them; they go back, or elsewhere."""
    found = [shape for shape in draft.shapes if len(shape) < 3 and 2 * draft.size(shape) <= LARGEST]
    if not found:
        return
    shape = draft.choice(found)
    both = memory_ops.load(draft, (*shape, ("2",)), role="data")
    halves = draft.name("t")
    draft.line(f"{halves} = tl.split({both.name})")
    known = {"bound": both.bound, "special": both.special, "memory": both.memory}
    first, second = (draft.emit(f"{halves}[{n}]", shape, both.dtype, **known) for n in (0, 1))
    if draft.chance(0.5):
        memory_ops.store(draft, first)
    made = [elementwise.binary(draft, second) or second, first]
    if made[0].dtype == first.dtype and made[0].shape == shape and draft.chance(0.7):
        bound, special = max(v.bound for v in made), any(v.special for v in made)
        joined = draft.emit(f"tl.join({made[0].name}, {first.name})", both.shape, both.dtype, bound=bound, special=special)
        memory_ops.store(draft, joined, into=both if draft.chance(0.5) else None)


def masks_in_memory(draft: Draft) -> None:
    """Blocks of int1 that are stored, changed and loaded again."""
    shape = draft.choice(draft.shapes)
    number = draft.storage("uint8", "own")
    draft.program.storages[number].fill = "bits"
    for _ in range(draft.choice((2, 3, 4))):
        at, where = another(draft, number, "int1"), memory_ops.some_offsets(draft, shape, True)
        draft.touch(at, where.low, where.high)
        masked = f", mask={mask(draft, shape).name}" if draft.chance(0.4) else ""
        if draft.chance(0.5):
            draft.line(f"tl.store({at.name} + {where.name}, {mask(draft, shape).name}{masked})")
        else:
            other = f", other={draft.choice(('True', 'False'))}" if masked else ""
            draft.emit(f"tl.load({at.name} + {where.name}{masked}{other})", shape, "int1", "m")


def float8(draft: Draft) -> Value | None:
    """A float by way of float8, which holds small integers; or bytes that are read as such."""
    kind = draft.choice(("float8e5", "float8e4nv"))
    if draft.chance(0.5):
        a = draft.pick(lambda v: v.dtype in ("int8", "uint8") and bool(v.shape))
        if a is None:
            a = memory_ops.load(draft, draft.choice(draft.shapes), "int8")
            a = draft.cast(a, "int8")
        # of 2, 3, 4 and 6, or 4 to 7, with either sign
        bits = f"(({a.name}.to(tl.int8) & -122) | {64 if kind == 'float8e5' else 72})"
        return draft.emit(f"{bits}.to(tl.{kind}, bitcast=True).to(tl.float32)", a.shape, "float32", bound=8.0)
    a = draft.pick(lambda v: v.dtype in ("float32", "float16") and bool(v.shape) and not v.approximate)
    if a is None:
        return None
    a = draft.clamp(a, 4.0)
    return draft.emit(f"{a.name}.to(tl.{kind}).to(tl.{a.dtype})", a.shape, a.dtype, bound=4.0)
