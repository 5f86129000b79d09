"""Memory of this process that a board has a copy of.

Beside each is a shadow, which is exactly what the board has: what differs from it is what has to be sent, 64 KiB at a time, and nothing
else. A kernel's results come into the shadow first, and from there into this process's memory.
"""

import ctypes
import functools
import os
from collections.abc import Iterator
from typing import Any

from triton_spacemit.backend.devices.addresses import PAGE
from triton_spacemit.backend.errors import DeviceError

BLOCK = 1 << 16
_STEP = 1 << 20

_libc = ctypes.CDLL(None)
_memcmp = _libc.memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


_POPULATE_READ, _POPULATE_WRITE = 22, 23  # of madvise, since Linux 5.14


def _is_there(start: int, size: int, advice: int) -> bool:
    """Whether the system says that all of this process's memory there can be read or written; older ones say so of none."""
    first = start & -PAGE
    return not _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(start + size - first), advice)


def _buffer(address: int, size: int) -> Any:
    return (ctypes.c_char * size).from_address(address)


class _Passage:
    """Copies to and from memory that may not be what it should be: the system looks, where a copy of our own would end the process."""

    def __init__(self) -> None:
        self._file = os.memfd_create("triton-spacemit-passage")

    def read(self, address: int, into: memoryview) -> None:
        """Raises OSError where the memory cannot be read."""
        if into.nbytes and _is_there(address, into.nbytes, _POPULATE_READ):
            into[:] = memoryview(_buffer(address, into.nbytes)).cast("B")
            return
        for i in range(0, into.nbytes, _STEP):
            part = into[i : i + _STEP]
            if os.pwrite(self._file, _buffer(address + i, part.nbytes), 0) < part.nbytes:
                raise OSError("cut short")
            os.preadv(self._file, [part], 0)

    def write(self, address: int, data: memoryview) -> None:
        """Raises OSError where the memory cannot be written."""
        if data.nbytes and _is_there(address, data.nbytes, _POPULATE_WRITE):
            memoryview(_buffer(address, data.nbytes)).cast("B")[:] = data
            return
        for i in range(0, data.nbytes, _STEP):
            part = data[i : i + _STEP]
            os.pwrite(self._file, part, 0)
            if os.preadv(self._file, [_buffer(address + i, part.nbytes)], 0) < part.nbytes:
                raise OSError("cut short")


_passage = functools.cache(_Passage)


class Copy:
    """Of the `size` bytes at `start`, which the board has at `address`. owners: what may tell that the memory is no longer a tensor's."""

    def __init__(self, start: int, size: int, address: int, base: int) -> None:
        self.start, self.size, self.address, self.base = start, size, address, base
        self._memory = bytearray(size)
        self.shadow = memoryview(self._memory)
        self._shadow_address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.sent = False  # the board has it
        self.owners: list[Any] = []

    def changes(self) -> Iterator[tuple[int, int]]:
        """What has to be sent, as (start, end) in the copy; the shadow has it from then on. Raises DeviceError where it cannot be read."""
        if not self.sent:
            try:
                _passage().read(self.start, self.shadow)
            except OSError:
                raise DeviceError(f"the memory of an argument at {self.start:#x} cannot be read") from None
            self.sent = True
            yield 0, self.size
            return
        for start, end in self._runs():
            ctypes.memmove(self._shadow_address + start, self.start + start, end - start)
            yield start, end

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Blocks in which the shadow and this process's memory differ, neighbours together."""
        if not self._differs(0, self.size):
            return
        begin = None
        for start in range(0, self.size, BLOCK):
            if self._differs(start, min(start + BLOCK, self.size)):
                begin = start if begin is None else begin
            elif begin is not None:
                yield begin, start
                begin = None
        if begin is not None:
            yield begin, self.size

    def _differs(self, start: int, end: int) -> bool:
        return bool(_memcmp(self.start + start, self._shadow_address + start, end - start))

    def store(self) -> None:
        """Have this process's memory be what the shadow is. Raises DeviceError where it would have to write to read-only memory."""
        for start, end in self._runs():
            try:
                _passage().write(self.start + start, self.shadow[start:end])
            except OSError:
                raise DeviceError(f"a kernel wrote to memory at {self.start + start:#x}, which is read-only") from None

    def is_dead(self) -> bool:
        """Whether every tensor that it was a copy of is gone."""
        return all(owner.expired() for owner in self.owners)
