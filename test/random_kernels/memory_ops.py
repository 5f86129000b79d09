"""Loads, stores and atomics: which memory, at which places, under which mask."""

from random_kernels.draft import Draft
from random_kernels.masks import compared, mask
from random_kernels.places import places
from random_kernels.program import SIZES, Pointer
from random_kernels.shapes import transpose
from random_kernels.values import FLOATS, INTEGERS, STORED, Offsets, Shape, Value, same_shape

TYPES = {
    "float32": 8,
    "int32": 6,
    "float16": 2,
    "bfloat16": 1,
    "int8": 2,
    "int16": 1.5,
    "int64": 1.5,
    "uint8": 1,
    "uint16": 0.5,
    "uint32": 1,
    "float64": 1,
}


def pointer(draft: Draft, role: str, dtype: str | None = None) -> Pointer:
    """A pointer argument to memory of this role: an old one, another one to old memory, or one to new memory."""
    old = [p for p in draft.program.pointers if draft.roles[p.storage] == role and dtype in (None, p.dtype)]
    if old and draft.chance(0.65):
        return draft.choice(old)
    storages = [n for n, s in enumerate(draft.program.storages) if draft.roles[n] == role]
    fitting = [n for n in storages if dtype in (None, draft.program.storages[n].dtype)]
    if fitting and draft.chance(0.55):
        number = draft.choice(fitting)
        size = SIZES[draft.program.storages[number].dtype]
        return draft.pointer(number, None, size * draft.choice((0, 0, 0, 1, 2, 8, 17)))
    integers = [n for n in storages if draft.program.storages[n].dtype in INTEGERS]
    if integers and (dtype is None or dtype in INTEGERS) and draft.chance(0.3):
        kind = dtype or draft.choice(INTEGERS)
        return draft.pointer(draft.choice(integers), kind, SIZES[kind] * draft.choice((0, 0, 0, 1, 4)))
    return draft.pointer(draft.storage(dtype or draft.weighted(TYPES), role))


def _address(draft: Draft, at: Pointer, offsets: Offsets) -> tuple[str, str]:
    """The text of the address, and the type of its elements: now and then the pointer is cast to another one."""
    if at.dtype in INTEGERS and draft.program.storages[at.storage].dtype in INTEGERS and draft.chance(0.06):
        dtype = draft.choice(INTEGERS)
        draft.touch(at, offsets.low, offsets.high, SIZES[dtype])
        return f"{at.name}.to(tl.pointer_type(tl.{dtype}), bitcast=True) + {offsets.name}", dtype
    draft.touch(at, offsets.low, offsets.high)
    return f"{at.name} + {offsets.name}", at.dtype


def some_offsets(draft: Draft, shape: Shape, store: bool) -> Offsets:
    found = [o for o in draft.offsets if o.shape == shape and (o.injective or not store)]
    if found and draft.chance(0.6):
        return _shifted(draft, draft.choice(found)) if draft.chance(0.15) else draft.choice(found)
    return places(draft, shape, store)


def _shifted(draft: Draft, offsets: Offsets) -> Offsets:
    """The same places, a little further on."""
    number = draft.choice((1, 1, 2, 16, -1, -3))
    name = draft.name("o")
    draft.line(f"{name} = {offsets.name} + {draft.integer(number)}")
    new = Offsets(name, offsets.shape, offsets.low + number, offsets.high + number, offsets.injective)
    draft.offsets.append(new)
    return new


