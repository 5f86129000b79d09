"""Loops that add up: products turn by turn, rows of memory, scaled products of bytes. What they leave goes where their operands may lie."""

import math

from random_kernels import memory_ops, rows
from random_kernels.draft import LARGEST, Draft
from random_kernels.elementwise import exact
from random_kernels.masks import mask
from random_kernels.patterns import another, kept, own
from random_kernels.places import numbers_along
from random_kernels.program import Region
from random_kernels.values import STORED, Extent, Shape, Value, extent_text, shape_text


def _turns(draft: Draft, most: int) -> tuple[Region, str, int]:
    """A loop of so many turns at most, appended; its index, from 0 on."""
    turns = draft.choice([n for n in (0, 1, 1, 2, 2, 3, 4, 6) if n <= most])
    name = draft.name("k")
    region = Region(f"for {name} in range({draft.integer(turns) if draft.chance(0.7) else f'0, {draft.scalar(turns)}'}):", [], index=name)
    draft.body.append(region)
    return region, name, turns


def _start(draft: Draft, shape: Shape, dtype: str) -> Value:
    """What a loop begins with: mostly zeros."""
    kind = draft.weighted({"zeros": 6, "ones": 2, "value": 2})
    value = draft.pick(lambda v: v.shape == shape and v.dtype == dtype and exact(v) and not v.replaceable) if kind == "value" else None
    if value:
        value = draft.fit(value, 64.0) if value.is_float else value
        zero = "0.0" if value.is_float else "0"
        return draft.emit(f"{value.name} + {zero}", shape, dtype, bound=value.bound, special=value.special)
    return draft.emit(f"tl.full({shape_text(shape)}, {int(kind == 'ones')}, tl.{dtype})", shape, dtype, bound=1.0)


