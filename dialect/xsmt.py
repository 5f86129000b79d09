"""The `xsmt` dialect: block memory accesses resolved to base, strides and bounds; packed products; buffers; barriers.

`smt` is the name of the Python language module; upstream MLIR already owns an `smt` dialect, hence `xsmt` in IR.

A matrix packed in tiles of p0 x p1 is a 4-D block: element `[i, j, a, b]` is `matrix[i * p0 + a, j * p1 + b]`. Offsets of views count
elements of the matrix, also for packed blocks; what lies outside the base of a view reads as zero.
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


def _effects(*kinds: ir.MemoryEffect) -> type:
    """A trait: the op has these effects on memory, and no others."""

    class Effects(ir.MemoryEffectsOpInterface):
        @staticmethod
        def get_effects(op: ir.Operation, effects: Any) -> None:
            for kind in kinds:
                effects.append(kind)

    return Effects


_READS, _WRITES = _effects(ir.MemoryEffect.Read), _effects(ir.MemoryEffect.Write)
_UPDATES = _effects(ir.MemoryEffect.Read, ir.MemoryEffect.Write)


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


def _attribute(op: ir.OpView, name: str) -> ir.Attribute | None:
    """None where there is none of this name, or one that the bindings have no class for."""
    try:
        return op.operation.attributes[name] if name in op.operation.attributes else None
    except TypeError:
        return None


def _verifier(rules: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Check that operands and results are there before `rules` ask for them: an exception in a verifier would end the process."""

    @functools.wraps(rules)
    def verify(op: ir.OpView) -> bool:
        operation = op.operation
        kinds = _SEGMENTS[operation.name]
        sizes = _attribute(op, "operandSegmentSizes")
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


# Memory accesses


class DescriptorLoadOp(XSMT.Operation, name="descriptor_load", traits=[_READS]):
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


class DescriptorStoreOp(XSMT.Operation, name="descriptor_store", traits=[_WRITES]):
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
    @_verifier
    def verify_invariants(op: "DescriptorStoreOp") -> bool:
        if not isinstance(op.value.type, ir.RankedTensorType):
            return _fail(op, f"value must be a ranked tensor, got {op.value.type}")
        streams = _attribute(op, "streams")
        if streams is not None and not isinstance(streams, ir.UnitAttr):
            return _fail(op, f"streams must be a unit attribute, got {streams}")
        return _verify_access(op, op.value.type)


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


class GatherOp(XSMT.Operation, name="gather", traits=[_READS]):
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
    @_verifier
    def verify_invariants(op: "GatherOp") -> bool:
        if not isinstance(op.result.type, ir.RankedTensorType):
            return _fail(op, f"result must be a ranked tensor, got {op.result.type}")
        return _verify_access(op, op.result.type) and _verify_other(op) and _verify_unit(op)


class ScatterOp(XSMT.Operation, name="scatter", traits=[_WRITES]):
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


class AtomicRMWOp(XSMT.Operation, name="atomic_rmw", traits=[_UPDATES]):
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
    @_verifier
    def verify_invariants(op: "AtomicRMWOp") -> bool:
        return _verify_word(op, "kind", RMW_KINDS) and _verify_atomic(op, op.value.type)


class AtomicPollOp(XSMT.Operation, name="atomic_poll", traits=[_UPDATES]):
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
    @_verifier
    def verify_invariants(op: "AtomicPollOp") -> bool:
        expected = op.expected.type
        if _shape(op.result.type) != _shape(expected) or str(_element(op.result.type)) != "i1":
            return _fail(op, f"result must be i1 of the shape of {expected}, got {op.result.type}")
        if op.timeout is not None and str(op.timeout.type) != "i64":
            return _fail(op, f"timeout must be i64, got {op.timeout.type}")
        return _verify_word(op, "order", ORDERS) and _verify_access(op, expected) and _verify_unit(op)


class AtomicCASOp(XSMT.Operation, name="atomic_cas", traits=[_UPDATES]):
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
    @_verifier
    def verify_invariants(op: "AtomicCASOp") -> bool:
        if op.compare.type != op.value.type:
            return _fail(op, f"compare must be of the value's type {op.value.type}, got {op.compare.type}")
        return _verify_atomic(op, op.value.type)


# Views and products of packed blocks