def load(
    draft: Draft,
    shape: Shape,
    dtype: str | None = None,
    padded: bool = False,
    role: str = "",
    at: Pointer | None = None,
    offsets: Offsets | None = None,
) -> Value:
    """A block from memory. One that is `padded` has a mask, and most often an infinity or NaN where that is not set."""
    at = at or pointer(draft, role or draft.weighted({"data": 3, "input": 2}), dtype)
    offsets = offsets or some_offsets(draft, shape, False)
    address, kind = _address(draft, at, offsets)
    is_float, special = kind in FLOATS, draft.program.storages[at.storage].fill == "special"
    text = address
    if padded or draft.chance(0.5):
        text += f", mask={mask(draft, shape, prefix=padded and draft.chance(0.7)).name}"
        if padded or draft.chance(0.8):
            other = draft.weighted({"0": 4, "1": 1, "special": (20 if padded else 3) if is_float else 0, "block": 1, "scalar": 1})
            if other == "special":
                other, special = draft.choice(("-float('inf')", "-float('inf')", "float('nan')", "float('inf')")), True
                if kind == "float32" and draft.chance(0.3):
                    other = draft.scalar(float("-inf"), "float32")
            elif other in ("block", "scalar"):
                wanted = shape if other == "block" else ()
                value = draft.pick(lambda v: v.dtype == kind and same_shape(v.shape, wanted) and not v.approximate)
                if value and value.is_float:
                    value = draft.fit(value, STORED[kind])
                    special |= value.special
                other = value.name if value else "0"
            text += f", other={other}"
    if draft.chance(0.04):
        text += ", volatile=True"
    bound = STORED[kind] if is_float else float("inf")
    # Of lanes that share a place, a mask may leave out one.
    origin = offsets.name if offsets.injective or "mask=" not in text else None
    return draft.emit(f"tl.load({text})", shape, kind, bound=bound, special=special, origin=origin, memory=at.storage)


def load_scalar(draft: Draft) -> Value:
    at = pointer(draft, draft.weighted({"data": 2, "input": 2}))
    place = draft.choice((0, 1, 5))
    draft.touch(at, 0, place)
    special = draft.program.storages[at.storage].fill == "special"
    bound = STORED[at.dtype] if at.dtype in FLOATS else float("inf")
    return draft.emit(f"tl.load({at.name} + {place})", (), at.dtype, "c", bound=bound, special=special)


def stored(draft: Draft, value: Value, dtype: str, role: str) -> Value:
    """The value as it may be stored: of the right type, and not larger than what loads expect."""
    if value.approximate:
        return value
    if value.dtype == "int1" or dtype != value.dtype:
        value = draft.cast(value, dtype)
    if role == "data" and dtype in FLOATS:
        value = draft.clamp(value, STORED[dtype])
    return value


def store(
    draft: Draft,
    value: Value | None = None,
    plain: bool = False,
    into: Value | None = None,
    at: Pointer | None = None,
    offsets: Offsets | None = None,
) -> None:
    """A store of `value`: a `plain` one is of a result, one `into` a value goes to the places where that was loaded from."""
    value = value or draft.pick(lambda v: bool(v.shape))
    if not value:
        return
    if value.approximate:
        found = [n for n, s in enumerate(draft.program.storages) if s.approximate and s.dtype == value.dtype]
        number = draft.choice(found) if found and draft.chance(0.3) else draft.storage(value.dtype, "output", approximate=True)
        at = draft.pointer(number)
        role = "output"
    elif at:
        role = draft.roles[at.storage]
    else:
        role = "output" if plain else draft.weighted({"data": 4, "output": 1})
        others = [p for p in draft.program.pointers if not draft.program.storages[p.storage].approximate]
        exact = [p for p in others if draft.roles[p.storage] == role]
        want = value.dtype if value.dtype != "int1" and draft.chance(0.6) else None
        fitting = [p for p in exact if want in (None, p.dtype)]
        same = [p for p in others if p.storage == value.memory and draft.roles[p.storage] == "data"]
        if plain and (not fitting or draft.chance(0.7)):
            at = draft.pointer(draft.storage("int8" if value.dtype == "int1" else value.dtype, "output"))
        elif same and (into or draft.chance(0.5)):
            at = draft.choice(same)
            if draft.chance(0.35):  # another argument that points to the same
                at = draft.pointer(at.storage, at.dtype, at.offset)
        else:
            at = draft.choice(fitting) if fitting and draft.chance(0.75) else pointer(draft, role, want)
            if draft.program.storages[at.storage].approximate:
                at = draft.pointer(draft.storage(want or draft.weighted(TYPES), role))
    offsets = offsets or _store_places(draft, value, plain, into)
    address, kind = _address(draft, at, offsets)
    if kind in FLOATS or value.is_float or value.dtype == "int1":
        made = stored(draft, value, kind, role)
    else:
        made = draft.cast(value, kind) if draft.chance(0.6) else value
    text = f"{address}, {made.name}"
    masked = draft.chance(0.15 if plain else 0.5)
    if draft.chance((0.5 if into else 0.15) if masked else 0.03) and not plain:
        text = f"{address}, {draft.choice((0, 1, 7))}"
    if masked:
        text += f", mask={_store_mask(draft, value.shape, at.storage, 0.7 if into else 0.35).name}"
    if draft.chance(0.05):
        text += ', cache_modifier=".cs"'
    draft.line(f"tl.store({text})")


