"""Whether two strided accesses may go to one address, as a test at run time.

They may if their ranges of addresses meet. Halves of rows, as a concatenation writes them through two pointers, have ranges that do, and
no element in common: what either touches repeats with a period, and within each period lies where the other leaves a gap (`_period`).
"""

import math

from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import Access, bits


def overlaps(b: Builder, first: Access, second: Access) -> Emitted:
    """i1: whether two strided accesses may go to one address."""
    low, high = _address_range(b, first)
    other_low, other_high = _address_range(b, second)
    meet = b.both(b.compare("ult", low, other_high), b.compare("ult", other_low, high))
    period = _period(first, second)
    if period is None:
        return meet
    distance = b.sub(address_of(b, second), address_of(b, first))
    place = _modulo(b, distance, period)
    room = period - _run(second, period)
    inside = b.op("arith.ori", b.i1, [b.compare("slt", place, b.constant(_run(first, period))), b.compare("slt", b.constant(room), place)])
    return b.both(meet, inside)


def _period(first: Access, second: Access) -> int | None:
    """Bytes after which what both accesses touch repeats, in which there is room for what either touches in one period; None without such.

    It divides the strides of the outer dimensions, whatever their extents. What the inner ones reach, from the first element on, is a run
    of bytes in each period: the runs of two accesses do not meet if the second begins where the first has ended, and ends before it
    begins anew.
    """
    strides = []
    for access in (first, second):
        for stride, extent in zip(access.strides, access.shape, strict=True):
            if extent > 1:
                if stride.constant is None or stride.constant < 0:
                    return None
                strides.append(stride.constant * _size(access))
    for least in sorted({stride for stride in strides if stride}):
        period = math.gcd(*(stride for stride in strides if stride >= least))
        if _run(first, period) + _run(second, period) <= period:
            return period
    return None


def _run(access: Access, period: int) -> int:
    """The bytes from the first element to the end of the last one that the dimensions whose strides the period does not divide reach."""
    size = _size(access)
    steps = ((stride.constant or 0) * size for stride in access.strides)
    return size + sum(step * (extent - 1) for step, extent in zip(steps, access.shape, strict=True) if step % period)


def _modulo(b: Builder, number: Emitted, period: int) -> Emitted:
    """The place of a number, which may be negative, within its period."""
    if period & (period - 1) == 0:
        return b.op("arith.andi", b.i64, [number, b.constant(period - 1)])
    rest = b.op("arith.remsi", b.i64, [number, b.constant(period)])
    return b.select(b.compare("slt", rest, b.constant(0)), b.add(rest, b.constant(period)), rest)


def _address_range(b: Builder, access: Access) -> tuple[Emitted, Emitted]:
    """First and last-plus-one byte address that a strided access can touch, as i64."""
    size = b.constant(_size(access))
    low = high = address_of(b, access)
    for d, stride in enumerate(access.strides):
        step = b.mul(stride, size)
        places = [b.mul(step, end) for end in ends(b, access, d)]
        if stride.constant is not None and stride.constant >= 0:
            low, high = b.add(low, places[0]), b.add(high, places[1])
        else:
            low, high = b.add(low, b.minimum(*places)), b.add(high, b.maximum(*places))
    return low, b.add(high, size)


def ends(b: Builder, access: Access, d: int) -> tuple[Emitted, Emitted]:
    """The first and the last index along dimension `d` that the bounds leave."""
    first = b.maximum(access.lower[d], b.constant(0))
    return first, b.sub(b.minimum(access.upper[d], b.constant(access.shape[d])), b.constant(1))


def address_of(b: Builder, access: Access) -> Emitted:
    return b.op("llvm.ptrtoint", b.i64, [access.base])


def _size(access: Access) -> int:
    return bits(access.element) // 8
