"""How a function of libdevice becomes an operation: its operands in one type and shape, as an external call that the compiler expands."""

from typing import Any

from triton.language import core

_SYMBOL = "__xsmt_"
_RANK = {"bf16": 1, "fp16": 1, "fp32": 2, "fp64": 3}


def _float_type(dtypes: list[core.dtype]) -> core.dtype:
    """The type that operands of `dtypes` are computed in."""
    floats = []
    for dtype in dtypes:
        if dtype.is_int():
            floats.append(core.float64 if dtype.primitive_bitwidth > 32 else core.float32)
        elif dtype.is_fp8() or not dtype.is_floating():
            raise TypeError(f"libdevice functions take float16, bfloat16, float32, float64 or integers, not {dtype}")
        else:
            floats.append(dtype)
    if {dtype.name for dtype in floats} == {"fp16", "bf16"}:
        return core.float32
    return max(floats, key=lambda dtype: _RANK[dtype.name])


def of_floats(name: str, operands: list[Any], semantic: Any, result: core.dtype | None = None, integers: int = 0) -> core.tensor:
    """An element-wise call; the last `integers` operands stay int32, a number takes the type of the tensors."""
    operands = [core._unwrap_if_constexpr(operand) for operand in operands]
    count = len(operands) - integers
    typed = [operand.dtype for operand in operands[:count] if isinstance(operand, core.tensor)]
    dtype = _float_type(typed or [core.float32])
    operands = [semantic.to_tensor(operand) for operand in operands]
    kinds = [dtype] * count + [core.int32] * integers
    operands = [semantic.cast(operand, kind) for operand, kind in zip(operands, kinds, strict=True)]
    return _emit(name, _together(operands, semantic), result or dtype, semantic)


def _emit(name: str, operands: list[Any], result: core.dtype, semantic: Any) -> core.tensor:
    """The call of operands that already have one shape."""
    first = operands[0]
    type_ = first.type.with_element_ty(result) if first.type.is_block() else result
    handles, builder = [operand.handle for operand in operands], semantic.builder
    return core.tensor(builder.create_extern_elementwise("", "", _SYMBOL + name, handles, type_.to_ir(builder), True), type_)


def _together(operands: list[core.tensor], semantic: Any) -> list[core.tensor]:
    """The operands in their common shape."""
    shape = operands[0]
    for operand in operands[1:]:
        _, shape = semantic.broadcast_impl_value(operand, shape)
    return [semantic.broadcast_impl_value(operand, shape)[0] for operand in operands]


def of_integers(name: str, operands: list[Any], semantic: Any, result: core.dtype | None = None, signs: bool = False) -> core.tensor:
    """A function of integers in their widest type, at least 32 bits; with `signs` it has another name (`u...`) for unsigned ones."""
    operands = [semantic.to_tensor(core._unwrap_if_constexpr(operand)) for operand in operands]
    for operand in operands:
        if not operand.dtype.is_int():
            raise TypeError(f"libdevice.{name} takes integers, not {operand.dtype}")
    wide = max(32, *(operand.dtype.primitive_bitwidth for operand in operands)) > 32
    unsigned = all(operand.dtype.is_int_unsigned() for operand in operands)
    kind = (core.uint64 if wide else core.uint32) if unsigned else (core.int64 if wide else core.int32)
    operands = _together([semantic.cast(operand, kind) for operand in operands], semantic)
    return _emit("u" + name if signs and unsigned else name, operands, result or kind, semantic)


def converted(name: str, operand: Any, source: core.dtype, result: core.dtype, semantic: Any) -> core.tensor:
    """A conversion of one type to another, with a mode of rounding."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    return _emit(name, [semantic.cast(operand, source)], result, semantic)


def reinterpreted(operand: Any, source: core.dtype, result: core.dtype, semantic: Any) -> core.tensor:
    """The same bits as a value of another type."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    return semantic.bitcast(semantic.cast(operand, source), result)


def count_of(name: str, operand: Any, semantic: Any) -> core.tensor:
    """A function from integers to int32."""
    operand = semantic.to_tensor(core._unwrap_if_constexpr(operand))
    if not operand.dtype.is_int():
        raise TypeError(f"libdevice.{name} takes integers, not {operand.dtype}")
    return _emit(name, [operand], core.int32, semantic)
