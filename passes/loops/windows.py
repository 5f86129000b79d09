"""Loads that are windows of one block, as the taps of a convolution: rows that several of them read are loaded once for all of them.

The fact is a distance: the loads start from one pointer, some rows and some elements of a row apart, and end at the same rows and
elements (`facts/polynomials.py`). Then they read one larger block, each in another place. On cores that run in order, where every load
counts, a store of what is computed from such loads goes down a vector of columns several rows at a time: a row that is loaded serves all
of them. Where all windows find their rows and columns nothing is masked. Elsewhere lanes have masks, and a row that is not there is read
from memory that holds what stands for it.

Here they are found; the code is in `window_loops.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.facts.polynomials import Polynomial, Polynomials, constant, number_of, plus, steps_of
from triton_spacemit.passes.loops.addressing import from_start
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Loaded, Tensor, bits, identity, stored_type

ROWS = 8  # at a time
_COLUMNS = 32  # the least of a block
_MOST_TAPS = 32
_MOST_ROWS, _MOST_ELEMENTS = 8, 16  # that they lie apart
_MOST_COST = 8  # of what is computed from each load: the code is there several times for each row


@dataclass(frozen=True)
class Windows:
    """Loads of `block`, each with the rows and the elements of a row that it begins further on. `holds`: conditions under which that is so.

    `unseen`: of windows that begin up to so many elements further on, no lane that is stored lies behind the block's upper bound.
    """

    block: Access
    taps: dict[Tensor, tuple[int, int]]
    holds: Sequence[Emitted]
    unseen: int | None

    @property
    def rows(self) -> int:
        """How many rows further on the last of them begins."""
        return max(row for row, _ in self.taps.values())


def windows_of(low: Lowering, value: Tensor, store: Access, last: Node) -> Windows | None:
    """All that a store's loop loads, as windows of one block, if it is that and `last`, the store, is the last op to need them."""
    if not (low.chip.in_order and low.chip.active_lengths) or not _may_be_shared(low, store):
        return None
    loads: dict[Tensor, Loaded] = {}
    for block, state, follows in low.evaluator.cone(value):
        if block in low.storage.stored_later:
            return None
        if isinstance(state, Loaded):
            if state is not block or follows != identity(2) or not _may_be_window(low, state, store.shape):
                return None  # one that is not the block itself reads a copy, perhaps
            loads[block] = state
    if not 1 < len(loads) <= _MOST_TAPS or _cost(low, value) > len(loads) * _MOST_COST:
        return None
    if any(max(low.analysis.pulls(block.origin.results[0])) > last.order for block in loads):
        return None
    return _of_one_block(low, loads, last.op.opview.upper[1])


def _may_be_shared(low: Lowering, store: Access) -> bool:
    """Whether a store is of rows and columns from the first ones on, columns side by side."""
    if len(store.shape) != 2 or store.index is not None or store.mask is not None or store.element != stored_type(low.b, store.element):
        return False
    rows, columns = store.shape
    return rows >= ROWS and columns >= _COLUMNS and store.strides[1].constant == 1 and all(from_start(store, d) for d in (0, 1))


def _cost(low: Lowering, value: Tensor) -> int:
    """Of all floats that `value` is computed from, each once."""
    states = {block: state for block, state, _ in low.evaluator.cone(value) if isinstance(block.element, ir.FloatType)}
    return sum(max(1, state.cost - sum({s: low.cost(s) for s, _ in state.sources}.values())) for state in states.values())


def _may_be_window(low: Lowering, load: Loaded, shape: tuple[int, ...]) -> bool:
    access = load.access
    plain = access.index is None and load.memory is None and not isinstance(access.other, Tensor) and access.shape == shape
    masked = access.mask is not None and access.unmasked is None
    is_stored = load.element == access.element == stored_type(low.b, access.element)
    return plain and not masked and is_stored and access.op is not None and access.op.name == "xsmt.descriptor_load"