def _counted(operands: Sequence[int], results: int) -> Callable[[Callable[[Any], bool]], Callable[[Any], bool]]:
    """Check the numbers of operands (one of `operands`) and results before the decorated rules ask for them."""

    def decorate(rules: Callable[[Any], bool]) -> Callable[[Any], bool]:
        @functools.wraps(rules)
        def verify(op: ir.OpView) -> bool:
            operation = op.operation
            if len(operation.operands) not in operands or len(operation.results) != results:
                expected = " or ".join(map(str, operands))
                return _fail(op, f"must have {expected} operand(s) and {results} result(s)")
            return rules(op)

        return verify

    return decorate


def _verify_scalars(op: ir.OpView, values: Sequence[ir.Value], type_: str, what: str) -> bool:
    for value in values:
        if str(value.type) != type_:
            return _fail(op, f"{what} must be {type_}, got {value.type}")
    return True


def _verify_blocks(op: ir.OpView, ranks: Sequence[int], *types: ir.Type) -> bool:
    """Static blocks of these ranks with one element type."""
    for rank, type_ in zip(ranks, types, strict=True):
        if not isinstance(type_, ir.RankedTensorType) or type_.rank != rank or not type_.has_static_shape:
            return _fail(op, f"needs a static block of rank {rank}, got {type_}")
        if any(extent < 1 for extent in type_.shape):
            return _fail(op, f"needs extents of at least 1, got {type_}")
    elements = {str(type_.element_type): None for type_ in types}
    if len(elements) > 1:
        return _fail(op, f"must have one element type, got {' and '.join(elements)}")
    return True


def _verify_view(op: ir.OpView, base: int, result: int) -> bool:
    source, *offsets = op.operation.operands
    return _verify_blocks(op, (base, result), source.type, op.operation.results[0].type) and _verify_scalars(
        op, offsets, "i32", "an offset"
    )


class PackOp(XSMT.Operation, name="pack", traits=[ext.Pure]):
    """The matrix from the offsets on, in tiles: `result[i, j, a, b] = base[row + i * p0 + a, column + j * p1 + b]`.

    ```mlir
    %t = "xsmt.pack"(%m, %row, %column) : (tensor<64x32xf16>, i32, i32) -> tensor<4x4x16x8xf16>
    ```
    """

    base: ext.Operand[Any]
    row: ext.Operand[Any]
    column: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((3,), 1)
    def verify_invariants(op: "PackOp") -> bool:
        return _verify_view(op, 2, 4)


class UnpackOp(XSMT.Operation, name="unpack", traits=[ext.Pure]):
    """The plain matrix of a packed one, from the offsets on: `result[r, c]` is the packed matrix's element `[row + r, column + c]`.

    ```mlir
    %m = "xsmt.unpack"(%t, %row, %column) : (tensor<4x4x16x8xf16>, i32, i32) -> tensor<64x32xf16>
    ```
    """

    base: ext.Operand[Any]
    row: ext.Operand[Any]
    column: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((3,), 1)
    def verify_invariants(op: "UnpackOp") -> bool:
        return _verify_view(op, 4, 2)


class RepackOp(XSMT.Operation, name="repack", traits=[ext.Pure]):
    """The packed matrix from the offsets on, in other tiles: `pack` of the whole `unpack`.

    ```mlir
    %u = "xsmt.repack"(%t, %row, %column) : (tensor<4x4x16x8xf16>, i32, i32) -> tensor<8x2x8x16xf16>
    ```
    """

    base: ext.Operand[Any]
    row: ext.Operand[Any]
    column: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((3,), 1)
    def verify_invariants(op: "RepackOp") -> bool:
        return _verify_view(op, 4, 4)


class SubviewOp(XSMT.Operation, name="subview", traits=[ext.Pure]):
    """The part of a matrix from the offsets on, in the base's own form: plain, or packed in tiles of the same size.

    An offset into a packed base is a multiple of its tile.

    ```mlir
    %u = "xsmt.subview"(%t, %row, %column) : (tensor<4x4x16x8xf16>, i32, i32) -> tensor<2x4x16x8xf16>
    ```
    """

    base: ext.Operand[Any]
    row: ext.Operand[Any]
    column: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((3,), 1)
    def verify_invariants(op: "SubviewOp") -> bool:
        rank = 2 if len(_shape(op.base.type)) == 2 else 4
        if not _verify_view(op, rank, rank):
            return False
        tile, result = (_shape(value.type)[2:] for value in (op.base, op.result))
        if tile != result:
            return _fail(op, f"must keep the tile {tile}, got {result}")
        for offset, size in zip((op.row, op.column), tile, strict=False):
            owner = offset.owner
            constant = isinstance(offset, ir.OpResult) and owner.name == "arith.constant"
            if constant and owner.attributes["value"].value % size:
                return _fail(op, f"an offset into tiles must be a multiple of their {size}, got {owner.attributes['value'].value}")
        return True