def _store_mask(draft: Draft, shape: Shape, storage: int, often: float) -> Value:
    """Now and then a condition on what was loaded from the very memory that is stored to."""
    read = draft.pick(lambda v: v.memory == storage and v.shape == shape and not v.approximate) if draft.chance(often) else None
    if not read:
        return mask(draft, shape)
    if len(shape) == 2 and shape[0] == shape[1] and draft.chance(0.5):
        read = transpose(draft, read) or read
    return read if read.dtype == "int1" else draft.emit(compared(draft, read), shape, "int1", "m")


def _store_places(draft: Draft, value: Value, plain: bool, into: Value | None) -> Offsets:
    """Where lanes share a place they must store the same: what was loaded there, changed lane by lane."""
    if value.origin and draft.chance(0.95 if into else 0.6) and not plain:
        for offsets in draft.offsets:
            if offsets.name == value.origin and same_shape(offsets.shape, value.shape):
                return offsets
    return some_offsets(draft, value.shape, True)


def store_scalar(draft: Draft) -> None:
    value = draft.pick(lambda v: not v.shape and not v.approximate)
    if not value:
        return
    role = draft.choice(("output", "data"))
    at = pointer(draft, role, value.dtype if value.dtype != "int1" else "int32")
    if draft.program.storages[at.storage].approximate:
        return
    place = draft.choice((0, 2, 3))
    made = stored(draft, value, at.dtype, role)
    draft.touch(at, 0, place)
    draft.line(f"tl.store({at.name} + {place}, {made.name})")


def atomic(draft: Draft) -> None:
    """On memory that only atomics of one kind use, so that their order does not matter."""
    value = draft.pick(lambda v: bool(v.shape) and v.dtype in ("int32", "float32") and not v.approximate and not v.special)
    if not value:
        return
    made = draft.clamp(value, STORED["float32"]) if value.is_float else value
    number = draft.storage(value.dtype, "atomic")
    at = draft.pointer(number)
    kind = draft.choice(("add", "max", "min")) if value.is_float else draft.choice(("add", "max", "min", "and", "or", "xor"))
    offsets = some_offsets(draft, value.shape, False)
    draft.touch(at, offsets.low, offsets.high)
    text = f"{at.name} + {offsets.name}, {made.name}"
    if draft.chance(0.5):
        text += f", mask={mask(draft, value.shape).name}"
    call = f"tl.atomic_{kind}({text})"
    # The interpreter's result of an inactive lane is no number of the program's.
    if offsets.injective and "mask=" not in text and draft.program.programs == 1 and draft.chance(0.4) and draft.turns == 1:
        draft.emit(call, value.shape, value.dtype, bound=2.0 * STORED["float32"] if value.is_float else float("inf"))
    else:
        draft.line(call)
