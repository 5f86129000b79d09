"""Gathers whose index is linear but for a sign, as `(first + i) % count` is, where a program's number may have wrapped around.

Where no number is negative, which a comparison of scalars decides (`facts/integers.py` has the rule), the block is strided memory and read
in place, as any such load; elsewhere it is copied first, element by element, by code that hardly ever runs.
"""

import math
from dataclasses import replace

from triton_spacemit.passes.loops.aliasing import copy_elements
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Access, Loaded, bits, row_major, stored_type


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
    if linear.condition is not None:
        base, strides = _or_copy(low, access, linear.condition, base, strides)
    return replace(access, base=base, strides=strides, index=None, index_value=None)


def _or_copy(low: Lowering, access: Access, condition: Emitted, base: Emitted, strides: list[Emitted]) -> tuple[Emitted, list[Emitted]]:
    """Base and strides where the condition holds, else those of a copy, which has the strides that are constants."""
    b = low.b
    buffer = low.storage.allocate(access.shape, access.element, rare=True)

    def copied() -> list[Emitted]:
        load = Loaded(shape=access.shape, element=access.element, origin=access.op, access=access, home=b.depth)
        with low.storage.region(), low.evaluator.rarely():
            copy_elements(low, load, buffer)
        return [b.freeze(buffer.base), *(b.constant(s) for s in row_major(access.shape))]

    types = [(b.ptr, 0)] + [(b.i64, 0)] * len(strides)
    chosen = b.if_else(condition, types, lambda: [base, *strides], copied)
    return chosen[0], chosen[1:]
