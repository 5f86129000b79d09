"""Block semantics: a load that stands before a write sees what was there before it.

A lazy load is evaluated where its value is needed, which may be behind the write. So each op that writes memory first calls
`before_write`, which looks at every load that is still needed. One that is read in place, each lane before the write to the same element,
stays as it is. One that is strided, as the write is, is compared with it at run time by its range of addresses, and copied only where the
two overlap. Any other is carried out at once.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Builder, Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Tensor, bits


def before_write(low: Lowering, node: Node, store: Access | None, value: Tensor | None = None) -> None:
    """Make every load that stands before `node`, and is still needed, independent of what `node` writes.

    `store` is the access that `node` writes to (None where it may write anywhere), `value` the block that it stores there.
    """
    keep = []
    for result, load in low.pending:
        orders = needed_by(low, result)
        if load.buffer is not None or all(order < node.order for order in orders):
            continue
        keep.append((result, load))
        # needed by this store alone, whose value follows the load's own coordinates
        at_once = store is not None and value is not None and not any(order > node.order for order in orders)
        if at_once and same_elements(low, load, store, value):
            continue
        access = load.access
        if store is None or store.index is not None or access.index is not None or access.base.value == store.base.value:
            low.materialise(load)
        else:
            redirect(low, load, store, at_once and load.shape == value.shape and reads_in_place(low, value, load))
    low.pending = keep


def needed_by(low: Lowering, value: ir.Value) -> set[int]:
    """Orders of the acting ops that still have to compute `value`: not those that read a stored value made of it, or a window of it."""
    orders: set[int] = set()
    stack, seen = [value], {value}
    while stack:
        for user in low.analysis.users.get(stack.pop(), ()):
            if not (user.is_lazy and user.is_tensor):
                orders.add(user.order)
                continue
            for result in user.results:
                made = low.values.get(result)
                stored = isinstance(made, Tensor) and (made.buffer is not None or (user.name == "xsmt.subview" and not made.sources))
                if result not in seen and not stored:
                    seen.add(result)
                    stack.append(result)
    return orders


def same_elements(low: Lowering, load: Tensor, store: Access, value: Tensor) -> bool:
    """Whether the store writes each element that `load` read only after, and in the same lane as, its use in `value`."""
    access = load.access
    if access.index is not None or store.index is not None or access.base.value != store.base.value or access.shape != store.shape:
        return False
    if any(a.value != s.value for a, s in zip(access.strides, store.strides, strict=True)):
        return False
    steps = [s for s, extent in zip(store.strides, store.shape, strict=True) if extent > 1]
    if any(s.constant == 0 for s in steps) or len({s.value for s in steps}) < len(steps):
        return False  # several lanes share an element
    return reads_in_place(low, value, load)


def reads_in_place(low: Lowering, value: Tensor, source: Tensor) -> bool:
    """Whether each element of `value` is computed from no element of `source` but the one at its own place."""
    identity = tuple(range(len(value.shape)))
    return all(follows == identity for tensor, follows in low.cone(value) if tensor is source)


def redirect(low: Lowering, load: Tensor, store: Access, in_place: bool) -> None:
    """Where the two overlap at run time, copy the loaded block first and read the copy; else read in place.

    Both are strided, so one comparison of address ranges decides. With `in_place` the load is needed by this store alone and in
    the same lanes: then accesses to the very same elements do not count as an overlap.
    """
    b, access = low.b, load.access
    overlap = overlaps(b, access, store, same_is_apart=in_place)
    strides = dense_strides(access)
    buffer = low.allocate(access.shape, load.element)
    buffer.strides = tuple(strides)

    def copied() -> list[Emitted]:
        copy_elements(low, load, buffer)
        return [buffer.base, *(b.constant(s) for s in strides)]

    types = [(b.ptr, 0)] + [(b.i64, 0)] * len(strides)
    results = b.if_else(overlap, types, copied, lambda: [access.base, *access.strides])
    moved = [
        old if old.constant is not None and old.constant == new else result
        for old, new, result in zip(access.strides, strides, results[1:], strict=True)
    ]
    new_access = replace(access, base=results[0], strides=moved)
    low.changed.append((load, dict(load.__dict__)))
    load.access, load.home = new_access, b.depth
    load.compute = lambda at: low.memory.load(load, new_access, at)


def dense_strides(access: Access) -> list[int]:
    """Strides of a dense block of the access's shape, whose innermost dimensions are those that the access is contiguous along."""
    inner = [d for d, s in enumerate(access.strides) if s.constant == 1]
    strides, size = [0] * len(access.shape), 1
    for d in sorted(range(len(access.shape)), key=lambda d: (d in inner, d), reverse=True):
        strides[d] = size
        size *= access.shape[d]
    return strides


def copy_elements(low: Lowering, load: Tensor, buffer: Buffer) -> None:
    """Copy what lies within the load's bounds, element by element: it is rarely done, so its code is small."""
    b, access = low.b, load.access
    zeros, extents = [b.constant(0)] * len(access.shape), [b.constant(n) for n in access.shape]
    source = replace(access, lower=zeros, upper=extents)
    target = low.memory.buffer_access(buffer, load.origin)

    def run(at: Sequence[Coordinate]) -> None:
        if len(at) == len(access.shape):
            element = low.memory.load(Tensor(load.shape, load.element, None, home=b.depth), source, tuple(at))
            low.memory.store(target, element, tuple(at))
            return
        begin = b.maximum(access.lower[len(at)], b.constant(0))
        end = b.minimum(access.upper[len(at)], extents[len(at)])
        b.repeat(begin, end, 1, lambda i: run((*at, Coordinate(i))))

    run(())


def overlaps(b: Builder, first: Access, second: Access, same_is_apart: bool) -> Emitted:
    """i1: whether the address ranges of two strided accesses meet; with `same_is_apart`, not where both go to the very same elements."""
    low, high = address_range(b, first)
    other_low, other_high = address_range(b, second)
    overlap = b.both(b.compare("ult", low, other_high), b.compare("ult", other_low, high))
    if same_is_apart:
        same = b.compare("eq", address_of(b, first), address_of(b, second))
        for ours, theirs in zip(first.strides, second.strides, strict=True):
            if ours.value != theirs.value:
                same = b.both(same, b.compare("eq", ours, theirs))
        overlap = b.both(overlap, b.op("arith.xori", b.i1, [same, b.constant(1, b.i1)]))
    return overlap


def address_range(b: Builder, access: Access) -> tuple[Emitted, Emitted]:
    """First and last-plus-one byte address that a strided access can touch, as i64."""
    size = b.constant(bits(access.element) // 8)
    low = high = address_of(b, access)
    for stride, lower, upper, extent in zip(access.strides, access.lower, access.upper, access.shape, strict=True):
        first = b.maximum(lower, b.constant(0))
        last = b.sub(b.minimum(upper, b.constant(extent)), b.constant(1))
        step = b.mul(stride, size)
        ends = [b.mul(step, first), b.mul(step, last)]
        if stride.constant is not None and stride.constant >= 0:
            low, high = b.add(low, ends[0]), b.add(high, ends[1])
        else:
            low, high = b.add(low, b.minimum(*ends)), b.add(high, b.maximum(*ends))
    return low, b.add(high, size)


def address_of(b: Builder, access: Access) -> Emitted:
    return b.op("llvm.ptrtoint", b.i64, [access.base])