class Mmt4dOp(XSMT.Operation, name="mmt4d", traits=[ext.Pure]):
    """The product of packed matrices, added to the accumulator where there is one.

    A is `[MB, KB, mb, kb]`; B is `[KB, NB, kb, nb]`, or `[NB, KB, nb, kb]` with `transposed`; the result is `[MB, NB, mb, nb]`. Floats
    (f16, bf16, f32) give A's element type: they are summed in f32 and rounded once. i8 gives i32.

    ```mlir
    %c = "xsmt.mmt4d"(%a, %b, %c0) {transposed = false}
         : (tensor<4x2x16x8xf16>, tensor<2x3x8x32xf16>, tensor<4x3x16x32xf16>) -> tensor<4x3x16x32xf16>
    ```
    """

    a: ext.Operand[Any]
    b: ext.Operand[Any]
    accumulator: Sequence[ext.Operand[Any]]
    result: ext.Result[Any]

    @staticmethod
    @_counted((2, 3), 1)
    def verify_invariants(op: "Mmt4dOp") -> bool:
        a, b, *start = (value.type for value in op.operation.operands)
        result = op.operation.results[0].type
        if not (_verify_blocks(op, (4, 4), a, b) and _verify_blocks(op, (4,), result)):
            return False
        transposed = _attribute(op, "transposed")
        if not isinstance(transposed, ir.BoolAttr):
            return _fail(op, f"transposed must be a boolean, got {transposed}")
        element = str(a.element_type)
        if element not in ("f16", "bf16", "f32", "i8"):
            return _fail(op, f"multiplies f16, bf16, f32 and i8, not {element}")
        rows, columns = _shape(a), _shape(b)
        if transposed.value:
            columns = [columns[d] for d in (1, 0, 3, 2)]
        if (rows[1], rows[3]) != (columns[0], columns[2]):
            return _fail(op, f"cannot contract {a} with {b}")
        expected = [rows[0], columns[1], rows[2], columns[3]]
        wanted = "i32" if element == "i8" else element
        if _shape(result) != expected or str(result.element_type) != wanted:
            return _fail(op, f"result must be {'x'.join(map(str, expected))}x{wanted}, got {result}")
        if start and start[0] != result:
            return _fail(op, f"accumulator must be {result}, got {start[0]}")
        return True


HINTS = ("lhs_first", "mr", "nr", "kr", "mt", "nt", "kt", "mb", "nb", "kb")


class AnnotationOp(XSMT.Operation, name="annotation"):
    """A hint on a block that lowering may read: a name of the known ones, and a number. The op has no other effect.

    `mr` and `nr` of a product (`mmt4d` or `tt.dot`) are the most rows and columns of its register tile; the other hints are not read.

    ```mlir
    "xsmt.annotation"(%t) {hint = "mr", value = 8 : i32} : (tensor<4x4x16x8xf16>) -> ()
    ```
    """

    base: ext.Operand[Any]
    hint: ir.StringAttr
    value: ir.IntegerAttr

    @staticmethod
    @_counted((1,), 0)
    def verify_invariants(op: "AnnotationOp") -> bool:
        if not isinstance(op.base.type, ir.RankedTensorType):
            return _fail(op, f"is on a block, got {op.base.type}")
        value = _attribute(op, "value")
        if not isinstance(value, ir.IntegerAttr):
            return _fail(op, f"value must be an integer, got {value}")
        return _verify_word(op, "hint", HINTS)


STORAGES = ("l2", "tcm", "stack")


