"""How a builtin that Triton's frontend does not have gets into the module: as a call of a private function without a body."""

import re
from collections.abc import Sequence
from typing import Any

from triton._C.libtriton import ir
from triton.language import core

Attribute = bool | int | str


def integer(value: Any, what: str) -> int:
    """A compile-time integer. Raises TypeError where `what` is none."""
    value = core._unwrap_if_constexpr(value)
    if not isinstance(value, int):
        raise TypeError(f"{what} must be a compile-time integer, got {value!r}")
    return value


def integers(values: Any, count: int | None, what: str) -> list[int]:
    """`count` (any number for None) positive compile-time integers."""
    values = core._unwrap_if_constexpr(values)
    result = [integer(value, what) for value in values]
    if count is not None and len(result) != count:
        raise ValueError(f"{what} must have {count} values, got {result}")
    if any(value < 1 for value in result):
        raise ValueError(f"{what} must be positive, got {result}")
    return result


def scalar(semantic: Any, value: Any, what: str, type_: core.dtype = core.int32) -> core.tensor:
    """A runtime or compile-time integer as a value of `type_`."""
    tensor = semantic.to_tensor(core._unwrap_if_constexpr(value))
    if tensor.type.is_block() or not tensor.dtype.is_int():
        raise TypeError(f"{what} must be an integer, got {tensor.type}")
    return semantic.cast(tensor, type_)


def call(
    generator: Any, name: str, operands: Sequence[core.tensor], results: Sequence[core.dtype], attributes: dict[str, Attribute]
) -> core.tensor | None:
    """Emit `name` with `operands`; the result of the type `results[0]`, or None where there is none."""
    builder = generator.builder
    type_ = builder.get_function_ty([operand.handle.get_type() for operand in operands], [result.to_ir(builder) for result in results])
    signature = "_".join([str(operand.type) for operand in operands] + ["to", *map(str, results)])
    symbol = f"__smt.{name}__" + re.sub(r"\W+", "_", signature.replace("*", "P"))
    if generator.module.has_function(symbol):
        function = generator.module.get_function(symbol)
    else:
        # Through a builder of its own, which has no insertion point: the function is made detached, then appended.
        detached = ir.builder(generator.context)
        detached.set_loc("smt", 0, 0)
        function = detached.get_or_insert_function(generator.module, symbol, type_, "private", True)
        generator.module.push_back(function)
    operation = builder.call(function, [operand.handle for operand in operands])
    for key, value in attributes.items():
        operation.set_attr(f"smt.{key}", _attribute(builder, value))
    return core.tensor(operation.get_result(0), results[0]) if results else None


def _attribute(builder: Any, value: Attribute) -> Any:
    if isinstance(value, bool):
        return builder.get_bool_attr(value)
    if isinstance(value, int):
        return builder.get_int32_attr(value)
    return builder.get_string_attr(value)
