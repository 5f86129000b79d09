"""Functions together with the ops around them: what is known of the operand, or what is done with the result, makes less of both."""

import math

from torch_mlir import ir

from triton_spacemit.dialect.exactness import Exactness
from triton_spacemit.dialect.module import NONPOSITIVE
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.math.builder import Builder
from triton_spacemit.passes.math.error import one_plus_erf_f32, times_one_plus_erf_f32
from triton_spacemit.passes.math.exponential import exp2_nonpositive_f32, exp_nonpositive_f32, one_plus_exp_f32, sigmoid_f32
from triton_spacemit.passes.math.hyperbolic import one_plus_tanh_f32
from triton_spacemit.passes.math.lanes import Lanes
from triton_spacemit.passes.math.scalable import repeated_number

_ONE_PLUS = {"tanh": one_plus_tanh_f32, "erf": one_plus_erf_f32}
_NONPOSITIVE = {"exp": exp_nonpositive_f32, "exp2": exp2_nonpositive_f32}


def together(b: Builder, op: ir.Operation, function: str) -> Lanes | None:
    """The result of the op, which computes `function`, where there is a shorter way to it."""
    return _sum_with_one(b, op, function) or _square(b, op, function) or _exp_of_nonpositive(b, op, function) or _sigmoid(b, op, function)


def _scaled(value: ir.Value) -> tuple[ir.Value, float]:
    """A value as another one times a positive number of moderate size, as the argument of gelu's erf is."""
    owner = value.owner
    if not isinstance(owner, ir.Block) and owner.name in ("arith.mulf", "arith.divf"):
        x, y = owner.operands
        if owner.name == "arith.mulf" and repeated_number(y) is None:
            x, y = y, x
        number = repeated_number(y)
        if number is not None and 0.125 <= number <= 8.0:
            return x, number if owner.name == "arith.mulf" else 1.0 / number
    return value, 1.0


def _sum_with_one(b: Builder, op: ir.Operation, function: str) -> Lanes | None:
    """1 + tanh(x) or 1 + erf(x), as in gelu, at once: the function becomes the sum, and its only user adds nothing to it."""
    one_plus = _ONE_PLUS.get(function)
    if one_plus is None or b.types.describe(op.result.type)[0] != "f32":
        return None
    found = _only_sum_with_one(op)
    if found is None:
        return None
    user, other = found
    x = b.lanes(op.operands[0])
    if one_plus is one_plus_erf_f32:
        scaled, factor = _scaled(op.operands[0])
        times = _times_one_plus_erf(b, user, scaled, factor)
        if times is not None:
            return times
        user.operands[other] = x.like(-0.0).value
        return one_plus_erf_f32(b, b.lanes(scaled), factor)
    user.operands[other] = x.like(-0.0).value
    return one_plus(b, x)


def _times_one_plus_erf(b: Builder, total: ir.Operation, x: ir.Value, factor: float) -> Lanes | None:
    """The sum 1 + erf(factor x) that is only multiplied, by a multiple of x as in gelu: the product becomes the result, times 1."""
    uses = list(total.results[0].uses)
    product = uses[0].owner
    if len(uses) != 1 or product.name != "arith.mulf":
        return None
    y, multiple = _scaled(product.operands[1 - uses[0].operand_number])
    if y != x:
        return None
    result = times_one_plus_erf_f32(b, b.lanes(x) * multiple, factor / multiple, _is_only_rounded(b, product.result))
    product.operands[0], product.operands[1] = result.value, result.like(1.0).value
    return result


def _is_only_rounded(b: Builder, value: ir.Value) -> bool:
    """Whether nothing is used of a value but what is left of it in bfloat16."""
    return all(use.owner.name == "arith.truncf" and b.types.describe(use.owner.result.type)[0] == "bf16" for use in value.uses)


def _square(b: Builder, op: ir.Operation, function: str) -> Lanes | None:
    """A number to the power of 2, which is its product with itself, rounded as that: also of zeros, infinities and NaN."""
    if function != "pow" or b.types.describe(op.result.type)[0] not in ("f32", "f64") or repeated_number(op.operands[1]) != 2.0:
        return None
    x = b.lanes(op.operands[0])
    return x * x


