"""What the ops have in common: the dialect, effects on memory, and the checks that their verifiers share."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext


class XSMT(ext.Dialect, name="xsmt"):
    """SpacemiT tensor ops."""


def fail(op: ir.OpView, message: str) -> bool:
    """Report the error at the op; false, for a verifier to return."""
    op.operation.location.emit_error(f"'{op.operation.name}' op {message}")
    return False


def _effects(*kinds: ir.MemoryEffect) -> type:
    """A trait: the op has these effects on memory, and no others."""

    class Effects(ir.MemoryEffectsOpInterface):
        @staticmethod
        def get_effects(op: ir.Operation, effects: Any) -> None:
            for kind in kinds:
                effects.append(kind)

    return Effects


READS, WRITES = _effects(ir.MemoryEffect.Read), _effects(ir.MemoryEffect.Write)
UPDATES = _effects(ir.MemoryEffect.Read, ir.MemoryEffect.Write)


def attribute(op: ir.OpView, name: str) -> ir.Attribute | None:
    """None where there is none of this name, or one that the bindings have no class for."""
    try:
        return op.operation.attributes[name] if name in op.operation.attributes else None
    except TypeError:
        return None


def counted(operands: Sequence[int], results: int) -> Callable[[Callable[[Any], bool]], Callable[[Any], bool]]:
    """Check the numbers of operands (one of `operands`) and results before the decorated rules ask for them."""

    def decorate(rules: Callable[[Any], bool]) -> Callable[[Any], bool]:
        @functools.wraps(rules)
        def verify(op: ir.OpView) -> bool:
            operation = op.operation
            if len(operation.operands) not in operands or len(operation.results) != results:
                expected = " or ".join(map(str, operands))
                return fail(op, f"must have {expected} operand(s) and {results} result(s)")
            return rules(op)

        return verify

    return decorate


def shape_of(type_: ir.Type) -> list[int]:
    """The extents of a block; none for a scalar."""
    return list(type_.shape) if isinstance(type_, ir.RankedTensorType) else []


def element_of(type_: ir.Type) -> ir.Type:
    """The type of a block's elements; a scalar's own."""
    return type_.element_type if isinstance(type_, ir.ShapedType) else type_


def verify_word(op: ir.OpView, name: str, known: Sequence[str]) -> bool:
    """Check that the attribute `name` is one of the `known` strings."""
    word = attribute(op, name)
    if not isinstance(word, ir.StringAttr) or word.value not in known:
        return fail(op, f"{name} must be one of {', '.join(known)}; got {word}")
    return True


def verify_scalars(op: ir.OpView, values: Sequence[ir.Value], type_: str, what: str) -> bool:
    """Check that values are scalars of the type written `type_`; a message calls each of them `what`."""
    for value in values:
        if str(value.type) != type_:
            return fail(op, f"{what} must be {type_}, got {value.type}")
    return True
