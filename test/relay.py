"""Links to boards that are slow, counted, recorded, played again, or cut: the board is `unix:PATH`, a relay's socket."""

import contextlib
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

TO_AGENT, TO_HOST = 0, 1
_CHUNK = 1 << 16
_END = b""


class _Listener:
    """A socket at `path`, and a thread for each connection to it."""

    def __init__(self, path: Path) -> None:
        self.name = f"unix:{path}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it has been closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Relay(_Listener):
    """Each connection leads to an agent that `command` starts.

    round_trip: seconds. rate: bytes a second, each way; 0 for any. turns: how often this process has waited for the agent. moved: bytes
    each way. events: of the last connection, what the agent has answered, each with the number of bytes that it had been sent by then.
    """

    def __init__(self, path: Path, command: Sequence[str], round_trip: float = 0.0, rate: float = 0.0) -> None:
        self.command, self.round_trip, self.rate = command, round_trip, rate
        self.turns = 0
        self.moved = [0, 0]
        self.events: list[tuple[int, bytes]] = []
        self.sent = b""
        self._asking = False
        self._lock = threading.Lock()
        super().__init__(path)

    def serve(self, connection: socket.socket) -> None:
        self.events, self.sent, self._asking = [], b"", False
        agent = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert agent.stdin is not None
        assert agent.stdout is not None
        way_out = threading.Thread(target=self._pump, args=(TO_AGENT, connection.fileno(), agent.stdin.fileno()), daemon=True)
        way_out.start()
        self._pump(TO_HOST, agent.stdout.fileno(), connection.fileno())
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        way_out.join()
        agent.stdin.close()
        agent.wait()
        agent.stdout.close()
        connection.close()

    def _note(self, way: int, data: bytes) -> None:
        with self._lock:
            self.moved[way] += len(data)
            if way == TO_AGENT:
                self.sent += data
                self.turns += not self._asking
                self._asking = True
            else:
                self.events.append((len(self.sent), data))
                self._asking = False

    def _pump(self, way: int, source: int, target: int) -> None:
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        writer = threading.Thread(target=self._deliver, args=(under_way, target, way), daemon=True)
        writer.start()
        free = time.monotonic()
        while True:
            try:
                data = os.read(source, _CHUNK)
            except OSError:
                data = _END
            if data:
                self._note(way, data)
            free = max(free, time.monotonic()) + (len(data) / self.rate if self.rate else 0.0)
            under_way.put((free + self.round_trip / 2, data))
            if not data:
                break
        writer.join()

    def _deliver(self, under_way: "queue.SimpleQueue[tuple[float, bytes]]", target: int, way: int) -> None:
        while True:
            due, data = under_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            with contextlib.suppress(OSError):  # the other end is gone
                view = memoryview(data)
                while view:
                    view = view[os.write(target, view) :]
        if way == TO_AGENT:
            with contextlib.suppress(OSError):
                os.close(os.dup(target))


class Replay(_Listener):
    """An agent that says what another one has said: `events` of a relay. cut: after so many bytes it ends; None for never."""

    def __init__(self, path: Path, events: Sequence[tuple[int, bytes]]) -> None:
        self.events, self.cut = events, None
        self.size = sum(len(data) for _, data in events)
        super().__init__(path)

    def serve(self, connection: socket.socket) -> None:
        received, left = 0, self.size if self.cut is None else self.cut
        with connection, contextlib.suppress(OSError):
            for needed, data in self.events:
                while received < needed:
                    more = len(connection.recv(_CHUNK))
                    if not more:
                        return
                    received += more
                connection.sendall(data[:left])
                left -= min(left, len(data))
                if not left:
                    return
            while connection.recv(_CHUNK):
                pass
