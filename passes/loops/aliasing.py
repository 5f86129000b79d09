"""Block semantics: a load that stands before a write sees what was there before it.

A lazy load is evaluated where its value is needed, which may be behind the write. So each op that writes memory first calls
`before_write`, which looks at every load that is still needed. One of the very elements that are written, each lane read before it is
written, stays as it is. One that is strided, as the write is, is compared with it at run time, and copied only where the two overlap. Any
other is carried out at once.

Three facts make an update in place legal, and each is proven or tested at run time: the load and the store go to the same elements
(`same_elements`), no two lanes of the store share an element (`apart`), and each lane is read for itself alone (`read_in_lanes`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.passes.facts.steps import lie_apart
from triton_spacemit.passes.loops.addressing import from_start, within
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.overlap import address_of, ends, overlaps
from triton_spacemit.passes.loops.tensors import Access, Buffer, Coordinate, Loaded, Tensor, bits, identity

MOST_GAPS = 4  # times the elements of a block that its copy may be long
MOST_CHECKS = 4  # comparisons of one load with later stores that are worth their code; from then on it is carried out


def before_write(
    low: Lowering,
    node: Node,
    store: Access | None = None,
    needed: Sequence[Tensor] = (),
    at_once: bool = False,
    end: Node | None = None,
) -> None:
    """Make every load that stands before `node`, and is still needed, independent of what `node` writes.

    `store` is the access that `node` writes to (None where it may write anywhere), in a loop that evaluates the blocks `needed` (the value,
    the index, the mask) at each place before it writes there. `at_once`: this loop has one turn, and evaluates all before it writes. `end`:
    the last of the stores that share this loop.
    """
    until = node.order if end is None else end.order
    keep = []
    now: list[Tensor] = []  # loads to be carried out before the write
    here: list[Tensor] = []  # those of them that nothing behind the write needs
    for result, tensor in low.pending:
        load = low.storage.load_of(tensor)
        if load is None or max(low.analysis.pulls(result), default=-1) < node.order:
            continue
        orders = needed_by(low, result)
        if all(order < node.order for order in orders):
            continue
        keep.append((result, tensor))
        if store is not None and lie_apart(base_of(load.access.op), base_of(store.op)):
            continue
        last = store is not None and max(orders) <= until
        if last and at_once:
            continue
        only_here = last and read_in_lanes(low, tensor, needed)
        if store is None or store.index is not None or load.access.index is not None:
            (here if last else now).append(tensor)
            continue
        same = same_elements(low.b, load.access, store) if only_here else False
        own_memory = load.access.base.value == store.base.value
        if same is False or (own_memory and same is not True):
            harmless: Condition = False
        else:
            harmless = both(low.b, same, apart(low.b, store))
        if harmless is False and own_memory:
            (here if last else now).append(tensor)  # it overlaps for certain, or nearly so
        elif harmless is not True and (low.redirected.get(tensor, 0) >= MOST_CHECKS or not last and is_one_vector(low, load.access)):
            (here if last else now).append(tensor)
        elif harmless is not True:
            low.redirected[tensor] = low.redirected.get(tensor, 0) + 1
            redirect(low, tensor, load, store, harmless)
    low.pending = keep
    carry_out(low, now, here, needed)


def base_of(access: ir.Operation | None) -> ir.Value | None:
    """The pointer that an access of a block starts from."""
    known = access is not None and access.name in ("xsmt.descriptor_load", "xsmt.gather", "xsmt.descriptor_store", "xsmt.scatter")
    return access.operands[0] if known else None


def is_one_vector(low: Lowering, access: Access) -> bool:
    """Whether a block is loaded by one instruction, without conditions: it is kept in registers sooner than it is compared."""
    long = [d for d, extent in enumerate(access.shape) if extent > 1]
    if len(long) != 1 or access.mask is not None:
        return False
    stride = access.strides[long[0]].constant
    if stride is None or stride != 1 and not low.chip.strided_accesses:
        return False
    whole = all(from_start(access, d) and within(access, d) for d in range(len(access.shape)))
    return whole and access.shape[long[0]] <= low.chip.lanes(bits(access.element), low.chip.costs.group)


def carry_out(low: Lowering, now: list[Tensor], here: list[Tensor], needed: Sequence[Tensor]) -> None:
    """Carry out the loads `now` and `here`, the latter of which only the blocks `needed` are still computed from.

    Where that is less, what is computed from those lies in memory instead of each of them, and one loop computes it.
    """
    loads = set(here)
    made = [tensor for tensor in needed if any(block in loads for block, _, _ in low.evaluator.cone(tensor))]
    less = sum(math.prod(t.shape) for t in made) < sum(math.prod(t.shape) for t in here)
    low.storage.materialise_all([*now, *(made if less else here)])


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
                stored = isinstance(made, Tensor) and (
                    low.storage.buffer_of(made) is not None or (user.name == "xsmt.subview" and isinstance(made, Loaded))
                )
                if result not in seen and not stored:
                    seen.add(result)
                    stack.append(result)
    return orders


def read_in_lanes(low: Lowering, load: Tensor, needed: Sequence[Tensor]) -> bool:
    """Whether each element of the blocks `needed` is computed from no element of `load` but the one at its own place."""
    return all(
        follows == identity(len(tensor.shape)) for tensor in needed for block, _, follows in low.evaluator.cone(tensor) if block is load
    )


# A condition: proven, refuted, or known at run time only.
Condition = bool | Emitted


def both(b: Builder, first: Condition, second: Condition) -> Condition:
    if isinstance(first, bool):
        return second if first else False
    if isinstance(second, bool):
        return first if second else False
    return b.both(first, second)


def same_elements(b: Builder, load: Access, store: Access) -> Condition:
    """Whether two strided accesses go, lane by lane, to the same elements."""
    if load.shape != store.shape or bits(load.element) != bits(store.element):
        return False
    same: Condition = True
    if load.base.value != store.base.value:
        same = b.compare("eq", address_of(b, load), address_of(b, store))
    for ours, theirs, extent in zip(load.strides, store.strides, store.shape, strict=True):
        if extent > 1 and ours.value != theirs.value:
            if ours.constant is not None and theirs.constant is not None:
                return False
            same = both(b, same, b.compare("eq", ours, theirs))
    return same


def apart(b: Builder, access: Access) -> Condition:
    """Whether no two lanes of a strided access share an element.

    They do not if the dimensions can be put in an order in which each stride is larger than all that the dimensions before it reach
    together. Constant strides come first, the smaller the earlier; then the others, the last dimension first. That they may nest in another
    order is not looked at: then the answer is no, and a copy is made that was not needed.
    """
    dims = [d for d, extent in enumerate(access.shape) if extent > 1]
    dims.sort(key=lambda d: (access.strides[d].constant is None, abs(access.strides[d].constant or 0), -d))
    reach: int | Emitted = 0  # the distance from the first element to the last one, along the dimensions so far
    result: Condition = True
    for number, d in enumerate(dims):
        stride = access.strides[d]
        if isinstance(reach, int) and stride.constant is not None:
            larger: Condition = abs(stride.constant) > reach
        else:
            larger = b.compare("slt", emitted(b, reach), magnitude(b, stride))
        result = both(b, result, larger)
        if result is False:
            return False
        if number + 1 < len(dims):
            first, last = ends(b, access, d)
            length = b.maximum(b.sub(last, first), b.constant(0))
            total = b.add(emitted(b, reach), b.mul(magnitude(b, stride), length))
            reach = total if total.constant is None else total.constant
    return result


def emitted(b: Builder, number: int | Emitted) -> Emitted:
    return b.constant(number) if isinstance(number, int) else number


def magnitude(b: Builder, stride: Emitted) -> Emitted:
    return b.maximum(stride, b.sub(b.constant(0), stride)) if stride.constant is None else b.constant(abs(stride.constant))


def redirect(low: Lowering, tensor: Tensor, load: Loaded, store: Access, harmless: Condition) -> None:
    """Where the two overlap at run time, copy the loaded block first and read the copy; else read in place.

    Both are strided, so a comparison of their addresses decides; where `harmless` holds, an overlap does not count.
    """
    b, access = low.b, load.access
    overlap = overlaps(b, access, store)
    if isinstance(harmless, Emitted):
        overlap = b.both(overlap, b.op("arith.xori", b.i1, [harmless, b.constant(1, b.i1)]))
    strides = copy_strides(access)
    length = 1 + sum(stride * (extent - 1) for stride, extent in zip(strides, access.shape, strict=True))
    whole = low.storage.allocate((length,), load.element, rare=True)
    buffer = replace(whole, shape=access.shape, strides=tuple(strides))

    def copied() -> list[Emitted]:
        """The copy's address is a value of this branch: as one from outside it would be selected where nothing overlaps, too."""
        copy_elements(low, load, buffer)
        return [b.freeze(buffer.base), *(b.constant(s) for s in strides)]

    types = [(b.ptr, 0)] + [(b.i64, 0)] * len(strides)
    results = b.if_else(overlap, types, copied, lambda: [access.base, *access.strides])
    moved = [
        old if old.constant is not None and old.constant == new else result
        for old, new, result in zip(access.strides, strides, results[1:], strict=True)
    ]
    new_access = replace(access, base=results[0], strides=moved)
    low.evaluator.becomes(tensor, replace(load, access=new_access, home=b.depth))


