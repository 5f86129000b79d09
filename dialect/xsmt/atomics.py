"""Atomics: reads and writes of blocks with an index, each element at once."""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from triton_spacemit.dialect.xsmt.accesses import grouped, verify_access, verify_unit
from triton_spacemit.dialect.xsmt.checks import UPDATES, XSMT, element_of, fail, shape_of, verify_word

RMW_KINDS = ("and", "or", "xor", "add", "fadd", "max", "min", "umax", "umin", "xchg", "fmax", "fmin")
ORDERS = ("relaxed", "acquire", "release", "acq_rel")


def _verify_atomic(op: ir.OpView, value: ir.Type) -> bool:
    if op.result.type != value:
        return fail(op, f"result must be of the value's type {value}, got {op.result.type}")
    return verify_word(op, "order", ORDERS) and verify_access(op, value) and verify_unit(op)


class AtomicRMWOp(XSMT.Operation, name="atomic_rmw", traits=[UPDATES]):
    """Read, combine with `value` by `kind` and write back, atomically for each active element; the result is the old value.

    Addresses, bounds and mask as in `scatter`; a scalar `value` has no strides, bounds or index. Inactive elements are 0.

    ```mlir
    %old = "xsmt.atomic_rmw"(%base, %value, %stride, %lo, %hi)
         {operandSegmentSizes = array<i32: 1, 0, 1, 1, 1, 1, 0>, kind = "fadd", order = "acq_rel", unit = 4 : i64}
         : (!llvm.ptr, tensor<64xf32>, i64, i64, i64) -> tensor<64xf32>
    ```
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
    @grouped
    def verify_invariants(op: "AtomicRMWOp") -> bool:
        return verify_word(op, "kind", RMW_KINDS) and _verify_atomic(op, op.value.type)


class AtomicPollOp(XSMT.Operation, name="atomic_poll", traits=[UPDATES]):
    """Read each active element until it is `expected`; the result says whether it was before `timeout` nanoseconds passed.

    Without `timeout` it waits for ever. The time is that of the whole op; every element is read once or more. Addresses as in `atomic_rmw`.

    ```mlir
    %came = "xsmt.atomic_poll"(%base, %expected, %timeout)
         {operandSegmentSizes = array<i32: 1, 0, 1, 0, 0, 0, 0, 1>, order = "acquire", unit = 4 : i64}
         : (!llvm.ptr, i32, i64) -> i1
    ```
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
    @grouped
    def verify_invariants(op: "AtomicPollOp") -> bool:
        expected = op.expected.type
        if shape_of(op.result.type) != shape_of(expected) or str(element_of(op.result.type)) != "i1":
            return fail(op, f"result must be i1 of the shape of {expected}, got {op.result.type}")
        if op.timeout is not None and str(op.timeout.type) != "i64":
            return fail(op, f"timeout must be i64, got {op.timeout.type}")
        return verify_word(op, "order", ORDERS) and verify_access(op, expected) and verify_unit(op)


class AtomicCASOp(XSMT.Operation, name="atomic_cas", traits=[UPDATES]):
    """Compare with `compare` and, where equal bit for bit, write `value`; atomically for each element. The result is the old value.

    Addresses, bounds and mask as in `atomic_rmw`.

    ```mlir
    %old = "xsmt.atomic_cas"(%base, %compare, %value)
         {operandSegmentSizes = array<i32: 1, 0, 1, 1, 0, 0, 0, 0>, order = "relaxed", unit = 8 : i64}
         : (!llvm.ptr, i64, i64) -> i64
    ```
    """

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
    @grouped
    def verify_invariants(op: "AtomicCASOp") -> bool:
        if op.compare.type != op.value.type:
            return fail(op, f"compare must be of the value's type {op.value.type}, got {op.compare.type}")
        return _verify_atomic(op, op.value.type)