def _of_one_block(low: Lowering, loads: dict[Tensor, Loaded], stored: ir.Value) -> Windows | None:
    """The loads as windows of the first one's block, made large enough; `stored` is where rows that are stored end."""
    accesses = [state.access for state in loads.values()]
    ops = [access.op.opview for access in accesses]
    conditions = [_condition(op) for op in ops]
    polynomials = Polynomials([condition for condition in conditions if condition is not None])
    first, *_ = accesses
    places = [polynomials.address(op.base) for op in ops]
    row = polynomials.of(ops[0].strides[0])
    size = bits(first.element) // 8
    shifts = []
    for access, op, (root, distance) in zip(accesses, ops, places, strict=True):
        apart = plus(distance, places[0][1], -1)
        if root != places[0][0] or any(number % size for number in apart.values()):
            return None
        alike = access.element == first.element and _same_other(access, first) and polynomials.of(op.strides[0]) == row
        shift = steps_of({term: number // size for term, number in apart.items()}, row)
        if shift is None or not alike or access.strides[1].constant != 1:
            return None
        shifts.append(shift)
    lowest = tuple(min(shift[d] for shift in shifts) for d in (0, 1))
    moved = [(r - lowest[0], n - lowest[1]) for r, n in shifts]
    if not 0 < max(r for r, _ in moved) <= _MOST_ROWS or max(n for _, n in moved) > _MOST_ELEMENTS:
        return None
    bounds = [_bounds(low, polynomials, ops, [m[d] for m in moved], first.shape[d], d) for d in (0, 1)]
    if any(bound is None for bound in bounds):
        return None
    b = low.b
    base = b.offset(first.base, b.add(b.mul(first.strides[0], b.constant(lowest[0])), b.constant(lowest[1])), first.element)
    shape = tuple(first.shape[d] + max(m[d] for m in moved) for d in (0, 1))
    lower, upper, ends = zip(*bounds, strict=True)
    block = replace(first, base=base, lower=list(lower), upper=list(upper), mask=None, unmasked=None, shape=shape)
    behind = number_of(plus(ends[1], polynomials.of(stored), -1))
    holds = {access.unmasked.value: access.unmasked for access in accesses if access.unmasked is not None}
    return Windows(block, dict(zip(loads, moved, strict=True)), list(holds.values()), behind)


def _condition(op: ir.OpView) -> ir.Value | None:
    """The condition under which a load's bounds are all of its mask."""
    either = None if op.mask is None else producer_of(op.mask, "arith.ori")
    splats = [] if either is None else [s for s in (producer_of(o, "tt.splat") for o in either.operands) if s is not None]
    return splats[0].operands[0] if splats else None


def _same_other(access: Access, other: Access) -> bool:
    """Whether lanes that are not loaded are the same number."""
    ours, theirs = access.other, other.other
    if isinstance(ours, Emitted) and isinstance(theirs, Emitted):
        return ours.value == theirs.value
    return ours is None and theirs is None


def _bounds(
    low: Lowering, polynomials: Polynomials, ops: Sequence[ir.OpView], shifts: Sequence[int], extent: int, dim: int
) -> tuple[Emitted, Emitted, Polynomial] | None:
    """The bounds of the whole block along `dim`, where those of each window, moved by its shift, are these or do not cut it.

    The upper one also as a polynomial.
    """
    b, found, end = low.b, [], constant(extent + max(shifts))
    for name in ("lower", "upper"):
        values = [getattr(op, name)[dim] for op in ops]
        moved = [plus(polynomials.of(value), {(): shift} if shift else {}) for value, shift in zip(values, shifts, strict=True)]
        cuts = [not _cuts_nothing(polynomials.of(value), extent, name) for value in values]
        if not any(cuts):
            found.append(b.constant(0 if name == "lower" else extent + max(shifts)))
            continue
        chosen = cuts.index(True)
        for polynomial, cut, shift in zip(moved, cuts, shifts, strict=True):
            if polynomial == moved[chosen]:
                continue
            number = number_of(moved[chosen])
            inside = number is not None and (shift >= number if name == "lower" else shift + extent <= number)
            if cut or not inside:
                return None
        found.append(b.add(low.scalar(values[chosen]), b.constant(shifts[chosen])))
        end = moved[chosen] if name == "upper" else end
    return found[0], found[1], end


def _cuts_nothing(bound: Polynomial, extent: int, name: str) -> bool:
    number = number_of(bound)
    return number is not None and (number <= 0 if name == "lower" else number >= extent)
