"""Forms of integer tensors, one rule an op; and of what only rearranges elements, also pointers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch_mlir import ir

from triton_spacemit.passes.facts import tensors
from triton_spacemit.passes.facts.forms import Check, Form, merged, regrouped
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.facts.ranges import Range, signed

if TYPE_CHECKING:
    from triton_spacemit.passes.facts.affine import Describer

Rule = Callable[["Describer", ir.Operation, ir.Value], Form | None]


def _constant(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    attribute = op.attributes["value"]
    return d.build(tuple(value.type.shape), offset=d.nodes.const(attribute.get_splat_value().value)) if attribute.is_splat else None


def _make_range(d: "Describer", op: ir.Operation, value: ir.Value) -> Form:
    (extent,) = value.type.shape
    return d.build((extent,), offset=d.nodes.const(op.attributes["start"].value), strides=(d.nodes.const(1 if extent > 1 else 0),))


def total(d: "Describer", a: Form, b: Form, rest: Node | None, op: ir.Operation) -> Form:
    """The sum of two forms, whose parts that are not affine are `rest` together."""
    strides = tuple(d.nodes.add(s, t, op) for s, t in zip(a.strides, b.strides, strict=True))
    return replace(a, offset=d.nodes.add(a.offset, b.offset, op), strides=strides, rest=rest, checks=merged(a.checks, b.checks))


def _add(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    a, b = (d.describe(operand) for operand in op.operands)
    if a.only_rest and b.only_rest:
        return None
    if op.name == "arith.subi":
        if b.rest is not None:
            return None
        b = replace(b, offset=d.nodes.neg(b.offset, op), strides=tuple(d.nodes.neg(s, op) for s in b.strides))
    rest = a.rest or b.rest
    if a.rest is not None and b.rest is not None:
        rest = d.nodes.op("arith.addi", [a.rest, b.rest], value.type, op)
    return total(d, a, b, rest, op)


def _multiply(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    a, b = (d.describe(operand) for operand in op.operands)
    operand = op.operands[1]
    if not b.uniform:
        a, b, operand = b, a, op.operands[0]
    if not b.uniform or a.only_rest:
        return None
    factor = b.offset
    if op.name == "arith.shli":
        if op.operands[0] == operand or factor.constant is None or not 0 <= factor.constant < 31:
            return None
        factor = d.nodes.const(1 << factor.constant)
    strides = tuple(d.nodes.mul(s, factor, op) for s in a.strides)
    steps = [s.constant * extent for s, extent in zip(strides, a.shape, strict=True) if s.constant is not None]
    if d.bits(value) == 32 and any(abs(step) >= 1 << 31 for step in steps):
        return None  # wraps for certain: a hash, not an address
    rest = None if a.rest is None else d.nodes.op(op.name, [a.rest, d.nodes.leaf(operand)], value.type, op)
    return replace(a, offset=d.nodes.mul(a.offset, factor, op), strides=strides, rest=rest, checks=merged(a.checks, b.checks))


def _divided(d: "Describer", a: Form, b: Form, op: ir.Operation, value: ir.Value) -> tuple[Form, Form] | None:
    """Quotient and remainder of a form by a constant, where the remainder is known not to begin anew within the block.

    Strides that the divisor divides count in the quotient. What is left of the form is `offset + r`, and a power of two that divides both
    offset and divisor also divides `offset % divisor`, which is therefore at least that power less than the divisor: if r stays below it,
    `offset % divisor + r` is below the divisor. Nothing may be negative, as `divsi` and `remsi` round towards zero, nor wrap around; with
    `signs` that the offset is not negative is a check, as a program's number times the elements of its block may have wrapped around.
    """
    divisor = b.offset.constant if b.uniform and not b.checks else None
    if divisor is None or divisor <= 0 or a.rest is not None or a.checks and not d.signs:
        return None
    if not d.range_of(a).within(signed(d.bits(value))):
        return None
    is_signed = d.range_of(a).low < 0
    if is_signed and not d.signs:
        return None
    strides = [stride.constant for stride in a.strides]
    if any(stride is None or stride < 0 for stride in strides):
        return None
    left = [0 if stride % divisor == 0 else stride for stride in strides]
    reach = sum(stride * (extent - 1) for stride, extent in zip(left, a.shape, strict=True))
    if reach >= math.gcd(d.ranges.divisibility.of_node(a.offset), divisor):
        return None
    const = d.nodes.const
    if is_signed:
        start = replace(a, strides=(d.nodes.zero,) * len(a.shape), checks=())
        a = replace(a, checks=merged(a.checks, (Check(start, d.nodes.zero, None),)))
    counted = tuple(const(stride // divisor if stride % divisor == 0 else 0) for stride in strides)
    quotient = replace(a, offset=d.nodes.op("arith.divsi", [a.offset, b.offset], d.nodes.i64, op), strides=counted)
    remainder = replace(a, offset=d.nodes.op("arith.remsi", [a.offset, b.offset], d.nodes.i64, op), strides=tuple(map(const, left)))
    return quotient, remainder


def _quotient(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    a, b = (d.describe(operand) for operand in op.operands)
    known = _divided(d, a, b, op, value)
    return known[0] if known else None


def _remainder(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    """`(start + i) % count` from `start % count` on, where it does not begin anew on the way."""
    a, b = (d.describe(operand) for operand in op.operands)
    known = _divided(d, a, b, op, value)
    if known is not None:
        return known[1]
    varying = [stride.constant for stride in a.strides if stride.constant != 0]
    if not d.remainders or a.rest is not None or not b.uniform or varying != [1]:
        return None
    offset = d.nodes.op("arith.remsi", [a.offset, b.offset], d.nodes.i64, op)
    form = replace(a, offset=offset)
    checks = (Check(replace(a, strides=(d.nodes.zero,) * len(a.shape)), d.nodes.zero, None), Check(form, None, b.offset))
    whole = () if d.fits(a, d.bits(value)) else (d.within(a, signed(d.bits(value))),)
    return replace(form, checks=merged(merged(a.checks, b.checks), checks + whole))


def unsigned(d: "Describer", form: Form, bits: int) -> Form | None:
    """A form of so many bits read as unsigned numbers: of a scalar, or of what is known not to be negative."""
    if form.rest is not None or form.checks:
        return None
    if d.range_of(form).within(Range(0, signed(bits).high)):
        return form
    exact = form.offset.name == "arith.extsi" or (form.offset.constant is not None and d.fits(form, bits))
    return replace(form, offset=d.nodes.unsigned(form.offset, bits)) if form.uniform and exact else None


def _source_of_cast(d: "Describer", op: ir.Operation) -> Form | None:
    return d.describe(op.operands[0]) if d.bits(op.operands[0]) else None


def _extend(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    form = _source_of_cast(d, op)
    if form is None or form.only_rest:
        return None
    if form.rest is not None:
        return replace(form, rest=d.nodes.op(op.name, [form.rest], value.type, op))
    return form if d.fits(form, 32) else replace(form, checks=merged(form.checks, (d.within(form, signed(32)),)))


def _extend_unsigned(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    form = _source_of_cast(d, op)
    return None if form is None else unsigned(d, form, 32)


def _truncate(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    """Of what is known to fit."""
    form = _source_of_cast(d, op)
    return form if form is not None and d.fits(form, 32) else None


def _reshaped(d: "Describer", op: ir.Operation, value: ir.Value, strides: Callable[[Form], tuple[Node, ...] | None]) -> Form | None:
    """The form of a value that only rearranges elements: `strides` gives the new strides, or None where they are not affine."""
    shape, _, pointee = d.info(value.type)
    form = d.describe(op.operands[0])
    if pointee is None and form.only_rest:
        return None
    checks = []
    for check in form.checks:
        found = strides(check.form)
        if found is None:
            return None
        checks.append(replace(check, form=replace(check.form, shape=shape, strides=found)))
    new = strides(form)
    if new is None:
        if pointee is None:
            return None
        form = d.addresses(form.shape, pointee, tensors.addresses_of(d, form, op))
        new = (d.nodes.zero,) * len(shape)
    rest = form.rest
    if rest is not None:
        attributes = {name: op.attributes[name] for name in ("axis", "order") if name in op.attributes}
        rest = d.nodes.op(op.name, [rest], d.integers(shape, rest.type.element_type), op, attributes)
    return replace(form, shape=shape, strides=new, rest=rest, checks=tuple(checks))


def _expand_dims(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    axis = op.attributes["axis"].value
    return _reshaped(d, op, value, lambda f: (*f.strides[:axis], d.nodes.zero, *f.strides[axis:]))


def _broadcast(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    return _reshaped(d, op, value, lambda f: f.strides)


def _transpose(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    return _reshaped(d, op, value, lambda f: tuple(f.strides[n] for n in op.attributes["order"]))


def _reshape(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    return _reshaped(d, op, value, lambda f: regrouped(d.nodes, f, tuple(value.type.shape), op))


RULES: dict[str, Rule] = {
    "arith.constant": _constant,
    "tt.make_range": _make_range,
    "arith.addi": _add,
    "arith.subi": _add,
    "arith.muli": _multiply,
    "arith.shli": _multiply,
    "arith.divsi": _quotient,
    "arith.remsi": _remainder,
    "arith.extsi": _extend,
    "arith.extui": _extend_unsigned,
    "arith.trunci": _truncate,
    "tt.expand_dims": _expand_dims,
    "tt.broadcast": _broadcast,
    "tt.trans": _transpose,
    "tt.reshape": _reshape,
}
