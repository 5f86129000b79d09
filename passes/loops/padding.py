"""What a block holds behind its bounds: where that changes no result, a reduction ends at the bound instead of the block's end."""

import math
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.builder import Emitted
from triton_spacemit.passes.loops.elementwise import upper_bound
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.ops import CONVERSIONS
from triton_spacemit.passes.loops.tensors import Tensor, Uniform

Padding = tuple[float, list[Emitted]]  # the number, and the positions behind all of which it is that

_FOLD: dict[str, Callable[[float, float], float]] = {
    "arith.addf": lambda x, y: x + y,
    "arith.subf": lambda x, y: x - y,
    "arith.mulf": lambda x, y: x * y,
    "arith.maxnumf": max,
    "arith.minnumf": min,
    "arith.addi": lambda x, y: x + y,
    "arith.muli": lambda x, y: x * y,
}
_EXPONENTIAL = ("math.exp", "math.exp2")
_ELEMENTWISE = {*_FOLD, *_EXPONENTIAL, "arith.select", "arith.andi"}


Found = dict[tuple[ir.Value, int], "Padding | None"]


def padding_of(low: Lowering, value: ir.Value, dim: int, found: Found | None = None) -> Padding | None:
    """The one number that a block is from some position along `dim` on, as far as it is known; `found`: what is known of others."""
    found = {} if found is None else found
    if (value, dim) not in found:
        found[value, dim] = _padding_of(low, value, dim, found)
    return found[value, dim]


def _padding_of(low: Lowering, value: ir.Value, dim: int, found: Found) -> Padding | None:
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
        return None if dim == axis else padding_of(low, node.operands[0], dim - (dim > axis), found)
    if node.name == "tt.broadcast":
        return padding_of(low, node.operands[0], dim, found) if node.operands[0].type.shape[dim] > 1 else None
    if node.name in CONVERSIONS:
        source = padding_of(low, node.operands[0], dim, found)
        return source if source is not None and source[0] in (0.0, 1.0, -math.inf, math.inf) else None  # the same in every type
    if node.name == "arith.cmpi":
        bound = upper_bound(low, node)
        return (0, [bound[1]]) if bound is not None and bound[0] == dim else None
    if node.name not in _ELEMENTWISE:
        return None
    return _of_arithmetic(node, [padding_of(low, operand, dim, found) for operand in node.operands])


def _of_load(low: Lowering, tensor: Tensor, dim: int) -> Padding | None:
    load = low.storage.load_of(tensor)
    if load is None:
        return None
    other = load.access.other
    other = other.uniform if isinstance(other, Tensor) else other
    number = None if other is None else constant_of(other.value)
    return None if number is None else (number.value, [load.access.upper[dim]])


def _of_arithmetic(node: Node, found: list[Padding | None]) -> Padding | None:
    if node.name == "arith.select":
        condition, _, no = found
        return (no[0], condition[1] + no[1]) if condition is not None and condition[0] == 0 and no is not None else None
    if node.name == "arith.andi" and node.results[0].type.element_type.width == 1:
        return next((one for one in found if one is not None and one[0] == 0), None)
    if node.name in _EXPONENTIAL:
        return (0.0, found[0][1]) if found[0] is not None and found[0][0] == -math.inf else None
    if node.name == "arith.subf" and found[0] is not None and found[1] is None and found[0][0] == -math.inf:
        return found[0]  # NaN where a row's maximum is infinite too: then the row's own elements are
    if node.name in _FOLD and None not in found:
        (x, left), (y, right) = found
        return _FOLD[node.name](x, y), left + right
    return None
