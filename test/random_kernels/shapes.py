"""Blocks in other shapes and orders: reshapes, transposes, broadcasts, joins, splits and gathers."""

from typing import Any

from random_kernels.draft import LARGEST, Draft
from random_kernels.places import index_block
from random_kernels.values import Shape, Value, shape_text


def keeps(value: Value) -> dict[str, Any]:
    """What is known of the same numbers in another order."""
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
    return draft.emit(f"tl.reshape({a.name}, {shape_text(shape)})", shape, a.dtype, "m" if a.dtype == "int1" else "v", **keeps(a))


def transpose(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: len(v.shape) > 1)
    if not a:
        return None
    order = list(range(len(a.shape)))
    while order == sorted(order):
        draft.random.shuffle(order)
    shape = tuple(a.shape[d] for d in order)
    text = f"tl.trans({a.name})" if len(order) == 2 and draft.chance(0.7) else f"tl.permute({a.name}, {tuple(order)})"
    return draft.emit(text, shape, a.dtype, "m" if a.dtype == "int1" else "v", **keeps(a))


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
        return draft.emit(f"tl.broadcast_to({text}, {shape_text(shape)})", shape, a.dtype, **keeps(a))
    return draft.emit(text, thin, a.dtype, **keeps(a))


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
        draft.emit(f"{pair}[{1 - first}]", shape, a.dtype, **keeps(a))
    return draft.emit(f"{pair}[{first}]", shape, a.dtype, **keeps(a))


def gather(draft: Draft, a: Value | None = None) -> Value | None:
    a = a or draft.pick(lambda v: bool(v.shape) and v.dtype != "int1")
    if not a or a.dtype == "int1":
        return None
    axis = draft.random.randrange(len(a.shape))
    index = index_block(draft, a.shape, a.shape[axis])
    return draft.emit(f"tl.gather({a.name}, {index.name}, {axis})", a.shape, a.dtype, **keeps(a))
