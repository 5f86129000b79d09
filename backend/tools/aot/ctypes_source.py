"""The Python module of a bundle: its functions through ctypes, for programs without Triton or PyTorch."""

from collections.abc import Sequence

from triton_spacemit.backend.tools.aot.names import spelled
from triton_spacemit.backend.tools.aot.variants import INTEGERS, Function

_CTYPES = {"fp64": "c_double", "i1": "c_bool", "u1": "c_bool"} | {kind: f"c_{'u' * (kind[0] == 'u')}int{kind[1:]}" for kind in INTEGERS}


def module(name: str, functions: Sequence[Function], chips: Sequence[str]) -> str:
    """The text of `NAME.py`, which needs the bundle's folder beside it and nothing but Python."""
    return _MODULE.replace("BUNDLE", name).replace("CHIPS", repr(tuple(chips))) + "".join(_function(function) for function in functions)


def _function(function: Function) -> str:
    parameters = {spelled(name): kind for name, kind in function.parameters.items()}
    names = list(parameters)
    values = ", ".join(f"_address({name!r}, {name})" if kind.startswith("*") else name for name, kind in parameters.items())
    kinds = ", ".join(f"ctypes.{'c_void_p' if kind.startswith('*') else _CTYPES.get(kind, 'c_float')}" for kind in parameters.values())
    types = ", ".join(f"{name}: {kind}" for name, kind in parameters.items())
    return f'''

def {function.name}({"".join(f"{name}, " for name in names)}threads=0):
    """{function.jit.__name__} on a grid of {function.grid.text}. {types}.

    A pointer is an address, or an object with `data_ptr()` or a writable buffer. threads: 0 for as many as the process has cores.
    Raises RuntimeError with the kernel's failure.
    """
    _call({function.name!r}, ({kinds}{"," if names else ""}), ({values}{"," if names else ""}), threads)
'''


_MODULE = '''"""Kernels of the bundle BUNDLE: made by `triton-spacemit aot`."""

import ctypes
from pathlib import Path


class _Launch(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_int32), ("program_id", ctypes.c_int32 * 3), ("message", ctypes.c_char * 4000)]


def _load():
    """The library of the first chip that is this machine's."""
    refused = []
    for chip in CHIPS:
        try:
            library = ctypes.CDLL(str(Path(__file__).parent / "lib" / chip / "libBUNDLE.so"))
        except OSError as error:
            refused.append(f"{chip}: {error}")
            continue
        library.BUNDLE_fits.restype = ctypes.c_bool
        if library.BUNDLE_fits():
            return library
        refused.append(f"{chip}: this processor is not one")
    raise ImportError("no library of this bundle fits this machine: " + "; ".join(refused))


_library = _load()


def ts_guard(seconds=0.0):
    """From now on a fault in a kernel is a RuntimeError, and so is a launch that takes longer than `seconds` (0: any time)."""
    _library.ts_guard.argtypes = (ctypes.c_double,)
    _library.ts_guard.restype = None
    _library.ts_guard(seconds)


def _address(name, value):
    """The address that a pointer argument stands for."""
    if value is None or isinstance(value, int):
        return value
    if hasattr(value, "data_ptr"):
        return value.data_ptr()
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(value))
    except TypeError:
        raise TypeError(f"{name} must be an address, a tensor or a writable buffer, not {type(value).__name__}") from None


def _call(name, kinds, values, threads):
    function = getattr(_library, name)
    function.argtypes = (ctypes.POINTER(_Launch), *kinds)
    how = _Launch(threads=threads)
    result = function(how, *values)
    if result:
        where = f" in program {tuple(how.program_id)}" if result in (1, 5, 6) else ""
        raise RuntimeError(f"{name} failed{where}: {how.message.decode(errors='replace')}")
'''
