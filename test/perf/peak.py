"""The most multiply-adds of float32 that one core of this machine does: by a loop of our own, `peak.c`."""

import ctypes
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

from triton_spacemit.backend.native import build

_SOURCE = Path(__file__).resolve().parent / "peak.c"


@functools.cache
def _multiply_add() -> Callable[[int], int]:
    """The loop. Raises DeviceError where it cannot be built for this machine, as on one without AVX."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        build([str(_SOURCE)], ("-O2", "-mcpu=native", "-shared", "-fPIC"), library)
        function = ctypes.CDLL(str(library)).multiply_add
    function.argtypes = (ctypes.c_long,)
    return function


def loop(operations: float) -> tuple[Callable[[], object], int]:
    """A function that does nothing but about so many operations, and how many they are."""
    function = _multiply_add()
    a_turn = function(1)
    turns = max(1, round(operations / a_turn))
    return lambda: function(turns), turns * a_turn
