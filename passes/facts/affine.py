"""Integer tensors and pointer tensors as affine forms of the block's coordinates.

Describing a value makes no ops: forms are made of nodes, which become ops where they are needed. They are in i64, scalars sign-extended
at the leaves. An integer tensor may wrap around: it equals its form where the form is within the tensor's type. Addresses are assumed not
to wrap around; masks ask.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.predicates import IntPredicate, attribute_of
from triton_spacemit.passes.facts import integers, pointers
from triton_spacemit.passes.facts.forms import Check, Form
from triton_spacemit.passes.facts.nodes import Node, Nodes
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.ranges import Range, Ranges, signed

_CONTROL = ("scf.for", "scf.if", "scf.while")
_RULES = integers.RULES | pointers.RULES
DESCRIBED = frozenset(_RULES) - {"arith.divsi", "arith.remsi"}  # ops whose results have forms, whatever their operands are


class Merge(Protocol):
    """Who knows control flow."""

    def plan(self, op: ir.Operation) -> object:
        """Enter the forms of all that `op` carries."""

    def starts(self, op: ir.Operation) -> list[ir.Value]:
        """The values whose forms `plan` asks for first."""


class Describer:
    """Finds the forms of values.

    Those of results of, and block arguments in, control flow are entered in `forms` by `merge`; without one they are not affine. `uniform`
    may know the integer that all elements are of a value that is not affine by its op. With `remainders`, `(start + i) % count` is affine
    where it does not begin anew; with `signs`, a quotient or remainder by a constant where it is for numbers that are not negative.
    """

    def __init__(
        self,
        nodes: Nodes,
        merge: Merge | None = None,
        uniform: Callable[[ir.Value], Node | None] = lambda value: None,
        remainders: bool = False,
        signs: bool = False,
    ) -> None:
        self.nodes = nodes
        self.merge = merge
        self.uniform = uniform
        self.remainders = remainders
        self.signs = signs
        self.forms: dict[ir.Value, Form] = {}
        self.ranges = Ranges()
        self._shapes: dict[ir.Type, tuple[tuple[int, ...], int, str | None]] = {}

    def info(self, type_: ir.Type) -> tuple[tuple[int, ...], int, str | None]:
        """Shape (empty for a scalar), width in bits of integers that can be offsets (else 0), pointee's text for pointers (else None)."""
        known = self._shapes.get(type_)
        if known is None:
            tensor = isinstance(type_, ir.RankedTensorType)
            element = type_.element_type if tensor else type_
            bits = element.width if isinstance(element, ir.IntegerType) and element.width in (32, 64) else 0
            known = self._shapes[type_] = (tuple(type_.shape) if tensor else (), bits, tt.pointee(element))
        return known

    def bits(self, value: ir.Value) -> int:
        return self.info(value.type)[1]

    def integers(self, shape: tuple[int, ...], element: ir.Type) -> ir.Type:
        with element.context:
            return ir.RankedTensorType.get(shape, element, loc=ir.Location.unknown())

    def rollback(self, forms: int) -> None:
        """Forget everything described since there were so many `forms`."""
        while len(self.forms) > forms:
            self.forms.popitem()

    # Forms

    def describe(self, value: ir.Value) -> Form:
        """The form of an integer tensor (i32, i64) or of a tensor of pointers."""
        for one in unanswered(value, self.forms, self._needs):
            self.forms[one] = self._form(one)
        return self.forms[value]

    def _form(self, value: ir.Value) -> Form:
        form = None
        if isinstance(value, ir.OpResult):
            op = value.owner.operation
            if op.name in _CONTROL and self.merge is not None:
                self.merge.plan(op)
                form = self.forms.get(value)
            elif op.name in _RULES and self.has_form(value):
                form = _RULES[op.name](self, op, value)
        return self.opaque(value) if form is None else form

    def _needs(self, value: ir.Value) -> list[ir.Value]:
        """The values whose forms that of `value` is made of."""
        if not isinstance(value, ir.OpResult):
            return []
        op = value.owner.operation
        if op.name in _CONTROL and self.merge is not None:
            return self.merge.starts(op)
        return [operand for operand in op.operands if self.has_form(operand)] if op.name in _RULES and self.has_form(value) else []

    def has_form(self, value: ir.Value) -> bool:
        shape, bits, pointee = self.info(value.type)
        return bool(shape) and (bool(bits) or pointee is not None)

    def opaque(self, value: ir.Value) -> Form:
        """A value of which nothing is known: an integer tensor is itself, a pointer tensor becomes addresses under the same name."""
        shape, _, pointee = self.info(value.type)
        node = self.nodes.leaf(value)
        if pointee is None:
            number = self.uniform(value)
            return self.build(shape, rest=node) if number is None else self.build(shape, offset=self.nodes.wide(number, value.owner))
        node.type = self.integers(shape, self.nodes.i64)
        return self.addresses(shape, pointee, node)

    def addresses(self, shape: tuple[int, ...], pointee: str, node: Node) -> Form:
        return self.build(shape, rest=node, pointer=self.nodes.null, size=tt.size_of(pointee), unit=1)

    def build(self, shape: tuple[int, ...], **fields: Any) -> Form:
        zero = self.nodes.zero
        defaults: dict[str, Any] = {"offset": zero, "strides": (zero,) * len(shape)}
        return Form(shape, **(defaults | fields))

    # What forms can be

    def range_of(self, form: Form) -> Range:
        """What the affine part of a form can be."""
        return self.ranges.of_node(form.offset).plus(self.spread(form))

    def spread(self, form: Form) -> Range:
        """The same where its offset is 0."""
        found = Range(0, 0)
        for stride, extent in zip(form.strides, form.shape, strict=True):
            found = found.plus(self.ranges.of_node(stride).times(Range(0, extent - 1)))
        return found

    def fits(self, form: Form, bits: int) -> bool:
        """Whether an integer tensor of so many bits, which has this form, is known to equal it."""
        return form.rest is None and not form.checks and self.range_of(form).within(signed(bits))

    def within(self, form: Form, range_: Range) -> Check:
        return Check(form, self.nodes.const(range_.low), self.nodes.const(range_.high + 1))

    def conditions(self, check: Check, op: ir.Operation, extents: Sequence[Node] | None = None) -> list[Node] | None:
        """What decides at run time whether a check holds: nothing where it is known to; None where it is known not to.

        With `extents`, it is asked of so many first elements of each dimension, which are no more than there are.
        """
        nodes, form, ranges = self.nodes, check.form, self.ranges
        first, last = self._reach(form, op, extents)
        spread, offset, found = self.spread(form), ranges.of_node(form.offset), []
        if check.low is not None:
            low = ranges.of_node(check.low)
            if extents is None and offset.high + spread.low < low.low:
                return None
            if offset.low + spread.low < low.high:
                found.append(self.compare(IntPredicate.sge, form.offset, nodes.sub(check.low, first, op), op))
        if check.end is not None:
            end = ranges.of_node(check.end)
            if extents is None and offset.low + spread.high >= end.high:
                return None
            if offset.high + spread.high >= end.low:
                size = nodes.add(last, nodes.const(1), op)
                if size.constant is None or check.end.constant is None:
                    found.append(self.compare(IntPredicate.sle, nodes.add(form.offset, size, op), check.end, op))
                else:
                    found.append(self.compare(IntPredicate.sle, form.offset, nodes.sub(check.end, size, op), op))
        return found

    def _reach(self, form: Form, op: ir.Operation, extents: Sequence[Node] | None) -> tuple[Node, Node]:
        """The least and the largest that a form is more than its offset."""
        nodes = self.nodes
        first = last = nodes.zero
        for d, (stride, extent) in enumerate(zip(form.strides, form.shape, strict=True)):
            if extents is None or stride.constant is None:
                spread = self.ranges.of_node(stride).times(Range(0, extent - 1))
                ends = nodes.const(spread.low), nodes.const(spread.high)
            else:
                end = nodes.mul(nodes.add(extents[d], nodes.const(-1), op), stride, op)
                ends = (nodes.zero, end) if stride.constant > 0 else (end, nodes.zero)
            first, last = nodes.add(first, ends[0], op), nodes.add(last, ends[1], op)
        return first, last

    def compare(self, predicate: IntPredicate, a: Node, b: Node, op: ir.Operation) -> Node:
        """The i1 scalar `a predicate b`."""
        with op.context:
            return self.nodes.op("arith.cmpi", [a, b], self.nodes.i1, op, {"predicate": attribute_of(predicate)})
