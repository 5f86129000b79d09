"""The memory of a launch on a device that does not share this process's: what it needs of it, and how it gets back.

The storages of the arguments are copied before a launch and copied back after it; of a large one, what the strides of the argument reach.
Memory that a kernel reaches in another way (the rest of a large storage, or through a pointer in memory or an integer argument) is copied
when the device asks for it, and of it, and of what lies beside the arguments on their pages, only the bytes that the kernel changed are
written back, since this process may use their neighbours meanwhile.
"""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from triton_spacemit.backend.devices import Signature
from triton_spacemit.backend.errors import DeviceError

PAGE = 4096
READ, WRITE, EXECUTE = 1, 2, 4  # rights of memory
_FIRST_FETCH, _LARGEST_FETCH = 1 << 16, 1 << 26
_LARGE = 1 << 20  # bytes of a storage
_ADDRESS_TYPES = ("i64", "u64", "*i64", "*u64")


class Transport(Protocol):
    """Moves bytes between this process's memory and the same addresses of the device's."""

    def copy_in(self, start: int, end: int) -> int:
        """Copy to the device; the address up to which this process's memory could be read."""

    def copy_out(self, start: int, end: int) -> None:
        """Copy from the device. Raises OSError where this process's memory cannot be written."""

    def read(self, start: int, end: int) -> bytes:
        """What the device has for a range of addresses."""


def storage_of(value: Any) -> tuple[int, int] | None:
    """Start and end of the memory behind a pointer argument; None where only an address is known."""
    if value is None or isinstance(value, int) and not value:
        return 0, 0
    tensor: Any = value if hasattr(value, "untyped_storage") else getattr(value, "base", None)
    if not hasattr(tensor, "untyped_storage"):
        return None
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.data_ptr() + storage.nbytes()


def view_of(value: Any) -> tuple[int, int] | None:
    """Start and end of what the strides of a pointer argument reach; None where that is not known."""
    tensor: Any = value if hasattr(value, "stride") else getattr(value, "base", None)
    if not hasattr(tensor, "stride") or not hasattr(tensor, "data_ptr"):
        return None
    start = tensor.data_ptr()
    if not tensor.numel():
        return start, start
    last = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of ranges, as sorted ranges that do not overlap."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _pages(start: int, end: int) -> tuple[int, int]:
    return start & -PAGE, -(-end // PAGE) * PAGE


def _mapping_of(address: int) -> tuple[int, int, int] | None:
    """(start, end, rights) of this process's mapping around `address`, if kernels may use it: data, neither code nor a stack."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(None, 5)
            start, end = (int(part, 16) for part in fields[0].split("-"))
            if start <= address < end:
                special = len(fields) > 5 and fields[5].startswith("[") and not fields[5].startswith(("[heap", "[anon"))
                if fields[1][0] != "r" or fields[1][2] == "x" or special:
                    return None
                return start, end, READ | WRITE if fields[1][1] == "w" else READ
    return None


class Mirror:
    """What one launch has of this process's memory.

    spans: what it has of the storages of its arguments, sorted and apart. reaches: whether its kernel may get to other memory. pages: or
    at least to more of a storage. ranges: the pages that the device is to have, which grow as it fetches more.
    """

    def __init__(self, transport: Transport, pointers: Sequence[Any], signature: Signature) -> None:
        self.transport = transport
        storages = [storage_of(pointer) for pointer in pointers]
        self.storages = merge([storage for storage in storages if storage])
        self.spans = merge([self._span(pointer, storage) for pointer, storage in zip(pointers, storages, strict=True) if storage])
        self.reaches = None in storages or any(type_ in _ADDRESS_TYPES or type_.startswith("**") for type_ in signature.types)
        self.pages = self.reaches or self.spans != self.storages
        self.ranges = merge([_pages(*span) for span in self.spans])
        self.fetched: list[tuple[int, int, bytes]] = []  # page ranges beside the arguments, and what they held
        self.fetch_bytes = _FIRST_FETCH

    @staticmethod
    def _span(pointer: Any, storage: tuple[int, int]) -> tuple[int, int]:
        view = view_of(pointer) if storage[1] - storage[0] > _LARGE else None
        return view if view is not None and storage[0] <= view[0] <= view[1] <= storage[1] else storage

    def copy_in(self) -> None:
        """Copy the arguments' pages to the device. Raises DeviceError where one cannot be read."""
        for start, end in self.ranges:
            if self.transport.copy_in(start, end) < end:
                raise DeviceError(f"the memory of an argument at {start:#x} cannot be read")
        if self.pages:
            for start, end in self._edges():
                self.fetched.append((start, end, self.transport.read(start, end)))

    def _edges(self) -> Iterator[tuple[int, int]]:
        """What lies beside the arguments on their pages: other memory that a pointer in memory may lead to."""
        spans = iter(self.spans)
        span = next(spans, None)
        for start, end in self.ranges:
            while span is not None and span[0] < end:
                if start < span[0]:
                    yield start, span[0]
                start = span[1]
                span = next(spans, None)
            if start < end:
                yield start, end

    def has(self, address: int) -> bool:
        """Whether the device has the memory around `address`."""
        return any(start <= address < end for start, end in self.ranges)

    def _is_in_storage(self, address: int) -> bool:
        return any(start <= address < end for start, end in self.storages)

    def fetch(self, address: int) -> tuple[int, int, int] | None:
        """Copy the memory around `address`: its start, end and rights; None where kernels may not get there."""
        mapping = _mapping_of(address) if self.reaches or self._is_in_storage(address) else None
        if mapping is None:
            return None
        start = address & -PAGE
        if not self.reaches:
            mapping = mapping[0], _pages(*next(storage for storage in self.storages if address < storage[1]))[1], mapping[2]
        end = min([mapping[1], start + self.fetch_bytes, *(other for other, _ in self.ranges if other > start)])
        end = self.transport.copy_in(start, end) & -PAGE
        if end <= start:
            return None
        self.fetch_bytes = min(2 * self.fetch_bytes, _LARGEST_FETCH)
        self.ranges.append((start, end))
        if mapping[2] & WRITE:
            self.fetched.append((start, end, self.transport.read(start, end)))
        return start, end, mapping[2]

    def copy_out(self) -> None:
        """Copy back what the kernel may have written. Raises DeviceError where it wrote to read-only memory."""
        for start, end in self.spans:
            try:
                self.transport.copy_out(start, end)
            except OSError:
                # Read-only memory: fine as long as the kernel only read it.
                self._copy_changes(start, ctypes.string_at(start, end - start))
        for start, _, before in self.fetched:
            self._copy_changes(start, before)

    def _copy_changes(self, start: int, before: bytes) -> None:
        import numpy as np

        after = self.transport.read(start, start + len(before))
        if after == before:
            return
        changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
        for run in np.split(changed, np.flatnonzero(np.diff(changed) > 1) + 1):
            try:
                self.transport.copy_out(start + int(run[0]), start + int(run[-1]) + 1)
            except OSError:
                raise DeviceError(f"a kernel wrote to address {start + int(run[0]):#x}, which is read-only memory") from None
