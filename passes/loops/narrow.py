"""Operands of products that are bytes, whatever they are held in: instructions that multiply bytes of either sign take them as they are."""

from torch_mlir import ir

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops.elementwise import converted, element_of
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Computed, Renamed, Tensor

_WIDENED = {"arith.extui": "ui8", "arith.extsi": "i8"}


def factor_name(value: ir.Value) -> str:
    """The type of an operand's elements: of bytes that were widened to 16 bits the bytes' own, `ui8` for unsigned ones."""
    element = str(element_of(value.type))
    op = producer_of(value) if element == "i16" else None
    while op is not None and op.name == "tt.trans":
        op = producer_of(op.operands[0])
    if op is None or op.name not in _WIDENED or str(element_of(op.operands[0].type)) != "i8":
        return element
    return _WIDENED[op.name]


def as_bytes(low: Lowering, tensor: Tensor) -> Tensor:
    """The bytes that `tensor`, of 16 bits, was widened from; where it is stored by now they are its own lower halves."""
    b, state = low.b, low.evaluator.now(tensor)
    if isinstance(state, Renamed) and state.order is not None:
        inner = as_bytes(low, state.source)
        return Renamed(shape=state.shape, element=b.i8, origin=state.origin, source=inner, places=state.places, cost=inner.cost)
    if isinstance(state, Computed) and state.origin is not None and state.origin.name in _WIDENED and len(state.sources) == 1:
        ((source, _),) = state.sources
        if source.element == b.i8:
            return source
    return converted(low, tensor, b.i8)
