"""What passes say of their choices, where somebody listens: `triton-spacemit-opt --remarks`."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from torch_mlir import ir

Listener = Callable[[ir.Location, str], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, `listener` is told all remarks of this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def emit(location: ir.Location, text: Callable[[], str]) -> None:
    """A remark on what stands at `location`; its text is made only if somebody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(location, text())
