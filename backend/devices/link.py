"""The link to a board: how its agent is reached, and frames over that.

`ssh://[USER@]HOST[:PORT]` runs the agent over ssh, and copies it there first where it is not yet; `unix:PATH` is an agent that listens;
`exec:COMMAND` is any command whose standard input and output lead to one. What comes from the agent is not trusted: each frame is checked
against what was asked for before its bytes are taken.
"""

import errno
import fcntl
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from typing import IO, Any

from triton_spacemit.backend import wire
from triton_spacemit.backend.devices import ssh
from triton_spacemit.backend.errors import LinkError
from triton_spacemit.backend.wire import Frame

HEADER = wire.HEADER.as_ctypes()
HEADER_BYTES = wire.HEADER.size
_BUFFER = 1 << 16
_MOST_PARTS = 512  # of one call of writev
_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031


class Link:
    """Frames to and from an agent; both ends are descriptors that do not block. name: of the board, for messages.

    process: what the link goes through, if it is a process of ours; errors: what that says of its own. Every wait has a limit, which is how
    many seconds may pass without a byte moving.
    """

    def __init__(
        self, name: str, input_: int, output: int, process: subprocess.Popen[bytes] | None = None, errors: IO[bytes] | None = None
    ) -> None:
        self.name, self.process = name, process
        self._input, self._output, self._errors = input_, output, errors
        self._buffer = bytearray()
        self._left = 0  # of the frame whose header was read last
        self._sequence = 0
        self.sent_bytes = self.received_bytes = 0
        for descriptor in (input_, output):
            os.set_blocking(descriptor, False)
        self._end = weakref.finalize(self, _end, process, input_, output)

    def close(self) -> None:
        """End the link: the agent sees that, and ends with all that it holds."""
        self._end()

    def abandon(self) -> None:
        """Forget the link in the child of a fork: it is the parent's."""
        self._end.detach()
        for descriptor in {self._input, self._output}:
            os.close(descriptor)
        if self.process is not None:
            self.process.returncode = 0  # nothing to wait for: it is no child of this process

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed; its other end may be gone."""
        return self._end.alive

    def is_lost(self) -> bool:
        """Whether the other end is known to be gone, or has said something that nobody asked for."""
        if not self._end.alive:
            return True
        poll = select.poll()
        poll.register(self._input, select.POLLIN)
        return bool(self._buffer) or bool(poll.poll(0))

    def last_words(self) -> str:
        """The last line of what ssh, or whatever the link goes through, has printed as an error."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def lost(self, why: str) -> LinkError:
        """The error of a link that was lost, which is closed."""
        said = self.last_words()
        self.close()
        return LinkError(f"the link to board {self.name!r} was lost: {why}{f' ({said})' if said else ''}")

    def _check_open(self) -> None:
        if not self._end.alive:
            raise LinkError(f"the link to board {self.name!r} has been closed")

    # To the agent

    def frame(self, kind: Frame, *parts: Any) -> tuple[int, list[Any]]:
        """A frame of these parts, which are buffers: its sequence number, and its bytes as buffers."""
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        size = sum(memoryview(part).nbytes for part in parts)
        header = HEADER(magic=wire.MAGIC, type=kind, sequence=self._sequence, bytes=size)
        return self._sequence, [bytes(header), *parts]

    def send(self, parts: Sequence[Any], patience: float) -> None:
        """Send buffers. Raises LinkError where the other end is gone, or takes nothing for `patience` seconds."""
        self._check_open()
        views = [view for view in (memoryview(part).cast("B") for part in parts) if view.nbytes]
        first = 0
        while first < len(views):
            try:
                written = os.writev(self._output, views[first : first + _MOST_PARTS])
            except BlockingIOError:
                self._wait(self._output, select.POLLOUT, patience)
                continue
            except OSError as error:
                raise self._gone(error) from None
            self.sent_bytes += written
            while written and written >= views[first].nbytes:
                written -= views[first].nbytes
                first += 1
            if written:
                views[first] = views[first][written:]

    def _gone(self, error: OSError) -> LinkError:
        """The error for a link that takes nothing more. What the agent has said before it ended is worth more than that."""
        if error.errno in (errno.EPIPE, errno.ECONNRESET):
            try:
                while True:
                    kind, _, size = self.header(1.0)
                    if kind == Frame.ERROR:
                        return self.refused(size)
            except LinkError as said:
                return said
        return self.lost(os.strerror(error.errno or 0))

    def _wait(self, descriptor: int, what: int, patience: float) -> None:
        poll = select.poll()
        poll.register(descriptor, what)
        deadline = time.monotonic() + patience
        while not poll.poll(max(0.0, min(deadline - time.monotonic(), 3600.0)) * 1000):
            if time.monotonic() >= deadline:
                raise self.lost(f"it does not answer for {patience:g} seconds")

    # From the agent

    def _read(self, into: memoryview, patience: float) -> int:
        """At least one byte into a buffer that the caller has."""
        self._check_open()
        while True:
            try:
                count = os.readv(self._input, [into])
            except BlockingIOError:
                self._wait(self._input, select.POLLIN, patience)
                continue
            except OSError as error:
                raise self.lost(os.strerror(error.errno or 0)) from None
            if not count:
                raise self.lost(self._end_of_process() or "its agent has ended")
            self.received_bytes += count
            return count

    def _end_of_process(self) -> str:
        if self.process is None:
            return ""
        try:
            status = self.process.wait(2)
        except subprocess.TimeoutExpired:
            return ""
        return f"its agent ended with status {status}"

    def _take(self, size: int, patience: float) -> bytes:
        while len(self._buffer) < size:
            more = bytearray(_BUFFER)
            self._buffer += memoryview(more)[: self._read(memoryview(more), patience)]
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def header(self, patience: float) -> tuple[int, int, int]:
        """The next frame's type, sequence and size, whose bytes are to be read then; what is left of the one before is passed over."""
        while self._left:
            self._left -= len(self._take(min(self._left, _BUFFER), patience))
        header = HEADER.from_buffer_copy(self._take(HEADER_BYTES, patience))
        if header.magic != wire.MAGIC or header.reserved or header.type not in _FROM_AGENT:
            raise self.lost("what answers there is no agent")
        if header.type != Frame.DATA and header.bytes > wire.MESSAGE_BYTES:
            raise self.lost(f"its agent sends a frame of {header.bytes} bytes")
        self._left = header.bytes
        return header.type, header.sequence, header.bytes

    def body(self, size: int, patience: float) -> bytes:
        """So many bytes of the frame."""
        taken = self._take(size, patience)
        self._left -= size
        return taken

    def body_into(self, view: memoryview, patience: float) -> None:
        """As many bytes of the frame as the memory has, into it."""
        buffered = min(len(self._buffer), view.nbytes)
        view[:buffered] = self._buffer[:buffered]
        del self._buffer[:buffered]
        self._left -= buffered
        done = buffered
        while done < view.nbytes:
            count = self._read(view[done:], patience)
            done += count
            self._left -= count

    def refused(self, size: int) -> LinkError:
        """The error that an ERROR frame of so many bytes says; the link is closed."""
        text = self.body(size, 5.0).decode(errors="replace")
        self.close()
        return LinkError(f"board {self.name!r} refuses: {text}")

    def expect(self, kind: Frame, sequence: int, patience: float) -> int:
        """The size of the next frame, which is to be of that type and to answer that frame. Raises LinkError where it is not."""
        found, answered, size = self.header(patience)
        if found == Frame.ERROR:
            raise self.refused(size)
        if (found, answered) != (kind, sequence):
            raise self.lost(f"its agent answers with {Frame(found).name} where {kind.name} was asked for")
        return size


