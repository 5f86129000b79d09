"""The matrices that packed blocks are: a block [I, J, p, q] is one of I * p rows and J * q columns.

Known ones are remembered; others follow from the op that gives the block, where that works element by element, by rows or by columns.
"""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of
from triton_spacemit.passes.rewriting import create, following, i32, tensor
from triton_spacemit.passes.states import ELEMENTWISE

_ROWS_OF_TILES, _COLUMNS_OF_TILES, _ROW, _COLUMN = range(4)


def rank(type_: ir.Type) -> int:
    """The number of dimensions; 4 is a packed block, 2 a matrix."""
    return type_.rank if isinstance(type_, ir.RankedTensorType) else 0


def matrix_type(type_: ir.Type) -> ir.Type:
    rows, columns, row, column = type_.shape
    return tensor([rows * row, columns * column], type_.element_type)


def _recreate(op: ir.Operation, operands: Sequence[ir.Value], result: ir.Type) -> ir.Value:
    """The result of a copy of `op` with other operands and another type. Properties of unregistered ops are seen by their copies alone."""
    copy = op.clone(ir.InsertionPoint(op))
    for number, operand in enumerate(operands):
        copy.operands[number] = operand
    copy.result.set_type(result)
    return copy.result


def constant(value: ir.Value) -> int | None:
    number = constant_of(value)
    return None if number is None else number.value


class Matrices:
    """The matrix of each packed value, where it is known."""

    def __init__(self) -> None:
        self.known: dict[ir.Value, ir.Value] = {}

    def of(self, value: ir.Value) -> ir.Value:
        """The matrix of any packed value: known, derived from what it is computed from, or unpacked."""
        matrix = self.known.get(value)
        if matrix is None:
            op = producer_of(value)
            matrix = self.derived(op) if op is not None else None
            if matrix is None:
                matrix = self._unpacked(value)
            self.known[value] = matrix
        return matrix

    def _unpacked(self, value: ir.Value) -> ir.Value:
        op = producer_of(value)
        at = next(iter(value.owner.operations)).operation if op is None else following(op)
        zero = create("arith.constant", [], ir.IntegerType.get_signless(32), at, {"value": i32(0)})
        return create("xsmt.unpack", [value, zero, zero], matrix_type(value.type), at)

    def derived(self, op: ir.Operation) -> ir.Value | None:
        """The matrix of an op's result from the matrices of its operands; None where it does not follow from them."""
        type_ = op.results[0].type
        rule = _RULES.get(op.name)
        if rule is None and op.name.startswith(("arith.", "math.")):
            rule = Matrices._elementwise
        return None if rule is None or rank(type_) != 4 else rule(self, op, matrix_type(type_))

    def _constant(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        value = op.attributes["value"]
        if not value.is_splat:
            return None
        return create(op.name, [], target, op, {"value": ir.DenseElementsAttr.get_splat(target, value.get_splat_value())})

    def _splat(self, op: ir.Operation, target: ir.Type) -> ir.Value:
        return create(op.name, op.operands, target, op)

    def _elementwise(self, op: ir.Operation, target: ir.Type) -> ir.Value:
        return _recreate(op, [self.of(operand) if rank(operand.type) == 4 else operand for operand in op.operands], target)

    def _trans(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        """Tiles and the elements of each are transposed alike."""
        order = list(op.attributes["order"])
        if order not in ([1, 0, 3, 2], [0, 1, 2, 3]):
            return None
        return create(op.name, [self.of(op.operands[0])], target, op, {"order": ir.DenseI32ArrayAttr.get(order[:2])})

    def _broadcast(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        """Rows, columns or single elements spread over the whole matrix; not over part of a tile or of the tiles."""
        source = op.operands[0]
        small, large = source.type.shape, target.shape
        for extent, tiles, lane in ((large[0], small[0], small[2]), (large[1], small[1], small[3])):
            if tiles * lane not in (1, extent):
                return None
        return create(op.name, [self.of(source)], target, op)

    def _reshape(self, op: ir.Operation, target: ir.Type) -> ir.Value | None:
        """A row [1, J, 1, q] or column [I, 1, p, 1] of elements in their order."""
        rows, columns, row, column = op.results[0].type.shape
        if rows * row != 1 and columns * column != 1:
            return None
        return create("tt.reshape", [op.operands[0]], target, op)


# What gives the matrix of an op's result; all ops of arith and math besides work element by element.
_RULES: dict[str, Callable[[Matrices, ir.Operation, ir.Type], ir.Value | None]] = {
    "arith.constant": Matrices._constant,
    "tt.splat": Matrices._splat,
    "tt.broadcast": Matrices._broadcast,
    "tt.trans": Matrices._trans,
    "tt.reshape": Matrices._reshape,
    "tt.expand_dims": Matrices._reshape,
    **dict.fromkeys(ELEMENTWISE, Matrices._elementwise),
}


def packed(matrix: ir.Value, type_: ir.Type, at: ir.Operation) -> ir.Value:
    """The whole matrix as a packed block."""
    zero = create("arith.constant", [], ir.IntegerType.get_signless(32), at, {"value": i32(0)})
    return create("xsmt.pack", [matrix, zero, zero], type_, at)


def flattened(op: ir.Operation, type_: ir.Type) -> list[ir.Value] | None:
    """Strides and bounds, two each, of an unbounded access to tiles as one to a matrix; None where it is none."""
    access, shape = op.opview, type_.shape
    if access.mask is not None:
        return None
    for lower, upper, extent in zip(access.lower, access.upper, shape, strict=True):
        if (constant(lower), constant(upper)) != (0, extent):
            return None
    strides = [constant(stride) for stride in access.strides]
    kept, ends = [], []
    for outer, inner in ((_ROWS_OF_TILES, _ROW), (_COLUMNS_OF_TILES, _COLUMN)):
        if shape[outer] == 1:
            kept.append(access.strides[inner])
        elif shape[inner] == 1:
            kept.append(access.strides[outer])
        elif None not in (strides[outer], strides[inner]) and strides[outer] == strides[inner] * shape[inner]:
            kept.append(access.strides[inner])
        else:
            return None
        ends.append(shape[outer] * shape[inner])
    i64 = ir.IntegerType.get_signless(64)
    bounds = [create("arith.constant", [], i64, op, {"value": ir.IntegerAttr.get(i64, n)}) for n in (0, 0, *ends)]
    return [*kept, *bounds]