class AllocOp(XSMT.Operation, name="alloc"):
    """Scratch memory for `size` elements: the program's, or the thread's own inside `parallel`. In a loop it is the same on every turn.

    Its content is undefined at first. The result is `!tt.ptr` to the element, `!llvm.ptr` after structure.

    ```mlir
    %p = "xsmt.alloc"() {size = 1024 : i64, element = f16, storage = "l2"} : () -> !llvm.ptr
    ```
    """

    result: ext.Result[Any]
    size: ir.IntegerAttr
    storage: ir.StringAttr

    @staticmethod
    @_counted((0,), 1)
    def verify_invariants(op: "AllocOp") -> bool:
        size, element = _attribute(op, "size"), _attribute(op, "element")
        if not isinstance(size, ir.IntegerAttr) or size.value < 1:
            return _fail(op, f"size must be a positive number of elements, got {size}")
        if not isinstance(element, ir.TypeAttr) or not isinstance(element.value, ir.IntegerType | ir.FloatType):
            return _fail(op, f"element must be a type that memory holds, got {element}")
        if str(op.result.type) not in ("!llvm.ptr", f"!tt.ptr<{element.value}>"):
            return _fail(op, f"result must be !llvm.ptr or !tt.ptr<{element.value}>, got {op.result.type}")
        return _verify_word(op, "storage", STORAGES)


# Threads of one program


def _is_inside(op: ir.OpView, names: Sequence[str]) -> bool:
    parent = op.operation.parent
    while parent is not None:
        if parent.operation.name in names:
            return True
        parent = parent.operation.parent
    return False


class MBarrierOp(XSMT.Operation, name="mbarrier", traits=[_UPDATES]):
    """`copies` phase barriers behind one handle. The phase is `flag` (0 or not) at first and flips after `expect` arrivals.

    `arrive` arrivals have happened at the start. `transaction` counts transfers in flight on machines that copy by themselves; here every
    copy is done when its op is, so it has no effect. A barrier is made once: not inside a loop, nor by a thread of a parallel one.

    ```mlir
    %bar = "xsmt.mbarrier"(%flag, %arrive, %transaction, %expect) {copies = 1 : i32} : (i32, i32, i32, i32) -> i64
    ```
    """

    flag: ext.Operand[Any]
    arrive: ext.Operand[Any]
    transaction: ext.Operand[Any]
    expect: ext.Operand[Any]
    result: ext.Result[Any]
    copies: ir.IntegerAttr

    @staticmethod
    @_counted((4,), 1)
    def verify_invariants(op: "MBarrierOp") -> bool:
        copies = _attribute(op, "copies")
        if not isinstance(copies, ir.IntegerAttr) or copies.value < 1:
            return _fail(op, f"copies must be a positive number, got {copies}")
        if _is_inside(op, ("scf.for", "scf.while", "xsmt.parallel")):
            return _fail(op, "cannot be inside a loop: make the barrier before it")
        return _verify_scalars(op, op.operation.operands, "i32", "a count") and _verify_handle(op, op.result)


def _verify_handle(op: ir.OpView, value: ir.Value) -> bool:
    return _verify_scalars(op, [value], "i64", "a barrier")


class GlobalMBarrierOp(XSMT.Operation, name="global_mbarrier"):
    """The barrier number `id` (0 to 63) between the programs of one launch: its phase is 0 at first and flips when all have arrived.

    `barrier_set_expect` changes how many arrivals it takes.

    ```mlir
    %bar = "xsmt.global_mbarrier"(%id) : (i32) -> i64
    ```
    """

    id: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((1,), 1)
    def verify_invariants(op: "GlobalMBarrierOp") -> bool:
        return _verify_scalars(op, [op.id], "i32", "id") and _verify_handle(op, op.result)


class BarrierAtOp(XSMT.Operation, name="barrier_at", traits=[ext.Pure]):
    """Barrier number `index` of several behind one handle.

    ```mlir
    %bar = "xsmt.barrier_at"(%bars, %index) : (i64, i32) -> i64
    ```
    """

    bars: ext.Operand[Any]
    index: ext.Operand[Any]
    result: ext.Result[Any]

    @staticmethod
    @_counted((2,), 1)
    def verify_invariants(op: "BarrierAtOp") -> bool:
        return _verify_handle(op, op.bars) and _verify_scalars(op, [op.index], "i32", "index") and _verify_handle(op, op.result)


class BarrierArriveOp(XSMT.Operation, name="barrier_arrive"):
    """Count one arrival, without waiting. What was written before it is seen by whoever waits for the phase it completes.

    ```mlir
    "xsmt.barrier_arrive"(%bar) : (i64) -> ()
    ```
    """

    bar: ext.Operand[Any]

    @staticmethod
    @_counted((1,), 0)
    def verify_invariants(op: "BarrierArriveOp") -> bool:
        return _verify_handle(op, op.bar)


