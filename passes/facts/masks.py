"""Masks as bounds of the block's coordinates, found as affine forms are (`affine.py`): no op is created.

What is compared may have wrapped around. Where it is not known that it has not, one scalar condition decides at run time: where it holds,
there are bounds, and where it does not, the comparison itself counts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FLIPPED, SIGNED_OF, IntPredicate
from triton_spacemit.passes.facts import affine
from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.forms import Check, Form
from triton_spacemit.passes.facts.integers import unsigned
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.ranges import Range, signed

_FAR = 2**62  # limits of 64 bits are cut off there: differences to what is `_NEAR` do not wrap around
_NEAR = Range(-(2**61), 2**61)


_Ends = tuple[Node | None, ...]  # lower or upper bounds, one a dimension


@dataclass(frozen=True, eq=False)
class Bounds:
    """A mask: `lower[d] <= i[d] < upper[d]` for all d (None: no bound), all scalar `conditions`, and all i1 tensors in `rest`.

    Each of `checked`, too: a scalar condition, and the i1 tensor that counts where it does not hold.
    """

    shape: tuple[int, ...]
    lower: _Ends
    upper: _Ends
    conditions: tuple[Node, ...] = ()
    rest: tuple[Node, ...] = ()
    checked: tuple[tuple[Node, Node], ...] = ()


@dataclass(frozen=True, eq=False)
class Prefix:
    """A mask that is true exactly below the position `end` along `dim`; if it says so, only where the condition `holds`."""

    dim: int
    end: Node
    holds: Node | None


class Masks:
    """Finds the bounds of masks, of which each is described once."""

    def __init__(self, describer: Describer) -> None:
        self.describer = describer
        self.nodes = describer.nodes
        self._known: dict[ir.Value, Bounds] = {}

    def bounds(self, value: ir.Value) -> Bounds:
        """The bounds that a tensor of i1 stands for."""
        for one in unanswered(value, self._known, _needs):
            rule = _RULES.get(one.owner.operation.name) if isinstance(one, ir.OpResult) else None
            bounds = rule(self, one.owner.operation, one) if rule else None
            self._known[one] = self._opaque(one) if bounds is None else bounds
        return self._known[value]

    def prefix(self, value: ir.Value) -> Prefix | None:
        """A tensor of i1 as one that is false from some position along one dimension on, and true everywhere before."""
        bounds = self.bounds(value)
        dims = [dim for dim, end in enumerate(bounds.upper) if end is not None]
        if len(dims) != 1 or bounds.conditions or bounds.rest or any(node is not None for node in bounds.lower):
            return None
        conditions = [condition for condition, _ in bounds.checked]
        holds = self.nodes.all_of(conditions, value.owner.operation) if conditions else None
        return Prefix(dims[0], bounds.upper[dims[0]], holds)

    def _opaque(self, value: ir.Value) -> Bounds:
        return replace(self._true(tuple(value.type.shape)), rest=(self.nodes.leaf(value),))

    def _true(self, shape: tuple[int, ...]) -> Bounds:
        return Bounds(shape, (None,) * len(shape), (None,) * len(shape))

    def _constant(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        attribute = op.attributes["value"]
        if not attribute.is_splat:
            return None
        true = self._true(tuple(value.type.shape))
        if attribute.get_splat_value().value:
            return true
        return replace(true, upper=(self.nodes.zero, *true.upper[1:]))

    def _splat(self, op: ir.Operation, value: ir.Value) -> Bounds:
        return replace(self._true(tuple(value.type.shape)), conditions=(self.nodes.leaf(op.operands[0]),))

    def _and(self, op: ir.Operation, value: ir.Value) -> Bounds:
        a, b = self.bounds(op.operands[0]), self.bounds(op.operands[1])
        return self._opaque(value) if _only_rest(a) and _only_rest(b) else self._intersection(a, b, op)

    def _intersection(self, a: Bounds, b: Bounds, op: ir.Operation) -> Bounds:
        nodes = self.nodes
        return Bounds(
            a.shape,
            tuple(nodes.greatest(x, y, op) for x, y in zip(a.lower, b.lower, strict=True)),
            tuple(nodes.least(x, y, op) for x, y in zip(a.upper, b.upper, strict=True)),
            a.conditions + b.conditions,
            a.rest + b.rest,
            a.checked + b.checked,
        )

    def _expand_dims(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        axis = op.attributes["axis"].value
        return self._rearranged(op, value, lambda ends: (*ends[:axis], None, *ends[axis:]))

    def _transpose(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        return self._rearranged(op, value, lambda ends: tuple(ends[d] for d in op.attributes["order"]))

    def _broadcast(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        bounds = self.bounds(op.operands[0])
        return None if _cuts_single(bounds) else self._rearranged(op, value, lambda ends: ends)

    def _reshape(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        """Of a mask that only gains or loses dimensions of extent 1."""
        bounds, shape = self.bounds(op.operands[0]), tuple(value.type.shape)
        kept = [d for d, extent in enumerate(bounds.shape) if extent > 1]
        if _cuts_single(bounds) or [bounds.shape[d] for d in kept] != [extent for extent in shape if extent > 1]:
            return None
        source = iter(kept)
        order = [next(source) if extent > 1 else None for extent in shape]
        return self._rearranged(op, value, lambda ends: tuple(None if d is None else ends[d] for d in order))

    def _rearranged(self, op: ir.Operation, value: ir.Value, moved: Callable[[_Ends], _Ends]) -> Bounds | None:
        """The bounds of a mask whose dimensions only change places: `moved` gives the new ends of all, lower ones or upper ones."""
        bounds, shape = self.bounds(op.operands[0]), tuple(value.type.shape)
        if _only_rest(bounds):
            return None
        attributes = {name: op.attributes[name] for name in ("axis", "order") if name in op.attributes}

        def rearranged(node: Node) -> Node:
            return self.nodes.op(op.name, [node], self.describer.integers(shape, self.nodes.i1), op, attributes)

        rest = tuple(rearranged(node) for node in bounds.rest)
        checked = tuple((condition, rearranged(node)) for condition, node in bounds.checked)
        return Bounds(shape, moved(bounds.lower), moved(bounds.upper), bounds.conditions, rest, checked)

    def _compare(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        first, second = op.operands
        bits = self.describer.info(first.type)[1]
        if not bits:
            return None
        a, b, predicate = self.describer.describe(first), self.describer.describe(second), IntPredicate(op.attributes["predicate"].value)
        if a.rest is not None or b.rest is not None or predicate == IntPredicate.ne:
            return None
        if a.uniform and not b.uniform:
            a, b, predicate = b, a, FLIPPED[predicate]
        near = signed(32) if bits == 32 else _NEAR
        checks = [*a.checks, *b.checks]
        # scalars of 64 bits are what they are, however large
        checks += [self.describer.within(form, near) for form in (a, b) if bits == 32 or not form.uniform]
        if predicate in SIGNED_OF:
            bounds = self._compare_unsigned(a, b, SIGNED_OF[predicate], checks, bits, op)
        else:
            bounds = self._solve(a, b, predicate, op)
        return None if bounds is None else self._checked(bounds, checks, value, op)

    def _compare_unsigned(
        self, a: Form, b: Form, predicate: IntPredicate, checks: list[Check], bits: int, op: ir.Operation
    ) -> Bounds | None:
        """As signed numbers, where that makes no difference: what has to hold for it goes to `checks`."""
        if predicate not in (IntPredicate.slt, IntPredicate.sle) or not b.uniform or a.uniform:
            return None
        limit = unsigned(self.describer, b, bits) if bits == 32 and self.describer.range_of(a).natural else None
        if limit is None:
            limit = b
            checks.append(self.describer.within(b, Range(0, signed(bits).high)))
        below, positive = self._solve(a, limit, predicate, op), self._solve(a, self.describer.build(a.shape), IntPredicate.sge, op)
        return None if below is None or positive is None else self._intersection(below, positive, op)

    def _checked(self, bounds: Bounds, checks: Iterable[Check], value: ir.Value, op: ir.Operation) -> Bounds | None:
        """The bounds of `value`, which are right where all checks hold: at once, or under a condition; None where never."""
        nodes = self.nodes
        needed: list[Node] = []
        for check in checks:
            found = self.describer.conditions(check, op)
            if found is None:
                return None
            needed += [condition for condition in found if condition.key not in [known.key for known in needed]]
        if not needed:
            return bounds
        if bounds.conditions:
            return None  # a comparison of scalars, which is as cheap as the conditions
        holds = nodes.all_of(needed, op)
        ends = [nodes.const(extent) for extent in bounds.shape]
        return replace(
            bounds,
            lower=tuple(node and nodes.select(holds, node, nodes.zero, op) for node in bounds.lower),
            upper=tuple(node and nodes.select(holds, node, end, op) for node, end in zip(bounds.upper, ends, strict=True)),
            checked=((holds, nodes.leaf(value)),),
        )

    def _solve(self, a: Form, b: Form, predicate: IntPredicate, op: ir.Operation) -> Bounds | None:
        """Bounds for `a predicate b`, where their difference varies in at most one dimension, by a constant."""
        nodes = self.nodes
        strides = [nodes.sub(s, t, op) for s, t in zip(a.strides, b.strides, strict=True)]
        varying = [d for d, stride in enumerate(strides) if stride.constant != 0]
        true = self._true(a.shape)
        if not varying:
            return replace(true, conditions=(self.describer.compare(predicate, a.offset, b.offset, op),))
        if len(varying) > 1 or strides[varying[0]].constant is None:
            return None
        d, step = varying[0], strides[varying[0]].constant
        if predicate == IntPredicate.sge and self.describer.range_of(a).low >= self.describer.range_of(b).high:
            return true
        # step * i  predicate  limit
        end = b.offset
        if not self.describer.ranges.of_node(end).within(_NEAR):
            # any 64 bits that a caller passes, but the difference must not wrap around
            end = nodes.least(nodes.greatest(end, nodes.const(-_FAR), op), nodes.const(_FAR), op)
        limit = nodes.sub(end, a.offset, op)
        if step < 0:
            step, limit, predicate = -step, nodes.neg(limit, op), FLIPPED[predicate]
        # step * i <= limit means i < floor(limit / step) + 1; for integers, step * i < limit means step * i <= limit - 1.
        one, minus_one = nodes.const(1), nodes.const(-1)
        at_most, below = (nodes.add(nodes.floordiv(last, step, op), one, op) for last in (limit, nodes.add(limit, minus_one, op)))
        upper = {IntPredicate.slt: below, IntPredicate.sle: at_most, IntPredicate.eq: at_most}.get(predicate)
        lower = {IntPredicate.sgt: at_most, IntPredicate.sge: below, IntPredicate.eq: below}.get(predicate)
        return replace(
            true,
            lower=(*true.lower[:d], lower, *true.lower[d + 1 :]),
            upper=(*true.upper[:d], upper, *true.upper[d + 1 :]),
        )


def _needs(value: ir.Value) -> list[ir.Value]:
    """The masks that the bounds of `value` are made of."""
    if isinstance(value, ir.OpResult) and value.owner.operation.name in _OF_MASKS:
        return list(value.owner.operation.operands)
    return []


def _cuts_single(bounds: Bounds) -> bool:
    """Whether a dimension of extent 1 has a bound, as a mask has that is false by a constant."""
    return any(extent == 1 and (lower or upper) for extent, lower, upper in zip(bounds.shape, bounds.lower, bounds.upper, strict=True))


def _only_rest(bounds: Bounds) -> bool:
    return not bounds.conditions and all(b is None for b in bounds.lower + bounds.upper) and bool(bounds.rest)


_RULES: dict[str, Callable[[Masks, ir.Operation, ir.Value], Bounds | None]] = {
    "arith.constant": Masks._constant,
    "arith.andi": Masks._and,
    "arith.cmpi": Masks._compare,
    "tt.splat": Masks._splat,
    "tt.expand_dims": Masks._expand_dims,
    "tt.broadcast": Masks._broadcast,
    "tt.reshape": Masks._reshape,
    "tt.trans": Masks._transpose,
}
_OF_MASKS = frozenset(_RULES) - {"arith.constant", "arith.cmpi", "tt.splat"}
DESCRIBED = affine.DESCRIBED | frozenset(_RULES)  # ops whose results have forms or bounds
