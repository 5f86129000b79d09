"""Forms of pointer tensors, one rule an op; and of what may be pointers or integers."""

from dataclasses import replace
from typing import TYPE_CHECKING

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.passes.facts import tensors
from triton_spacemit.passes.facts.forms import Form, merged
from triton_spacemit.passes.facts.integers import Rule, total

if TYPE_CHECKING:
    from triton_spacemit.passes.facts.affine import Describer


def _splat(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    shape, _, pointee = d.info(value.type)
    if pointee is None:
        return d.build(shape, offset=d.nodes.scalar(op.operands[0], op))
    size = tt.size_of(pointee)
    return d.build(shape, pointer=d.nodes.leaf(op.operands[0]), size=size, unit=size)


def _select(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    shape, _, pointee = d.info(value.type)
    condition, first, second = op.operands
    nodes, a, b = d.nodes, d.describe(first), d.describe(second)
    if pointee is not None and (a.size, a.unit) != (b.size, b.unit):
        a, b = (d.addresses(shape, pointee, tensors.addresses_of(d, form, op)) for form in (a, b))
    same_rest = (a.rest and a.rest.key) == (b.rest and b.rest.key)
    if condition.type == nodes.i1 and same_rest:
        test = nodes.leaf(condition)
        return replace(
            a,
            pointer=a.pointer and nodes.select(test, a.pointer, b.pointer, op),
            offset=nodes.select(test, a.offset, b.offset, op),
            strides=tuple(nodes.select(test, s, t, op) for s, t in zip(a.strides, b.strides, strict=True)),
            checks=merged(a.checks, b.checks),
        )
    if pointee is None:
        return None
    choice = [nodes.leaf(condition), tensors.addresses_of(d, a, op), tensors.addresses_of(d, b, op)]
    return d.addresses(shape, pointee, nodes.op("arith.select", choice, d.integers(shape, nodes.i64), op))


def _addptr(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    base, offset = (d.describe(operand) for operand in op.operands)
    rest, unit = base.rest, base.unit
    if offset.rest is not None:
        index = tensors.index(d, offset.rest, op)
        if rest is None:
            rest, unit = index, base.size
        else:
            wide = d.integers(base.shape, d.nodes.i64)
            pairs = ((rest, unit), (index, base.size))
            parts = [tensors.scaled(d, tensors.wide(d, node, op), factor, wide, op) for node, factor in pairs]
            rest, unit = d.nodes.op("arith.addi", parts, wide, op), 1
    return replace(total(d, base, offset, rest, op), unit=unit, checks=())  # an address does not wrap around


def _bitcast(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    _, _, pointee = d.info(value.type)
    if pointee is None:
        return None
    form, size = d.describe(op.operands[0]), tt.size_of(pointee)
    if form.size % size:
        return d.addresses(form.shape, pointee, tensors.addresses_of(d, form, op))
    ratio = d.nodes.const(form.size // size)
    strides = tuple(d.nodes.mul(s, ratio, op) for s in form.strides)
    return replace(form, offset=d.nodes.mul(form.offset, ratio, op), strides=strides, size=size)


def _int_to_ptr(d: "Describer", op: ir.Operation, value: ir.Value) -> Form | None:
    shape, _, pointee = d.info(value.type)
    return d.addresses(shape, pointee, tensors.wide(d, d.nodes.leaf(op.operands[0]), op))


RULES: dict[str, Rule] = {
    "tt.splat": _splat,
    "arith.select": _select,
    "tt.addptr": _addptr,
    "tt.bitcast": _bitcast,
    "tt.int_to_ptr": _int_to_ptr,
}
