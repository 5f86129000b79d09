"""Index arithmetic: the places that a block accesses, and chains of wrapping arithmetic and casts on indices."""

from random_kernels.draft import Draft
from random_kernels.program import SIZES
from random_kernels.values import INTEGERS, Extent, Offsets, Shape, Value, along, extent_text, shape_text

#: Constants that make 32-bit sums and products wrap around.
FAR = (2**31 - 1, 2**31 - 100, -(2**31), -(2**31) + 50, 2**30)
FARTHER = (2**32, 2**32 - 3, 2**31 + 7, -(2**40), 0x100000001, 2654435761)


def arange(draft: Draft, extent: Extent) -> str:
    return f"tl.arange(0, {extent_text(extent)})"


def numbers_along(draft: Draft, shape: Shape, dim: int) -> str:
    """Every element's number along a dimension."""
    return f"{arange(draft, shape[dim])}{along(dim, len(shape))}"


def wild(draft: Draft, start: str, steps: int) -> tuple[str, str]:
    """A chain of additions, products and casts, which may wrap around; text and type."""
    text, dtype = start, "int32"
    for _ in range(steps):
        kind = draft.weighted({"cast": 4, "add": 3, "far": 2, "scalar": 2, "times": 2, "sub": 1})
        if kind == "cast":
            dtype = draft.choice(INTEGERS + ("int64", "int32", "uint32", "int64"))
            text = f"({text}).to(tl.{dtype})"
        elif kind == "far" and dtype in ("int32", "int64"):
            number = draft.choice(FAR if dtype == "int32" or draft.chance(0.5) else FARTHER)
            text = f"({text} + {draft.integer(number) if dtype == 'int64' or number < 2**31 else number})"
        elif kind == "scalar" and dtype in ("int32", "int64"):
            text = f"({text} {draft.choice('+-')} {draft.scalar(draft.choice((1, 3, 5, 100, 0, -7)))})"
        elif kind == "times":
            factors = [2, 3, 5, 7, *((1 << 20, 65537) if SIZES[dtype] >= 4 else ()), *(FARTHER[-2:] if dtype == "int64" else ())]
            text = f"({text} * {draft.choice(factors)})"
        elif kind == "sub":
            text = f"({text} - {draft.choice((1, 2, 5, 9))})"
        else:
            text = f"({text} + {draft.choice((1, 4, 10, 31, 100))})"
    return text, dtype


