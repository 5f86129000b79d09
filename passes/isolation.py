"""Work in a child process, so that what upstream's code does not survive costs that process, and not its caller's.

MLIR's parser, verifiers and LLVM end the process for some invalid input: by an assertion, or by a write where nothing is. Compiler drivers
such as clang's run the compiler in a process of its own for that reason.
"""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOBase
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ended:
    """The process ended by a signal, or without a word; `at` is what it last said that it was doing."""

    how: str
    at: str


class _Forwarded(TextIOBase):
    """A child's standard error, whose text its parent writes."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender

    def write(self, text: str) -> int:
        self._sender.send(("said", text))
        return len(text)


def each(function: Callable[[Item, Callable[[str], None]], Result], items: Sequence[Item]) -> Iterator[Result | Ended]:
    """What `function` gives for each of `items`, in a child process; `Ended` for one that the child did not survive.

    The function is given an item, and a function to call with what it is doing. What it writes to `sys.stderr` comes out here at once.
    """
    position = 0
    while position < len(items):
        sys.stdout.flush()
        receiver, sender = Pipe(duplex=False)
        child = os.fork()
        if not child:
            _serve(function, items[position:], sender)
        sender.close()
        at = "the start"
        try:
            while position < len(items):
                kind, value = receiver.recv()
                if kind == "result":
                    position += 1
                    yield value
                elif kind == "at":
                    at = value
                else:
                    sys.stderr.write(value)
        except EOFError:
            _, status = os.waitpid(child, 0)
            child = 0
            code = os.waitstatus_to_exitcode(status)
            position += 1
            yield Ended(signal.Signals(-code).name if code < 0 else f"exit status {code}", at)
        finally:
            receiver.close()
            if child:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _serve(function: Callable[[Item, Callable[[str], None]], Result], items: Sequence[Item], sender: Connection) -> None:
    """The child's part; it ends here, whatever happens, and leaves what its parent has begun to its parent."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.stderr = _Forwarded(sender)
        for item in items:
            sender.send(("result", function(item, lambda at: sender.send(("at", at)))))
        code = 0
    except BaseException:  # a mistake of the function's, which is told before this process ends as after any other
        sender.send(("said", traceback.format_exc()))
    finally:
        os._exit(code)
