"""The table of element-wise operators.

A row has what PyTorch's schemas do not say: which function computes it, on which dtypes, and what dtype the result has.
"""

from dataclasses import dataclass
from typing import Any

FLOATS = ("float32", "float16", "bfloat16", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
INTEGERS = (*SIGNED, "uint8")
NUMBERS = (*FLOATS, *INTEGERS)
ALL = (*NUMBERS, "bool")


@dataclass(frozen=True)
class Row:
    """overloads: of PyTorch's `aten` namespace. dtypes: of operands and of what is computed.

    function: in a module of this folder; where an argument is a word or a truth value, its name is appended (`gelu_tanh`). result: the
    result's dtype is the one that operands are promoted to, or "float" (the same, and the default float of integers), "bool", or "self"
    (the first operand's). choose: the function of `choices` that looks at the arguments first. same: operands must be of one dtype.
    exact_out: a given tensor must have the result's dtype. stepwise: float16 and bfloat16 are rounded after each step.
    like: dtypes of a first operand whose strides the result has, gaps aside. contiguous: a new result is that, whatever operands are.
    copied: dtypes of which PyTorch copies a result into a given tensor, which is contiguous where it is resized. stand_in: a number of
    PyTorch's own stands for a further tensor. error: the largest one in float32, in units in the last place of the exact result; 0 where
    it is that of the steps, whose terms may cancel.
    operator: the name of the operator in the registry, where that has several rows.
    """

    name: str
    overloads: tuple[str, ...]
    dtypes: tuple[str, ...]
    function: str
    result: str = ""
    choose: str = ""
    same: bool = False
    exact_out: bool = False
    stepwise: bool = False
    like: tuple[str, ...] = ()
    contiguous: bool = False
    copied: tuple[str, ...] = ()
    stand_in: bool = False
    error: float = 0.5
    operator: str = ""

    @property
    def part_of(self) -> str:
        """The operator of the registry that has these overloads."""
        return self.operator or self.name


def _row(name: str, overloads: str, dtypes: tuple[str, ...], function: str = "", **rest: Any) -> Row:
    return Row(name, tuple(overloads.split()), dtypes, function or name, **rest)


def _unary(names: str, dtypes: tuple[str, ...], result: str = "", **rest: Any) -> list[Row]:
    """Operators of one tensor, each with forms in place and into a given tensor."""
    return [_row(name, f"{name} {name}_ {name}.out", dtypes, result=result, **rest) for name in names.split()]


def _clamps(name: str, **rest: Any) -> list[Row]:
    """Between numbers, and between tensors."""
    forms = f"{name}.Tensor {name}_.Tensor {name}.Tensor_out"
    return [*_unary(name, NUMBERS, exact_out=True, **rest), _row(f"{name}_tensor", forms, NUMBERS, name, operator=name, **rest)]


def _comparisons(names: str) -> list[Row]:
    forms = "{0}.Tensor {0}.Scalar {0}.Tensor_out {0}.Scalar_out {0}_.Tensor {0}_.Scalar"
    return [_row(name, forms.format(name), ALL, result="bool") for name in names.split()]


def _backward(name: str, function: str = "", choose: str = "", out: str = "grad_input") -> Row:
    """The gradient of an operator of this table."""
    own = f"{name}_backward"
    return _row(own, f"{own} {own}.{out}" if out else own, FLOATS, function or own, choose=choose, operator=name)


ROWS: tuple[Row, ...] = (
    # Activations and their gradients.
    _row("gelu", "gelu gelu_ gelu.out", FLOATS, exact_out=True, error=0),
    _backward("gelu"),
    *_unary("silu mish hardswish hardsigmoid", FLOATS, error=4),
    _backward("silu"),
    _backward("mish", out=""),
    _backward("hardswish", out="out"),
    _backward("hardsigmoid"),
    *_unary("sigmoid tanh", ALL, "float", error=3),
    _backward("sigmoid"),
    _backward("tanh"),
    _row("relu", "relu relu_ relu.out", NUMBERS),
    _row("threshold", "threshold threshold_ threshold.out", NUMBERS, choose="truncated"),
    _row("threshold_backward", "threshold_backward threshold_backward.grad_input", NUMBERS, choose="truncated", operator="threshold"),
    _row("hardtanh", "hardtanh hardtanh_ hardtanh.out", NUMBERS, choose="ordered_limits", exact_out=True, like=ALL),
    _backward("hardtanh"),
    _row("leaky_relu", "leaky_relu leaky_relu_ leaky_relu.out", FLOATS, error=1),
    _backward("leaky_relu"),
    _row("_prelu_kernel", "_prelu_kernel", FLOATS, "prelu", operator="prelu", like=ALL),
    _row("elu", "elu elu_ elu.out", FLOATS, error=2),
    _backward("elu"),
    _row("softplus", "softplus softplus.out", FLOATS, exact_out=True, error=0),
    _backward("softplus"),
    _backward("log_sigmoid"),
    _row("softshrink", "softshrink softshrink.out", FLOATS, exact_out=True, choose="not_negative"),
    _backward("softshrink", "shrink_backward"),
    _row("hardshrink", "hardshrink hardshrink.out", FLOATS, exact_out=True),
    _backward("hardshrink", "shrink_backward"),
    _row("logit", "logit logit_ logit.out", ALL, result="float", choose="margin", error=0),
    _backward("logit", choose="margin"),
    _row("native_dropout_backward", "native_dropout_backward native_dropout_backward.out", FLOATS),
    # Functions of one operand.
    *_unary("sqrt reciprocal", ALL, "float"),
    *_unary("rsqrt", ALL, "float", error=2),
    *_unary("exp exp2 expm1 log log2 log10 log1p", ALL, "float", error=1),
    *_unary("sin cos tan asin acos atan sinh cosh asinh acosh atanh", ALL, "float", error=1),
    *_unary("erf erfc erfinv lgamma", ALL, "float", error=1),
    *_unary("sinc", ALL, "float", error=0),
    *_unary("deg2rad rad2deg", ALL, "float", error=1, like=ALL, stand_in=True),
    *_unary("floor ceil trunc round abs neg", NUMBERS, exact_out=True),
    *_unary("frac", FLOATS, exact_out=True),
    _row(
        "round_decimals",
        "round.decimals round_.decimals round.decimals_out",
        FLOATS,
        "round",
        choose="decimals",
        exact_out=True,
        operator="round",
    ),
    *_unary("sign", ALL, exact_out=True),
    *_unary("sgn", ALL, function="sign", exact_out=True),
    *_unary("bitwise_not", (*INTEGERS, "bool"), exact_out=True),
    _row(
        "nan_to_num",
        "nan_to_num nan_to_num_ nan_to_num.out",
        ALL,
        choose="replacements",
        exact_out=True,
        like=ALL,
        copied=(*INTEGERS, "bool"),
    ),
    # Arithmetic.
    _row("add", "add.Tensor add_.Tensor add.out", ALL, choose="scaled_sum"),
    _row("sub", "sub.Tensor sub_.Tensor sub.out", NUMBERS, choose="scaled_sum"),
    _row("mul", "mul.Tensor mul_.Tensor mul.out", ALL),
    _row("div", "div.Tensor div_.Tensor div.out", ALL, result="float"),
    _row(
        "div_rounded",
        "div.Tensor_mode div_.Tensor_mode div.out_mode",
        NUMBERS,
        "div",
        choose="rounded_division",
        stepwise=True,
        operator="div",
    ),
    _row("floor_divide", "floor_divide floor_divide_.Tensor floor_divide.out", NUMBERS, "div_floor", choose="division"),
    _row("remainder", "remainder.Tensor remainder_.Tensor remainder.Tensor_out remainder.Scalar_Tensor", NUMBERS, choose="division"),
    _row("fmod", "fmod.Tensor fmod_.Tensor fmod.Tensor_out", NUMBERS, choose="division"),
    _row("maximum", "maximum maximum.out", ALL),
    _row("minimum", "minimum minimum.out", ALL),
    _row("fmax", "fmax fmax.out", ALL),
    _row("fmin", "fmin fmin.out", ALL),
    _row("atan2", "atan2 atan2_ atan2.out", ALL, result="float", error=1),
    _row("hypot", "hypot hypot_ hypot.out", FLOATS, error=1),
    _row("copysign", "copysign.Tensor copysign_.Tensor copysign.out", ALL, result="float"),
    _row("xlogy", "xlogy.Tensor xlogy_.Tensor xlogy.OutTensor", ALL, result="float", error=2),
    _row("logaddexp", "logaddexp logaddexp.out", FLOATS, error=0),
    _row("heaviside", "heaviside heaviside_ heaviside.out", ALL, same=True, exact_out=True),
    _row(
        "pow",
        "pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar pow.Tensor_Tensor_out pow.Tensor_Scalar_out pow.Scalar_out pow_.Tensor pow_.Scalar",
        ALL,
        choose="power",
        error=1,
    ),
    *_clamps("clamp", choose="limits"),
    *_clamps("clamp_min"),
    *_clamps("clamp_max"),
    _row("lerp", "lerp.Scalar lerp_.Scalar lerp.Scalar_out", FLOATS, same=True, error=0),
    _row("lerp_tensor", "lerp.Tensor lerp_.Tensor lerp.Tensor_out", FLOATS, "lerp", same=True, exact_out=True, error=0, operator="lerp"),
    _row("addcmul", "addcmul addcmul_ addcmul.out", NUMBERS, choose="scaled", error=0),
    _row("addcdiv", "addcdiv addcdiv_ addcdiv.out", FLOATS, choose="scaled", error=0),
    *(
        _row(f"bitwise_{name}", f"bitwise_{name}.Tensor bitwise_{name}_.Tensor bitwise_{name}.Tensor_out", (*INTEGERS, "bool"))
        for name in ("and", "or", "xor")
    ),
    *(
        _row(
            f"bitwise_{name}_shift",
            f"bitwise_{name}_shift.Tensor bitwise_{name}_shift_.Tensor bitwise_{name}_shift.Tensor_out",
            INTEGERS,
        )
        for name in ("left", "right")
    ),
    # Truth values.
    *_comparisons("eq ne lt le gt ge"),
    *_unary("logical_not", ALL, "bool"),
    *(_row(f"logical_{name}", f"logical_{name} logical_{name}_ logical_{name}.out", ALL, result="bool") for name in ("and", "or", "xor")),
    _row("isnan", "isnan isnan.out", ALL, result="bool", copied=ALL),
    _row("isinf", "isinf isinf.out", ALL, result="bool", like=(*INTEGERS, "bool"), copied=ALL, stand_in=True),
    _row("isposinf", "isposinf isposinf.out", ALL, result="bool", exact_out=True),
    _row("isneginf", "isneginf isneginf.out", ALL, result="bool", exact_out=True),
    _row("signbit", "signbit signbit.out", ALL, result="bool", exact_out=True),
    _row("where", "where.self where.self_out", ALL, exact_out=True),
    _row(
        "masked_fill",
        "masked_fill.Scalar masked_fill_.Scalar masked_fill.Tensor masked_fill_.Tensor",
        ALL,
        result="self",
        choose="filling",
        contiguous=True,
    ),
)