def index_along(draft: Draft, extent: Extent, fancy: float) -> tuple[str, int, int, bool]:
    """Indices along one dimension: text, least, greatest, and whether no two are the same."""
    count, text, whole = draft.extent(extent), arange(draft, extent), extent_text(extent)
    if not draft.chance(fancy):
        return text, 0, count - 1, True
    kind = draft.weighted(
        {"reversed": 2, "permuted": 4, "turned": 2, "paged": 2, "xor": 1, "modulo": 2, "wild": 2, "loaded": 2, "half": 1, "truncated": 1}
    )
    if kind == "reversed":
        return f"({whole} - 1 - {text})", 0, count - 1, True
    if kind == "permuted":
        return f"({text} * {draft.choice((3, 5, 7, 9))}) % ({whole})", 0, count - 1, True
    if kind == "turned":
        return f"({text} + {draft.choice((1, 3, draft.scalar(draft.choice((1, 2, 5)))))}) % ({whole})", 0, count - 1, True
    if kind == "paged":  # the block of this number, which may have wrapped around, of as many as there are
        number, total = draft.scalar(draft.choice((0, 1, 3, 1 << 24, 1 << 28, -1, -2, -5))), f"({draft.choice((1, 2, 4, 3))} * ({whole}))"
        return f"(({number} * ({whole}) + {text}) % {total} + {total})", 0, 8 * count - 1, True
    if kind == "xor":
        return f"({text} ^ {min(draft.choice((1, 3, 4)), count - 1)})", 0, max(count - 1, 4), count > 4
    if kind == "modulo":
        number = draft.choice((1, 2, 3, max(count // 2, 1), count))
        return f"{text} % {draft.integer(number)}", 0, number - 1, number >= count
    if kind == "wild":
        chain, dtype = wild(draft, text, draft.choice((1, 2, 3)))
        if count > 64 and SIZES[dtype] < 2:
            chain = f"({chain}).to(tl.int32)"
        return f"({chain} & ({whole} - 1)).to(tl.int32)", 0, count - 1, False
    if kind == "loaded":
        number = draft.storage("int32", "input")
        draft.program.storages[number].fill = "index"
        pointer = draft.pointer(number)
        draft.touch(pointer, 0, count - 1)
        return f"(tl.load({pointer.name} + {text}) & ({whole} - 1))", 0, count - 1, False
    if kind == "half":
        return f"({text} // 2)", 0, (count - 1) // 2, count == 1
    times = draft.choice((1, 1, 3))
    bits = draft.choice([bits for bits in (8, 16, 32) if times * count <= 1 << (bits - 1)])
    return (
        f"({text}.to(tl.int64) * {(1 << bits) + times}).to(tl.int{bits}){'.to(tl.int32)' if bits < 32 else ''}",
        0,
        times * (count - 1),
        True,
    )


def _strides(draft: Draft, shape: Shape) -> list[tuple[str, int]]:
    """Text and value of each dimension's stride: dense in some order of the dimensions, perhaps with gaps."""
    order = list(range(len(shape)))
    if draft.chance(0.3):
        draft.random.shuffle(order)
    strides: list[tuple[str, int]] = [("1", 1)] * len(shape)
    text, number = "1", 1
    if draft.chance(0.1):
        number = draft.choice((2, 3))
        text = draft.integer(number)
    for dim in reversed(order):
        strides[dim] = text, number
        number *= draft.extent(shape[dim])
        text = extent_text(shape[dim]) if text == "1" else f"{text} * {extent_text(shape[dim])}"
        if draft.chance(0.1):
            text, number = f"({text} + 1)", number + 1
    return strides


def places(draft: Draft, shape: Shape, store: bool) -> Offsets:
    """A new block of offsets."""
    rank, injective = len(shape), True
    strides = _strides(draft, shape)
    terms, low, high = [], 0, 0
    fancy = 0.15 if rank > 1 else 0.25
    for dim, extent in enumerate(shape):
        text, first, last, apart = index_along(draft, extent, fancy)
        if store and not apart and draft.chance(0.9):
            text, first, last, apart = arange(draft, extent), 0, draft.extent(extent) - 1, True
        injective &= apart
        factor, number = strides[dim]
        if draft.chance(0.35):
            kinds = {"same": 5, "zero": 0.6 if store else 6, "negative": 1, "one": 0.3 if store else 1, "double": 1, "large": 1}
            chosen = draft.weighted(kinds)
            number = {"same": number, "zero": 0, "negative": -number, "one": 1, "double": 2 * number, "large": number + 61}[chosen]
            injective &= chosen in ("same", "negative") or draft.extent(extent) == 1 or chosen in ("double", "large") and dim == 0
            factor = draft.scalar(number)
        if draft.chance(0.08):
            text = f"({text}).to(tl.int64)"
        term = (
            f"{text}{along(dim, rank)}" if text.startswith(("tl.arange", "(")) and text.count("%") == 0 else f"({text}){along(dim, rank)}"
        )
        terms.append(
            term if factor == "1" else f"{term} * {factor}" if "*" not in factor or factor.startswith("(") else f"{term} * ({factor})"
        )
        ends = first * number, last * number
        low, high = low + min(ends), high + max(ends)
    if draft.chance(0.15):
        number = draft.choice((1, 2, 16, 5))
        terms.append(draft.integer(number))
        low, high = low + number, high + number
    index = draft.pick(lambda v: v.index and not v.shape) if draft.chance(0.4) else None
    if index:
        number = draft.choice((1, 2, draft.size(shape), 16))
        terms.append(f"{index.name} * {number}")
        low, high = low + min(index.low * number, 0), high + max(index.high * number, 0)
    name, text = draft.name("o"), " + ".join(terms)
    offsets = Offsets(name, shape, low, high, injective)
    if draft.chance(0.06):
        narrow = [
            t for t, most in (("uint8", 255), ("int16", 2**15 - 1), ("uint16", 2**16 - 1)) if high <= most and (low >= 0 or t == "int16")
        ]
        text = f"({text}).to(tl.{draft.choice(narrow)})" if narrow and low > -(2**15) else text
    else:
        draft.offsets.append(offsets)
    draft.line(f"{name} = {text}")
    return offsets


def close_places(draft: Draft, shape: Shape) -> Offsets:
    """Windows of memory: rows that share places, or nearly do."""
    inner = draft.random.randrange(len(shape))
    count = draft.extent(shape[inner])
    terms, low, high = [], 0, 0
    for dim, extent in enumerate(shape):
        number = draft.choice((1, 1, 1, 2, -1)) if dim == inner else draft.choice((0, 1, 1, 2, -1, count - 1, count + 1))
        terms.append(f"{numbers_along(draft, shape, dim)} * {number if draft.chance(0.75) else draft.scalar(number)}")
        last = number * (draft.extent(extent) - 1)
        low, high = low + min(last, 0), high + max(last, 0)
    offsets = Offsets(draft.name("o"), shape, low, high, False)
    draft.line(f"{offsets.name} = {' + '.join(terms)}")
    draft.offsets.append(offsets)
    return offsets


def index_block(draft: Draft, shape: Shape, limit: Extent) -> Value:
    """int32 numbers from 0 to below `limit`, as a gather takes them."""
    source = draft.pick(lambda v: v.is_integer and v.shape == shape)
    if source and draft.chance(0.6):
        return draft.emit(f"{source.name}.to(tl.int32) & ({extent_text(limit)} - 1)", shape, "int32")
    terms = [f"({index_along(draft, extent, 0.4)[0]}){along(dim, len(shape))}" for dim, extent in enumerate(shape)]
    text = " + ".join(terms) + f" + {draft.choice((0, 1, 3))}"
    return draft.emit(f"tl.broadcast_to(({text}) % ({extent_text(limit)}), {shape_text(shape)})", shape, "int32")
