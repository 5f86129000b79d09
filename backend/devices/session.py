"""One session with a board: the link, the worker's kind, and what of this process the board has.

What the board has is known here alone, and exactly: the agent is never asked. A session ends with its link, and everything in it is gone
then.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from triton_spacemit.backend import wire
from triton_spacemit.backend.devices import ssh
from triton_spacemit.backend.devices.addresses import PAGE, Addresses
from triton_spacemit.backend.devices.board_info import BoardInfo, parse
from triton_spacemit.backend.devices.copies import Copy
from triton_spacemit.backend.devices.link import Link, connect
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.loader import KernelObject
from triton_spacemit.backend.wire import Frame
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip

PATIENCE = 30.0  # seconds in which a byte has to move
_SPAN, _IMAGE = wire.SPAN.as_ctypes(), wire.IMAGE.as_ctypes()
_HELLO, _KIND, _FILLING, _BLOB = (body.as_ctypes() for body in (wire.HELLO, wire.WORKER, wire.FILLING, wire.BLOB))
_DIGEST = type(_IMAGE().digest)
MOST_RANGES = wire.MAX_RANGES - 16  # that are allocated: a board has no room for more


class RemoteKernel:
    """A kernel for boards; it lies on each that has launched it. stored: the slots through which it may write, None for all."""

    def __init__(self, object_: KernelObject, artifact: Artifact) -> None:
        self.object = object_
        self.name = artifact.name
        self.scratch_bytes = artifact.scratch_bytes
        self.stored = artifact.stored


@dataclass(frozen=True)
class Placed:
    """Where a kernel's image lies on a board."""

    start: int
    end: int


@dataclass
class Frames:
    """Frames that go out together."""

    parts: list[Any] = field(default_factory=list)

    def add(self, link: Link, kind: Frame, *parts: Any) -> int:
        """One more; its sequence number."""
        sequence, buffers = link.frame(kind, *parts)
        self.parts += buffers
        return sequence


def greet(name: str) -> tuple[Link, BoardInfo]:
    """A link to the board `name`, and what that says of itself. Over ssh an agent that is not there is copied first. Raises LinkError."""
    link = connect(name)
    try:
        return _greet(name, link)
    except LinkError:
        if not name.startswith("ssh:") or link.process is None or link.process.returncode != ssh.NOT_THERE:
            raise
    ssh.install(name.removeprefix("ssh://"))
    return _greet(name, connect(name))


def _greet(name: str, link: Link) -> tuple[Link, BoardInfo]:
    sequence, parts = link.frame(Frame.HELLO, _HELLO(version=wire.VERSION))
    try:
        link.send(parts, PATIENCE)
        size = link.expect(Frame.INFO, sequence, PATIENCE)
        info = parse(name, link.body(size, PATIENCE))
    except BaseException:
        link.close()
        raise
    return link, info


