"""Micro-tiles of one row that take several steps of k at once: AVX-512's sums of four products of bytes, and of two of bfloat16."""

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, MatrixTile
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.elementwise import total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.micro_tile import Request
from triton_spacemit.passes.loops.tensors import Buffer, Computed, Coordinates, Tensor
from triton_spacemit.passes.loops.vectors import Vectors


class GroupedVectors(Vectors):
    """A word of A, and each of B, is 32 bits: two or four steps of k. bfloat16's (`vdpbf16ps`) takes subnormal numbers for zeros."""

    def __init__(self, low: Lowering, row: MatrixTile, target: Buffer, tile: tuple[int, int], active: Emitted | None) -> None:
        super().__init__(low, row, target, tile, None)
        self.factors = ir.VectorType.get([self.k * self.n], self.left, loc=low.b.location)
        self.left = self.right = low.b.i32
        self.instruction = row.instruction

    @classmethod
    def refusal(cls, chip: Chip, row: MatrixTile, request: Request) -> str:
        if request.batched:
            return "it takes no batches"
        if request.left != request.right:
            return f"it takes operands of one type, not {request.left} and {request.right}"
        if min(request.rows, request.inner, request.columns, request.most_columns) < row.n:
            return f"it takes at least {row.n} rows, columns and steps of k"
        return ""

    def multiply_add(self, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        b = self.low.b
        operands = [sums.value, self._as_factors(b.broadcast(left, self.n)), self._as_factors(right)]
        op = b.create("llvm.call_intrinsic", [sums.value.type], operands, intrinsic(self.instruction, 3))
        return Emitted(op.results[0], b.depth, self.n)

    def _as_factors(self, value: Emitted) -> ir.Value:
        return self.low.b.create("llvm.bitcast", [self.factors], [value.value], depth=value.depth).results[0]


class UnsignedGroupedVectors(GroupedVectors):
    """The instruction (`vpdpbusd`) multiplies unsigned bytes of A by signed ones of B.

    A's are stored 128 above what they are; the loop carries 128 times the sums of B's columns, which come off at the end.
    """

    @classmethod
    def prepared_left(cls, low: Lowering, tensor: Tensor) -> Tensor:
        b = low.b

        def compute(at: Coordinates) -> Emitted:
            return b.op("arith.xori", b.i8, [low.evaluate(tensor, at), b.constant(-128, b.i8)])

        cost = total_cost(low, 1, {tensor})
        return Computed(
            shape=tensor.shape, element=b.i8, origin=tensor.origin, sources=((tensor, (0, 1)),), cost=cost, compute=compute, always=True
        )

    def corrections(self) -> list[Emitted]:
        return [self.zero()]

    def add_corrections(self, right: Emitted, corrections: list[Emitted]) -> list[Emitted]:
        all_128 = self.low.b.constant(-0x7F7F7F80, self.low.b.i32)
        return [self.multiply_add(all_128, right, corrections[0])]

    def finished(self, sums: Emitted, corrections: list[Emitted]) -> Emitted:
        return self.low.b.op("arith.subi", self.sums, [sums, corrections[0]])