_FROM_AGENT = frozenset(frame for frame in Frame if frame >= Frame.INFO)


def over_process(name: str, command: Sequence[str]) -> Link:
    """A link to the agent at the standard input and output of a command."""
    errors = tempfile.TemporaryFile()  # lives as long as the link
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            start_new_session=True,  # an interrupt from the terminal is for this process alone
        )
    except OSError as error:
        raise LinkError(f"board {name!r}: {command[0]} does not start: {error.strerror}") from None
    assert process.stdin is not None
    assert process.stdout is not None
    descriptors = os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno())
    process.stdin.close()
    process.stdout.close()
    for descriptor in descriptors:
        _enlarge(descriptor)
    return Link(name, *descriptors, process, errors)


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # more than this user may have
        pass


def over_socket(name: str, path: str) -> Link:
    """A link to the agent that listens at a path."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(30)
            connection.connect(path)
            descriptor = os.dup(connection.fileno())
    except OSError as error:
        raise LinkError(f"board {name!r} cannot be reached: {error.strerror or error}") from None
    return Link(name, descriptor, descriptor)


def connect(name: str) -> Link:
    """A link to the board of this name. Raises LinkError."""
    scheme, _, rest = name.partition(":")
    if scheme == "exec" and (command := shlex.split(rest)):
        return over_process(name, command)
    if scheme == "unix" and rest:
        return over_socket(name, rest)
    if scheme == "ssh" and rest.startswith("//") and len(rest) > 2:
        return over_process(name, ssh.agent_command(rest[2:]))
    raise LinkError(f"TRITON_SPACEMIT_BOARD={name!r} is no board: expected ssh://HOST, unix:PATH or exec:COMMAND")


def _end(process: subprocess.Popen[bytes] | None, *descriptors: int) -> None:
    for descriptor in set(descriptors):
        os.close(descriptor)
    if process is None:
        return
    try:
        process.wait(2)  # it sees that its input has ended
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            process.kill()
        process.wait()
