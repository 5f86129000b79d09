"""The device that runs RISC-V code: a persistent guest under qemu-riscv64.

Tensors have the same addresses in the guest as here, so pointers stored in tensors and raw addresses stay valid. The pages of the
arguments' storages are mapped and filled before a launch and copied back after it, and memory that a kernel reaches in another way is
fetched when it is first touched (`mirror.py`). A kernel that has no such way gets a fault instead.

A guest that faulted, hung or died is replaced by a fresh one, and so is one in which QEMU itself happens to lie where a tensor must be.
"""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from triton_spacemit.backend.devices import Clock, Signature
from triton_spacemit.backend.devices.counting import Counts, ExecutionLog
from triton_spacemit.backend.devices.faults import ended, fault_text, place_text, timeout_text
from triton_spacemit.backend.devices.find_qemu import find_qemu
from triton_spacemit.backend.devices.guest import (
    AddressTaken,
    Guest,
    GuestDied,
    GuestTimeout,
)
from triton_spacemit.backend.devices.ime_calls import with_calls
from triton_spacemit.backend.devices.mirror import EXECUTE, PAGE, READ, WRITE, Mirror
from triton_spacemit.backend.devices.sandbox import has_sandboxes
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.estimate import Estimate, timing_of
from triton_spacemit.backend.estimate.session import Tracer
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.loader import KernelObject
from triton_spacemit.backend.native import guest_program
from triton_spacemit.backend.protocol import Command, Event, Page
from triton_spacemit.dialect import ime
from triton_spacemit.dialect.abi import STATUS
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import CHIPS, Chip

#: Kernels lie from here on: far from this process's heap and stacks, and in reach of every RISC-V address space.
CODE_BASE, CODE_BYTES = 1 << 36, 1 << 36
TRACE_BASE = CODE_BASE + CODE_BYTES  # where their accesses are followed
_FAILED, _NO_MEMORY = STATUS["FAILED"], STATUS["NO_MEMORY"]
_ATTEMPTS = 8

#: From a kernel's image, its object, its address and the guest it is for, the code that goes behind the image, and by offsets of
#: instructions in it those of the kernel's own.
Change = Callable[[bytearray, KernelObject, int, Guest], tuple[bytes, dict[int, int]]]


class QemuKernel:
    """A kernel for the guest; it lies in every guest that has launched it."""

    def __init__(self, object_: KernelObject, scratch_bytes: int) -> None:
        self.object = object_
        self.name = object_.name
        self.scratch_bytes = scratch_bytes


@dataclass(frozen=True)
class _Placed:
    """Where a kernel lies in a guest, and by their offsets the instructions that stand for others of its own (`ime_calls.py`)."""

    start: int
    end: int
    stands_for: dict[int, int]


class _Session:
    """A guest, started when it is needed, and what it holds. emulate: how matrix instructions run, where the settings do not say it.
    change: what is done to the code of its kernels, as `Tracer.change`.
    """

    def __init__(
        self, start: Callable[[], Guest], threads: int | None = None, emulate: str | None = None, change: Change | None = None
    ) -> None:
        self.start = start
        self.threads = threads
        self.emulate = emulate
        self.change = change
        self.forget()

    def forget(self) -> None:
        self.guest: Guest | None = None
        self.placed: dict[QemuKernel, _Placed] = {}
        self.next_code = CODE_BASE
        self.mapped: list[tuple[int, int]] = []  # pages of tensors that are mapped
        self.emulates = self.emulate or knobs.emulate  # last: the setting may be nonsense

    def close(self) -> None:
        """End the guest; the next launch starts another."""
        if self.guest is not None:
            self.guest.close()
        self.forget()


