"""The guest in a sandbox: when it has started, it can open no file, no socket and no process (`runtime/sandbox.c`).

The program that becomes QEMU gives itself a filter of system calls. What the filter does not let through waits for the holder of a
descriptor, here a thread that lets everything pass until the guest is ready, and then closes it: from then on such calls do nothing.
"""

import fcntl
import functools
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.native import sandbox_program

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND
_NOTIFICATION_BYTES = 80
_NO_ARGUMENTS = 2  # the program's exit code
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE


class Sandbox:
    """Around the start of one program: `command` and `pass_fds` start it, `close` ends what it may do besides computing."""

    def __init__(self, command: Sequence[str]) -> None:
        self._own, theirs = socket.socketpair()
        self._theirs = theirs
        self.pass_fds = (theirs.fileno(),)
        self.command = [str(sandbox_program()), str(theirs.fileno()), *command]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._let_pass, daemon=True)

    def begin(self) -> None:
        """The program has been started: let its calls pass."""
        self._theirs.close()
        self._thread.start()

    def close(self) -> None:
        """Let nothing more pass."""
        self._closing.set()
        self._thread.join()

    def _let_pass(self) -> None:
        with self._own:
            self._own.settimeout(60)
            try:
                _, descriptors, _, _ = socket.recv_fds(self._own, 1, 1)
            except OSError:
                return
        for listener in descriptors:
            try:
                while not self._closing.is_set():
                    if select.select([listener], [], [], 0.01)[0]:
                        _let_one_pass(listener)
            except OSError:  # the program has ended
                pass
            finally:
                os.close(listener)


@functools.cache
def has_sandboxes() -> bool:
    """Whether the system has what a sandbox takes: tried with the program that makes them, which does nothing without arguments."""
    try:
        sandbox = Sandbox([str(sandbox_program())])
    except DeviceError:  # on a machine that it is not built for
        return False
    process = subprocess.Popen(sandbox.command, pass_fds=sandbox.pass_fds, stderr=subprocess.DEVNULL)
    sandbox.begin()
    try:
        return process.wait(60) == _NO_ARGUMENTS
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    finally:
        sandbox.close()


def _let_one_pass(listener: int) -> None:
    notification = bytearray(_NOTIFICATION_BYTES)
    try:
        fcntl.ioctl(listener, _RECEIVE, notification)
        (number,) = struct.unpack_from("<Q", notification)
        fcntl.ioctl(listener, _SEND, bytearray(struct.pack("<QqiI", number, 0, 0, _CONTINUE)))
    except FileNotFoundError:  # who asked has been killed meanwhile
        pass
