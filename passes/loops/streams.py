"""Stores past the caches: where a kernel writes more than they hold, a line need not be read to be overwritten, nor be kept."""

import functools
import math

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.evaluation import Read
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.overlap import address_of
from triton_spacemit.passes.loops.services import field
from triton_spacemit.passes.loops.tensors import LINE, Access, Tensor, bits, identity


def streams(low: Lowering, node: Node, access: Access, value: Tensor, dim: int, width: int) -> Emitted | None:
    """The condition under which the store at `node` goes past the caches, vector by vector along `dim`; None for never.

    It holds where the program asks for it (`cache_modifier=".cs"`), or the caches are too small for what all programs read and write here.
    """
    if not low.chip.streaming_stores or access.index is not None or access.mask is not None:
        return None
    if access.strides[dim].constant != 1 or width * bits(access.element) // 8 % LINE:
        return None
    if low.analysis.synchronises:
        return None
    if "streams" in node.op.attributes:
        return starts_lines(low, access)
    if not low.chip.last_cache_bytes or low.cost(value) > low.chip.costs.streaming or node.block is not low.analysis.body:
        return None
    reads = list(low.evaluator.reads(value))
    if any(read.buffer is not None for read in reads):
        return None  # an earlier loop has been through the block, and did the waiting
    loads = [read for read in {read.tensor: read for read in reads}.values() if read.access is not None]
    condition = low.b.both(starts_lines(low, access), exceeds_cache(low, access, loads))
    for load in loads:  # what is written where it was read is in the caches already
        condition = low.b.both(condition, low.b.compare("ne", address_of(low.b, load.access), address_of(low.b, access)))
    return condition


def starts_lines(low: Lowering, access: Access) -> Emitted:
    """Whether each row of the block starts with a line."""
    b = low.b
    size = b.constant(bits(access.element) // 8)
    places = [b.mul(s, size) for s, extent in zip(access.strides, access.shape, strict=True) if s.constant != 1 and extent > 1]
    together = functools.reduce(lambda x, y: b.op("arith.ori", b.i64, [x, y]), [address_of(b, access), *places])
    return b.compare("eq", b.op("arith.andi", b.i64, [together, b.constant(LINE - 1)]), b.constant(0))


def exceeds_cache(low: Lowering, access: Access, loads: list[Read]) -> Emitted:
    """Whether the programs together move more in this loop than the last cache holds, but for what all of them load from one place."""
    b = low.b
    whole = [read for read in loads if read.follows == identity(len(access.shape))]
    own = [read for read in whole if not isinstance(read.access.op.opview.base.owner, ir.Block)]  # an argument is the same for all programs
    moved = math.prod(access.shape) * sum(bits(element) // 8 for element in (access.element, *(read.access.element for read in own)))
    programs = b.constant(1)
    for axis in range(3):
        programs = b.mul(programs, b.cast_index(field(low, "num_programs", b.i32, axis), b.i64))
    return b.compare("slt", b.constant(low.chip.last_cache_bytes // moved), programs)
