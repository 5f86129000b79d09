"""The one table of functions: a name's expansion for float32 and float64, from which the narrower types follow."""

from collections.abc import Callable
from dataclasses import dataclass

from triton_spacemit.passes.math import exponential, hyperbolic, logarithm
from triton_spacemit.passes.math.builder import BITS, Builder, Lanes

Expansion = Callable[..., Lanes]


@dataclass(frozen=True)
class Function:
    """An expansion by element type; a type without one is computed in the next wider one and rounded once."""

    f64: Expansion
    f32: Expansion | None = None
    f16: Expansion | None = None

    def emit(self, b: Builder, operands: list[Lanes]) -> Lanes:
        """The result in the widest float type of the operands, unless the function's own result is an integer or a truth value."""
        floats = [operand.kind for operand in operands if operand.is_float]
        kind = max(floats, key=lambda kind: (BITS[kind], kind == "f16"))
        if len({BITS[k] for k in floats}) == 1 and len(set(floats)) > 1:
            kind = "f32"  # float16 with bfloat16
        work = kind
        while work == "bf16" or getattr(self, work) is None:
            work = "f64" if work == "f32" else "f32"
        result = getattr(self, work)(b, *(operand.to(work) if operand.is_float else operand for operand in operands))
        return result.to(kind) if result.kind == work else result


def _same(expansion: Expansion) -> Function:
    return Function(expansion, expansion, expansion)


FUNCTIONS = {
    "exp": Function(exponential.exp_f64, exponential.exp_f32),
    "exp2": Function(exponential.exp2_f64, exponential.exp2_f32),
    "exp10": Function(exponential.exp10_f64),
    "expm1": Function(exponential.expm1_f64),
    "log": Function(logarithm.log_f64, logarithm.log_f32),
    "log2": Function(logarithm.log2_f64, logarithm.log2_f32),
    "log10": Function(logarithm.log10_f64, logarithm.log10_f32),
    "log1p": Function(logarithm.log1p_f64),
    "sinh": Function(hyperbolic.sinh_f64),
    "cosh": Function(hyperbolic.cosh_f64),
    "tanh": Function(hyperbolic.tanh_f64, hyperbolic.tanh_f32),
}
