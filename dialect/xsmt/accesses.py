"""Memory accesses: strided blocks, blocks with an index."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.dialect.xsmt.checks import READS, WRITES, XSMT, attribute, element_of, fail, shape_of

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


def grouped(rules: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Check that operands and results are there before `rules` ask for them: an exception in a verifier would end the process."""

    @functools.wraps(rules)
    def verify(op: ir.OpView) -> bool:
        operation = op.operation
        kinds = _SEGMENTS[operation.name]
        sizes = attribute(op, "operandSegmentSizes")
        if not isinstance(sizes, ir.DenseI32ArrayAttr) or len(sizes) != len(kinds):
            return fail(op, f"operandSegmentSizes must be {len(kinds)} numbers")
        fits = all(size == 1 if kind == "1" else 0 <= size and (kind == "*" or size <= 1) for kind, size in zip(kinds, sizes, strict=True))
        if not fits or sum(sizes) != len(operation.operands):
            return fail(op, f"operandSegmentSizes {list(sizes)} do not fit its {len(operation.operands)} operands")
        expected = 0 if operation.name in ("xsmt.descriptor_store", "xsmt.scatter") else 1
        if len(operation.results) != expected:
            return fail(op, f"must have {expected} result(s), got {len(operation.results)}")
        return rules(op)

    return verify


def verify_access(op: ir.OpView, block: ir.Type) -> bool:
    """Rules shared by every access: a pointer base; i64 strides and bounds, one a dimension; masks of the block's shape."""
    shape = shape_of(block)
    element = element_of(block)
    if not isinstance(element, ir.IntegerType | ir.FloatType):
        return fail(op, f"cannot access elements of type {element}")
    if any(extent < 1 for extent in shape):
        return fail(op, f"needs a static shape, got {block}")
    if str(op.base.type) != "!llvm.ptr":
        return fail(op, f"base must be !llvm.ptr, got {op.base.type}")
    for name in ("strides", "lower", "upper"):
        values = getattr(op, name)
        if len(values) != len(shape):
            return fail(op, f"needs one of {name} for each of the {len(shape)} dimensions of {block}, got {len(values)}")
        for value in values:
            if str(value.type) != "i64":
                return fail(op, f"{name} must be i64, got {value.type}")
    if op.mask is not None:
        if shape_of(op.mask.type) != shape or str(element_of(op.mask.type)) != "i1":
            return fail(op, f"mask must be i1 of the shape of {block}, got {op.mask.type}")
    index = getattr(op, "index", None)
    if index is not None:
        if shape_of(index.type) != shape or str(element_of(index.type)) not in ("i32", "i64"):
            return fail(op, f"index must be i32 or i64 of the shape of {block}, got {index.type}")
    return True


def verify_other(op: ir.OpView) -> bool:
    if op.other is not None and op.other.type not in (op.result.type, element_of(op.result.type)):
        return fail(op, f"other must be {op.result.type} or its element, got {op.other.type}")
    return True


def verify_unit(op: ir.OpView) -> bool:
    unit = attribute(op, "unit")
    if not isinstance(unit, ir.IntegerAttr) or unit.value < 1:
        return fail(op, f"unit must be a positive integer of bytes, got {unit}")
    return True


def neighbours(load: ir.Operation) -> int | None:
    """The dimension along which the elements of a `descriptor_load` are known to be neighbours in memory."""
    strides = [constant_of(stride) for stride in load.operands[1 : 1 + load.results[0].type.rank]]
    return next((dim for dim, stride in enumerate(strides) if stride is not None and stride.value == 1), None)


def common_neighbours(loads: Iterable[ir.Operation]) -> int | None:
    """The dimension along which elements are neighbours of those loads of which it is known, where they agree on one."""
    along = {dim for load in loads if (dim := neighbours(load)) is not None}
    return along.pop() if len(along) == 1 else None


class DescriptorLoadOp(XSMT.Operation, name="descriptor_load", traits=[READS]):
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
    @grouped
    def verify_invariants(op: "DescriptorLoadOp") -> bool:
        if not isinstance(op.result.type, ir.RankedTensorType):
            return fail(op, f"result must be a ranked tensor, got {op.result.type}")
        return verify_access(op, op.result.type) and verify_other(op)


class DescriptorStoreOp(XSMT.Operation, name="descriptor_store", traits=[WRITES]):
    """Store a strided block: `base[sum_d strides[d] * i[d]] = value[i]` where bounds and mask hold, as in `descriptor_load`.

    Two active elements have different addresses; memory of the others is not touched. `streams`: it is not read again soon, and
    need not stay in the caches.

    ```mlir
    "xsmt.descriptor_store"(%base, %value, %s0, %s1, %lo0, %lo1, %hi0, %hi1, %mask)
         {operandSegmentSizes = array<i32: 1, 1, 2, 2, 2, 1>}
         : (!llvm.ptr, tensor<8x32xf16>, i64, i64, i64, i64, i64, i64, tensor<8x32xi1>) -> ()
    ```
    """

    base: ext.Operand[Any]
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None

    @staticmethod
    @grouped
    def verify_invariants(op: "DescriptorStoreOp") -> bool:
        if not isinstance(op.value.type, ir.RankedTensorType):
            return fail(op, f"value must be a ranked tensor, got {op.value.type}")
        streams = attribute(op, "streams")
        if streams is not None and not isinstance(streams, ir.UnitAttr):
            return fail(op, f"streams must be a unit attribute, got {streams}")
        return verify_access(op, op.value.type)


class GatherOp(XSMT.Operation, name="gather", traits=[READS]):
    """Load with an index: the byte address of element i is `base + size * sum_d strides[d] * i[d] + unit * index[i]`.

    `size` is the element's size in bytes. Bounds, mask and other as in `descriptor_load`.

    ```mlir
    %x = "xsmt.gather"(%base, %index, %stride, %lo, %hi)
         {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 0, 0>, unit = 4 : i64}
         : (!llvm.ptr, tensor<64xi32>, i64, i64, i64) -> tensor<64xf32>
    ```
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
    @grouped
    def verify_invariants(op: "GatherOp") -> bool:
        if not isinstance(op.result.type, ir.RankedTensorType):
            return fail(op, f"result must be a ranked tensor, got {op.result.type}")
        return verify_access(op, op.result.type) and verify_other(op) and verify_unit(op)


class ScatterOp(XSMT.Operation, name="scatter", traits=[WRITES]):
    """Store with an index, addresses as in `gather`. Where two active elements share an address, either may win.

    ```mlir
    "xsmt.scatter"(%base, %index, %value, %stride, %lo, %hi)
         {operandSegmentSizes = array<i32: 1, 1, 1, 1, 1, 1, 0>, unit = 4 : i64}
         : (!llvm.ptr, tensor<64xi32>, tensor<64xf32>, i64, i64, i64) -> ()
    ```
    """

    base: ext.Operand[Any]
    index: ext.Operand[Any]
    value: ext.Operand[Any]
    strides: Sequence[ext.Operand[Any]]
    lower: Sequence[ext.Operand[Any]]
    upper: Sequence[ext.Operand[Any]]
    mask: ext.Operand[Any] | None
    unit: ir.IntegerAttr

    @staticmethod
    @grouped
    def verify_invariants(op: "ScatterOp") -> bool:
        if not isinstance(op.value.type, ir.RankedTensorType):
            return fail(op, f"value must be a ranked tensor, got {op.value.type}")
        return verify_access(op, op.value.type) and verify_unit(op)
