"""The device that runs RISC-V code: a persistent guest under qemu-riscv64.

Tensors have the same addresses in the guest as here, so pointers stored in tensors and raw addresses stay valid. The pages of the
arguments' storages are mapped and filled before a launch and copied back after it. Memory that a kernel reaches in another
way (through a pointer in memory or an integer argument) is fetched when it is first touched, and only the bytes that
the kernel changed are written back, since this process may use their neighbours meanwhile. A kernel that has no such
way gets a fault instead.

A guest that faulted, hung or died is replaced by a fresh one, and so is one in which QEMU itself happens to lie where a tensor must be.
"""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from triton_spacemit.backend.devices import Signature
from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.devices.guest import (
    DONE,
    EXECUTE,
    FAULT,
    LAUNCH,
    PAGE,
    PAGE_FAULT,
    PRINT,
    READ,
    WRITE,
    AddressTaken,
    Guest,
    GuestDied,
    GuestTimeout,
)
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.loader import KernelObject
from triton_spacemit.backend.native import guest_program
from triton_spacemit.dialect.abi import STATUS
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip

#: Kernels lie from here on: far from this process's heap and stacks, and in reach of every RISC-V address space.
CODE_BASE, CODE_BYTES = 1 << 36, 1 << 36
_UNKNOWN, _MAP_IT, _TRY_AGAIN = 0, 1, 2
_FAILED, _NO_MEMORY = STATUS["FAILED"], STATUS["NO_MEMORY"]
_FIRST_FETCH, _LARGEST_FETCH = 1 << 16, 1 << 26
_ATTEMPTS = 8
_ADDRESS_TYPES = ("i64", "u64", "*i64", "*u64")
_KINDS = {
    signal.SIGSEGV: "invalid memory access",
    signal.SIGBUS: "memory access that the machine refuses",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic fault",
}


class QemuKernel:
    """A kernel for the guest; it lies in every guest that has launched it."""

    def __init__(self, object_: KernelObject, scratch_bytes: int) -> None:
        self.object = object_
        self.name = object_.name
        self.scratch_bytes = scratch_bytes


def storage_of(value: Any) -> tuple[int, int] | None:
    """Start and end of the memory behind a pointer argument; None where only an address is known."""
    if value is None or isinstance(value, int) and not value:
        return 0, 0
    tensor: Any = value if hasattr(value, "untyped_storage") else getattr(value, "base", None)
    if not hasattr(tensor, "untyped_storage"):
        return None
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.data_ptr() + storage.nbytes()


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


class _Launch:
    """The memory of one launch: what is mapped for it and how it gets back."""

    def __init__(self, guest: Guest, spans: list[tuple[int, int]], paging: bool) -> None:
        self.guest = guest
        self.spans = spans
        self.paging = paging
        self.ranges = merge([_pages(*span) for span in spans])
        self.fetched: list[tuple[int, int, bytes]] = []  # page ranges beside the arguments, and what they held
        self.fetch_bytes = _FIRST_FETCH

    def copy_in(self) -> None:
        for start, end in self.ranges:
            if self.guest.copy_in(start, end) < end:
                raise DeviceError(f"the memory of an argument at {start:#x} cannot be read")
        if self.paging:
            for start, end in self._edges():
                self.fetched.append((start, end, self.guest.read(start, end)))

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

    def fetch(self, address: int) -> tuple[int, int, int, int]:
        """The answer to a missing page: what to do, start, size and rights."""
        if any(start <= address < end for start, end in self.ranges):
            return _TRY_AGAIN, 0, 0, 0
        mapping = _mapping_of(address) if self.paging else None
        if mapping is None:
            return _UNKNOWN, 0, 0, 0
        start = address & -PAGE
        end = min([mapping[1], start + self.fetch_bytes, *(other for other, _ in self.ranges if other > start)])
        end = self.guest.copy_in(start, end) & -PAGE
        if end <= start:
            return _UNKNOWN, 0, 0, 0
        self.fetch_bytes = min(2 * self.fetch_bytes, _LARGEST_FETCH)
        self.ranges.append((start, end))
        if mapping[2] & WRITE:
            self.fetched.append((start, end, self.guest.read(start, end)))
        return _MAP_IT, start, end - start, mapping[2]

    def copy_out(self) -> None:
        for start, end in self.spans:
            try:
                self.guest.copy_out(start, end)
            except OSError:
                # Read-only memory: fine as long as the kernel only read it.
                self._copy_changes(start, ctypes.string_at(start, end - start))
        for start, _, before in self.fetched:
            self._copy_changes(start, before)

    def _copy_changes(self, start: int, before: bytes) -> None:
        import numpy as np

        after = self.guest.read(start, start + len(before))
        if after == before:
            return
        changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
        for run in np.split(changed, np.flatnonzero(np.diff(changed) > 1) + 1):
            try:
                self.guest.copy_out(start + int(run[0]), start + int(run[-1]) + 1)
            except OSError:
                raise DeviceError(f"a kernel wrote to address {start + int(run[0]):#x}, which is read-only memory") from None


