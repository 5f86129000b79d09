"""Gathers whose index is linear but for a sign, as `(first + i) % count` is, where a program's number may have wrapped around.

Where no number is negative, which a comparison of scalars decides (`facts/integers.py` has the rule), the block is strided memory and read
in place, as any such load; elsewhere it is copied first, element by element, by code that hardly ever runs.
"""

import math
from dataclasses import replace

from triton_spacemit.passes.loops.aliasing import copy_elements
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Loaded, bits, stored_type
from triton_spacemit.passes.loops.views import View, either, view_of


def straightened(low: Lowering, access: Access) -> Access:
    """The access without its index, if that is linear in this sense and nothing but bounds says which elements are active."""
    b = low.b
    if access.index_value is None or access.mask is not None or access.unit != bits(access.element) // 8 or math.prod(access.shape) == 1:
        return access
    linear = low.facts.counted(access.index_value)
    if linear is None:
        return access
    base = b.offset(access.base, linear.base, stored_type(b, access.element))
    strides = [b.add(own, step) for own, step in zip(access.strides, linear.steps, strict=True)]
    view = either(low, View(base, strides, access.element), linear.condition, lambda: _copied(low, access))
    return replace(access, base=view.base, strides=view.strides, index=None, index_value=None)


def _copied(low: Lowering, access: Access) -> View:
    """A copy of the block, whose address is a value of the branch it is made in: as one from outside it would be selected."""
    b = low.b
    buffer = low.storage.allocate(access.shape, access.element, rare=True)
    load = Loaded(shape=access.shape, element=access.element, origin=access.op, access=access, home=b.depth)
    with low.storage.region(), low.evaluator.rarely():
        copy_elements(low, load, buffer)
    return replace(view_of(low, buffer, access.element), base=b.freeze(buffer.base))
