"""What an agent answers to a launch, checked: the times of one that is done, or why it ended."""

import os
import signal
import struct
from dataclasses import dataclass

from triton_spacemit.backend import wire
from triton_spacemit.backend.devices.faults import ended, fault_text, place_text, timeout_text
from triton_spacemit.backend.devices.session import PATIENCE, Placed, RemoteKernel, Session
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.wire import Ended, Frame
from triton_spacemit.dialect import ime
from triton_spacemit.dialect.abi import FAILURE_BYTES, STATUS

_DONE, _FAULT = wire.DONE.as_ctypes(), wire.FAULT.as_ctypes()
_SV39_END = 1 << 38  # of a board's addresses


@dataclass(frozen=True)
class Done:
    """A launch that came to its end. times: nanoseconds of each repeat. counts: cycles and instructions of all, where they are counted.

    megahertz: of a core behind it; 0 where that is not known. failure: of an assertion, or for want of scratch memory.
    """

    times: tuple[int, ...]
    counts: tuple[int, int] | None
    megahertz: int
    failure: DeviceError | None


def wait(session: Session, launched: int, patience: float) -> tuple[int, int]:
    """The type (DONE or FAULT) and size of the frame that ends the launch of this number; what it prints is printed. Raises LinkError."""
    while True:
        kind, answered, size = session.link.header(patience)
        if kind == Frame.ERROR:
            raise session.link.refused(size)
        if answered != launched or kind not in (Frame.PRINT, Frame.DONE, Frame.FAULT):
            raise session.link.lost(f"its agent answers a launch with {Frame(kind).name}")
        if kind != Frame.PRINT:
            return kind, size
        text = memoryview(session.link.body(size, PATIENCE))
        while text:
            text = text[os.write(1, text) :]


def read_done(session: Session, kernel: RemoteKernel, size: int, repeats: int) -> Done:
    """The rest of a DONE of so many bytes, for a launch with so many repeats. Raises LinkError."""
    fixed = wire.DONE.size
    done = _DONE.from_buffer_copy(session.link.body(fixed, PATIENCE)) if size >= fixed else None
    if done is None or done.repeats > repeats or size != fixed + 8 * done.repeats + done.message_bytes:
        raise session.link.lost("its agent says of a launch what makes no sense")
    times = struct.unpack(f"<{done.repeats}Q", session.link.body(8 * done.repeats, PATIENCE))
    message = session.link.body(done.message_bytes, PATIENCE)[:FAILURE_BYTES].decode(errors="replace")
    failure = None
    if done.status == STATUS["FAILED"]:
        failure = ended(kernel.name, tuple(done.program), message)
    elif done.status == STATUS["NO_MEMORY"]:
        needed = f"{kernel.scratch_bytes} bytes of scratch a thread"
        failure = DeviceError(f"kernel {kernel.name!r}: no memory on board {session.name!r} for {needed}")
    elif done.status != STATUS["OK"] or done.repeats != repeats:
        raise session.link.lost(f"its agent says that a launch ended with status {done.status}")
    return Done(times, (done.cycles, done.instructions) if done.counted == 1 else None, done.megahertz, failure)


def read_fault(session: Session, kernel: RemoteKernel, placed: Placed, size: int, timeout: float) -> DeviceError:
    """The error that a FAULT of so many bytes tells of. Raises LinkError where it makes no sense."""
    if size != wire.FAULT.size:
        raise session.link.lost("its agent says of a fault what makes no sense")
    fault = _FAULT.from_buffer_copy(session.link.body(size, PATIENCE))
    if fault.ended == Ended.DIED:
        how = f"signal {-fault.status}" if fault.status < 0 else f"code {fault.status}"
        return DeviceError(f"kernel {kernel.name!r}: the worker on board {session.name!r} ended with {how}")
    if fault.ended == Ended.CANCELLED:
        return DeviceError(f"kernel {kernel.name!r}: it was cancelled")
    if fault.ended == Ended.TAKEN:
        return DeviceError(f"kernel {kernel.name!r}: an address that it needs is taken on board {session.name!r}")
    # Outside of the kernel it is in a function that the kernel called, memcpy for one: the call is what the user knows.
    place = fault.counter if placed.start <= fault.counter < placed.end else fault.link - 1
    where = place_text(kernel.object, place - placed.start if placed.start <= place < placed.end else None)
    if fault.ended == Ended.TIMED_OUT:
        text = timeout_text(timeout) + (f"; it was {where}" if fault.located else "")
        return ended(kernel.name, tuple(fault.program), text)
    try:
        detail = f": {ime.explain(fault.word, fault.rule)}" if fault.rule else ""
        text = fault_text(fault.signal, fault.address, detail=detail)
    except (ValueError, KeyError, IndexError):
        raise session.link.lost(f"its agent tells of signal {fault.signal}, which no kernel is sent") from None
    if fault.signal == signal.SIGSEGV and fault.address >= _SV39_END:
        text += " of this process, which the board does not have: pointers in memory must be those of tensors on the board"
    return ended(kernel.name, tuple(fault.program), f"{text}, {where}")
