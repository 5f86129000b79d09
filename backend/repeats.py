"""A launch again, with the same numbers and other tensors, by callers that launch one kernel thousands of times.

What a launch checks does not change with the addresses, so it is checked once. A tenth of a launch's time is left: the function packs
the addresses between the bytes of the other slots and starts the kernel.
"""

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from triton_spacemit.backend.devices import Signature

_SLOT = 8  # bytes

#: Launches on three extents with packed slots. Raises DeviceError as a device's `launch` does.
Start = Callable[[tuple[int, int, int], bytes], None]
#: Launches on three extents with so many addresses, which are those of tensors in this process's memory.
Repeat = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Description:
    """A launch in this process, but for its grid, as the runtime takes it (`runtime/runtime.h`).

    program: the address of the kernel's. concurrent: whether one program uses several threads. places: the slots of the pointers, which
    are of the values `pointers`. fail: raises, in the thread that launched, what the launch that ended with this status has failed of.
    """

    program: int
    concurrent: bool
    slots: bytes
    places: tuple[int, ...]
    pointers: tuple[Any, ...]
    fail: Callable[[int], None]


def repeat(signature: Signature, slots: bytes, start: Start) -> Repeat:
    """`run(grid, *addresses)`: a launch with the numbers in `slots`, and an address for each of the signature's pointers."""
    make, places = _maker(len(signature.types), signature.pointers)
    return make(start, *(slots[first:end] for first, end in places))


@functools.lru_cache(4096)
def _maker(count: int, pointers: tuple[int, ...]) -> tuple[Callable[..., Repeat], tuple[tuple[int, int], ...]]:
    """For kernels of so many slots: what makes a `run` of the bytes that lie between pointers, and where these bytes are."""
    form, values, places = "<", [], []
    for is_pointer, group in groupby(range(count), frozenset(pointers).__contains__):
        slots = list(group)
        if is_pointer:
            form += "Q" * len(slots)
            values += [f"p{slot}" for slot in slots]
        else:
            form += f"{_SLOT * len(slots)}s"
            values.append(f"between{slots[0]}")
            places.append((_SLOT * slots[0], _SLOT * (slots[-1] + 1)))
    between = "".join(f", {value}" for value in values if value.startswith("between"))
    parameters = "".join(f", p{slot}" for slot in pointers)
    lines = [
        f"def make(start{between}):",
        f"    def run(grid{parameters}):",
        f"        start(grid, pack({', '.join(values)}))",
        "    return run",
    ]
    scope: dict[str, Any] = {"pack": struct.Struct(form).pack}
    exec("\n".join(lines), scope)
    return scope["make"], tuple(places)
