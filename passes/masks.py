"""Masks as bounds of the block's coordinates, found as affine forms are (`affine.py`): no op is created."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FLIPPED, SIGNED_OF, IntPredicate, attribute_of
from triton_spacemit.passes import affine
from triton_spacemit.passes.affine import Describer, Form
from triton_spacemit.passes.nodes import Node

_FAR = 2**62  # no address is so far out
_GROWING = ("arith.addi", "arith.muli", "arith.extsi", "arith.index_cast", "arith.divsi", "arith.remsi", "arith.minsi")


@dataclass(frozen=True, eq=False)
class Bounds:
    """A mask: `lower[d] <= i[d] < upper[d]` for all d (None: no bound), all scalar `conditions`, and all i1 tensors in `rest`."""

    shape: tuple[int, ...]
    lower: tuple[Node | None, ...]
    upper: tuple[Node | None, ...]
    conditions: tuple[Node, ...] = ()
    rest: tuple[Node, ...] = ()


class Masks:
    """Finds the bounds of masks, of which each is described once."""

    def __init__(self, describer: Describer) -> None:
        self.describer = describer
        self.nodes = describer.nodes
        self._known: dict[ir.Value, Bounds] = {}

    def bounds(self, value: ir.Value) -> Bounds:
        """The bounds that a tensor of i1 stands for."""
        bounds = self._known.get(value)
        if bounds is None:
            rule = _RULES.get(value.owner.operation.name) if isinstance(value, ir.OpResult) else None
            bounds = rule(self, value.owner.operation, value) if rule else None
            if bounds is None:
                bounds = self._opaque(value)
            self._known[value] = bounds
        return bounds

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
        )

    def _reshaped(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        bounds = self.bounds(op.operands[0])
        if _only_rest(bounds):
            return None
        shape = tuple(value.type.shape)
        lower, upper = bounds.lower, bounds.upper
        if op.name == "tt.expand_dims":
            axis = op.attributes["axis"].value
            lower, upper = ((*b[:axis], None, *b[axis:]) for b in (lower, upper))
        elif op.name == "tt.trans":
            lower, upper = (tuple(b[d] for d in op.attributes["order"]) for b in (lower, upper))
        elif op.name == "tt.reshape":
            kept = [d for d, extent in enumerate(bounds.shape) if extent > 1]
            if [bounds.shape[d] for d in kept] != [extent for extent in shape if extent > 1]:
                return None
            source = iter(kept)
            order = [next(source) if extent > 1 else None for extent in shape]
            lower, upper = (tuple(None if d is None else b[d] for d in order) for b in (lower, upper))
        elif any(extent == 1 and bound is not None for b in (lower, upper) for extent, bound in zip(bounds.shape, b, strict=True)):
            return None  # a broadcast mask that is false by a constant: the bound is not one on the wider dimension
        attributes = {name: op.attributes[name] for name in ("axis", "order") if name in op.attributes}
        rest = tuple(self.nodes.op(op.name, [node], self.describer.integers(shape, self.nodes.i1), op, attributes) for node in bounds.rest)
        return Bounds(shape, lower, upper, bounds.conditions, rest)

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
        unsigned = predicate in SIGNED_OF
        if unsigned and (predicate not in (IntPredicate.ult, IntPredicate.ule) or not b.uniform or a.uniform):
            return None
        if unsigned:
            b, predicate = replace(b, offset=self.nodes.unsigned(b.offset, bits)), SIGNED_OF[predicate]
        bounds = self._solve(a, b, predicate, op)
        if bounds is not None and unsigned:
            positive = self._solve(a, self.describer.build(a.shape), IntPredicate.sge, op)
            bounds = self._intersection(bounds, positive, op)
        return bounds

    def _solve(self, a: Form, b: Form, predicate: IntPredicate, op: ir.Operation) -> Bounds | None:
        """Bounds for `a predicate b`, where their difference varies in at most one dimension, by a constant."""
        nodes = self.nodes
        strides = [nodes.sub(s, t, op) for s, t in zip(a.strides, b.strides, strict=True)]
        varying = [d for d, stride in enumerate(strides) if stride.constant != 0]
        true = self._true(a.shape)
        if not varying:
            with op.context:
                attributes = {"predicate": attribute_of(predicate)}
            condition = nodes.op("arith.cmpi", [a.offset, b.offset], nodes.i1, op, attributes)
            return replace(true, conditions=(condition,))
        if len(varying) > 1 or strides[varying[0]].constant is None:
            return None
        d, step = varying[0], strides[varying[0]].constant
        if predicate == IntPredicate.sge and step > 0 and b.uniform and b.offset.constant is not None and b.offset.constant <= 0:
            if _is_natural(a.offset):
                return true
        # step * i  predicate  limit
        end = b.offset
        if end.constant is None and not end.operands:
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


def _is_natural(node: Node) -> bool:
    """Whether a scalar is known not to be negative: computed without subtraction from program ids, counts and indices of loops."""
    if node.constant is not None:
        return node.constant >= 0
    if node.operands:
        return node.name in _GROWING and all(_is_natural(operand) for operand in node.operands)
    return node.value is not None and _is_natural_value(node.value)


def _is_natural_value(value: ir.Value) -> bool:
    if not isinstance(value, ir.OpResult):
        loop = value.owner.owner.operation
        return loop.name in ("scf.for", "xsmt.parallel") and value.arg_number == 0 and _is_natural_value(loop.operands[0])
    op = value.owner.operation
    if op.name == "arith.constant":
        return op.attributes["value"].value >= 0
    if op.name in _GROWING:
        return all(_is_natural_value(operand) for operand in op.operands)
    return op.name in ("tt.get_program_id", "tt.get_num_programs")


def _only_rest(bounds: Bounds) -> bool:
    return not bounds.conditions and all(b is None for b in bounds.lower + bounds.upper) and bool(bounds.rest)


_RULES: dict[str, Callable[[Masks, ir.Operation, ir.Value], Bounds | None]] = {
    "arith.constant": Masks._constant,
    "arith.andi": Masks._and,
    "arith.cmpi": Masks._compare,
    "tt.splat": Masks._splat,
    "tt.expand_dims": Masks._reshaped,
    "tt.broadcast": Masks._reshaped,
    "tt.reshape": Masks._reshaped,
    "tt.trans": Masks._reshaped,
}
DESCRIBED = affine.DESCRIBED | frozenset(_RULES)  # ops whose results have forms or bounds
