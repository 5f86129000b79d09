"""The device that runs kernels on a board, over a link (`link.py`): a launch is one round trip.

Tensors of this process are copied to the board before a launch and the ones that the kernel may have written to are copied back after it:
of the first, what has changed since (`copies.py`). Tensors that stay there are `backend/board.py`. A fault, a timeout or an interrupt ends
the board's worker, and nothing else; where the link is lost, what was on the board is, and the next launch connects anew.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from triton_spacemit.backend import wire
from triton_spacemit.backend.devices import Clock, Signature, answers
from triton_spacemit.backend.devices.arguments import translate
from triton_spacemit.backend.devices.board_info import BoardInfo
from triton_spacemit.backend.devices.copies import Copy
from triton_spacemit.backend.devices.session import Frames, Placed, RemoteKernel, Session, greet
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.errors import DeviceError, LinkError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.loader import KernelObject
from triton_spacemit.backend.wire import Frame
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import CHIPS, Chip

_LAUNCHING = wire.LAUNCHING.as_ctypes()
_GRACE = 10.0  # seconds that the agent may take, beyond a launch's own limit, to say that it is over
_CANCELLED_WITHIN = 5.0


class Timing:
    """How launches of a block are repeated and timed. times: of each launch, the nanoseconds of its repeats on the board."""

    def __init__(self, repeats: int, flush_bytes: int) -> None:
        self.repeats, self.flush_bytes = repeats, flush_bytes
        self.times: list[list[int]] = []
        self.counts: list[tuple[int, int] | None] = []  # cycles and instructions of each launch, with its repeats
        self.megahertz = 0


class RemoteDevice:
    name = "remote"
    chips = (*CHIPS, "host")
    clock = Clock.BOARD
    memories = ("cpu", "board")

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.seconds = 0.0  # that launches have taken on boards
        self.nanoseconds: tuple[int, ...] = ()  # of each repeat of the last one
        self._lock = threading.RLock()
        self._sessions: dict[str, Session] = {}
        self._unloaded: list[RemoteKernel] = []
        self._once = Timing(1, 0)
        self._timing = self._once
        os.register_at_fork(after_in_child=self._after_fork)

    @staticmethod
    def ask_chip() -> str:
        """The chip whose code the board of the settings runs. Raises LinkError; ValueError where it has no such core."""
        link, info = greet(board_name())
        link.close()
        chip = info.chip()
        if chip is None:
            raise ValueError(f"board {board_name()!r} runs no code of this compiler: it has {info.described()}")
        return chip

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        for session in self._sessions.values():
            session.link.abandon()
        self._sessions = {}

    def close(self) -> None:
        """End all sessions; the next launch connects anew."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions = {}

    def load(self, artifact: Artifact) -> RemoteKernel:
        object_ = KernelObject(artifact.binary, artifact.name)
        machine = "riscv64" if self.chip.is_riscv else self.chip.triple.partition("-")[0]
        if object_.machine != machine:
            raise ObjectError(f"the object of kernel {artifact.name!r} is for {object_.machine}; the board runs {machine}")
        return RemoteKernel(object_, artifact)

    def unload(self, kernel: RemoteKernel) -> None:
        # May come from the garbage collector in the middle of a launch: the board is told before the next one.
        self._unloaded.append(kernel)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """The session with the board of the settings, for this thread alone while the block runs. Raises LinkError, DeviceError."""
        with self._lock:
            yield self._session()

    def info(self) -> BoardInfo:
        """What the board of the settings says of itself. Raises LinkError."""
        with self.session() as session:
            return session.info

    def _session(self) -> Session:
        name = board_name()
        session = self._sessions.get(name)
        if session is not None and session.link.is_lost():
            session.close()
            del self._sessions[name]
            session = None
        if session is None:
            session = self._sessions[name] = Session(name, self.chip)
        return session

    @contextmanager
    def timing(self, repeats: int, flush_bytes: int = 0) -> Iterator[Timing]:
        """Run each launch of a block `repeats` times on the board, and keep the times. Before each, caches of `flush_bytes` are written."""
        with self._lock:
            self._timing = Timing(repeats, flush_bytes)
            try:
                yield self._timing
            finally:
                self._timing = self._once

    # Tensors that stay on the board

    def allocate(self, size: int) -> tuple[Session, int]:
        """So many bytes of zeros on the board of the settings. Raises LinkError, and DeviceError where it has no room for them."""
        with self.session() as session:
            frames = session.frames()
            try:
                return session, session.allocate(frames, size)
            finally:
                session.put_back(frames)  # it goes out with the next that is

    def put(self, session: Session, address: int, data: memoryview) -> None:
        """Have the memory at an address of the board be `data`. Raises LinkError."""
        with self._lock:
            frames = session.frames()
            session.write(frames, address, data)
            self._send(session, frames)

    def put_kept(self, session: Session, address: int, data: memoryview) -> bool:
        """As `put`, from the board's cache where that has it; else it is kept there. Whether it was. Raises LinkError, DeviceError."""
        if not session.info.has_cache:
            raise DeviceError(f"board {session.name!r} keeps nothing: its agent is run without --cache FOLDER")
        with self._lock:
            frames = session.frames()
            asked = session.blob(frames, address, data, keep=False)
            self._send(session, frames)
            try:
                found = session.answer_blob(asked)
                if not found:
                    frames = session.frames()
                    session.write(frames, address, data)
                    kept = session.blob(frames, address, data, keep=True)
                    self._send(session, frames)
                    session.answer_blob(kept)  # where its disk is full the tensor is there all the same
            except BaseException:
                session.close()
                raise
        return found

    def fetch(self, session: Session, address: int, into: memoryview) -> None:
        """Copy the memory at an address of the board. Raises LinkError."""
        with self._lock:
            frames = session.frames()
            sequence = session.ask(frames, address, into.nbytes)
            self._send(session, frames)
            try:
                session.answer(sequence, address, into)
            except BaseException:
                session.close()
                raise

    def _send(self, session: Session, frames: Frames) -> None:
        try:
            session.exchange(frames)
        except BaseException:
            session.close()  # the agent has part of it
            raise

    def launch(self, kernel: RemoteKernel, grid: tuple[int, int, int], slots: bytes, pointers: Sequence[Any], signature: Signature) -> None:
        timeout, threads = knobs.timeout, knobs.threads  # first: the settings may be nonsense
        with self._lock:
            session = self._session()
            threads = knobs.num_threads if threads else session.threads
            frames = session.frames()
            copies: list[Copy] = []
            try:
                while self._unloaded:
                    unloaded = self._unloaded.pop()
                    session.forget_kernel(frames, unloaded)
                    for other in self._sessions.values():
                        other.forget_kernel_later(unloaded)
                placed = session.place(frames, kernel)
                words, stored = translate(session, frames, copies, kernel, slots, pointers, signature)
                order = _LAUNCHING(
                    entry=placed.start + kernel.object.entry,
                    scratch_bytes=kernel.scratch_bytes,
                    timeout=int(timeout * 1e9),
                    flush_bytes=self._timing.flush_bytes,
                    grid=(_LAUNCHING().grid.__class__)(*grid),
                    threads=threads,
                    repeats=self._timing.repeats,
                    counters=self._timing is not self._once,
                )
                launched = frames.add(session.link, Frame.LAUNCH, order, words)
                asked = [(copy, session.ask(frames, copy.address, copy.size)) for copy in stored]
            except BaseException:
                session.put_back(frames)
                for copy in copies:
                    copy.sent = False  # it may have been looked through in part
                raise
            self._send(session, frames)
            self._finish(session, kernel, placed, launched, asked, timeout)

    def _finish(
        self, session: Session, kernel: RemoteKernel, placed: Placed, launched: int, asked: list[tuple[Copy, int]], timeout: float
    ) -> None:
        """Take what answers a launch, and raise what it ended with."""
        error: BaseException | None = None
        succeeded = False
        try:
            try:
                kind, size = answers.wait(session, launched, (timeout + _GRACE) * self._timing.repeats if timeout else 1e9)
            except LinkError:
                raise
            except BaseException as interrupt:  # by a handler of signals, while nothing of an answer had been read
                error = interrupt
                session.link.send(session.link.frame(Frame.CANCEL)[1], _CANCELLED_WITHIN)
                kind, size = answers.wait(session, launched, _CANCELLED_WITHIN)
            if kind == Frame.DONE:
                done = answers.read_done(session, kernel, size, self._timing.repeats)
                self._note(done)
                succeeded = error is None
                error = error or done.failure
            else:
                fault = answers.read_fault(session, kernel, placed, size, timeout)
                error = error or fault
            for copy, sequence in asked:
                session.answer(sequence, copy.address, copy.shadow)
        except BaseException:
            session.close()
            if error is not None:
                raise error from None
            raise
        if succeeded:
            for copy, _ in asked:
                copy.store()
        if error is not None:
            raise error

    def _note(self, done: answers.Done) -> None:
        """Keep what a launch has cost."""
        self.nanoseconds = done.times
        self.seconds += sum(done.times) * 1e-9
        if self._timing is not self._once:
            self._timing.times.append([*done.times])
            self._timing.counts.append(done.counts)
            self._timing.megahertz = done.megahertz


def board_name() -> str:
    """The board of the settings. Raises LinkError where they have none."""
    if not knobs.board:
        raise LinkError("the device 'remote' needs a board: set TRITON_SPACEMIT_BOARD to ssh://HOST, unix:PATH or exec:COMMAND")
    return knobs.board
