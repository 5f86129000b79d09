"""Loads stay lazy until something needs them; stores act where they stand."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch_mlir import ir

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.bounds import bounds_of
from triton_spacemit.passes.loops.elementwise import element_of, own_cost, placed, total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.gathers import straightened
from triton_spacemit.passes.loops.lane_results import LaneResult, frozen_base, held, in_memory, is_whole, store_result
from triton_spacemit.passes.loops.lane_stores import store_in_lanes, stored_in_lanes
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.next_program import bytes_to_next
from triton_spacemit.passes.loops.overlap import overlaps
from triton_spacemit.passes.loops.shapes import ELEMENT
from triton_spacemit.passes.loops.streams import streams
from triton_spacemit.passes.loops.tensors import Access, Coordinates, Loaded, Tensor, Uniform, bits
from triton_spacemit.passes.loops.together import apart, stores_together
from triton_spacemit.passes.loops.transposes import crossing_loads, crossing_of, store_transposed
from triton_spacemit.passes.loops.versions import in_versions
from triton_spacemit.passes.loops.window_loops import store_windows
from triton_spacemit.passes.loops.windows import windows_of


def resolve(low: Lowering, node: Node, block: ir.Type) -> Access:
    """The access that an `xsmt` op describes, in terms of the new code's values."""
    op = node.op.opview
    values = low.values

    def scalars(operands) -> list[Emitted]:
        return [low.scalar(v) for v in operands]

    index = getattr(op, "index", None)
    other = getattr(op, "other", None)
    if other is not None:
        other = values[other]
        if isinstance(other, Uniform):
            other = other.value
    shape = tuple(block.shape) if isinstance(block, ir.RankedTensorType) else ()
    mask = None
    if op.mask is not None:
        found = values[op.mask]
        mask = found if isinstance(found, Tensor) else Uniform(shape=shape, element=low.b.i1, origin=node.op, value=found)
    unit = op.unit.value if index is not None else bits(element_of(block)) // 8
    return Access(
        low.scalar(op.base),
        scalars(op.strides),
        scalars(op.lower),
        [low.extent(bound) for bound in op.upper],
        None if index is None else low.tensor(index),
        unit,
        mask,
        other,
        element_of(block),
        shape,
        node.op,
        index,
        None if op.mask is None else everywhere(low, op.mask),
    )


def everywhere(low: Lowering, mask: ir.Value) -> Emitted | None:
    """A scalar condition under which a block of i1 is true everywhere, where it is the disjunction of one and something else."""
    either = producer_of(mask, "arith.ori")
    for operand in either.operands if either is not None else ():
        splat = producer_of(operand, "tt.splat")
        if splat is not None:
            return low.scalar(splat.operands[0])
    return None


def _may_copy(low: Lowering, user: Node) -> bool:
    """Whether an operation is a product that copies its operands where their rows crowd the caches (`operands.py`)."""
    if not low.chip.cache_way_bytes or user.name != "tt.dot":
        return False
    return max(ir.RankedTensorType(user.results[0].type).shape[-2:]) >= min(low.chip.costs.copied_uses, low.chip.costs.copied_uses_of_b)


def lower_load(low: Lowering, node: Node) -> list[Value]:
    result = node.results[0]
    described = access = resolve(low, node, result.type)
    pulls = low.analysis.pulls(result)
    if pulls:
        bounds_of(low).check(node, described)
        access = straightened(low, described)
    parts = {part for part in (access.index, access.mask, access.other) if isinstance(part, Tensor)}
    cost = total_cost(low, own_cost(low, node), parts)
    tensor = Loaded(shape=access.shape, element=access.element, origin=node.op, cost=cost, access=access, home=low.b.depth)
    if not pulls:
        return [tensor]
    if node.block is low.analysis.body:
        access.next_program = bytes_to_next(low, node.op.opview.base, described)
    low.pending.append((result, tensor))
    inside = [user for user in (low.analysis.nodes[order] for order in pulls) if user.block is not node.block]
    if access.index is not None and inside:
        return [placed(low, node, result, tensor)]
    if any(_may_copy(low, user) for user in inside):
        low.storage.materialise(tensor)  # once, not in every turn
    return [tensor]