class Session:
    """With the board `name`, whose workers run code for `chip`. Raises LinkError, or DeviceError where the board has no such core."""

    def __init__(self, name: str, chip: Chip) -> None:
        self.name, self.chip = name, chip
        sandboxed = knobs.sandbox  # first: the setting may be nonsense
        self.link, self.info = greet(name)
        cores = self.info.cores_for(chip)
        if not cores:
            self.close()
            needs = f"VLEN {chip.vlen}" if chip.is_riscv else "this machine's processor"
            raise DeviceError(f"board {name!r} has {self.info.described()}; code for chip {chip.name!r} needs {needs}")
        if sandboxed and self.info.no_sandbox:
            self.close()
            raise DeviceError(f"board {name!r} has no sandbox ({self.info.no_sandbox}), and TRITON_SPACEMIT_SANDBOX asks for one")
        self.threads = len(cores)
        self.arena, self.code = Addresses(*self.info.arena), Addresses(*self.info.code)
        self.copies: dict[tuple[int, int], Copy] = {}  # the one used last is the last
        self.placed: dict[RemoteKernel, Placed] = {}
        self.dropped: list[int] = []  # addresses of the arena that nobody needs any longer
        self._ranges = 0
        self._begun = Frames()
        self._choose_worker([core.number for core in cores], any(core.ai for core in cores))

    def close(self) -> None:
        """End the session; what it had on the board is gone."""
        self.link.close()

    def _choose_worker(self, cores: Sequence[int], ai: bool) -> None:
        words = [0] * wire.CORE_WORDS
        if len(cores) < len(self.info.cores) or ai:
            for core in cores:
                words[core // 64] |= 1 << core % 64
        kind = _KIND(ai_cores=ai, ime=self.chip.ime if self.info.emulated else 0, cores=(type(_KIND().cores))(*words))
        self._begun.add(self.link, Frame.WORKER, kind)

    def frames(self) -> Frames:
        """What is to go out first: what has been begun, and what is no longer needed."""
        frames, self._begun = self._begun, Frames()
        while self.dropped:
            self._release(frames, self.arena, self.dropped.pop())
        return frames

    def put_back(self, frames: Frames) -> None:
        """What `frames` gave is still to go out: nothing has been sent."""
        self._begun.parts = frames.parts + self._begun.parts

    def _release(self, frames: Frames, area: Addresses, start: int) -> None:
        frames.add(self.link, Frame.FREE, _SPAN(start, area.size_of(start)))
        area.give(start)
        self._ranges -= 1

    # Memory

    def allocate(self, frames: Frames, size: int, kept: Sequence[Copy] = ()) -> int:
        """The address of `size` bytes on the board; copies other than those that are `kept` may have to go. Raises DeviceError."""
        if size > self.info.arena[1]:
            raise self._no_memory(size)
        if self._ranges >= MOST_RANGES // 4:
            self._forget_dead(frames)
        while True:
            start = self.arena.take(size) if self._ranges < MOST_RANGES // 4 - 4 else None
            if start is not None:
                break
            if not self._forget_dead(frames) and not self._forget_oldest(frames, kept):
                raise self._no_memory(size)
        self._ranges += 1
        frames.add(self.link, Frame.ALLOCATE, _SPAN(start, self.arena.size_of(start)))
        return start

    def _no_memory(self, size: int) -> DeviceError:
        return DeviceError(f"board {self.name!r} lends {self.info.arena[1]} bytes of memory, which have no room for {size} more")

    def _forget(self, frames: Frames, copy: Copy) -> None:
        del self.copies[copy.start, copy.size]
        self._release(frames, self.arena, copy.base)

    def _forget_dead(self, frames: Frames) -> bool:
        dead = [copy for copy in self.copies.values() if copy.is_dead()]
        for copy in dead:
            self._forget(frames, copy)
        return bool(dead)

    def _forget_oldest(self, frames: Frames, kept: Sequence[Copy]) -> bool:
        oldest = next((copy for copy in self.copies.values() if copy not in kept), None)
        if oldest is not None:
            self._forget(frames, oldest)
        return oldest is not None

    def copy_of(self, frames: Frames, start: int, end: int, owners: Sequence[Any], kept: Sequence[Copy]) -> Copy:
        """The board's copy of this process's memory, which may not be up to date. `kept`: those that the same launch needs."""
        copy = self.copies.pop((start, end - start), None)
        if copy is None:
            self._forget_dead(frames)
            offset = start % PAGE
            base = self.allocate(frames, offset + end - start, kept)
            copy = Copy(start, end - start, base + offset, base)
        self.copies[start, end - start] = copy
        copy.owners = [*owners]
        return copy

    def update(self, frames: Frames, copy: Copy) -> None:
        """Have the board's copy be up to date."""
        for start, end in copy.changes():
            frames.add(self.link, Frame.WRITE, _SPAN(copy.address + start, end - start), copy.shadow[start:end])

    def fill(self, frames: Frames, start: int, size: int, value: int) -> None:
        """Have each byte of a range of the board be `value`."""
        frames.add(self.link, Frame.FILL, _FILLING(start, size, value))

    def write(self, frames: Frames, start: int, data: Any) -> None:
        """Have the board's memory at `start` be `data`."""
        frames.add(self.link, Frame.WRITE, _SPAN(start, memoryview(data).nbytes), data)

    def ask(self, frames: Frames, start: int, size: int) -> int:
        """Ask for a range of the board; the sequence number that `answer` takes."""
        return frames.add(self.link, Frame.READ, _SPAN(start, size))

    def answer(self, sequence: int, start: int, into: memoryview) -> None:
        """Take what was asked for. Raises LinkError where it is not exactly that."""
        size = self.link.expect(Frame.DATA, sequence, PATIENCE)
        if size != wire.SPAN.size + into.nbytes:
            raise self.link.lost(f"its agent sends {size} bytes where {wire.SPAN.size + into.nbytes} were asked for")
        span = _SPAN.from_buffer_copy(self.link.body(wire.SPAN.size, PATIENCE))
        if (span.start, span.bytes) != (start, into.nbytes):
            raise self.link.lost(f"its agent sends {span.bytes} bytes of {span.start:#x} where others were asked for")
        self.link.body_into(into, PATIENCE)

    def blob(self, frames: Frames, start: int, data: memoryview, keep: bool) -> int:
        """Have memory at `start` be `data`, if the board's cache has that; or keep it there. `answer_blob` takes the number."""
        digest = _BLOB().digest.__class__.from_buffer_copy(hashlib.sha256(data).digest())
        return frames.add(self.link, Frame.BLOB, _BLOB(start, data.nbytes, keep, digest))

    def answer_blob(self, sequence: int) -> bool:
        """Whether it was there, or is kept now. Raises LinkError."""
        kind, answered, size = self.link.header(PATIENCE)
        if kind == Frame.ERROR:
            raise self.link.refused(size)
        if kind not in (Frame.HIT, Frame.MISS) or answered != sequence or size:
            raise self.link.lost(f"its agent answers with {Frame(kind).name} where a blob was asked for")
        return kind == Frame.HIT

    def exchange(self, frames: Frames) -> None:
        """Send frames that nothing but a broken rule answers."""
        self.link.send(frames.parts, PATIENCE)

    # Kernels

    def place(self, frames: Frames, kernel: RemoteKernel) -> Placed:
        """Where a kernel lies, whose image is sent where the board does not have it. Raises DeviceError where there is no room."""
        object_ = kernel.object
        if kernel not in self.placed:
            start = self.code.take(object_.size)
            while start is None and self.placed:
                self.forget_kernel(frames, next(iter(self.placed)))
                start = self.code.take(object_.size)
            if start is None:
                raise DeviceError(f"board {self.name!r} has {self.info.code[1]} bytes for kernels; {kernel.name!r} needs {object_.size}")
            image = object_.link(start, self.info.externals)
            ends = (object_.code_end, object_.readonly_end, object_.size)
            body = _IMAGE(start, object_.size, *ends, digest=_DIGEST.from_buffer_copy(hashlib.sha256(image).digest()))
            frames.add(self.link, Frame.CODE, body, image)
            self.placed[kernel] = Placed(start, start + object_.size)
        return self.placed[kernel]

    def forget_kernel_later(self, kernel: RemoteKernel) -> None:
        """Free a kernel that the board may have, with what goes out next."""
        self.forget_kernel(self._begun, kernel)

    def forget_kernel(self, frames: Frames, kernel: RemoteKernel) -> None:
        """Free a kernel that the board may have."""
        placed = self.placed.pop(kernel, None)
        if placed is not None:
            frames.add(self.link, Frame.FREE, _SPAN(placed.start, placed.end - placed.start))
            self.code.give(placed.start)