class _Session:
    """A guest, started when it is needed, and what it holds."""

    def __init__(self, start: Callable[[], Guest], threads: int | None = None) -> None:
        self.start = start
        self.threads = threads
        self.forget()

    def forget(self) -> None:
        self.guest: Guest | None = None
        self.placed: dict[QemuKernel, tuple[int, int]] = {}  # where kernels lie
        self.next_code = CODE_BASE
        self.mapped: list[tuple[int, int]] = []  # pages of tensors that are mapped

    def close(self) -> None:
        """End the guest; the next launch starts another."""
        if self.guest is not None:
            self.guest.close()
        self.forget()


class QemuDevice:
    name = "qemu"

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._lock = threading.RLock()
        self._session = self._main = _Session(lambda: Guest(self.command()))
        self._unloaded: list[QemuKernel] = []
        os.register_at_fork(after_in_child=self._after_fork)

    def command(self, *options: str) -> list[str]:
        """The command that starts a guest, with more options for QEMU."""
        return [find_qemu(), "-cpu", f"max,vlen={self.chip.vlen}", *options, str(guest_program())]

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._session.guest is not None:
            self._session.guest.abandon()
        self._session.forget()

    def close(self) -> None:
        """End the guest; the next launch starts another."""
        with self._lock:
            self._session.close()

    @contextmanager
    def session(self, start: Callable[[], Guest], threads: int) -> Iterator[None]:
        """Run the launches of a block in a guest of their own, on `threads` threads."""
        with self._lock:
            self._session = _Session(start, threads)
            try:
                yield
            finally:
                self._session.close()
                self._session = self._main

    def load(self, artifact: Artifact) -> QemuKernel:
        object_ = KernelObject(artifact.binary, artifact.name)
        if object_.machine != "riscv64":
            raise ObjectError(f"the object of kernel {artifact.name!r} is for {object_.machine}; the qemu device runs riscv64")
        return QemuKernel(object_, artifact.scratch_bytes)

    def unload(self, kernel: QemuKernel) -> None:
        # May come from the garbage collector in the middle of a launch: the guest is told before the next one.
        self._unloaded.append(kernel)

    def launch(self, kernel: QemuKernel, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        storages = [storage_of(pointer) for pointer in pointers]
        spans = merge([storage for storage in storages if storage])
        paging = None in storages or any(type_ in _ADDRESS_TYPES or type_.startswith("**") for type_ in signature.types)
        with self._lock:
            self._run(kernel, grid, slots, spans, paging)

    def _run(self, kernel: QemuKernel, grid: tuple[int, int, int], slots: bytes, spans: list[tuple[int, int]], paging: bool) -> None:
        session = self._session
        for _ in range(_ATTEMPTS):
            try:
                guest = self._ready_guest(session)
                launch = _Launch(guest, spans, paging)
                self._map_tensors(session, guest, launch)
                entry = self._place(session, guest, kernel)
                threads = session.threads or knobs.num_threads
                guest.tell(LAUNCH, entry, kernel.scratch_bytes, len(slots), *grid, threads, paging, payload=slots)
                self._serve(session, guest, kernel, launch)
            except AddressTaken:
                session.close()
                continue
            except (GuestDied, GuestTimeout) as error:
                session.close()
                raise DeviceError(f"kernel {kernel.name!r}: {error}") from None
            except BaseException:
                # The guest is somewhere in the launch: after a fault, or because the user interrupted this process.
                session.close()
                raise
            session.mapped = launch.ranges
            self._finish(guest, kernel, launch)
            return
        raise DeviceError(f"kernel {kernel.name!r}: no guest has the addresses of the arguments free")

    def _ready_guest(self, session: _Session) -> Guest:
        if session.guest is not None and session.guest.process.poll() is not None:
            session.close()
        if session.guest is None:
            session.guest = session.start()
        if session is self._main:
            places = []
            while self._unloaded:
                place = session.placed.pop(self._unloaded.pop(), None)
                if place is not None:
                    places.append(place)
            session.guest.unmap(places)
        return session.guest

    def _map_tensors(self, session: _Session, guest: Guest, launch: _Launch) -> None:
        """Leave just the pages of this launch mapped: what another launch saw would be out of date."""
        wanted, mapped = set(launch.ranges), set(session.mapped)
        session.mapped = [*launch.ranges]
        guest.unmap(sorted(mapped - wanted))
        launch.copy_in()
        guest.map([(start, end, READ | WRITE) for start, end in sorted(wanted - mapped)])

    def _place(self, session: _Session, guest: Guest, kernel: QemuKernel) -> int:
        """The address of the kernel's entry in the guest. Each kernel gets fresh addresses: QEMU has translated what was at others."""
        if kernel not in session.placed:
            object_, base = kernel.object, session.next_code
            if base + object_.size > CODE_BASE + CODE_BYTES:
                raise AddressTaken  # a fresh guest starts over
            image = object_.link(base, guest.externals)
            os.pwrite(guest.file, image, base)
            parts = (
                (base, base + object_.code_end, READ | EXECUTE),
                (base + object_.code_end, base + object_.readonly_end, READ),
                (base + object_.readonly_end, base + object_.size, READ | WRITE),
            )
            guest.map([part for part in parts if part[0] < part[1]], private=True)
            session.placed[kernel] = base, base + object_.size
            session.next_code = base + object_.size + PAGE  # a kernel that runs off its end faults
        return session.placed[kernel][0] + kernel.object.entry

    def _serve(self, session: _Session, guest: Guest, kernel: QemuKernel, launch: _Launch) -> None:
        """Answer the guest until the launch is done."""
        seconds = knobs.timeout
        deadline = time.monotonic() + seconds if seconds > 0 else None
        try:
            while (event := guest.wait(deadline)) != DONE:
                if event == PRINT:
                    guest.print_text()
                    guest.tell(0)
                elif event == PAGE_FAULT:
                    guest.tell(0, *launch.fetch(guest.control.answers[0]))
                elif event == FAULT:
                    self._raise_fault(session, guest, kernel, seconds)
        except GuestTimeout:
            guest.interrupt()
            try:
                if guest.wait(time.monotonic() + 2) == FAULT:
                    self._raise_fault(session, guest, kernel, seconds)
            except (GuestTimeout, GuestDied):
                pass
            raise DeviceError(f"kernel {kernel.name!r}: {_timeout_text(seconds)}") from None

    def _raise_fault(self, session: _Session, guest: Guest, kernel: QemuKernel, seconds: float) -> NoReturn:
        number, _, address, counter, return_address, *program = guest.control.answers[:8]
        if number == 0:
            raise AddressTaken
        start, end = session.placed[kernel]
        # Outside of the kernel it is in a function that the kernel called, memcpy for one: the call is what the user knows.
        place = counter if start <= counter < end else return_address - 1
        where = f"at {place - start:#x} in its code" if start <= place < end else "outside of its code"
        line = kernel.object.line_of(place - start) if start <= place < end else None
        if line:
            where = f"at {line}"
        if number == signal.SIGUSR1:
            text = f"{_timeout_text(seconds)}; it was {where}"
        else:
            detail = f" at address {address:#x}" if number in (signal.SIGSEGV, signal.SIGBUS) else ""
            text = f"{_KINDS[signal.Signals(number)]} ({signal.Signals(number).name}){detail}, {where}"
        ids = tuple(ctypes.c_int32(part & 0xFFFFFFFF).value for part in program)
        raise DeviceError(f"kernel {kernel.name!r}, program {ids}: {text}") from None

    def _finish(self, guest: Guest, kernel: QemuKernel, launch: _Launch) -> None:
        result, *program = guest.control.answers[:4]
        message = guest.control.text.decode(errors="replace") if result == _FAILED else ""
        launch.copy_out()
        if result == _FAILED:
            raise DeviceError(f"kernel {kernel.name!r}, program {tuple(program)}: {message}")
        if result == _NO_MEMORY:
            raise DeviceError(f"kernel {kernel.name!r}: no memory in the guest for {kernel.scratch_bytes} bytes of scratch a thread")


def _timeout_text(seconds: float) -> str:
    return f"still running after {seconds:g} seconds (TRITON_SPACEMIT_TIMEOUT), and was stopped"