def _store_held(low: Lowering, node: Node, block: LaneResult) -> None:
    """A store of what a loop left in registers."""
    op = node.op.opview
    value = op.value
    base = frozen_base(low, block, low.scalar(op.base))
    if is_whole(node):
        access = replace(resolve(low, node, value.type), base=base)
        before_write(low, node, access, at_once=True)
        store_result(low, block, access)
        return
    known = {value: low.values[value], op.base: low.values[op.base]}
    known.update({bound: low.values[bound] for bound in (*op.lower, *op.upper)})
    low.values[value], low.values[op.base] = in_memory(low, block, node), base
    for bound in (*op.lower, *op.upper):  # LLVM would compute where rows end in front of the loop, for every tile
        if low.scalar(bound).constant is None:
            low.values[bound] = low.b.pinned(low.scalar(bound))
    lower_store(low, node)
    low.values.update(known)


def lower_store(low: Lowering, node: Node) -> None:
    """A store, in one loop with those behind it that may share it."""
    block = held(low, node)
    if block is not None:
        _store_held(low, node, block)
        return
    stored = low.stored.get(node)
    if stored is not None:
        low.b.choose(stored, lambda: None, lambda: _store_tiles(low, node))
        return
    recipes = stored_in_lanes(low, node)
    if recipes:
        before_write(low, node, resolve(low, node, node.op.opview.value.type), at_once=True)
        store_in_lanes(low, node, recipes)
        return
    group = [node, *stores_together(low, node)]
    values = [low.tensor(each.op.opview.value) for each in group]
    accesses = [resolve(low, each, each.op.opview.value.type) for each in group]
    if node.block is low.analysis.body and low.evaluator.has_loaded:  # else memory is busy all the time
        for each, access in zip(group, accesses, strict=True):
            access.next_program = bytes_to_next(low, each.op.opview.base, access)
    needed = [t for value, access in zip(values, accesses, strict=True) for t in (value, access.index, access.mask) if t is not None]
    for each, access in zip(group, accesses, strict=True):
        bounds_of(low).check(each, access)
    windows = windows_of(low, values[0], accesses[0], node) if len(group) == 1 else None
    if windows is None:
        _store(low, group, values, accesses, needed)
        return
    pending, low.pending = low.pending, [(result, tensor) for result, tensor in low.pending if tensor not in windows.taps]
    before_write(low, node, accesses[0], needed)
    others, low.pending = low.pending, [(result, tensor) for result, tensor in pending if tensor in windows.taps]
    store_windows(low, windows, values[0], accesses[0], lambda: _store(low, group, values, accesses, needed))
    low.pending = others


def _store(low: Lowering, group: Sequence[Node], values: Sequence[Tensor], accesses: Sequence[Access], needed: Sequence[Tensor]) -> None:
    """The loop of a store and of those that share it, behind what has to be loaded before it."""
    node, shape = group[0], values[0].shape
    chosen = low.storage.loop_shape(needed, shape, accesses) if shape else ELEMENT
    at_once = math.prod(shape) <= max(chosen.lanes, 1)
    for access in accesses:
        before_write(low, node, access, needed, at_once, group[-1])
    if not at_once:
        chosen = low.storage.loop_shape(needed, shape, accesses)  # of what is in memory by now
    crossing = crossing_of(low.evaluator, low.chip, values, accesses)
    if crossing is not None:
        store_transposed(low.evaluator, low.nests, crossing, values[0], accesses[0])
        return
    dim, width = chosen.dim, chosen.lanes
    if len(shape) > 1:
        low.storage.materialise_all(crossing_loads(low.evaluator, low.chip, needed, dim))

    def emit(stores: Sequence[Access]) -> list[Emitted]:
        def body(at: Coordinates) -> None:
            lanes = [low.evaluate(value, at) for value in values]
            for target, value in zip(stores, lanes, strict=True):
                low.memory.store(target, value, at)
                if target.next_program is not None and any(c.width and c.assumed is not None and not c.streams for c in at):
                    low.memory.ask_for_next(target, at, to_write=True)

        past_caches = streams(low, node, stores[0], values[0], dim, width) if shape and len(group) == 1 else None
        first, ends = chosen.vectors_first and past_caches is None, accesses[0].upper

        seen = ends[dim] if shape and low.chip.active_lengths and only_in_lanes(low, needed, accesses) else None

        def limit(at: Coordinates) -> Emitted:
            return _end(low, accesses[0], dim, at, whole=first)

        low.nests.nest(shape, dim, width, body, limit, past_caches, chosen.once, first, ends, first, seen)
        return []

    meet = _meet(low, group, accesses)
    if meet is None:
        in_versions(low.evaluator, chosen, needed, accesses, emit)
    else:
        low.b.choose(meet, lambda: _store_copies(low, values, accesses), lambda: _in_region(low, lambda: emit(accesses)))
    low.storage.settle()