def _only_sum_with_one(op: ir.Operation) -> tuple[ir.Operation, int] | None:
    """The sum with 1 that alone uses the op's result, and which of its operands the 1 is."""
    uses = list(op.result.uses)
    if len(uses) != 1 or uses[0].owner.name != "arith.addf":
        return None
    user, other = uses[0].owner, 1 - uses[0].operand_number
    return (user, other) if repeated_number(user.operands[other]) == 1.0 else None


def _exp_of_nonpositive(b: Builder, op: ir.Operation, function: str) -> Lanes | None:
    """exp(x) and 2^x where the loops have proven that x is not above zero."""
    expansion = _NONPOSITIVE.get(function)
    x = b.lanes(op.operands[0])
    if expansion is None or NONPOSITIVE not in op.attributes or not b.types.riscv or x.kind != "f32":
        return None
    return expansion(b, x, Exactness(op.attributes[NONPOSITIVE].value))


def _sigmoid(b: Builder, op: ir.Operation, function: str) -> Lanes | None:
    """1 / (1 + exp(x)) at once: the quotient becomes the result itself, divided by 1.

    Where it is only a factor, the other factor is divided instead: the product becomes this quotient, times 1.
    """
    if function != "exp" or not b.types.riscv or b.types.describe(op.result.type)[0] != "f32":
        return None
    found = _only_sum_with_one(op)
    uses = [] if found is None else list(found[0].result.uses)
    if len(uses) != 1 or uses[0].owner.name != "arith.divf" or uses[0].operand_number != 1:
        return None
    quotient = uses[0].owner
    if repeated_number(quotient.operands[0]) != 1.0:
        return None
    value, factor = _multiple(op.operands[0])
    x = b.lanes(value)
    x = x if factor == 1.0 else _negated(b, value) if factor == -1.0 else x * factor
    uses = list(quotient.result.uses)
    product = uses[0].owner
    if len(uses) == 1 and product.name == "arith.mulf" and product.operation.block == op.operation.block:
        divisor, other = one_plus_exp_f32(b, x), product.operands[1 - uses[0].operand_number]
        divided = Builder(b.types, b.entry, b.constants, product).lanes(other) / divisor
        product.operands[0], product.operands[1] = divided.value, x.like(1.0).value
        return divisor
    result = sigmoid_f32(b, x)
    quotient.operands[0], quotient.operands[1] = result.value, x.like(1.0).value
    return result


def _negated(b: Builder, value: ir.Value) -> Lanes:
    """0 - value, of which every NaN is the canonical one: of a product that nothing else needs in one instruction with it."""
    product = producer_of(value, "arith.mulf")
    if product is None or len(list(value.uses)) != 1 or any(repeated_number(operand) is not None for operand in product.operands):
        return 0.0 - b.lanes(value)
    x, y = (b.lanes(operand) for operand in product.operands)
    return b.fma(-x, y, 0.0)


def _multiple(value: ir.Value) -> tuple[ir.Value, float]:
    """A value as another one times a number: products with powers of two and negations around one product with a constant are one product.

    It is rounded once, as that one is; only of zero the sign may be another.
    """
    outer = 1.0
    while True:
        op = producer_of(value, "arith.negf", "arith.subf", "arith.mulf")
        if op is None:
            break
        if op.name == "arith.negf":
            value, outer = op.operands[0], -outer
        elif op.name == "arith.subf":
            if repeated_number(op.operands[0]) != 0.0:
                break
            value, outer = op.operands[1], -outer
        else:
            x, number = op.operands[0], repeated_number(op.operands[1])
            if number is None:
                x, number = op.operands[1], repeated_number(op.operands[0])
            if number is None or not 2.0**-64 <= abs(number) <= 2.0**64:
                break
            value, outer = x, outer * number
            if abs(math.frexp(number)[0]) != 0.5:
                break
    return value, outer
