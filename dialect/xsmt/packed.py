"""Views and products of packed blocks: hints on them, and the memory they lie in, too."""

from collections.abc import Sequence
from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from triton_spacemit.dialect.words import HINTS, STORAGES
from triton_spacemit.dialect.xsmt.checks import XSMT, attribute, counted, fail, shape_of, verify_scalars, verify_word


def _verify_blocks(op: ir.OpView, ranks: Sequence[int], *types: ir.Type) -> bool:
    """Static blocks of these ranks with one element type."""
    for rank, type_ in zip(ranks, types, strict=True):
        if not isinstance(type_, ir.RankedTensorType) or type_.rank != rank or not type_.has_static_shape:
            return fail(op, f"needs a static block of rank {rank}, got {type_}")
        if any(extent < 1 for extent in type_.shape):
            return fail(op, f"needs extents of at least 1, got {type_}")
    elements = {str(type_.element_type): None for type_ in types}
    if len(elements) > 1:
        return fail(op, f"must have one element type, got {' and '.join(elements)}")
    return True


def _verify_view(op: ir.OpView, base: int, result: int) -> bool:
    source, *offsets = op.operation.operands
    return _verify_blocks(op, (base, result), source.type, op.operation.results[0].type) and verify_scalars(op, offsets, "i32", "an offset")


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
    @counted((3,), 1)
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
    @counted((3,), 1)
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
    @counted((3,), 1)
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
    @counted((3,), 1)
    def verify_invariants(op: "SubviewOp") -> bool:
        rank = 2 if len(shape_of(op.base.type)) == 2 else 4
        if not _verify_view(op, rank, rank):
            return False
        tile, result = (shape_of(value.type)[2:] for value in (op.base, op.result))
        if tile != result:
            return fail(op, f"must keep the tile {tile}, got {result}")
        for offset, size in zip((op.row, op.column), tile, strict=False):
            owner = offset.owner
            constant = isinstance(offset, ir.OpResult) and owner.name == "arith.constant"
            if constant and owner.attributes["value"].value % size:
                return fail(op, f"an offset into tiles must be a multiple of their {size}, got {owner.attributes['value'].value}")
        return True


class Mmt4dOp(XSMT.Operation, name="mmt4d", traits=[ext.Pure]):
    """The product of packed matrices, added to the accumulator where there is one.

    A is `[MB, KB, mb, kb]`; B is `[KB, NB, kb, nb]`, or `[NB, KB, nb, kb]` with `transposed`; the result is `[MB, NB, mb, nb]`. Floats
    (f16, bf16, f32) give A's element type: they are summed in f32 and rounded once. i8 gives i32, and so does i16, which holds bytes of
    which some are unsigned.

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
    @counted((2, 3), 1)
    def verify_invariants(op: "Mmt4dOp") -> bool:
        a, b, *start = (value.type for value in op.operation.operands)
        result = op.operation.results[0].type
        if not (_verify_blocks(op, (4, 4), a, b) and _verify_blocks(op, (4,), result)):
            return False
        transposed = attribute(op, "transposed")
        if not isinstance(transposed, ir.BoolAttr):
            return fail(op, f"transposed must be a boolean, got {transposed}")
        element = str(a.element_type)
        if element not in ("f16", "bf16", "f32", "i8", "i16"):
            return fail(op, f"multiplies f16, bf16, f32, i8 and i16, not {element}")
        rows, columns = shape_of(a), shape_of(b)
        if transposed.value:
            columns = [columns[d] for d in (1, 0, 3, 2)]
        if (rows[1], rows[3]) != (columns[0], columns[2]):
            return fail(op, f"cannot contract {a} with {b}")
        expected = [rows[0], columns[1], rows[2], columns[3]]
        wanted = "i32" if element.startswith("i") else element
        if shape_of(result) != expected or str(result.element_type) != wanted:
            return fail(op, f"result must be {'x'.join(map(str, expected))}x{wanted}, got {result}")
        if start and start[0] != result:
            return fail(op, f"accumulator must be {result}, got {start[0]}")
        return True


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
    @counted((1,), 0)
    def verify_invariants(op: "AnnotationOp") -> bool:
        if not isinstance(op.base.type, ir.RankedTensorType):
            return fail(op, f"is on a block, got {op.base.type}")
        value = attribute(op, "value")
        if not isinstance(value, ir.IntegerAttr):
            return fail(op, f"value must be an integer, got {value}")
        return verify_word(op, "hint", HINTS)


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
    @counted((0,), 1)
    def verify_invariants(op: "AllocOp") -> bool:
        size, element = attribute(op, "size"), attribute(op, "element")
        if not isinstance(size, ir.IntegerAttr) or size.value < 1:
            return fail(op, f"size must be a positive number of elements, got {size}")
        if not isinstance(element, ir.TypeAttr) or not isinstance(element.value, ir.IntegerType | ir.FloatType):
            return fail(op, f"element must be a type that memory holds, got {element}")
        if str(op.result.type) not in ("!llvm.ptr", f"!tt.ptr<{element.value}>"):
            return fail(op, f"result must be !llvm.ptr or !tt.ptr<{element.value}>, got {op.result.type}")
        return verify_word(op, "storage", STORAGES)