def product(draft: Draft) -> None:
    """`for k: acc = dot(a, b, acc)`, where a store of the result may go to memory that holds an operand."""
    sizes: list[Extent] = [("8",), ("16",), ("32",), ("32",), ("64",), *((name,) for name in draft.program.atoms)]
    sizes = [extent for extent in sizes if draft.extent(extent) <= 64]
    m, n, k = (draft.choice(sizes) for _ in range(3))
    count = draft.extent(m) * draft.extent(n) * draft.extent(k)
    if count * draft.turns > 1 << 18:
        return
    dtype = draft.choice(("float32",) * 5 + ("int8",) * 2 + ("float16", "bfloat16"))
    result, shape = ("int32" if dtype == "int8" else "float32"), (m, n)
    target = own(draft, result)
    # Operands lie where the result goes, but of types that do not hold its bits.
    shared = dtype in ("float32", "int8") and draft.chance(0.8)
    left, right = (target if shared and draft.chance(0.75) else own(draft, dtype) for _ in range(2))
    when = draft.weighted({"": 6, "before": 2, "behind": 2})  # is memory read that the result overwrites
    late = _late(draft, target, shape) if when == "before" else None
    acc = _start(draft, shape, result)
    region, index, turns = _turns(draft, min(6, (1 << 18) // (count * draft.turns)))
    with draft.inside(region, turns):
        a = _operand(draft, left, dtype, (m, k), 1, index, turns)
        b = _operand(draft, right, dtype, (k, n), 0, index, turns)
        if draft.chance(0.1):
            memory_ops.store(draft)
        tail = ', input_precision="ieee"' if result == "float32" else ""
        start = acc.name
        if draft.chance(0.2):  # scaled by rows, or, as no tile can, by columns
            start += f" * ({numbers_along(draft, shape, draft.choice((0, 0, 1)))} & 1).to(tl.{result})"
        draft.assign(acc, f"tl.dot({a.name}, {b.name}, {start}{tail})")
    if result == "float32":
        acc.bound += 256.0 * draft.extent(k) * max(turns, 1)
    value = kept(draft, acc, result)
    if draft.chance(0.25):
        one = "1" if result == "int32" else "1.0"
        value = draft.emit(f"{value.name} + {one}", shape, result, bound=value.bound + 1, special=value.special)
    if draft.chance(0.15):
        memory_ops.store(draft)
    late = _late(draft, target, shape) if when == "behind" else late
    _store(draft, target, value)
    if late:
        memory_ops.store(draft, late, plain=True)


def _operand(draft: Draft, number: int, dtype: str, shape: Shape, dim: int, index: str, turns: int) -> Value:
    """A block of each turn: further along dimension `dim`, the product's inner one, in rows, columns or apart; masked perhaps."""
    extents = [draft.extent(extent) for extent in shape]
    inner = extents[dim] * max(turns, 1)
    whole = [inner if d == dim else extents[d] for d in (0, 1)]
    strides = draft.weighted({"rows": 5, "columns": 2, "apart": 1, "same": 0.5})
    gap = draft.choice((0, 0, 1, 8))
    step = {"rows": (whole[1] + gap, 1), "columns": (1, whole[0]), "apart": (2 * whole[1], 2), "same": (0, 1)}[strides]
    factors = [draft.integer(s) if s != 1 else "1" for s in step]
    texts = [numbers_along(draft, shape, d) for d in (0, 1)]
    texts[dim] = f"({texts[dim]} + {index} * {extent_text(shape[dim])})"
    if draft.chance(0.15):  # rows or columns that wrap around
        first, count = draft.choice((0, 1, 5)), draft.choice((extents[1 - dim], 5))
        texts[1 - dim] = f"({texts[1 - dim]} + {draft.integer(first)}) % {draft.integer(count)}"
    at = another(draft, number, dtype)
    reach = [s * (w + 5) for s, w in zip(step, whole, strict=True)]
    draft.touch(at, 0, sum(reach))
    where = " + ".join(t if f == "1" else f"({t}) * {f}" for t, f in zip(texts, factors, strict=True))
    masked = ""
    if draft.chance(0.4):
        limits = [draft.integer(draft.choice((w, w - 1, w // 2))) for w in whole]
        conditions = [f"({t} < {limit})" for t, limit in zip(texts, limits, strict=True)]
        conditions = conditions if draft.chance(0.6) else [conditions[dim]]
        masked = f", mask={' & '.join(conditions)}, other=0"
    return draft.emit(f"tl.load({at.name} + {where}{masked})", shape, dtype, bound=STORED.get(dtype, math.inf), memory=number)


def _late(draft: Draft, number: int, shape: Shape) -> Value:
    """What the store will overwrite, which is still needed then."""
    at, where = another(draft, number, draft.program.storages[number].dtype), memory_ops.some_offsets(draft, shape, False)
    return memory_ops.load(draft, shape, at=at, offsets=where)


def _store(draft: Draft, number: int, value: Value) -> None:
    m, n = (draft.extent(extent) for extent in value.shape)
    at, stride = another(draft, number, value.dtype), draft.choice((n, n, n + 3, n + 40))
    rows_text, columns_text = (numbers_along(draft, value.shape, d) for d in (0, 1))
    draft.touch(at, 0, stride * m)
    masked = ""
    if draft.chance(0.6):
        limits = draft.integer(draft.choice((m, m - 1, 3))), draft.integer(draft.choice((n, n - 1, 5)))
        masked = f", mask=({rows_text} < {limits[0]}) & ({columns_text} < {limits[1]})"
    draft.line(f"tl.store({at.name} + {rows_text} * {draft.integer(stride)} + {columns_text}, {value.name}{masked})")


def rows_of_memory(draft: Draft) -> None:
    """`for k: total += row(k)`, `total = maximum(total, row)`, of one block or two; added up, or stored where rows may lie."""
    shape, dtype = draft.choice(draft.shapes), draft.choice(("float32", "float32", "int32"))
    number = draft.storage(dtype, "data")
    totals = [_start(draft, shape, dtype) for _ in range(draft.choice((1, 1, 2)))]
    region, index, turns = _turns(draft, 6)
    wide = draft.size(shape) <= LARGEST // 4 and draft.chance(0.3)
    special = False
    with draft.inside(region, turns):
        draft.emit(f"{index} + 0", (), "int32", "j", low=0, high=max(turns - 1, 0), index=True)
        for total in totals:
            row = memory_ops.load(draft, (("4",), *shape) if wide else shape, at=another(draft, number))
            if row.dtype != dtype:
                row = draft.cast(row, dtype)
            row = draft.fit(row, 64.0) if row.is_float else row
            special |= row.special
            if wide:
                row = draft.emit(f"tl.sum({row.name}, 0)", shape, dtype, bound=row.bound * 4, special=row.special)
            text = draft.choice((f"{total.name} + {row.name}", f"{row.name} + {total.name}", f"tl.maximum({total.name}, {row.name})"))
            if len(shape) == 1 and draft.extent(shape[0]) <= 64 and draft.chance(0.3):  # every element of all
                text = f"tl.max({row.name}[None, :] + {total.name}[:, None], 0)"
            if draft.chance(0.2):
                text = f"tl.where({mask(draft, shape).name}, {text}, {total.name})"
            draft.assign(total, text)
            total.bound += 256.0 * max(turns, 1)
        if draft.chance(0.3):
            memory_ops.store(draft, at=another(draft, number))
    for total in totals:
        total.special |= special
        reader = draft.choice(("reduction", "store", "both"))
        if reader != "store":
            rows.reduction(draft, total)
        if reader != "reduction":
            memory_ops.store(draft, total, at=another(draft, number) if draft.chance(0.4) else None)


def scaled(draft: Draft) -> None:
    """`acc += dot(a, b).to(float32) * rows * columns` of bytes, whole blocks at constant strides, as matrix instructions take them."""
    m, n, k = draft.choice((4, 8, 8, 16)), draft.choice((16, 32, 32)), draft.choice((16, 32))
    shape: Shape = ((str(m),), (str(n),))
    a_number, b_number, scales = own(draft, "int8"), own(draft, "int8"), own(draft, "float32")
    acc = _start(draft, shape, "float32")
    region, index, turns = _turns(draft, 4)
    with draft.inside(region, turns):
        blocks = []
        for number, size, dim in ((a_number, (str(m), str(k)), 1), (b_number, (str(k), str(n)), 0)):
            block: Shape = ((size[0],), (size[1],))
            outer = numbers_along(draft, block, 1 - dim)
            at = another(draft, number)
            inner = numbers_along(draft, block, dim)
            words = dim == 1 and draft.chance(0.4)  # words of eight steps
            length = m if dim else n
            where = f"{outer} * 8 + {inner} // 8 * {8 * length} + {inner} % 8" if words else f"{outer} * {k} + {inner}"
            draft.touch(at, 0, length * k * max(turns, 1))
            value = draft.emit(f"tl.load({at.name} + {index} * {length * k} + {where})", block, "int8")
            text = draft.choice((f"{value.name} & 15", f"({value.name} >> 4) & 7", f"({value.name} & 15) - 8"))
            blocks.append(draft.emit(text, block, "int8"))
        sums = draft.emit(f"tl.dot({blocks[0].name}, {blocks[1].name}, out_dtype=tl.int32).to(tl.float32)", shape, "float32",
                          bound=225.0 * k)  # fmt: skip
        factors = []
        for dim in (0, 1):
            at, length = another(draft, scales), (m, n)[dim]
            draft.touch(at, 0, length * max(turns, 1))
            vector = f"tl.load({at.name} + {index} * {length} + tl.arange(0, {length}))"
            factors.append(draft.emit(f"{vector}{'[None, :]' if dim else '[:, None]'}", (((), (str(n),)) if dim else ((str(m),), ())),
                                      "float32", bound=16.0))  # fmt: skip
        scale = draft.emit(f"{factors[0].name} * {factors[1].name}", shape, "float32", bound=256.0)
        text = draft.choice((f"tl.fma({sums.name}, {scale.name}, {acc.name})", f"{acc.name} + {sums.name} * {scale.name}"))
        draft.assign(acc, text)
        if draft.chance(0.15):
            memory_ops.store(draft)
    acc.bound += 225.0 * k * 16.0 * max(turns, 1)  # scales are 4 at most, but where a store has changed them
    value = kept(draft, acc, "float32")
    _store(draft, scales if draft.chance(0.4) else own(draft, "float32"), value)
