"""How far from what a program reads the next one reads: for asking memory for it while this program computes.

A program goes through a row several times, as for its mean, its variance and its result. The first time it waits for memory, the other
times memory waits for it.
"""

import functools
import math
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, bits

_MOST_BYTES = 1 << 17  # of a block that stays in the second cache until the next program
_DEPTH = 8
_FOLLOWED = ("arith.extsi", "arith.index_cast", "arith.addi", "arith.muli", "llvm.getelementptr")


def bytes_to_next(low: Lowering, base: ir.Value, access: Access) -> Emitted | None:
    """From the block of `access`, which begins at `base`, to that of the next program along the grid's first axis, where the distance is
    the same for all programs and not 0."""
    if not low.chip.asks_ahead or access.index is not None or access.mask is not None or not access.strides:
        return None
    if access.strides[-1].constant != 1 or math.prod(access.shape) * bits(access.element) // 8 > _MOST_BYTES:
        return None
    return growth(low, base, _is_program)


def _is_program(value: ir.Value) -> bool:
    """Whether a number is the program's on the grid's first axis."""
    op = producer_of(value, "tt.get_program_id")
    return op is not None and ir.IntegerAttr(op.attributes["axis"]).value == 0


def growth(low: Lowering, value: ir.Value, counts: Callable[[ir.Value], bool], depth: int = _DEPTH) -> Emitted | None:
    """By how much a pointer (in bytes), or an integer, grows where a number that `counts` grows by 1; None where it does not, or that is
    not known.

    It need not be exact: nothing but the time depends on it. depth: of the chain of operations that is looked at.
    """
    b = low.b
    if counts(value):
        return b.constant(1)
    if not isinstance(value, ir.OpResult) or not depth:
        return None
    op = value.owner.operation
    if op.name not in _FOLLOWED:
        return None
    operands = list(op.operands)
    steps = [growth(low, operand, counts, depth - 1) for operand in operands]
    if op.name == "arith.muli":
        left, right = steps
        if (left is None) == (right is None):
            return None
        step, factor = (left, operands[1]) if left is not None else (right, operands[0])
        assert step is not None
        return b.mul(step, b.cast_index(low.scalar(factor), b.i64))
    if op.name == "llvm.getelementptr" and len(steps) == 2 and steps[1] is not None:
        steps[1] = b.mul(steps[1], b.constant(bits(ir.TypeAttr(op.attributes["elem_type"]).value) // 8))
    return functools.reduce(lambda one, other: _sum(low, one, other), steps)


def _sum(low: Lowering, left: Emitted | None, right: Emitted | None) -> Emitted | None:
    return low.b.add(left, right) if left is not None and right is not None else left or right
