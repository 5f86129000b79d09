"""Where the lanes of a block access lie in memory, and which of them are active."""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import Access, Coordinate, Coordinates, Tensor, bits


def from_start(access: Access, dim: int) -> bool:
    """Whether no lower bound cuts the block along a dimension."""
    lower = access.lower[dim].constant
    return lower is not None and lower <= 0


def within(access: Access, dim: int) -> bool:
    """Whether no upper bound cuts the block along a dimension."""
    upper = access.upper[dim].constant
    return upper is not None and upper >= access.shape[dim]


class Addressing:
    """Emits addresses and masks. `evaluate` gives the lanes of an access's index and mask.

    `narrow_masks`: lanes are compared with a bound as integers of 8 or 16 bits, which fill a smaller group of registers.
    """

    def __init__(self, builder: Builder, evaluate: Callable[[Tensor, Coordinates], Emitted], narrow_masks: bool) -> None:
        self.b = builder
        self.evaluate = evaluate
        self.narrow_masks = narrow_masks

    def address(self, access: Access, at: Coordinates) -> tuple[Emitted, int, Emitted | None, Emitted | None]:
        """Pointer of the first lane, and how lanes lie behind it.

        Returns (pointer, width, stride, index): `stride` in elements where lanes are a fixed distance apart, else `index` is a
        vector of pointers; with width 0 both are None.
        """
        b = self.b
        terms, lane, width = [], None, 0
        for stride, coordinate in zip(access.strides, at, strict=True):
            terms.append(b.mul(coordinate.start, stride))
            if coordinate.width:
                lane, width = stride, coordinate.width
        pointer = access.base
        for term in sorted(terms, key=lambda t: t.depth):
            pointer = b.offset(pointer, term, access.element)
        if access.index is None:
            return pointer, width, lane, None
        index = self.evaluate(access.index, at)
        unit = access.element if access.unit == bits(access.element) // 8 else b.i8
        scale = 1 if unit is not b.i8 or access.unit == 1 else access.unit
        if scale != 1:
            index = b.op("arith.muli", b.i64, [b.cast_index(index, b.i64), b.constant(scale)], {"overflowFlags": b.nsw})
        if not index.width:
            return b.offset(pointer, b.cast_index(index, b.i64), unit), width, lane, None
        if lane.constant != 0:
            lanes = b.op("arith.muli", b.i64, [b.iota(width, b.i64), lane], {"overflowFlags": b.nsw}, depth=max(lane.depth, 0))
            index = b.cast_index(index, b.i64)
            if unit is b.i8:
                lanes = b.op("arith.muli", b.i64, [lanes, b.constant(bits(access.element) // 8)], {"overflowFlags": b.nsw})
            index = b.op("arith.addi", b.i64, [index, lanes], {"overflowFlags": b.nsw})
        return pointer, width, None, b.offset(pointer, index, unit)

    def active(self, access: Access, at: Coordinates) -> tuple[Emitted | None, Emitted | None]:
        """(scalar condition, vector mask): a lane is active where both hold; None is true."""
        b = self.b
        condition, lane = None, None
        for dim, coordinate in enumerate(at):
            if coordinate.width:
                lane = (dim, coordinate)
                continue
            if self._assume(access, dim, coordinate):
                continue
            if not from_start(access, dim):
                condition = b.both(condition, b.compare("sle", access.lower[dim], coordinate.start))
            if not within(access, dim) and not coordinate.is_below(access.upper[dim]):
                condition = b.both(condition, b.compare("slt", coordinate.start, access.upper[dim]))
        mask = None
        if access.unmasked is None:
            condition, mask = self._masked(access, at, condition)
        if lane is not None and mask is None and self._assume_lanes(access, *lane, condition):
            return None, None
        if access.unmasked is not None:
            condition, mask = self._masked(access, at, condition)
        if lane is None:
            return condition, None
        dim, coordinate = lane
        if not within(access, dim):
            mask = b.both(mask, self.below(coordinate, access.upper[dim]))
        if not from_start(access, dim):
            mask = b.both(mask, self.below(coordinate, access.lower[dim], negate=True))
        return condition, mask

    def _masked(self, access: Access, at: Coordinates, condition: Emitted | None) -> tuple[Emitted | None, Emitted | None]:
        """The access's mask as (scalar condition, together with `condition`; vector mask)."""
        if access.mask is None:
            return condition, None
        value = self.evaluate(access.mask, at)
        return (condition, value) if value.width else (self.b.both(condition, value), None)

    def _assume_lanes(self, access: Access, dim: int, coordinate: Coordinate, condition: Emitted | None) -> bool:
        """Whether the lanes of `coordinate` are active in the main part of its loop, where the access's other conditions hold."""
        if any(value is not None and value.depth >= coordinate.start.depth for value in (condition, access.unmasked)):
            return False
        return self._assume(access, dim, coordinate, self.b.both(condition, access.unmasked))

    def _assume(self, access: Access, dim: int, coordinate: Coordinate, condition: Emitted | None = None) -> bool:
        """Whether no bound cuts the main part of the coordinate's loop: it ends where one would, or at once where `condition` fails."""
        b = self.b
        lower, upper = access.lower[dim], access.upper[dim]
        if coordinate.assumed is None or any(value.depth >= coordinate.start.depth for value in (lower, upper)):
            return False
        if not from_start(access, dim):
            condition = b.both(condition, b.compare("sle", lower, b.constant(0)))
        if condition is not None or not within(access, dim):
            end = b.constant(access.shape[dim]) if within(access, dim) else upper
            coordinate.assumed.append(end if condition is None else b.select(condition, end, b.constant(0)))
        return True

    def below(self, coordinate: Coordinate, bound: Emitted, negate: bool = False) -> Emitted:
        """Lanes of `coordinate` whose position is less than `bound` (at least `bound` with `negate`)."""
        b = self.b
        width = coordinate.width
        # in as few bits as hold the distance, which is clamped to the vector
        distance = b.maximum(b.minimum(b.sub(bound, coordinate.start), b.constant(width)), b.constant(0))
        type_ = b.i32
        if self.narrow_masks:
            type_ = b.i8 if width < 128 else ir.IntegerType.get_signless(16)
        distance = b.cast_index(distance, type_)
        return b.compare("sge" if negate else "slt", b.iota(width, type_), distance)