class QemuDevice:
    name = "qemu"
    chips = tuple(CHIPS)
    clock = Clock.INSTRUCTIONS

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._lock = threading.RLock()
        self._session = self._main = _Session(lambda: Guest(self.command(), sandboxed=_sandboxes()))
        self._unloaded: list[QemuKernel] = []
        os.register_at_fork(after_in_child=self._after_fork)

    def command(self, *options: str) -> list[str]:
        """The command that starts a guest, with more options for QEMU."""
        return [find_qemu(), "-cpu", f"max,vlen={self.chip.vlen}", *options, str(guest_program()), str(self.chip.ime)]

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
    def session(self, start: Callable[[], Guest], threads: int, change: Change | None = None) -> Iterator[None]:
        """Run the launches of a block in a guest of their own, on `threads` threads: just the kernels' own code, or what becomes of it."""
        with self._lock:
            self._session = _Session(start, threads, "trap", change)
            try:
                yield
            finally:
                self._session.close()
                self._session = self._main

    def count(self, launches: Callable[[], object]) -> Counts:
        """Call `launches`, which launches kernels on this device, and count what they execute, each in a thread of its own guest."""
        log = ExecutionLog()

        def start() -> Guest:
            kernels = f"{CODE_BASE:#x}+{CODE_BYTES:#x}"
            options = ("-one-insn-per-tb", "-d", "in_asm,exec,nochain", "-dfilter", kernels, "-D", f"/dev/fd/{log.write}")
            return Guest(self.command(*options), pass_fds=(log.write,), sandboxed=_sandboxes())

        try:
            with self.session(start, threads=1):
                launches()
        finally:
            counts = log.close()
        return counts

    def estimate(self, launches: Callable[[], object], warm: bool) -> Estimate:
        """Call `launches`, which launches kernels on this device, and estimate their cycles, each in a thread of its own guest.

        warm: call them twice, and count the second time.
        """
        tracer = Tracer(self.chip, timing_of(self.chip.name), TRACE_BASE)
        with self.session(lambda: tracer.begin(Guest(self.command(), sandboxed=_sandboxes())), 1, tracer.change):
            launches()
            if warm:
                tracer.reset()
                launches()
            return tracer.estimate()

    def load(self, artifact: Artifact) -> QemuKernel:
        object_ = KernelObject(artifact.binary, artifact.name)
        if object_.machine != "riscv64":
            raise ObjectError(f"the object of kernel {artifact.name!r} is for {object_.machine}; the qemu device runs riscv64")
        return QemuKernel(object_, artifact.scratch_bytes)

    def unload(self, kernel: QemuKernel) -> None:
        # May come from the garbage collector in the middle of a launch: the guest is told before the next one.
        self._unloaded.append(kernel)

    def launch(self, kernel: QemuKernel, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        with self._lock:
            self._run(kernel, grid, slots, pointers, signature)

    def _run(self, kernel: QemuKernel, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        session, lives = self._session, 2
        for _ in range(_ATTEMPTS):
            started, deadline = False, time.monotonic() + knobs.timeout if knobs.timeout else None
            try:
                guest = self._ready_guest(session, deadline)
                mirror = Mirror(guest, pointers, signature)
                self._map_tensors(session, guest, mirror)
                entry = self._place(session, guest, kernel)
                threads = session.threads or knobs.num_threads
                guest.control.started = 0
                guest.tell(Command.LAUNCH, entry, kernel.scratch_bytes, len(slots), *grid, threads, mirror.pages, 1, 0, payload=slots)
                try:
                    self._serve(session, guest, kernel, mirror)
                finally:
                    started = bool(guest.control.started)
            except AddressTaken:
                session.close()
                continue
            except (GuestDied, GuestTimeout) as error:
                session.close()
                lives -= 1
                if isinstance(error, GuestDied) and lives and not started:
                    continue  # it was killed between launches: nothing has run
                raise DeviceError(f"kernel {kernel.name!r}: {error}") from None
            except BaseException:
                # The guest is somewhere in the launch: after a fault, or because the user interrupted this process.
                session.close()
                raise
            session.mapped = mirror.ranges
            self._finish(guest, kernel, mirror)
            return
        raise DeviceError(f"kernel {kernel.name!r}: no guest has the addresses of the arguments free")

    def _ready_guest(self, session: _Session, deadline: float | None) -> Guest:
        if session.guest is not None and session.guest.process.poll() is not None:
            session.close()
        if session.emulates != (session.emulate or knobs.emulate):
            session.close()  # its kernels are of the other kind
        if session.guest is not None and session.guest.sandboxed != _sandboxes():
            session.close()
        if session.guest is None:
            session.guest = session.start()
        session.guest.deadline = deadline
        if session is self._main:
            places = []
            while self._unloaded:
                place = session.placed.pop(self._unloaded.pop(), None)
                if place is not None:
                    places.append((place.start, place.end))
            session.guest.unmap(places)
        return session.guest

    def _map_tensors(self, session: _Session, guest: Guest, mirror: Mirror) -> None:
        """Leave just the pages of this launch mapped: what another launch saw would be out of date."""
        wanted, mapped = set(mirror.ranges), set(session.mapped)
        session.mapped = [*mirror.ranges]
        guest.unmap(sorted(mapped - wanted))
        mirror.copy_in()
        guest.map([(start, end, READ | WRITE) for start, end in sorted(wanted - mapped)])

    def _place(self, session: _Session, guest: Guest, kernel: QemuKernel) -> int:
        """The address of the kernel's entry in the guest. Each kernel gets fresh addresses: QEMU has translated what was at others."""
        if kernel not in session.placed:
            object_, base = kernel.object, session.next_code
            if base + object_.size > CODE_BASE + CODE_BYTES:
                raise AddressTaken  # a fresh guest starts over
            image, calls = object_.link(base, guest.externals), b""
            stands_for: dict[int, int] = {}
            if session.change:
                calls, stands_for = session.change(image, object_, base, guest)
            elif session.emulates == "call":
                calls, stands_for = with_calls(image, object_.code_end, self.chip.vlen, guest.externals["ime_call"])
            os.pwrite(guest.file, image + calls, base)
            end = base + object_.size + -(-len(calls) // PAGE) * PAGE
            parts = (
                (base, base + object_.code_end, READ | EXECUTE),
                (base + object_.code_end, base + object_.readonly_end, READ),
                (base + object_.readonly_end, base + object_.size, READ | WRITE),
                (base + object_.size, end, READ | EXECUTE),
            )
            guest.map([part for part in parts if part[0] < part[1]], private=True)
            session.placed[kernel] = _Placed(base, end, stands_for)
            session.next_code = end + PAGE  # a kernel that runs off its end faults
        return session.placed[kernel].start + kernel.object.entry

    def _serve(self, session: _Session, guest: Guest, kernel: QemuKernel, mirror: Mirror) -> None:
        """Answer the guest until the launch is done."""
        seconds = knobs.timeout
        deadline = time.monotonic() + seconds if seconds > 0 else None
        try:
            while (event := guest.wait(deadline)) != Event.DONE:
                if event == Event.PRINT:
                    guest.print_text()
                    guest.tell(0)
                elif event == Event.PAGE_FAULT:
                    guest.tell(0, *_page(mirror, guest.control.answers[0]))
                elif event == Event.FAULT:
                    self._raise_fault(session, guest, kernel, seconds)
        except GuestTimeout:
            guest.interrupt()
            try:
                if guest.wait(time.monotonic() + 2) == Event.FAULT:
                    self._raise_fault(session, guest, kernel, seconds)
            except (GuestTimeout, GuestDied):
                pass
            raise DeviceError(f"kernel {kernel.name!r}: {timeout_text(seconds)}") from None

    def _raise_fault(self, session: _Session, guest: Guest, kernel: QemuKernel, seconds: float) -> NoReturn:
        number, _, address, counter, return_address, *program, rule, word = guest.control.answers[:10]
        if number == 0:
            raise AddressTaken
        placed = session.placed[kernel]
        start, end = placed.start, placed.end
        counter = start + placed.stands_for.get(counter - start, counter - start)
        # Outside of the kernel it is in a function that the kernel called, memcpy for one: the call is what the user knows.
        place = counter if start <= counter < end else return_address - 1
        where = place_text(kernel.object, place - start if start <= place < end else None)
        if number == signal.SIGUSR1:
            text = f"{timeout_text(seconds)}; it was {where}"
        else:
            text = f"{fault_text(number, address, detail=f': {ime.explain(word, rule)}' if rule else '')}, {where}"
        raise ended(kernel.name, tuple(ctypes.c_int32(part & 0xFFFFFFFF).value for part in program), text) from None

    def _finish(self, guest: Guest, kernel: QemuKernel, mirror: Mirror) -> None:
        result, *program = guest.control.answers[:4]
        message = guest.control.text.decode(errors="replace") if result == _FAILED else ""
        mirror.copy_out()
        if result == _FAILED:
            raise ended(kernel.name, tuple(program), message)
        if result == _NO_MEMORY:
            raise DeviceError(f"kernel {kernel.name!r}: no memory in the guest for {kernel.scratch_bytes} bytes of scratch a thread")


def _sandboxes() -> bool:
    """Whether a guest is to be in a sandbox."""
    wanted = knobs.sandbox
    return has_sandboxes() if wanted is None else wanted


def _page(mirror: Mirror, address: int) -> tuple[int, ...]:
    """The answer to a page that the guest misses: what to do, start, size and rights."""
    if mirror.has(address):
        return Page.TRY_AGAIN, 0, 0, 0, 0
    page = mirror.fetch(address)
    return (Page.MAP_IT, page[0], page[1] - page[0], page[2], 0) if page else (Page.UNKNOWN, 0, 0, 0, 0)
