"""Sorting networks: elements of a row that are compared and change places."""

from typing import Any

from torch_mlir import ir
from torch_mlir.dialects import ext

from triton_spacemit.dialect.xsmt.checks import XSMT, attribute, counted, fail


def _integers(op: ir.OpView, name: str) -> list[int] | None:
    """The numbers of an attribute that is an array of integers."""
    array = attribute(op, name)
    if not isinstance(array, ir.ArrayAttr) or not all(isinstance(number, ir.IntegerAttr) for number in array):
        return None
    return [number.value for number in array]


class ExchangeOp(XSMT.Operation, name="exchange", traits=[ext.Pure]):
    """Steps of a sorting network: elements a distance apart are compared, and change places where they are not in order.

    In step k, with `y[i] = x[i ^ distances[k]]`, element i becomes `y[i]` where an odd number of these hold, and stays `x[i]` elsewhere:
    `x[i] > y[i]`; i is the right one of the two (`i & distances[k]`); the order is descending at i. That is nowhere if `flips[k]` is 0,
    everywhere if it is -1, else where `i & flips[k]`. `unsigned` is how integers are compared.

    ```mlir
    %sorted = "xsmt.exchange"(%x) {distances = [1, 2, 1], flips = [2, 0, 0], unsigned = false} : (tensor<4xf32>) -> tensor<4xf32>
    ```
    """

    base: ext.Operand[Any]
    result: ext.Result[Any]
    distances: ir.ArrayAttr
    flips: ir.ArrayAttr
    unsigned: ir.IntegerAttr

    @staticmethod
    @counted((1,), 1)
    def verify_invariants(op: "ExchangeOp") -> bool:
        row = op.base.type
        if not isinstance(row, ir.RankedTensorType) or row.rank != 1 or not row.has_static_shape or row.shape[0].bit_count() != 1:
            return fail(op, f"needs a block of rank 1 with a power of two of elements, got {row}")
        if op.result.type != row:
            return fail(op, f"result must be of the operand's type {row}, got {op.result.type}")
        distances, flips = _integers(op, "distances"), _integers(op, "flips")
        if distances is None or flips is None or len(distances) != len(flips):
            got = " and ".join(str(attribute(op, name)) for name in ("distances", "flips"))
            return fail(op, f"needs as many flips as distances, both integers, got {got}")
        for distance, flip in zip(distances, flips, strict=True):
            if distance < 1 or distance.bit_count() != 1 or distance >= row.shape[0]:
                return fail(op, f"distances must be powers of two below the extent {row.shape[0]}, got {distance}")
            if flip not in (0, -1) and (flip <= distance or flip.bit_count() != 1 or flip >= row.shape[0]):
                return fail(op, f"flips must be 0, -1 or a power of two above their distance {distance} and below the extent, got {flip}")
        if not isinstance(attribute(op, "unsigned"), ir.BoolAttr):
            return fail(op, f"unsigned must be true or false, got {attribute(op, 'unsigned')}")
        return True
