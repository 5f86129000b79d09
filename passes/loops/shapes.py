"""The shape of a loop over a block: along which dimension its vectors lie, and how many lanes they have."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.chips import Chip, Costs
from triton_spacemit.passes.loops.evaluation import Evaluator
from triton_spacemit.passes.loops.live import live
from triton_spacemit.passes.loops.ops import CONVERSIONS
from triton_spacemit.passes.loops.tensors import Access, Follows, Loaded, Stored, Tensor, bits


@dataclass(frozen=True)
class LoopShape:
    """Vectors of `lanes` elements along `dim`; `computes`: the loop computes much, rather than wait for memory.

    `once`: its body is so long that it is there once, with masks, rather than without and with them. `together`: so many vectors of what
    it carries fit into registers, beside what one needs to be computed. `vectors_first`: the loops along other dimensions had better be in
    that over vectors, since rows are short (the masks of a vector are then made once for all rows), or since elements lie apart along `dim`
    and are neighbours along another dimension (the same lines are then read again at once).
    """

    dim: int
    lanes: int
    computes: bool
    once: bool
    together: int = 1
    vectors_first: bool = False


# Rows of so many vectors are short; so many times as many rows are worth having their loop inside.
_SHORT, _MANY = 2, 4

ELEMENT = LoopShape(0, 0, False, False)  # of a block without dimensions: there is no loop


class _Survey:
    """What a loop reads, computes and stores, as far as its shape depends on it."""

    def __init__(self, rank: int, costs: Costs) -> None:
        self.reuse = costs.reuse
        self.score = [0.0] * rank  # how many accesses are contiguous along a dimension, less those that are strided
        self.costs: dict[Tensor, tuple[int, Follows]] = {}  # of computing floats, and the dimensions that this is done along
        self.length: dict[Tensor, int] = {}  # of the code for each block
        self.widest = 8  # bits of the widest elements that are read, computed as floats or stored
        self.has_64_bits = False
        self.gathers_narrow = False
        self.strides: list[dict[int, int | None]] = []  # of each read, along the dimensions that it follows

    def value(self, evaluator: Evaluator, tensor: Tensor) -> None:
        self.widest = max(self.widest, bits(tensor.element))
        for block, state, follows in evaluator.cone(tensor):
            width = bits(block.element)
            self.has_64_bits |= width == 64
            cost = max(1, state.cost - sum({s: evaluator.now(s).cost for s, _ in state.sources}.values()))
            self.length[block] = 0 if state.uniform is not None else cost
            if isinstance(block.element, ir.FloatType) and state.uniform is None:
                if block.origin is None or block.origin.name not in CONVERSIONS:
                    self.costs[block] = (cost, follows)
                if cost >= self.reuse:
                    self.widest = max(self.widest, 32)  # functions of narrow floats are computed in float32
            if isinstance(state, Loaded | Stored) or isinstance(block.element, ir.FloatType):
                self.widest = max(self.widest, width)
            self._read(state, follows)

    def _read(self, state: Tensor, follows: Follows) -> None:
        strides: Sequence[int | None] = ()
        if isinstance(state, Stored):
            strides = state.buffer.strides
        elif isinstance(state, Loaded):
            strides = _likely(state.access)
            self.gathers_narrow |= bits(state.element) < 32 and state.access.index is not None
        for dim, stride in zip(follows, strides, strict=False):
            if dim is not None and state.shape[follows.index(dim)] > 1:
                self.score[dim] += 1 if stride == 1 else 0 if stride == 0 else -1
        self.strides.append({dim: stride for dim, stride in zip(follows, strides, strict=False) if dim is not None})

    def crosses(self, shape: tuple[int, ...], dim: int) -> bool:
        """Whether something is read whose elements lie apart along `dim`, and beside each other along another dimension."""
        long = [d for d, extent in enumerate(shape) if extent > 1 and d != dim]
        return any(read.get(dim, 1) not in (0, 1) and any(read.get(d) == 1 for d in long) for read in self.strides)

    def store(self, access: Access) -> None:
        self.widest = max(self.widest, bits(access.element))
        for dim, step in enumerate(_likely(access)):
            self.score[dim] += 2 if step == 1 else -2 if step != 0 else 0


def _likely(access: Access) -> list[int | None]:
    """The strides that are known. One of the last dimension that is not may be 1, and counts neither way, where no other is 1."""
    strides = [s.constant for s in access.strides]
    if strides and strides[-1] is None and 1 not in strides:
        strides[-1] = 0
    return strides


def loop_shape(
    evaluator: Evaluator,
    chip: Chip,
    tensors: Sequence[Tensor],
    shape: tuple[int, ...],
    stores: Sequence[Access] = (),
    carried: int = 0,
    axis: int | None = None,
) -> LoopShape:
    """For a loop over `shape` that evaluates `tensors` and writes `stores`: the dimension along which most accesses are contiguous.

    `carried`: vectors that it carries besides. `axis`: vectors along another dimension are each computed at all indices along this one.
    """
    survey = _Survey(len(shape), chip.costs)
    for tensor in tensors:
        survey.value(evaluator, tensor)
    for access in stores:
        survey.store(access)
    useful, score = chip.lanes(32), survey.score
    # a dimension that is too short to fill a register loses to one that is not
    dim = max(range(len(shape)), key=lambda d: (min(shape[d], useful) * (4 if score[d] >= 0 else 1), score[d], d))
    computes = sum(cost for cost, follows in survey.costs.values() if dim in follows) > chip.costs.much
    lanes = chip.lanes(survey.widest, chip.costs.computing_group if computes else chip.costs.group)
    lanes = min(lanes, chip.lanes(64, 8) if survey.has_64_bits else chip.lanes(32, 8))
    inner = None if axis == dim else axis
    groups = live(evaluator, tensors, dim, chip.costs.reuse, inner) if chip.in_order else None
    inward, rows = chip.in_order and not carried, math.prod(shape) // shape[dim]
    crosses = inward and survey.crosses(shape, dim)
    if groups is not None:
        # one vector of a light group that is all of the block would have no main part: masks are made once for many rows, else each time
        for group, least in ((chip.costs.group, 1), (chip.costs.light_group, 1 if len(shape) > 1 else 2)):
            larger = chip.lanes(survey.widest, group)
            if (groups + carried) * group <= chip.vector_registers and least * larger <= shape[dim]:
                lanes = max(lanes, larger)
    if survey.gathers_narrow and not chip.narrow_gathers:  # one by one: code for each lane
        lanes = min(lanes, chip.lanes(32))
    lanes = min(lanes, shape[dim])
    together = 1
    if groups is not None and carried:
        room = chip.lanes(survey.widest, chip.vector_registers) // lanes - groups
        together = max(1, min(room // carried, chip.costs.together))
    vectors = -(-shape[dim] // lanes)
    first = crosses or (inward and vectors <= _SHORT and rows >= _MANY * vectors)
    return LoopShape(dim, lanes, computes, sum(survey.length.values()) > chip.costs.divided, together, first)
