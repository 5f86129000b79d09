"""The host's end of the guest process: starting and ending it, taking turns with it, and the memory that both see.

The shared file is sparse: what host and guest see at address A lies at offset A, so that a pointer means the same on both sides and
nothing has to be allocated. What both say is in protocol.py.
"""

import ctypes
import mmap
import os
import platform
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from typing import Any

from triton_spacemit.backend.devices.sandbox import Sandbox
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.protocol import CONTROL, CONTROL_BYTES, TEXT_BYTES, Command, Event

_FILE_BYTES = 1 << 47
_FUTEX = 202 if platform.machine() in ("x86_64", "AMD64") else 98
_WAIT, _WAKE = 0, 1
_PUNCH_HOLE_KEEP_SIZE = 3
_LARGEST_COPY = 1 << 30
_POLL_SECONDS = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


class GuestDied(DeviceError):
    """The guest process ended although nothing asked it to."""


class AddressTaken(Exception):
    """An address that the host uses is taken by QEMU itself in this guest; another guest will have it free."""


class GuestTimeout(DeviceError):
    """The guest did not answer in time."""


_Control = CONTROL.as_ctypes()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _buffer(address: int, size: int) -> Any:
    return (ctypes.c_char * size).from_address(address)


class Guest:
    """One guest process; `command` starts it (QEMU, its options, the program), in a sandbox if `sandboxed`."""

    def __init__(self, command: Sequence[str], pass_fds: Sequence[int] = (), sandboxed: bool = False) -> None:
        self.sandboxed = sandboxed
        self.file = os.memfd_create("triton-spacemit")
        os.ftruncate(self.file, _FILE_BYTES)
        self._memory = mmap.mmap(self.file, CONTROL_BYTES)
        self.control = _Control.from_buffer(self._memory)
        self._rows = ctypes.sizeof(_Control)
        self._event_seen = 0
        self.deadline: float | None = None  # of what is done between launches, by time.monotonic; else that has a minute
        self._errors = tempfile.TemporaryFile()  # lives as long as the guest
        sandbox = Sandbox(command) if sandboxed else None
        if sandbox is not None:
            command, pass_fds = sandbox.command, (*pass_fds, *sandbox.pass_fds)
        try:
            self.process = subprocess.Popen(
                [*command, str(self.file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(self.file, *pass_fds),
                start_new_session=True,  # an interrupt from the terminal is for the host alone
            )
        except OSError as error:
            os.close(self.file)
            raise DeviceError(f"{command[0]} does not start: {error}") from None
        self._end = weakref.finalize(self, _end, self.process, self.file)
        if sandbox is not None:
            sandbox.begin()
        try:
            self.wait(time.monotonic() + 60)
            self.externals = self._list_externals()
        finally:
            if sandbox is not None:
                sandbox.close()

    def close(self) -> None:
        """End the process and free the shared memory."""
        self._end()

    def abandon(self) -> None:
        """Forget the guest in the child of a fork: it is the parent's."""
        self._end.detach()
        assert self.process.stdin is not None
        self.process.stdin.close()
        os.close(self.file)
        self.process.returncode = 0  # nothing to wait for: it is no child of this process

    def _futex(self, offset: int, operation: int, value: int, timeout: _Timespec | None = None) -> None:
        address = ctypes.addressof(self.control) + offset
        limit = None if timeout is None else ctypes.byref(timeout)
        _libc.syscall(_FUTEX, ctypes.c_void_p(address), operation, ctypes.c_uint32(value), limit, None, 0)

    def tell(self, command: int, *operands: int, payload: bytes = b"") -> None:
        """Answer the last event: with a command, where that was READY or DONE."""
        if len(payload) > CONTROL_BYTES - self._rows:
            raise DeviceError(f"{len(payload)} bytes of arguments are more than the guest takes")
        self._memory[self._rows : self._rows + len(payload)] = payload
        self.control.command = command
        self.control.operands[: len(operands)] = operands
        self.control.command_bell = self.control.command_bell + 1 & 0xFFFFFFFF
        self._futex(4, _WAKE, 1)

    def wait(self, deadline: float | None) -> int:
        """The next event. Raises GuestTimeout at `deadline` (of time.monotonic), GuestDied where there will be none."""
        pause = _Timespec(0, int(_POLL_SECONDS * 1e9))
        while self.control.event_bell == self._event_seen:
            self._futex(0, _WAIT, self._event_seen, pause)
            if self.control.event_bell != self._event_seen:
                break
            if self.process.poll() is not None:
                raise GuestDied(f"the guest ended with status {self.process.returncode}: {self._error_text()}")
            if deadline is not None and time.monotonic() > deadline:
                raise GuestTimeout("the guest does not answer; was it stopped?")
        self._event_seen = self.control.event_bell
        return self.control.event

    def interrupt(self) -> None:
        """Make a thread that runs a program report where it is, as a fault."""
        self.process.send_signal(signal.SIGUSR1)

    def _error_text(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-4000:].decode(errors="replace").strip() or "it printed no error"

    def _do(self, command: int, *operands: int, payload: bytes = b"") -> None:
        self.tell(command, *operands, payload=payload)
        if self.wait(self.deadline or time.monotonic() + 60) != Event.DONE:
            raise GuestDied(f"the guest failed between launches: {self._error_text()}")

    def _list_externals(self) -> dict[str, int]:
        self._do(Command.EXTERNALS)
        count = self.control.answers[0]
        start = _Control.text.offset
        names = self._memory[start : start + TEXT_BYTES].split(b"\0")[:count]
        addresses = (ctypes.c_uint64 * count).from_buffer_copy(self._memory, self._rows)
        return {name.decode(): address for name, address in zip(names, addresses, strict=True)}

    def map(self, ranges: Sequence[tuple[int, int, int]], private: bool = False) -> None:
        """Map (start, end, rights) of the shared file in the guest. Raises AddressTaken where one cannot be."""
        if ranges:
            rows = [value for start, end, rights in ranges for value in (start, end - start, rights, private)]
            self._do(Command.MAP, len(ranges), payload=bytes((ctypes.c_uint64 * len(rows))(*rows)))
            if self.control.answers[0]:
                raise AddressTaken

    def unmap(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Unmap (start, end) in the guest and free the memory behind it."""
        if ranges:
            rows = [value for start, end in ranges for value in (start, end - start)]
            self._do(Command.UNMAP, len(ranges), payload=bytes((ctypes.c_uint64 * len(rows))(*rows)))
            for start, end in ranges:
                _libc.fallocate(self.file, _PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(start), ctypes.c_long(end - start))

    def copy_in(self, start: int, end: int) -> int:
        """Copy this process's memory to the shared file; the address up to which it could be read."""
        while start < end:
            try:
                start += os.pwrite(self.file, _buffer(start, min(end - start, _LARGEST_COPY)), start)
            except OSError:
                break
        return start

    def copy_out(self, start: int, end: int) -> None:
        """Copy from the shared file to this process's memory. Raises OSError where that cannot be written."""
        while start < end:
            start += os.preadv(self.file, [_buffer(start, min(end - start, _LARGEST_COPY))], start)

    def read(self, start: int, end: int) -> bytes:
        """What the shared file has for a range of addresses."""
        return os.pread(self.file, end - start, start)

    def write(self, start: int, content: bytes) -> None:
        """Put bytes into the shared file."""
        os.pwrite(self.file, content, start)

    def print_text(self) -> None:
        """Write the text of a PRINT event to the standard output."""
        start = _Control.text.offset
        text = memoryview(self._memory)[start : start + self.control.answers[0]]
        while text:
            text = text[os.write(1, text) :]


def _end(process: subprocess.Popen[bytes], file: int) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
    os.close(file)
