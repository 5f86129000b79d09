"""Integer tensors and pointer tensors as affine forms of the block's coordinates.

Describing a value creates no ops: forms are made of nodes, which become ops where they are needed. They are in i64, scalars sign-extended
at the leaves. An integer tensor may wrap around: it equals its form where the form is within the tensor's type. Addresses are assumed not
to wrap around; masks ask.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.ranges import Range, Ranges, signed
from triton_spacemit.passes.nodes import Node, Nodes

_CONTROL = ("scf.for", "scf.if", "scf.while")


@dataclass(frozen=True, eq=False)
class Form:
    """Element i is `offset + sum_d strides[d] * i[d] + rest[i]`.

    For a pointer it is the byte address `pointer + size * (offset + sum_d strides[d] * i[d]) + unit * rest[i]`. `rest` is an integer tensor
    of the value's own shape. Dimensions of extent 1 have stride 0. It holds where each form in `checks` is within 32 bits, as narrower
    integers that were extended on the way may have wrapped around.
    """

    shape: tuple[int, ...]
    offset: Node
    strides: tuple[Node, ...]
    rest: Node | None = None
    pointer: Node | None = None
    size: int = 1
    unit: int = 1
    checks: "tuple[Form, ...]" = ()

    @property
    def uniform(self) -> bool:
        return self.rest is None and all(stride.constant == 0 for stride in self.strides)

    @property
    def key(self) -> tuple:
        """The same for forms of the same affine part."""
        return (self.shape, self.offset.key, tuple(stride.key for stride in self.strides))

    @property
    def only_rest(self) -> bool:
        return self.offset.constant == 0 and all(stride.constant == 0 for stride in self.strides)


class Merge(Protocol):
    """Who knows control flow."""

    def plan(self, op: ir.Operation) -> object:
        """Enter the forms of all that `op` carries."""

    def starts(self, op: ir.Operation) -> list[ir.Value]:
        """The values whose forms `plan` asks for first."""


class Describer:
    """Finds the forms of values. Those of results of, and block arguments in, control flow are entered in `forms` by `merge`."""

    def __init__(self, nodes: Nodes, merge: Merge) -> None:
        self.nodes = nodes
        self.merge = merge
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

    def integers(self, shape: tuple[int, ...], element: ir.Type) -> ir.Type:
        with element.context:
            return ir.RankedTensorType.get(shape, element, loc=ir.Location.unknown())

    def rollback(self, forms: int) -> None:
        """Forget everything described since there were so many `forms`."""
        while len(self.forms) > forms:
            self.forms.popitem()

    # Integers and pointers

    def describe(self, value: ir.Value) -> Form:
        """The form of an integer tensor (i32, i64) or of a tensor of pointers."""
        for one in unanswered(value, self.forms, self._needs):
            self.forms[one] = self._form(one)
        return self.forms[value]

    def _form(self, value: ir.Value) -> Form:
        form = None
        if isinstance(value, ir.OpResult):
            op = value.owner.operation
            if op.name in _CONTROL:
                self.merge.plan(op)
                form = self.forms.get(value)
            else:
                rule = _RULES.get(op.name)
                form = rule(self, op, value) if rule else None
        return self.opaque(value) if form is None else form

    def _needs(self, value: ir.Value) -> list[ir.Value]:
        """The values whose forms that of `value` is made of."""
        if not isinstance(value, ir.OpResult):
            return []
        op = value.owner.operation
        if op.name in _CONTROL:
            return self.merge.starts(op)
        return [operand for operand in op.operands if self._has_form(operand)] if op.name in _RULES and self._has_form(value) else []

    def _has_form(self, value: ir.Value) -> bool:
        shape, bits, pointee = self.info(value.type)
        return bool(shape) and (bool(bits) or pointee is not None)

    def opaque(self, value: ir.Value) -> Form:
        """A value of which nothing is known: an integer tensor is itself, a pointer tensor becomes addresses under the same name."""
        shape, _, pointee = self.info(value.type)
        node = self.nodes.leaf(value)
        if pointee is None:
            return self.build(shape, rest=node)
        node.type = self.integers(shape, self.nodes.i64)
        return self.addresses(shape, pointee, node)

    def addresses(self, shape: tuple[int, ...], pointee: str, node: Node) -> Form:
        return self.build(shape, rest=node, pointer=self.nodes.null, size=tt.size_of(pointee), unit=1)

    def build(self, shape: tuple[int, ...], **fields: Any) -> Form:
        zero = self.nodes.zero
        defaults: dict[str, Any] = {"offset": zero, "strides": (zero,) * len(shape)}
        return Form(shape, **(defaults | fields))

    def _constant(self, op: ir.Operation, value: ir.Value) -> Form | None:
        attribute = op.attributes["value"]
        if not attribute.is_splat:
            return None
        return self.build(tuple(value.type.shape), offset=self.nodes.const(attribute.get_splat_value().value))

    def _make_range(self, op: ir.Operation, value: ir.Value) -> Form:
        (extent,) = value.type.shape
        return self.build(
            (extent,), offset=self.nodes.const(op.attributes["start"].value), strides=(self.nodes.const(1 if extent > 1 else 0),)
        )

    def _splat(self, op: ir.Operation, value: ir.Value) -> Form | None:
        shape, bits, pointee = self.info(value.type)
        if pointee is not None:
            size = tt.size_of(pointee)
            return self.build(shape, pointer=self.nodes.leaf(op.operands[0]), size=size, unit=size)
        return self.build(shape, offset=self.nodes.scalar(op.operands[0], op)) if bits else None

    def _integer_operands(self, op: ir.Operation) -> list[Form] | None:
        if not self.info(op.results[0].type)[1]:
            return None
        return [self.describe(operand) for operand in op.operands]

    def _add(self, op: ir.Operation, value: ir.Value) -> Form | None:
        forms = self._integer_operands(op)
        if forms is None:
            return None
        a, b = forms
        if a.only_rest and b.only_rest and a.rest is not None and b.rest is not None:
            return self.opaque(value)
        nodes = self.nodes
        if op.name == "arith.subi":
            if b.rest is not None:
                return self.opaque(value)
            b = replace(b, offset=nodes.neg(b.offset, op), strides=tuple(nodes.neg(s, op) for s in b.strides))
        rest = a.rest or b.rest
        if a.rest is not None and b.rest is not None:
            rest = nodes.op("arith.addi", [a.rest, b.rest], value.type, op)
        return self._sum(a, b, rest, op)

    def _sum(self, a: Form, b: Form, rest: Node | None, op: ir.Operation) -> Form:
        strides = tuple(self.nodes.add(s, t, op) for s, t in zip(a.strides, b.strides, strict=True))
        return replace(a, offset=self.nodes.add(a.offset, b.offset, op), strides=strides, rest=rest, checks=_merged(a.checks, b.checks))

    def _mul(self, op: ir.Operation, value: ir.Value) -> Form | None:
        forms = self._integer_operands(op)
        if forms is None:
            return None
        a, b = forms
        operand = op.operands[1]
        if not b.uniform:
            a, b, operand = b, a, op.operands[0]
        if not b.uniform or (a.rest is not None and a.only_rest):
            return self.opaque(value)
        factor = b.offset
        if op.name == "arith.shli":
            if op.operands[0] == operand or factor.constant is None or not 0 <= factor.constant < 31:
                return self.opaque(value)
            factor = self.nodes.const(1 << factor.constant)
        strides = tuple(self.nodes.mul(s, factor, op) for s in a.strides)
        if self.info(value.type)[1] == 32 and any(
            s.constant is not None and abs(s.constant) * extent >= 1 << 31 for s, extent in zip(strides, a.shape, strict=True)
        ):
            return self.opaque(value)  # wraps for certain: a hash, not an address
        rest = None if a.rest is None else self.nodes.op(op.name, [a.rest, self.nodes.leaf(operand)], value.type, op)
        offset = self.nodes.mul(a.offset, factor, op)
        return replace(a, offset=offset, strides=strides, rest=rest, checks=_merged(a.checks, b.checks))

    def range_of(self, form: Form) -> Range:
        """What the affine part of a form can be."""
        found = self.ranges.of_node(form.offset)
        for stride, extent in zip(form.strides, form.shape, strict=True):
            found = found.plus(self.ranges.of_node(stride).times(Range(0, extent - 1)))
        return found

    def _sign_extension(self, op: ir.Operation, value: ir.Value) -> Form | None:
        form = self._source_of_cast(op, value)
        if form is None or (form.rest is not None and form.only_rest):
            return None
        if form.rest is not None:
            return replace(form, rest=self.nodes.op(op.name, [form.rest], value.type, op))
        return form if self.range_of(form).within(signed(32)) else replace(form, checks=_merged(form.checks, (form,)))

    def unsigned(self, form: Form, bits: int) -> Form | None:
        """A form of so many bits read as unsigned numbers: of a scalar, or of what is known not to be negative."""
        range_ = self.range_of(form)
        if form.rest is not None or form.checks:
            return None
        if range_.natural and range_.within(signed(bits)):
            return form
        exact = form.offset.name == "arith.extsi" or (form.offset.constant is not None and range_.within(signed(bits)))
        return replace(form, offset=self.nodes.unsigned(form.offset, bits)) if form.uniform and exact else None

    def _zero_extension(self, op: ir.Operation, value: ir.Value) -> Form | None:
        form = self._source_of_cast(op, value)
        return None if form is None else self.unsigned(form, 32)

    def _truncation(self, op: ir.Operation, value: ir.Value) -> Form | None:
        """Of what is known to fit."""
        form = self._source_of_cast(op, value)
        if form is None or form.rest is not None or form.checks:
            return None
        return form if self.range_of(form).within(signed(32)) else None

    def _source_of_cast(self, op: ir.Operation, value: ir.Value) -> Form | None:
        operand = op.operands[0]
        return self.describe(operand) if self.info(value.type)[1] and self.info(operand.type)[1] else None

    def _reshaped(self, op: ir.Operation, value: ir.Value, strides: Callable[[Form], tuple[Node, ...] | None]) -> Form | None:
        """The form of a value that only rearranges elements: `strides` gives the new strides, or None where they are not affine."""
        shape, bits, pointee = self.info(value.type)
        if not bits and pointee is None:
            return None
        form = self.describe(op.operands[0])
        if pointee is None and form.rest is not None and form.only_rest:
            return self.opaque(value)
        new = strides(form)
        if new is None:
            if pointee is None:
                return self.opaque(value)
            form = self.addresses(form.shape, pointee, self.address_tensor(form, op))
            new = (self.nodes.zero,) * len(shape)
        rest = form.rest
        if rest is not None:
            attributes = {name: op.attributes[name] for name in ("axis", "order") if name in op.attributes}
            rest = self.nodes.op(op.name, [rest], self.integers(shape, rest.type.element_type), op, attributes)
        return replace(form, shape=shape, strides=new, rest=rest)

    def _expand_dims(self, op: ir.Operation, value: ir.Value) -> Form | None:
        axis = op.attributes["axis"].value
        return self._reshaped(op, value, lambda f: (*f.strides[:axis], self.nodes.zero, *f.strides[axis:]))

    def _broadcast(self, op: ir.Operation, value: ir.Value) -> Form | None:
        return self._reshaped(op, value, lambda f: f.strides)

    def _trans(self, op: ir.Operation, value: ir.Value) -> Form | None:
        return self._reshaped(op, value, lambda f: tuple(f.strides[d] for d in op.attributes["order"]))

    def _reshape(self, op: ir.Operation, value: ir.Value) -> Form | None:
        return self._reshaped(op, value, lambda f: self._regroup(f, tuple(value.type.shape), op))

    def _regroup(self, form: Form, shape: tuple[int, ...], op: ir.Operation) -> tuple[Node, ...] | None:
        """Strides after a reshape that splits dimensions, or merges ones whose constant strides nest."""
        old = [(extent, stride) for extent, stride in zip(form.shape, form.strides, strict=True) if extent > 1]
        merged: list[tuple[int, Node]] = []
        new: list[Node] = []
        for extent in reversed(shape):
            if extent == 1:
                new.append(self.nodes.zero)
                continue
            if not merged:
                merged = [old.pop()]
            size, stride = merged[0]
            while size < extent and old:
                outer_size, outer = old.pop()
                if self.nodes.mul(stride, self.nodes.const(size), op).key != outer.key:
                    return None
                size *= outer_size
            if size % extent:
                return None
            new.append(stride)
            merged = [(size // extent, self.nodes.mul(stride, self.nodes.const(extent), op))] if size > extent else []
        return tuple(reversed(new))

    def _select(self, op: ir.Operation, value: ir.Value) -> Form | None:
        shape, bits, pointee = self.info(value.type)
        if not shape or (not bits and pointee is None):
            return None
        condition, first, second = op.operands
        nodes, a, b = self.nodes, self.describe(first), self.describe(second)
        if pointee is not None and (a.size, a.unit) != (b.size, b.unit):
            a, b = (self.addresses(shape, pointee, self.address_tensor(form, op)) for form in (a, b))
        same_rest = (a.rest and a.rest.key) == (b.rest and b.rest.key)
        if condition.type == nodes.i1 and same_rest:
            test = nodes.leaf(condition)
            return replace(
                a,
                pointer=a.pointer and nodes.select(test, a.pointer, b.pointer, op),
                offset=nodes.select(test, a.offset, b.offset, op),
                strides=tuple(nodes.select(test, s, t, op) for s, t in zip(a.strides, b.strides, strict=True)),
                checks=_merged(a.checks, b.checks),
            )
        if pointee is None:
            return self.opaque(value)
        choice = [nodes.leaf(condition), self.address_tensor(a, op), self.address_tensor(b, op)]
        return self.addresses(shape, pointee, nodes.op("arith.select", choice, self.integers(shape, nodes.i64), op))

    def _addptr(self, op: ir.Operation, value: ir.Value) -> Form | None:
        base, offset = self.describe(op.operands[0]), self.describe(op.operands[1])
        rest, unit = base.rest, base.unit
        if offset.rest is not None:
            if rest is None:
                rest, unit = offset.rest, base.size
            else:
                wide = self.integers(base.shape, self.nodes.i64)
                parts = [self.scaled(self.wide(node, op), factor, wide, op) for node, factor in ((rest, unit), (offset.rest, base.size))]
                rest, unit = self.nodes.op("arith.addi", parts, wide, op), 1
        return replace(self._sum(base, offset, rest, op), unit=unit, checks=())

    def _bitcast(self, op: ir.Operation, value: ir.Value) -> Form | None:
        shape, _, pointee = self.info(value.type)
        if pointee is None:
            return None
        form, size = self.describe(op.operands[0]), tt.size_of(pointee)
        if form.size % size:
            return self.addresses(shape, pointee, self.address_tensor(form, op))
        ratio = self.nodes.const(form.size // size)
        strides = tuple(self.nodes.mul(s, ratio, op) for s in form.strides)
        return replace(form, offset=self.nodes.mul(form.offset, ratio, op), strides=strides, size=size)

    def _int_to_ptr(self, op: ir.Operation, value: ir.Value) -> Form | None:
        shape, _, pointee = self.info(value.type)
        return self.addresses(shape, pointee, self.wide(self.nodes.leaf(op.operands[0]), op))

    # Tensors out of forms

    def wide(self, node: Node, op: ir.Operation) -> Node:
        """An integer tensor as i64."""
        if node.type.element_type == self.nodes.i64:
            return node
        return self.nodes.op("arith.extsi", [node], self.integers(tuple(node.type.shape), self.nodes.i64), op)

    def scaled(self, node: Node, factor: int, type_: ir.Type, op: ir.Operation) -> Node:
        if factor == 1:
            return node
        return self.nodes.op("arith.muli", [node, self.nodes.op("tt.splat", [self.nodes.const(factor)], type_, op)], type_, op)

    def tensor(self, form: Form, op: ir.Operation) -> Node:
        """An i64 tensor that holds the integers of `form`, which is no pointer."""
        nodes, wide = self.nodes, self.integers(form.shape, self.nodes.i64)
        total = nodes.op("tt.splat", [form.offset], wide, op)
        for d, stride in enumerate(form.strides):
            if stride.constant == 0:
                continue
            with wide.context:
                numbers = {"start": ir.IntegerAttr.get(nodes.i32, 0), "end": ir.IntegerAttr.get(nodes.i32, form.shape[d])}
                extents = [form.shape[d]]
                part = nodes.op("tt.make_range", [], self.integers(tuple(extents), nodes.i32), op, numbers)
                for axis in range(len(form.shape)):
                    if axis != d:
                        extents.insert(axis, 1)
                        attributes = {"axis": ir.IntegerAttr.get(nodes.i32, axis)}
                        part = nodes.op("tt.expand_dims", [part], self.integers(tuple(extents), nodes.i32), op, attributes)
            part = self.wide(part, op)
            factor = nodes.op("tt.splat", [stride], part.type, op)
            part = nodes.op("arith.muli", [part, factor], part.type, op)
            if tuple(extents) != form.shape:
                part = nodes.op("tt.broadcast", [part], wide, op)
            total = nodes.op("arith.addi", [total, part], wide, op)
        if form.rest is not None:
            total = nodes.op("arith.addi", [total, self.wide(form.rest, op)], wide, op)
        return total

    def address_tensor(self, form: Form, op: ir.Operation) -> Node:
        """An i64 tensor that holds the byte addresses of a pointer form."""
        nodes, wide = self.nodes, self.integers(form.shape, self.nodes.i64)
        if form.pointer is nodes.null and form.only_rest and form.unit == 1:
            return self.wide(form.rest, op)
        start = nodes.zero if form.pointer is nodes.null else nodes.op("llvm.ptrtoint", [form.pointer], nodes.i64, op)
        size = nodes.const(form.size)
        affine = Form(
            form.shape,
            offset=nodes.add(start, nodes.mul(form.offset, size, op), op),
            strides=tuple(nodes.mul(s, size, op) for s in form.strides),
            rest=None if form.rest is None else self.scaled(self.wide(form.rest, op), form.unit, wide, op),
        )
        return self.tensor(affine, op)


def _merged(first: tuple[Form, ...], second: tuple[Form, ...]) -> tuple[Form, ...]:
    known = [form.key for form in first]
    return first + tuple(form for form in second if form.key not in known)


Rule = Callable[[Describer, ir.Operation, ir.Value], Form | None]
_RULES: dict[str, Rule] = {
    "arith.constant": Describer._constant,
    "tt.make_range": Describer._make_range,
    "tt.splat": Describer._splat,
    "arith.addi": Describer._add,
    "arith.subi": Describer._add,
    "arith.muli": Describer._mul,
    "arith.shli": Describer._mul,
    "arith.extsi": Describer._sign_extension,
    "arith.extui": Describer._zero_extension,
    "arith.trunci": Describer._truncation,
    "tt.expand_dims": Describer._expand_dims,
    "tt.broadcast": Describer._broadcast,
    "tt.reshape": Describer._reshape,
    "tt.trans": Describer._trans,
    "arith.select": Describer._select,
    "tt.addptr": Describer._addptr,
    "tt.bitcast": Describer._bitcast,
    "tt.int_to_ptr": Describer._int_to_ptr,
}
DESCRIBED = frozenset(_RULES)  # ops whose results have forms
