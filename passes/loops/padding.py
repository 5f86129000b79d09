"""What a block holds behind its bounds: where that changes no result, a reduction ends at the bound instead of the block's end."""

import math
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.predicates import FloatPredicate, attribute_of
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import upper_bound
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.ops import CONVERSIONS
from triton_spacemit.passes.loops.tensors import Coordinates, Tensor, Uniform

Padding = tuple[float, list[Emitted]]  # the number, and the positions behind all of which it is that

def _largest(x: float, y: float) -> float:
    return y if math.isnan(x) else x if math.isnan(y) else max(x, y)


_FOLD: dict[str, Callable[[float, float], float]] = {
    "arith.addf": lambda x, y: x + y,
    "arith.subf": lambda x, y: x - y,
    "arith.mulf": lambda x, y: x * y,
    "arith.maxnumf": _largest,
    "arith.minnumf": lambda x, y: -_largest(-x, -y),
    "arith.addi": lambda x, y: x + y,
    "arith.muli": lambda x, y: x * y,
}
_WITH_INFINITY = (ir.F16Type, ir.BF16Type, ir.F32Type, ir.F64Type)
_EXPONENTIAL = ("math.exp", "math.exp2")
_ELEMENTWISE = {*_FOLD, *_EXPONENTIAL, "arith.select", "arith.andi"}


Found = dict[tuple[ir.Value, int], "Padding | None"]


def padding_of(low: Lowering, value: ir.Value, dim: int, at: Coordinates, found: Found | None = None) -> Padding | None:
    """The one number that a row of a block is from some position along `dim` on, as far as it is known.

    `at` is the row's first element; `found` is what is known of others.
    """
    found = {} if found is None else found
    if (value, dim) not in found:
        found[value, dim] = _padding_of(low, value, dim, at, found)
    return found[value, dim]


def _padding_of(low: Lowering, value: ir.Value, dim: int, at: Coordinates, found: Found) -> Padding | None:
    known, node = low.values.get(value), low.analysis.producer.get(value)
    if not isinstance(known, Tensor) or node is None:
        return None
    if isinstance(known, Uniform):
        number = constant_of(known.value.value)
        return None if number is None else (number.value, [])
    if node.name == "xsmt.descriptor_load":
        return _of_load(low, known, dim)
    if node.name == "tt.expand_dims":
        axis = node.attribute("axis").value
        if dim == axis:
            return None
        return padding_of(low, node.operands[0], dim - (dim > axis), (*at[:axis], *at[axis + 1 :]), found)
    if node.name == "tt.broadcast":
        source = node.operands[0]
        if source.type.shape[dim] == 1:
            return None
        return padding_of(low, source, dim, tuple(low.zero if n == 1 else c for n, c in zip(source.type.shape, at, strict=True)), found)
    if node.name in CONVERSIONS:
        source = padding_of(low, node.operands[0], dim, at, found)
        kept = (0.0, 1.0, -math.inf, math.inf) if isinstance(known.element, _WITH_INFINITY) else (0.0, 1.0)
        return source if source is not None and source[0] in kept else None  # the same in both types
    if node.name == "arith.cmpi":
        bound = upper_bound(low, node)
        return (0, [bound[1]]) if bound is not None and bound[0] == dim else None
    if node.name not in _ELEMENTWISE:
        return None
    operands = [padding_of(low, operand, dim, at, found) for operand in node.operands]
    if node.name == "arith.subf" and operands[0] is not None and operands[1] is None:
        return _less_unknown(low, known, operands[0], node.operands[1], dim, at)
    return _of_arithmetic(node, known.element, operands)


def _less_unknown(low: Lowering, result: Tensor, padding: Padding, value: ir.Value, dim: int, at: Coordinates) -> Padding | None:
    """-inf less one number for the row, which is -inf unless the number is -inf or NaN: then nothing is known of the row."""
    number, limits = padding
    node, known = low.analysis.producer.get(value), low.tensor(value)
    same = known.uniform is not None or (node is not None and node.name == "tt.broadcast" and node.operands[0].type.shape[dim] == 1)
    if number != -math.inf or not same:
        return None
    b, subtrahend = low.b, low.evaluate(known, at)
    greater = {"predicate": attribute_of(FloatPredicate.ogt)}
    finite = b.op("arith.cmpf", b.i1, [subtrahend, b.constant(-math.inf, known.element)], greater)
    return number, [b.select(finite, limit, b.constant(result.shape[dim])) for limit in limits]


def _of_load(low: Lowering, tensor: Tensor, dim: int) -> Padding | None:
    load = low.storage.load_of(tensor)
    if load is None:
        return None
    other = load.access.other
    other = other.uniform if isinstance(other, Tensor) else other
    number = None if other is None else constant_of(other.value)
    return None if number is None else (number.value, [load.access.upper[dim]])


def _of_arithmetic(node: Node, element: ir.Type, found: list[Padding | None]) -> Padding | None:
    if node.name == "arith.select":
        condition, _, no = found
        return (no[0], condition[1] + no[1]) if condition is not None and condition[0] == 0 and no is not None else None
    if node.name == "arith.andi" and element.width == 1:
        return next((one for one in found if one is not None and one[0] == 0), None)
    if node.name in _EXPONENTIAL:
        return (0.0, found[0][1]) if found[0] is not None and found[0][0] == -math.inf else None
    if node.name in _FOLD and None not in found:
        (x, left), (y, right) = found
        return _rounded(_FOLD[node.name](x, y), element), left + right
    return None


def _rounded(number: float, element: ir.Type) -> float:
    """The number that arithmetic in a type gives."""
    if isinstance(element, ir.IntegerType):
        most = 1 << (element.width - 1)
        return (number + most) % (2 * most) - most
    return ir.FloatAttr.get(element, number).value