class BarrierWaitOp(XSMT.Operation, name="barrier_wait"):
    """Block until the phase is `flag` (0 or not). `arrive` is what SpacemiT's language lets one say beside it; it has no effect.

    A launch in which every thread that could still arrive is blocked ends with an error that names this line.

    ```mlir
    "xsmt.barrier_wait"(%bar, %flag, %arrive) : (i64, i32, i32) -> ()
    ```
    """

    bar: ext.Operand[Any]
    flag: ext.Operand[Any]
    arrive: ext.Operand[Any]

    @staticmethod
    @_counted((3,), 0)
    def verify_invariants(op: "BarrierWaitOp") -> bool:
        return _verify_handle(op, op.bar) and _verify_scalars(op, [op.flag, op.arrive], "i32", "a count")


class BarrierSetExpectOp(XSMT.Operation, name="barrier_set_expect"):
    """Let the phase flip after `expect` arrivals from now on.

    ```mlir
    "xsmt.barrier_set_expect"(%bar, %expect) : (i64, i32) -> ()
    ```
    """

    bar: ext.Operand[Any]
    expect: ext.Operand[Any]

    @staticmethod
    @_counted((2,), 0)
    def verify_invariants(op: "BarrierSetExpectOp") -> bool:
        return _verify_handle(op, op.bar) and _verify_scalars(op, [op.expect], "i32", "a count")


class NumThreadsOp(XSMT.Operation, name="get_num_of_thread", traits=[ext.Pure]):
    """The number of threads that run this program's parallel loops.

    ```mlir
    %n = "xsmt.get_num_of_thread"() : () -> i32
    ```
    """

    result: ext.Result[Any]

    @staticmethod
    @_counted((0,), 1)
    def verify_invariants(op: "NumThreadsOp") -> bool:
        return _verify_scalars(op, [op.result], "i32", "result")


class YieldOp(XSMT.Operation, name="yield", traits=[ir.IsTerminatorTrait]):
    """The end of one iteration of `parallel`.

    ```mlir
    "xsmt.parallel"(%lower, %upper, %step) ({
    ^bb0(%i: index):
      "xsmt.yield"() : () -> ()
    }) {bind_sub_block = false} : (index, index, index) -> ()
    ```
    """

    @staticmethod
    @_counted((0,), 0)
    def verify_invariants(op: "YieldOp") -> bool:
        parent = op.operation.parent
        if parent is None or parent.operation.name != "xsmt.parallel":
            return _fail(op, "must end the body of xsmt.parallel")
        return True


class ParallelOp(XSMT.Operation, name="parallel"):
    """`body(i)` for every `i` from `lower` to `upper` by `step`, by concurrent threads of the program; ends when all have ended.

    Iterations may wait for each other at barriers: each of them makes progress whatever the others do. With `bind_sub_block` an iteration
    keeps its thread, without it lowering may regroup iterations; both run each by itself here.

    ```mlir
    "xsmt.parallel"(%lower, %upper, %step) ({
    ^bb0(%i: i32):
      "xsmt.yield"() : () -> ()
    }) {bind_sub_block = true} : (i32, i32, i32) -> ()
    ```
    """

    lower: ext.Operand[Any]
    upper: ext.Operand[Any]
    step: ext.Operand[Any]
    body: ext.Region

    @staticmethod
    @_counted((3,), 0)
    def verify_invariants(op: "ParallelOp") -> bool:
        regions = op.operation.regions
        if len(regions) != 1 or len(list(regions[0].blocks)) != 1:
            return _fail(op, "must have a body of one block")
        if not isinstance(_attribute(op, "bind_sub_block"), ir.BoolAttr):
            return _fail(op, f"bind_sub_block must be a boolean, got {_attribute(op, 'bind_sub_block')}")
        types = [value.type for value in (*op.operation.operands, *regions[0].blocks[0].arguments)]
        if len(types) != 4 or len({str(type_) for type_ in types}) > 1 or str(types[0]) not in ("i32", "i64", "index"):
            return _fail(op, f"needs bounds, a step and a body's one argument of one integer type, got {', '.join(map(str, types))}")
        operations = list(regions[0].blocks[0].operations)
        if not operations or operations[-1].operation.name != "xsmt.yield":
            return _fail(op, "must end its body with xsmt.yield")
        return True
