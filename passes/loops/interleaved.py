"""Loads of elements a few places apart, on chips without strided accesses: all that lies between is loaded, and the lanes are picked.

What lies between two elements that are both loaded, less than a line apart, is in a page of one of them, so that loading it cannot fail;
what another thread stores there meanwhile is not used.
"""

from typing import TYPE_CHECKING

from torch_mlir import ir

from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import bits

if TYPE_CHECKING:
    from triton_spacemit.passes.loops.vector_memory import VectorMemory

MOST = 4  # places; beyond them, lanes are gathered one by one


def is_interleaved(stride: int | None, element: ir.Type, width: int) -> bool:
    """Whether vectors of every so many elements are loaded in this way."""
    return stride is not None and 2 <= stride <= MOST and width >= 4 and bits(element) in (32, 64)


def interleaved_load(
    memory: "VectorMemory",
    pointer: Emitted,
    stride: int,
    element: ir.Type,
    width: int,
    mask: Emitted | None,
    other: Emitted | None,
    home: int,
) -> Emitted:
    """Lane i is element `stride * i`: of as many vectors as there are places, the last of which ends with the last lane's element.

    Under a mask, elements of inactive lanes are not touched, nor what lies between.
    """
    b = memory.b
    last = stride * (width - 1)
    starts = [min(part * width, last - width + 1) for part in range(stride)]
    found = None
    for part, start in enumerate(starts):
        places = [stride * lane - start for lane in range(width)]
        own = [lane for lane in range(width) if lane * stride >= part * width and 0 <= places[lane] < width]
        active = None
        if mask is not None:
            lanes = {places[lane]: lane for lane in own}
            none = b.broadcast(b.constant(0, b.i1), width)
            active = b.shuffle(b.broadcast(mask, width), none, [lanes.get(place, width) for place in range(width)])
        vector = memory.contiguous_load(b.offset(pointer, b.constant(start), element), element, width, active, None, home)
        if found is None:
            found = vector
        picked = [width + places[lane] if lane in own else lane for lane in range(width)]
        if part == 0:
            picked = [places[lane] if lane in own else 0 for lane in range(width)]
        found = b.shuffle(found, vector, picked)
    assert found is not None
    return found if mask is None else b.select(mask, found, b.broadcast(other or memory.zero(element), width))
