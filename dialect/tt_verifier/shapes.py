"""Rules of ops that make blocks, or change their shape or the order of their elements."""

import math

from torch_mlir import ir

from triton_spacemit.dialect.tt_verifier.types import element_of, i32s, is_integer, is_static, same_elements, shape_of


def make_range(op: ir.Operation) -> bool:
    type_, start, end = op.results[0].type, op.attributes["start"].value, op.attributes["end"].value
    return is_integer(type_, 32) and shape_of(type_) == (end - start,) and end > start


def splat(op: ir.Operation) -> bool:
    return op.operands[0].type == element_of(op.results[0].type) and bool(shape_of(op.results[0].type)) and is_static(op.results[0].type)


def unsplat(op: ir.Operation) -> bool:
    shape = shape_of(op.operands[0].type)
    return bool(shape) and set(shape) == {1} and op.results[0].type == element_of(op.operands[0].type)


def expand_dims(op: ir.Operation) -> bool:
    shape, axis = shape_of(op.operands[0].type), op.attributes["axis"].value
    return same_elements(op) and 0 <= axis <= len(shape) and shape_of(op.results[0].type) == (*shape[:axis], 1, *shape[axis:])


def broadcast(op: ir.Operation) -> bool:
    old, new = shape_of(op.operands[0].type), shape_of(op.results[0].type)
    return same_elements(op) and len(old) == len(new) and all(a in (1, b) for a, b in zip(old, new, strict=True))


def reshape(op: ir.Operation) -> bool:
    return same_elements(op) and math.prod(shape_of(op.operands[0].type)) == math.prod(shape_of(op.results[0].type))


def trans(op: ir.Operation) -> bool:
    old, order = shape_of(op.operands[0].type), i32s(op, "order")
    return same_elements(op) and sorted(order) == list(range(len(old))) and shape_of(op.results[0].type) == tuple(old[d] for d in order)


def join(op: ir.Operation) -> bool:
    first, second = (operand.type for operand in op.operands)
    return first == second and same_elements(op) and shape_of(op.results[0].type) == (*shape_of(first), 2)


def split(op: ir.Operation) -> bool:
    first, second = (result.type for result in op.results)
    shape = shape_of(op.operands[0].type)
    return first == second and same_elements(op) and shape[-1:] == (2,) and shape[:-1] == shape_of(first)


def cat(op: ir.Operation) -> bool:
    first, second = (shape_of(operand.type) for operand in op.operands)
    alike = op.operands[0].type.element_type == op.operands[1].type.element_type
    return same_elements(op) and alike and first[1:] == second[1:] and shape_of(op.results[0].type) == (first[0] + second[0], *first[1:])


def gather(op: ir.Operation) -> bool:
    (source, index), result, axis = (operand.type for operand in op.operands), op.results[0].type, op.attributes["axis"].value
    old, new = shape_of(source), shape_of(index)
    return (
        same_elements(op)
        and is_integer(index, 32, 64)
        and new == shape_of(result)
        and len(old) == len(new)
        and 0 <= axis < len(old)
        and all(a == b for d, (a, b) in enumerate(zip(old, new, strict=True)) if d != axis)
    )


def histogram(op: ir.Operation) -> bool:
    source, *mask = (operand.type for operand in op.operands)
    result = op.results[0].type
    return all(len(shape_of(type_)) == 1 and is_static(type_) and is_integer(type_) for type_ in (source, result)) and all(
        shape_of(type_) == shape_of(source) and is_integer(type_, 1) for type_ in mask
    )
