"""The `xsmt` dialect: block memory accesses resolved to base, strides and bounds; packed products; buffers; barriers.

`smt` is the name of the Python language module; upstream MLIR already owns an `smt` dialect, hence `xsmt` in IR.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext


class XSMT(ext.Dialect, name="xsmt"):
    """SpacemiT tensor ops."""


def _fail(op: ir.OpView, message: str) -> bool:
    op.operation.location.emit_error(f"'{op.operation.name}' op {message}")
    return False


# The operands of each op in order: 1 is one value, * any number, ? none or one.
_SEGMENTS = {
    "xsmt.descriptor_load": "1***??",
    "xsmt.descriptor_store": "11***?",
    "xsmt.gather": "11***??",
    "xsmt.scatter": "111***?",
    "xsmt.atomic_rmw": "1?1***?",
    "xsmt.atomic_cas": "1?11***?",
    "xsmt.atomic_poll": "1?1***??",
}


def _verifier(rules: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Check that operands and results are there before `rules` ask for them: an exception in a verifier would end the process."""

    @functools.wraps(rules)
    def verify(op: ir.OpView) -> bool:
        operation = op.operation
        kinds = _SEGMENTS[operation.name]
        sizes = operation.attributes["operandSegmentSizes"] if "operandSegmentSizes" in operation.attributes else None
        if not isinstance(sizes, ir.DenseI32ArrayAttr) or len(sizes) != len(kinds):
            return _fail(op, f"operandSegmentSizes must be {len(kinds)} numbers")
        fits = all(size == 1 if kind == "1" else 0 <= size and (kind == "*" or size <= 1) for kind, size in zip(kinds, sizes, strict=True))
        if not fits or sum(sizes) != len(operation.operands):
            return _fail(op, f"operandSegmentSizes {list(sizes)} do not fit its {len(operation.operands)} operands")
        expected = 0 if operation.name in ("xsmt.descriptor_store", "xsmt.scatter") else 1
        if len(operation.results) != expected:
            return _fail(op, f"must have {expected} result(s), got {len(operation.results)}")
        return rules(op)

    return verify


def _shape(type_: ir.Type) -> list[int]:
    return list(type_.shape) if isinstance(type_, ir.RankedTensorType) else []


def _element(type_: ir.Type) -> ir.Type:
    return type_.element_type if isinstance(type_, ir.ShapedType) else type_


def _verify_access(op: ir.OpView, block: ir.Type) -> bool:
    """Rules shared by every access: a pointer base; i64 strides and bounds, one a dimension; masks of the block's shape."""
    shape = _shape(block)
    element = _element(block)
    if not isinstance(element, ir.IntegerType | ir.FloatType):
        return _fail(op, f"cannot access elements of type {element}")
    if any(extent < 1 for extent in shape):
        return _fail(op, f"needs a static shape, got {block}")
    if str(op.base.type) != "!llvm.ptr":
        return _fail(op, f"base must be !llvm.ptr, got {op.base.type}")
    for name in ("strides", "lower", "upper"):
        values = getattr(op, name)
        if len(values) != len(shape):
            return _fail(op, f"needs one of {name} for each of the {len(shape)} dimensions of {block}, got {len(values)}")
        for value in values:
            if str(value.type) != "i64":
                return _fail(op, f"{name} must be i64, got {value.type}")
    if op.mask is not None:
        if _shape(op.mask.type) != shape or str(_element(op.mask.type)) != "i1":
            return _fail(op, f"mask must be i1 of the shape of {block}, got {op.mask.type}")
    index = getattr(op, "index", None)
    if index is not None:
        if _shape(index.type) != shape or str(_element(index.type)) not in ("i32", "i64"):
            return _fail(op, f"index must be i32 or i64 of the shape of {block}, got {index.type}")
    return True


def _verify_other(op: ir.OpView) -> bool:
    if op.other is not None and op.other.type not in (op.result.type, _element(op.result.type)):
        return _fail(op, f"other must be {op.result.type} or its element, got {op.other.type}")
    return True


class DescriptorLoadOp(XSMT.Operation, name="descriptor_load"):
    """Load a strided block: `result[i] = base[sum_d strides[d] * i[d]]` (strides in elements).

    Element i is read if `lower[d] <= i[d] < upper[d]` on every dimension d and `mask[i]` holds; elsewhere it is `other[i]`
    (unspecified without `other`) and memory is not touched. `lower` and `upper` count in the block's own index space and
    need not be clamped to it. A dimension without a bound has the constants 0 and its extent.

    ```mlir
    %x = "xsmt.descriptor_load"(%base, %stride, %lo, %hi, %other)
         {operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 1>} : (!llvm.ptr, i64, i64, i64, f32) -> tensor<1024xf32>
    ```
    """

    base: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    other: ext.Operand[Any] | None
    result: ext.Result[Any]

    @staticmethod
    @_verifier
    def verify_invariants(op: "DescriptorLoadOp") -> bool:
        if not isinstance(op.result.type, ir.RankedTensorType):
            return _fail(op, f"result must be a ranked tensor, got {op.result.type}")
        return _verify_access(op, op.result.type) and _verify_other(op)


