"""Integer tensors, pointer tensors and masks as affine forms of the block's coordinates.

Describing a value creates no ops: forms are made of nodes, which `Emitter` turns into ops where they are needed. Address arithmetic is
assumed not to wrap, so scalars are sign-extended to i64 at the leaves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch_mlir import ir

from triton_spacemit.dialect import tt


class Node:
    """A value to be: a constant, an existing value, a slot that is filled later, or an op on other nodes, created before `anchor`.

    Nodes that stand for the same computation have the same `key`.
    """

    __slots__ = ("anchor", "attributes", "constant", "key", "name", "operands", "type", "value")

    def __init__(self, key: Any, type_: ir.Type) -> None:
        self.key = key
        self.type = type_
        self.value: ir.Value | None = None
        self.constant: int | None = None
        self.name = ""
        self.operands: tuple[Node, ...] = ()
        self.attributes: dict[str, ir.Attribute] = {}
        self.anchor: ir.Operation | None = None


@dataclass(frozen=True, eq=False)
class Form:
    """Element i is `offset + sum_d strides[d] * i[d] + rest[i]`.

    For a pointer it is the byte address `pointer + size * (offset + sum_d strides[d] * i[d]) + unit * rest[i]`. `rest` is an integer tensor
    of the value's own shape. Dimensions of extent 1 have stride 0.
    """

    shape: tuple[int, ...]
    offset: Node
    strides: tuple[Node, ...]
    rest: Node | None = None
    pointer: Node | None = None
    size: int = 1
    unit: int = 1

    @property
    def uniform(self) -> bool:
        return self.rest is None and all(stride.constant == 0 for stride in self.strides)

    @property
    def only_rest(self) -> bool:
        return self.offset.constant == 0 and all(stride.constant == 0 for stride in self.strides)


@dataclass(frozen=True, eq=False)
class Bounds:
    """A mask: `lower[d] <= i[d] < upper[d]` for all d (None: no bound), all scalar `conditions`, and all i1 tensors in `rest`."""

    shape: tuple[int, ...]
    lower: tuple[Node | None, ...]
    upper: tuple[Node | None, ...]
    conditions: tuple[Node, ...] = ()
    rest: tuple[Node, ...] = ()


class Nodes:
    """Makes nodes, folding constants and giving equal computations equal keys."""

    def __init__(self, context: ir.Context) -> None:
        with context:
            self.i1 = ir.IntegerType.get_signless(1)
            self.i8 = ir.IntegerType.get_signless(8)
            self.i32 = ir.IntegerType.get_signless(32)
            self.i64 = ir.IntegerType.get_signless(64)
            self.ptr = ir.Type.parse("!llvm.ptr")
        self._keys: dict[object, int] = {}
        self._constants: dict[int, Node] = {}
        self.null = Node("null", self.ptr)
        self.zero = self.const(0)

    def const(self, number: int) -> Node:
        node = self._constants.get(number)
        if node is None:
            node = self._constants[number] = Node(("const", number), self.i64)
            node.constant = number
        return node

    def leaf(self, value: ir.Value) -> Node:
        node = Node(("value", value), value.type)
        node.value = value
        return node

    def slot(self, type_: ir.Type) -> Node:
        """A node whose `value` is set once the op that defines it exists."""
        node = Node(None, type_)
        node.key = ("slot", id(node), node)
        return node

    def op(
        self,
        name: str,
        operands: Sequence[Node],
        type_: ir.Type,
        anchor: ir.Operation,
        attributes: dict[str, ir.Attribute] | None = None,
    ) -> Node:
        attributes = attributes or {}
        key = (name, tuple(o.key for o in operands), type_, tuple(sorted((k, str(v)) for k, v in attributes.items())))
        node = Node(self._keys.setdefault(key, len(self._keys)), type_)
        node.name, node.operands, node.attributes, node.anchor = name, tuple(operands), attributes, anchor
        return node

    def moved(self, node: Node, anchor: ir.Operation) -> Node:
        """The same computation, created before `anchor`, which all its leaves must dominate."""
        if not node.name:
            return node
        return self.op(node.name, [self.moved(o, anchor) for o in node.operands], node.type, anchor, node.attributes)

    def scalar(self, value: ir.Value, anchor: ir.Operation) -> Node:
        """A scalar integer as i64; constants are recognised."""
        owner = value.owner
        if isinstance(value, ir.OpResult) and owner.name == "arith.constant":
            return self.const(owner.attributes["value"].value)
        node = self.leaf(value)
        if value.type == self.i64:
            return node
        return self.op("arith.index_cast" if isinstance(value.type, ir.IndexType) else "arith.extsi", [node], self.i64, anchor)

    def unsigned(self, node: Node, bits: int) -> Node:
        """The node read as an unsigned integer of `bits` bits, where that can differ from its sign-extended value."""
        if node.constant is not None:
            return self.const(node.constant % (1 << bits))
        if node.name == "arith.extsi":
            return self.op("arith.extui", node.operands, self.i64, node.anchor)
        return node

    def add(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant + b.constant)
        if a.constant == 0:
            return b
        if b.constant == 0:
            return a
        if a.constant is not None:
            a, b = b, a
        if b.constant is not None and a.name == "arith.addi" and a.operands[1].constant is not None:
            return self.add(a.operands[0], self.const(a.operands[1].constant + b.constant), anchor)
        return self.op("arith.addi", [a, b], self.i64, anchor)

    def mul(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant * b.constant)
        if a.constant == 0 or b.constant == 0:
            return self.zero
        if a.constant == 1:
            return b
        if b.constant == 1:
            return a
        return self.op("arith.muli", [a, b], self.i64, anchor)

    def neg(self, a: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None:
            return self.const(-a.constant)
        return self.op("arith.subi", [self.zero, a], self.i64, anchor)

    def sub(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.key == b.key:
            return self.zero
        if b.constant is not None:
            return self.add(a, self.const(-b.constant), anchor)
        return self.op("arith.subi", [a, b], self.i64, anchor)

    def floordiv(self, a: Node, divisor: int, anchor: ir.Operation) -> Node:
        if divisor == 1:
            return a
        if a.constant is not None:
            return self.const(a.constant // divisor)
        return self.op("arith.floordivsi", [a, self.const(divisor)], self.i64, anchor)

    def least(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        return self._extreme("arith.minsi", min, a, b, anchor)

    def greatest(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        return self._extreme("arith.maxsi", max, a, b, anchor)

    def _extreme(self, name: str, fold: Callable[[int, int], int], a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        if a is None or b is None or a.key == b.key:
            return b if a is None else a
        if a.constant is not None and b.constant is not None:
            return self.const(fold(a.constant, b.constant))
        return self.op(name, [a, b], self.i64, anchor)

    def select(self, condition: Node, a: Node, b: Node, anchor: ir.Operation) -> Node:
        return a if a.key == b.key else self.op("arith.select", [condition, a, b], a.type, anchor)


_FLIPPED = {2: 4, 3: 5, 4: 2, 5: 3, 6: 8, 7: 9, 8: 6, 9: 7, 0: 0, 1: 1}
_EQ, _NE, _SLT, _SLE, _SGT, _SGE, _ULT, _ULE = range(8)


class Describer:
    """Finds the forms of values. `merge` is asked for results of, and block arguments in, control flow: it fills `forms` in."""

    def __init__(self, nodes: Nodes, merge: Callable[[ir.Operation], object]) -> None:
        self.nodes = nodes
        self.merge = merge
        self.forms: dict[ir.Value, Form] = {}
        self._masks: dict[ir.Value, Bounds] = {}
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

    def rollback(self, forms: int, masks: int) -> None:
        """Forget everything described since the tables had these lengths."""
        while len(self.forms) > forms:
            self.forms.popitem()
        while len(self._masks) > masks:
            self._masks.popitem()

    @property
    def marks(self) -> tuple[int, int]:
        return len(self.forms), len(self._masks)

    # Integers and pointers

    def describe(self, value: ir.Value) -> Form:
        """The form of an integer tensor (i32, i64) or of a tensor of pointers."""
        form = self.forms.get(value)
        if form is None:
            owner = value.owner
            if isinstance(value, ir.OpResult):
                op = owner.operation
                if op.name in ("scf.for", "scf.if", "scf.while"):
                    self.merge(op)
                    form = self.forms.get(value)
                else:
                    rule = _RULES.get(op.name)
                    form = rule(self, op, value) if rule else None
            if form is None:
                form = self.opaque(value)
            self.forms[value] = form
        return form

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
        return replace(a, offset=self.nodes.add(a.offset, b.offset, op), strides=strides, rest=rest)

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
        return replace(a, offset=self.nodes.mul(a.offset, factor, op), strides=strides, rest=rest)

    def _cast(self, op: ir.Operation, value: ir.Value) -> Form | None:
        operand = op.operands[0]
        if not self.info(value.type)[1] or not self.info(operand.type)[1]:
            return None
        form = self.describe(operand)
        if form.rest is not None and form.only_rest:
            return self.opaque(value)
        if op.name == "arith.extui" and form.uniform:
            return replace(form, offset=self.nodes.unsigned(form.offset, 32))
        rest = None if form.rest is None else self.nodes.op(op.name, [form.rest], value.type, op)
        return replace(form, rest=rest)

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
        return replace(self._sum(base, offset, rest, op), unit=unit)

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

    # Masks

    def mask(self, value: ir.Value) -> Bounds:
        """The bounds that a tensor of i1 stands for."""
        bounds = self._masks.get(value)
        if bounds is None:
            rule = _MASK_RULES.get(value.owner.operation.name) if isinstance(value, ir.OpResult) else None
            bounds = rule(self, value.owner.operation, value) if rule else None
            if bounds is None:
                bounds = self._opaque_mask(value)
            self._masks[value] = bounds
        return bounds

    def _opaque_mask(self, value: ir.Value) -> Bounds:
        return replace(self._true(tuple(value.type.shape)), rest=(self.nodes.leaf(value),))

    def _true(self, shape: tuple[int, ...]) -> Bounds:
        return Bounds(shape, (None,) * len(shape), (None,) * len(shape))

    def _mask_constant(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        attribute = op.attributes["value"]
        if not attribute.is_splat:
            return None
        true = self._true(tuple(value.type.shape))
        if attribute.get_splat_value().value:
            return true
        return replace(true, upper=(self.nodes.zero, *true.upper[1:]))

    def _mask_splat(self, op: ir.Operation, value: ir.Value) -> Bounds:
        return replace(self._true(tuple(value.type.shape)), conditions=(self.nodes.leaf(op.operands[0]),))

    def _mask_and(self, op: ir.Operation, value: ir.Value) -> Bounds:
        nodes, a, b = self.nodes, self.mask(op.operands[0]), self.mask(op.operands[1])
        if _only_rest(a) and _only_rest(b):
            return self._opaque_mask(value)
        return Bounds(
            a.shape,
            tuple(nodes.greatest(x, y, op) for x, y in zip(a.lower, b.lower, strict=True)),
            tuple(nodes.least(x, y, op) for x, y in zip(a.upper, b.upper, strict=True)),
            a.conditions + b.conditions,
            a.rest + b.rest,
        )

    def _mask_reshaped(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        bounds = self.mask(op.operands[0])
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
        rest = tuple(self.nodes.op(op.name, [node], self.integers(shape, self.nodes.i1), op, attributes) for node in bounds.rest)
        return Bounds(shape, lower, upper, bounds.conditions, rest)

    def _mask_compare(self, op: ir.Operation, value: ir.Value) -> Bounds | None:
        first, second = op.operands
        bits = self.info(first.type)[1]
        if not bits:
            return None
        a, b, predicate = self.describe(first), self.describe(second), op.attributes["predicate"].value
        if a.rest is not None or b.rest is not None or predicate == _NE:
            return None
        if a.uniform and not b.uniform:
            a, b, predicate = b, a, _FLIPPED[predicate]
        if predicate > _ULE or (predicate >= _ULT and (not b.uniform or a.uniform)):
            return None
        unsigned = predicate >= _ULT
        if unsigned:
            b, predicate = replace(b, offset=self.nodes.unsigned(b.offset, bits)), predicate - _ULT + _SLT
        bounds = self._compare(a, b, predicate, op)
        if bounds is not None and unsigned:
            positive = self._compare(a, self.build(a.shape), _SGE, op)
            bounds = replace(
                bounds,
                lower=tuple(self.nodes.greatest(x, y, op) for x, y in zip(bounds.lower, positive.lower, strict=True)),
                upper=tuple(self.nodes.least(x, y, op) for x, y in zip(bounds.upper, positive.upper, strict=True)),
            )
        return bounds

    def _compare(self, a: Form, b: Form, predicate: int, op: ir.Operation) -> Bounds | None:
        """Bounds for `a predicate b`, where their difference varies in at most one dimension, by a constant."""
        nodes = self.nodes
        strides = [nodes.sub(s, t, op) for s, t in zip(a.strides, b.strides, strict=True)]
        varying = [d for d, stride in enumerate(strides) if stride.constant != 0]
        true = self._true(a.shape)
        if not varying:
            with op.context:
                attributes = {"predicate": ir.IntegerAttr.get(nodes.i64, predicate)}
            condition = nodes.op("arith.cmpi", [a.offset, b.offset], nodes.i1, op, attributes)
            return replace(true, conditions=(condition,))
        if len(varying) > 1 or strides[varying[0]].constant is None:
            return None
        d, step = varying[0], strides[varying[0]].constant
        if predicate == _SGE and step > 0 and b.uniform and b.offset.constant is not None and b.offset.constant <= 0:
            if _is_natural(a.offset):
                return true
        # step * i  predicate  limit
        end = b.offset
        if end.constant is None and not end.operands:
            # any 64 bits that a caller passes: no address is so far out, and the difference must not wrap around
            end = nodes.least(nodes.greatest(end, nodes.const(-FAR), op), nodes.const(FAR), op)
        limit = nodes.sub(end, a.offset, op)
        if step < 0:
            step, limit, predicate = -step, nodes.neg(limit, op), _FLIPPED[predicate]
        # step * i <= limit means i < floor(limit / step) + 1; for integers, step * i < limit means step * i <= limit - 1.
        one, minus_one = nodes.const(1), nodes.const(-1)
        at_most, below = (nodes.add(nodes.floordiv(last, step, op), one, op) for last in (limit, nodes.add(limit, minus_one, op)))
        upper = {_SLT: below, _SLE: at_most, _EQ: at_most}.get(predicate)
        lower = {_SGT: at_most, _SGE: below, _EQ: below}.get(predicate)
        return replace(
            true,
            lower=(*true.lower[:d], lower, *true.lower[d + 1 :]),
            upper=(*true.upper[:d], upper, *true.upper[d + 1 :]),
        )


FAR = 2**62
_GROWING = ("arith.addi", "arith.muli", "arith.extsi", "arith.index_cast", "arith.divsi", "arith.remsi", "arith.minsi")


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


Rule = Callable[[Describer, ir.Operation, ir.Value], Form | None]
_RULES: dict[str, Rule] = {
    "arith.constant": Describer._constant,
    "tt.make_range": Describer._make_range,
    "tt.splat": Describer._splat,
    "arith.addi": Describer._add,
    "arith.subi": Describer._add,
    "arith.muli": Describer._mul,
    "arith.shli": Describer._mul,
    "arith.extsi": Describer._cast,
    "arith.extui": Describer._cast,
    "arith.trunci": Describer._cast,
    "tt.expand_dims": Describer._expand_dims,
    "tt.broadcast": Describer._broadcast,
    "tt.reshape": Describer._reshape,
    "tt.trans": Describer._trans,
    "arith.select": Describer._select,
    "tt.addptr": Describer._addptr,
    "tt.bitcast": Describer._bitcast,
    "tt.int_to_ptr": Describer._int_to_ptr,
}
_MASK_RULES: dict[str, Callable[[Describer, ir.Operation, ir.Value], Bounds | None]] = {
    "arith.constant": Describer._mask_constant,
    "arith.andi": Describer._mask_and,
    "arith.cmpi": Describer._mask_compare,
    "tt.splat": Describer._mask_splat,
    "tt.expand_dims": Describer._mask_reshaped,
    "tt.broadcast": Describer._mask_reshaped,
    "tt.reshape": Describer._mask_reshaped,
    "tt.trans": Describer._mask_reshaped,
}
DESCRIBED = frozenset(_RULES) | frozenset(_MASK_RULES)
