"""The one table of functions: a name's expansion for float32 and float64, from which the narrower types follow."""

from collections.abc import Callable
from dataclasses import dataclass

from triton_spacemit.passes.math import (
    bessel,
    bessel_order,
    directed,
    error,
    exponential,
    gamma,
    hyperbolic,
    integers,
    logarithm,
    normal,
    norms,
    pi_angles,
    power,
    rounding,
    tgamma,
    trigonometric,
)
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.lanes import BITS, Lanes

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
        if not floats:
            return self.f64(b, *operands)  # of integers
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


def _exactly(name: str) -> Function:
    """A method of Lanes that is one operation in every type."""
    return _same(lambda b, *operands: getattr(operands[0], name)(*operands[1:]))


def _llrint(b: Builder, x: Lanes) -> Lanes:
    """Halves to even, out of range to the nearest i64, NaN to the least one."""
    rounded = x.roundeven()
    limit = 2.0**63
    result = b.select(rounded.abs() < limit, rounded, 0.0).to("i64")
    result = b.select(rounded >= limit, 2**63 - 1, result)
    return b.select((rounded <= -limit) | rounded.is_nan(), -(2**63), result)


def _directed() -> dict[str, Function]:
    """The functions with a rounding mode as the last letter of their names."""
    table: dict[str, Function] = {}
    arithmetic = {
        "add": directed.add,
        "sub": directed.subtract,
        "mul": directed.multiply,
        "div": directed.divide,
        "fma": directed.multiply_add,
        "sqrt": directed.root,
    }
    for mode in "nzdu":
        table |= {f"{name}_r{mode}": _same(expansion(mode)) for name, expansion in arithmetic.items()}
        table[f"narrow_r{mode}"] = Function(directed.narrow(mode))
    for signed, letter in ((True, "s"), (False, "u")):
        for kind in ("f32", "f64"):
            table |= {f"{letter}_to_{kind}_r{mode}": Function(directed.from_integer(kind, signed, mode)) for mode in "nzdu"}
        for bits in (32, 64):
            table |= {f"to_{letter}{bits}_r{mode}": _same(directed.to_integer(f"i{bits}", signed, mode)) for mode in "nzdua"}
    return table


# Errors are stated at the expansions: those of float32 where there is one, else float32 is exact to 1 ulp as a rounded float64.
FUNCTIONS = {
    "exp": Function(exponential.exp_f64, exponential.exp_f32),
    "exp2": Function(exponential.exp2_f64, exponential.exp2_f32),
    "exp10": Function(exponential.exp10_f64),
    "expm1": Function(exponential.expm1_f64),
    "silu": Function(exponential.silu_f64, exponential.silu_f32),
    "log": Function(logarithm.log_f64, logarithm.log_f32),
    "log2": Function(logarithm.log2_f64, logarithm.log2_f32),
    "log10": Function(logarithm.log10_f64, logarithm.log10_f32),
    "log1p": Function(logarithm.log1p_f64, logarithm.log1p_f32),
    "sin": Function(trigonometric.sin_f64, trigonometric.sin_f32),
    "cos": Function(trigonometric.cos_f64, trigonometric.cos_f32),
    "tan": Function(trigonometric.tan_f64),
    "asin": Function(trigonometric.asin_f64),
    "acos": Function(trigonometric.acos_f64),
    "atan": Function(trigonometric.atan_f64),
    "atan2": Function(trigonometric.atan2_f64),
    "sinh": Function(hyperbolic.sinh_f64),
    "cosh": Function(hyperbolic.cosh_f64),
    "tanh": Function(hyperbolic.tanh_f64, hyperbolic.tanh_f32),
    "asinh": Function(hyperbolic.asinh_f64),
    "acosh": Function(hyperbolic.acosh_f64),
    "atanh": Function(hyperbolic.atanh_f64),
    "erf": Function(error.erf_f64, error.erf_f32),
    "erfc": Function(error.erfc_f64),
    "erfinv": Function(error.erfinv_f64),
    "gelu_none": Function(error.gelu_none_f64, error.gelu_none_f32),
    "gelu_tanh": Function(error.gelu_tanh_f64, error.gelu_tanh_f32),
    "lgamma": Function(gamma.lgamma_f64),
    "j0": Function(bessel.j0_f64),
    "j1": Function(bessel.j1_f64),
    "y0": Function(bessel.y0_f64),
    "y1": Function(bessel.y1_f64),
    "i0": Function(bessel.i0_f64),
    "i1": Function(bessel.i1_f64),
    "pow": Function(power.pow_f64, power.pow_f32),
    "cbrt": Function(power.cbrt_f64),
    "hypot": Function(power.hypot_f64),
    "rsqrt": Function(power.rsqrt, power.rsqrt),
    "fmod": Function(power.fmod_f64),
    "sqrt": _exactly("sqrt"),
    "abs": _exactly("abs"),
    "floor": _exactly("floor"),
    "ceil": _exactly("ceil"),
    "trunc": _exactly("trunc"),
    "rint": _exactly("roundeven"),
    "round": _same(rounding.round_half_away),
    "copysign": _exactly("copysign"),
    "nextafter": _same(rounding.nextafter),
    "ldexp": Function(rounding.scale_by_power, rounding.scale_by_power),
    "ilogb": _same(rounding.ilogb),
    "llrint": Function(_llrint, _llrint),
    "popc": Function(lambda b, x: x._op("math.ctpop", x)),
    "clz": Function(lambda b, x: x._op("math.ctlz", x)),
    "signbit": _same(rounding.sign_bit),
    "isnan": _same(rounding.is_nan),
    "isinf": _same(rounding.is_inf),
    "isfinite": _same(rounding.is_finite),
    "rsqrt_rn": Function(power.rsqrt),  # float32 from float64
    "erfcx": Function(normal.erfcx_f64),
    "erfcinv": Function(normal.erfcinv_f64),
    "normcdf": Function(normal.normcdf_f64),
    "normcdfinv": Function(normal.normcdfinv_f64),
    "tgamma": Function(tgamma.tgamma_f64),
    "jn": Function(bessel_order.jn_f64),
    "yn": Function(bessel_order.yn_f64),
    "sinpi": Function(pi_angles.sinpi_f64),
    "cospi": Function(pi_angles.cospi_f64),
    "rhypot": Function(norms.rhypot_f64),
    "norm": Function(norms.norm_f64),
    "rnorm": Function(norms.reciprocal_norm_f64),
    "rcbrt": Function(norms.rcbrt_f64),
    "remainder": Function(norms.remainder_f64),
    "fdim": _same(norms.positive_difference),
    "logb": _same(norms.exponent),
    "saturate": _same(norms.saturate),
    "rcp64h": Function(norms.reciprocal_high),
    "iabs": Function(integers.absolute),
    "ffs": Function(integers.first_set),
    "brev": Function(integers.reverse_bits),
    "byte_perm": Function(integers.permute_bytes),
    "mulhi": Function(integers.multiply_high),
    "umulhi": Function(integers.multiply_high_unsigned),
    "mul24": Function(integers.multiply_24),
    "umul24": Function(integers.multiply_24_unsigned),
    "sad": Function(integers.sum_of_difference),
    "usad": Function(integers.sum_of_difference_unsigned),
    "hadd": Function(integers.average),
    "uhadd": Function(integers.average_unsigned),
    "rhadd": Function(integers.average_up),
    "urhadd": Function(integers.average_up_unsigned),
    **_directed(),
}