class DescriptorStoreOp(XSMT.Operation, name="descriptor_store"):
    """Store a strided block: `base[sum_d strides[d] * i[d]] = value[i]` where bounds and mask hold, as in `descriptor_load`."""

    base: ext.Operand[Any]
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None

    @staticmethod
    @_verifier
    def verify_invariants(op: "DescriptorStoreOp") -> bool:
        if not isinstance(op.value.type, ir.RankedTensorType):
            return _fail(op, f"value must be a ranked tensor, got {op.value.type}")
        return _verify_access(op, op.value.type)


def _attribute(op: ir.OpView, name: str) -> ir.Attribute | None:
    return op.operation.attributes[name] if name in op.operation.attributes else None


def _verify_word(op: ir.OpView, name: str, known: Sequence[str]) -> bool:
    word = _attribute(op, name)
    if not isinstance(word, ir.StringAttr) or word.value not in known:
        return _fail(op, f"{name} must be one of {', '.join(known)}; got {word}")
    return True


def _verify_unit(op: ir.OpView) -> bool:
    unit = _attribute(op, "unit")
    if not isinstance(unit, ir.IntegerAttr) or unit.value < 1:
        return _fail(op, f"unit must be a positive integer of bytes, got {unit}")
    return True


class GatherOp(XSMT.Operation, name="gather"):
    """Load with an index: the byte address of element i is `base + size * sum_d strides[d] * i[d] + unit * index[i]`.

    `size` is the element's size in bytes. Bounds, mask and other as in `descriptor_load`.
    """

    base: ext.Operand[Any]
    index: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    other: ext.Operand[Any] | None
    result: ext.Result[Any]
    unit: ir.IntegerAttr

    @staticmethod
    @_verifier
    def verify_invariants(op: "GatherOp") -> bool:
        if not isinstance(op.result.type, ir.RankedTensorType):
            return _fail(op, f"result must be a ranked tensor, got {op.result.type}")
        return _verify_access(op, op.result.type) and _verify_other(op) and _verify_unit(op)


class ScatterOp(XSMT.Operation, name="scatter"):
    """Store with an index, addresses as in `gather`. Where two active elements share an address, either may win."""

    base: ext.Operand[Any]
    index: ext.Operand[Any]
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    unit: ir.IntegerAttr

    @staticmethod
    @_verifier
    def verify_invariants(op: "ScatterOp") -> bool:
        if not isinstance(op.value.type, ir.RankedTensorType):
            return _fail(op, f"value must be a ranked tensor, got {op.value.type}")
        return _verify_access(op, op.value.type) and _verify_unit(op)


RMW_KINDS = ("and", "or", "xor", "add", "fadd", "max", "min", "umax", "umin", "xchg", "fmax", "fmin")
ORDERS = ("relaxed", "acquire", "release", "acq_rel")


def _verify_atomic(op: ir.OpView, value: ir.Type) -> bool:
    if op.result.type != value:
        return _fail(op, f"result must be of the value's type {value}, got {op.result.type}")
    return _verify_word(op, "order", ORDERS) and _verify_access(op, value) and _verify_unit(op)


class AtomicRMWOp(XSMT.Operation, name="atomic_rmw"):
    """Read, combine with `value` by `kind` and write back, atomically for each active element; the result is the old value.

    Addresses, bounds and mask as in `scatter`; a scalar `value` has no strides, bounds or index. Inactive elements are 0.
    """

    base: ext.Operand[Any]
    index: ext.Operand[Any] | None
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    result: ext.Result[Any]
    kind: ir.StringAttr
    order: ir.StringAttr
    unit: ir.IntegerAttr

    @staticmethod
    @_verifier
    def verify_invariants(op: "AtomicRMWOp") -> bool:
        return _verify_word(op, "kind", RMW_KINDS) and _verify_atomic(op, op.value.type)


class AtomicPollOp(XSMT.Operation, name="atomic_poll"):
    """Read each active element until it equals `expected`; the result says whether it did before `timeout` nanoseconds were over.

    Without `timeout` it waits for ever. The time is that of the whole op; every element is read at least once. Addresses as in `atomic_rmw`.
    """

    base: ext.Operand[Any]
    index: ext.Operand[Any] | None
    expected: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    timeout: ext.Operand[Any] | None
    result: ext.Result[Any]
    order: ir.StringAttr
    unit: ir.IntegerAttr

    @staticmethod
    @_verifier
    def verify_invariants(op: "AtomicPollOp") -> bool:
        expected = op.expected.type
        if _shape(op.result.type) != _shape(expected) or str(_element(op.result.type)) != "i1":
            return _fail(op, f"result must be i1 of the shape of {expected}, got {op.result.type}")
        if op.timeout is not None and str(op.timeout.type) != "i64":
            return _fail(op, f"timeout must be i64, got {op.timeout.type}")
        return _verify_word(op, "order", ORDERS) and _verify_access(op, expected) and _verify_unit(op)


class AtomicCASOp(XSMT.Operation, name="atomic_cas"):
    """Compare with `compare` and, where equal bit for bit, write `value`; atomically for each element. The result is the old value."""

    base: ext.Operand[Any]
    index: ext.Operand[Any] | None
    compare: ext.Operand[Any]
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    result: ext.Result[Any]
    order: ir.StringAttr
    unit: ir.IntegerAttr

    @staticmethod
    @_verifier
    def verify_invariants(op: "AtomicCASOp") -> bool:
        if op.compare.type != op.value.type:
            return _fail(op, f"compare must be of the value's type {op.value.type}, got {op.compare.type}")
        return _verify_atomic(op, op.value.type)
