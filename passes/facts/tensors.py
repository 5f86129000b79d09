"""Forms as tensors again: i64 tensors of integers and of addresses."""

from typing import TYPE_CHECKING

from torch_mlir import ir

from triton_spacemit.passes.facts.forms import Form
from triton_spacemit.passes.facts.nodes import Node

if TYPE_CHECKING:
    from triton_spacemit.passes.facts.affine import Describer


def wide(d: "Describer", node: Node, op: ir.Operation) -> Node:
    """An integer tensor as i64."""
    if node.type.element_type == d.nodes.i64:
        return node
    return d.nodes.op("arith.extsi", [node], d.integers(tuple(node.type.shape), d.nodes.i64), op)


def index(d: "Describer", node: Node, op: ir.Operation) -> Node:
    """An integer tensor as one of i32 at least, which accesses take."""
    if node.type.element_type.width >= 32:
        return node
    return d.nodes.op("arith.extsi", [node], d.integers(tuple(node.type.shape), d.nodes.i32), op)


def scaled(d: "Describer", node: Node, factor: int, type_: ir.Type, op: ir.Operation) -> Node:
    if factor == 1:
        return node
    return d.nodes.op("arith.muli", [node, d.nodes.op("tt.splat", [d.nodes.const(factor)], type_, op)], type_, op)


def _line(d: "Describer", form: Form, dim: int, op: ir.Operation) -> Node:
    """`strides[dim] * i[dim]`, broadcast over the block."""
    nodes, block = d.nodes, d.integers(form.shape, d.nodes.i64)
    with block.context:
        numbers = {"start": ir.IntegerAttr.get(nodes.i32, 0), "end": ir.IntegerAttr.get(nodes.i32, form.shape[dim])}
        extents = [form.shape[dim]]
        part = nodes.op("tt.make_range", [], d.integers(tuple(extents), nodes.i32), op, numbers)
        for axis in range(len(form.shape)):
            if axis != dim:
                extents.insert(axis, 1)
                attributes = {"axis": ir.IntegerAttr.get(nodes.i32, axis)}
                part = nodes.op("tt.expand_dims", [part], d.integers(tuple(extents), nodes.i32), op, attributes)
    part = wide(d, part, op)
    factor = nodes.op("tt.splat", [form.strides[dim]], part.type, op)
    part = nodes.op("arith.muli", [part, factor], part.type, op)
    return part if tuple(extents) == form.shape else nodes.op("tt.broadcast", [part], block, op)


def integers_of(d: "Describer", form: Form, op: ir.Operation) -> Node:
    """An i64 tensor that holds the integers of `form`, which is no pointer."""
    nodes, block = d.nodes, d.integers(form.shape, d.nodes.i64)
    total = nodes.op("tt.splat", [form.offset], block, op)
    for dim, stride in enumerate(form.strides):
        if stride.constant != 0:
            total = nodes.op("arith.addi", [total, _line(d, form, dim, op)], block, op)
    if form.rest is not None:
        total = nodes.op("arith.addi", [total, wide(d, form.rest, op)], block, op)
    return total


def addresses_of(d: "Describer", form: Form, op: ir.Operation) -> Node:
    """An i64 tensor that holds the byte addresses of a pointer form."""
    nodes, block = d.nodes, d.integers(form.shape, d.nodes.i64)
    if form.pointer is nodes.null and form.only_rest and form.unit == 1:
        return wide(d, form.rest, op)
    start = nodes.zero if form.pointer is nodes.null else nodes.op("llvm.ptrtoint", [form.pointer], nodes.i64, op)
    size = nodes.const(form.size)
    affine = Form(
        form.shape,
        offset=nodes.add(start, nodes.mul(form.offset, size, op), op),
        strides=tuple(nodes.mul(s, size, op) for s in form.strides),
        rest=None if form.rest is None else scaled(d, wide(d, form.rest, op), form.unit, block, op),
    )
    return integers_of(d, affine, op)
