"""A launch's arguments as a board takes them: addresses of its own memory, where copies of this process's tensors are."""

import struct
from collections.abc import Sequence
from typing import Any

from triton_spacemit.backend.devices import Signature
from triton_spacemit.backend.devices.copies import Copy
from triton_spacemit.backend.devices.mirror import merge, storage_of
from triton_spacemit.backend.devices.session import Frames, RemoteKernel, Session
from triton_spacemit.backend.errors import ArgumentError, LinkError


def translate(
    session: Session,
    frames: Frames,
    copies: list[Copy],
    kernel: RemoteKernel,
    slots: bytes,
    pointers: Sequence[Any],
    signature: Signature,
) -> tuple[bytearray, list[Copy]]:
    """The slots with the board's addresses, and the copies that the kernel may write to; `copies` gets all that it needs."""
    storages = [_storage(session, kernel, pointer) for pointer in pointers]
    owners: dict[tuple[int, int], list[Any]] = {}
    local = merge([storage for storage in storages if storage is not None])
    for pointer, storage in zip(pointers, storages, strict=True):
        if storage is not None and storage[0] < storage[1]:
            around = next(span for span in local if span[0] <= storage[0] < span[1])
            owners.setdefault(around, []).append(_owner(pointer))
    for start, end in local:
        copies.append(session.copy_of(frames, start, end, owners[start, end], copies))
    for copy in copies:
        session.update(frames, copy)
    words = bytearray(slots)
    written: dict[int, Copy] = {}
    count = 8 * len(signature.types)
    for i, (slot, storage) in enumerate(zip(signature.pointers, storages, strict=True)):
        found = _around(copies, storage)
        if found is None:
            continue
        moved = found.address - found.start
        (address,) = struct.unpack_from("<Q", words, 8 * slot)
        if found.start <= address <= found.start + found.size:  # an empty view's may be null
            struct.pack_into("<Q", words, 8 * slot, address + moved)
        if len(words) >= count + 16 * (i + 1):  # behind the slots are storages, against which the kernel checks its accesses
            begin, end = struct.unpack_from("<QQ", words, count + 16 * i)
            struct.pack_into("<QQ", words, count + 16 * i, begin + moved, end + moved)
        if kernel.stored is None or slot in kernel.stored:
            written[found.start] = found
    if kernel.stored is None:
        written = {copy.start: copy for copy in copies}
    return words, [*written.values()]


def _storage(session: Session, kernel: RemoteKernel, pointer: Any) -> tuple[int, int] | None:
    """The storage in this process's memory behind a pointer; None for a tensor on the board. Raises where it is neither."""
    if getattr(getattr(pointer, "device", None), "type", "cpu") == "board":
        if pointer.session is not session:
            raise LinkError(
                f"kernel {kernel.name!r}: a tensor on board {pointer.session.name!r} is not in the session with {session.name!r}"
            )
        return None
    if isinstance(pointer, int) and session.arena.has(pointer):
        return None
    storage = storage_of(pointer)
    if storage is None:
        what = f"the address {pointer:#x}" if isinstance(pointer, int) else f"a {type(pointer).__name__} without a storage"
        raise ArgumentError(f"kernel {kernel.name!r} was given {what} of this process, which a board does not have; give it a tensor")
    return storage


def _around(copies: Sequence[Copy], storage: tuple[int, int] | None) -> Copy | None:
    """The copy that a storage with elements lies in; None for another one."""
    if storage is None or storage[0] >= storage[1]:
        return None
    return next(copy for copy in copies if copy.start <= storage[0] < copy.start + copy.size)


def _owner(pointer: Any) -> Any:
    """What tells whether the storage behind a pointer is gone: `expired()`."""
    from torch.multiprocessing.reductions import StorageWeakRef

    tensor = pointer if hasattr(pointer, "untyped_storage") else pointer.base
    return StorageWeakRef(tensor.untyped_storage())