def copy_strides(access: Access) -> list[int]:
    """Strides of a copy: the block's own where they are known and leave few gaps, as the loop's addresses need no choice then; or dense."""
    own = [stride.constant for stride in access.strides]
    known = [stride for stride in own if stride is not None and stride >= 0]
    if len(known) == len(own):
        length = 1 + sum(stride * (extent - 1) for stride, extent in zip(known, access.shape, strict=True))
        if length <= MOST_GAPS * math.prod(access.shape):
            return known
    return dense_strides(access)


def dense_strides(access: Access) -> list[int]:
    """Strides of a dense block of the access's shape, whose innermost dimensions are those that the access is contiguous along."""
    inner = [d for d, s in enumerate(access.strides) if s.constant == 1]
    strides, size = [0] * len(access.shape), 1
    for d in sorted(range(len(access.shape)), key=lambda d: (d in inner, d), reverse=True):
        strides[d] = size
        size *= access.shape[d]
    return strides


def copy_elements(low: Lowering, load: Loaded, buffer: Buffer) -> None:
    """Copy what the load reads, element by element: it is rarely done, so its code is small.

    What its mask leaves out is not written: with strides of the block's own, an element it reads may lie at the same place.
    """
    b, access = low.b, load.access
    zeros, extents = [b.constant(0)] * len(access.shape), [b.constant(n) for n in access.shape]
    source = replace(access, lower=zeros, upper=extents)
    target = replace(low.memory.buffer_access(buffer, load.origin), mask=access.mask)

    def run(at: Sequence[Coordinate]) -> None:
        if len(at) == len(access.shape):
            low.memory.store(target, low.memory.load(source, tuple(at), b.depth), tuple(at))
            return
        first, last = ends(b, access, len(at))
        b.repeat(first, b.add(last, b.constant(1)), 1, lambda i: run((*at, Coordinate(i))))

    run(())