def only_in_lanes(low: Lowering, needed: Sequence[Tensor], stores: Sequence[Access]) -> bool:
    """Whether a lane of what a store's loop computes is needed for that lane's store alone, and not as a place in memory.

    Then lanes that are not stored may be any numbers: divisions by zero do not trap on such chips, and rows end at the same bound.
    """
    blocks = [state for tensor in needed for _, state, _ in low.evaluator.cone(tensor)]
    accesses = [*stores, *(state.access for state in blocks if isinstance(state, Loaded))]
    return all(access.index is None for access in accesses)


def _meet(low: Lowering, group: Sequence[Node], accesses: Sequence[Access]) -> Emitted | None:
    """Whether some of the stores that share a loop may go to the same elements; None where they do not."""
    found = None
    for (first, access), (second, other) in itertools.combinations(zip(group, accesses, strict=True), 2):
        if not apart(first, second):
            both = overlaps(low.b, access, other)
            found = both if found is None else low.b.op("arith.ori", low.b.i1, [found, both])
    return found


def _in_region(low: Lowering, body: Callable[[], object]) -> None:
    with low.storage.region():
        body()


def _store_copies(low: Lowering, values: Sequence[Tensor], accesses: Sequence[Access]) -> None:
    """Stores in their order, each in a loop of its own, of values that are computed before the first."""
    with low.storage.region(), low.evaluator.rarely():
        low.storage.materialise_all(values)
        for value, access in zip(values, accesses, strict=True):
            _store_copy(low, value, access)


def _store_tiles(low: Lowering, node: Node) -> None:
    """A store that a product's tiles have not carried out, since operands lie where it goes."""
    value = low.tensor(node.op.opview.value)
    with low.storage.region(), low.evaluator.rarely():
        _store_copy(low, value, resolve(low, node, node.op.opview.value.type))


def _store_copy(low: Lowering, value: Tensor, access: Access) -> None:
    dim, width = low.storage.vector_shape([value], value.shape, [access])
    low.nests.nest(value.shape, dim, width, lambda at: low.memory.store(access, low.evaluate(value, at), at))


def _end(low: Lowering, access: Access, dim: int, at: Coordinates, whole: bool) -> Emitted:
    """Where a row's store ends along `dim`: at the upper bound, or at once where an outer bound does not hold; all rows' with `whole`."""
    b = low.b
    end = b.maximum(b.minimum(access.upper[dim], b.constant(access.shape[dim])), b.constant(0))
    if whole:
        return end
    condition = None
    for d, coordinate in enumerate(at):
        if d != dim:
            upper, lower = access.upper[d], access.lower[d]
            if not (upper.constant is not None and upper.constant >= access.shape[d]) and not coordinate.is_below(upper):
                condition = b.both(condition, b.compare("slt", coordinate.start, upper))
            if not (lower.constant is not None and lower.constant <= 0):
                condition = b.both(condition, b.compare("sle", lower, coordinate.start))
    return end if condition is None else b.select(condition, end, b.constant(0))


def lower_llvm_store(low: Lowering, node: Node) -> None:
    """A scalar store: one element, which blocks that are still to be loaded hardly ever hold."""
    value, pointer = (low.scalar(v) for v in node.operands)
    before_write(low, node, Access(pointer, [], [], [], None, 1, None, None, low.b.element(value), (), node.op))
    bounds_of(low).check_scalar(node, node.operands[1], value.value.type)
    low.memory.scalar_store(pointer, value)


def lower_llvm_load(low: Lowering, node: Node) -> list[Value]:
    pointer = low.scalar(node.operands[0])
    volatile = "volatile_" in node.op.attributes
    bounds_of(low).check_scalar(node, node.operands[0], node.results[0].type)
    return [low.memory.scalar_load(pointer, node.results[0].type, None, None, low.b.depth, volatile)]


def lower_fence(low: Lowering, node: Node) -> None:
    """Loads before it are carried out before it."""
    before_write(low, node)
    low.b.create("llvm.fence", [], [], {name: node.op.attributes[name] for name in ("ordering", "syncscope")})
