"""The functions of `backend/runtime/calls.c`, which answers calls that have plans (`plans.py`), and what it takes of PyTorch and Triton."""

import ctypes
import functools
import sysconfig
from typing import Any

import torch
import triton

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.native import calls_library, host_library
from triton_spacemit.ops.launching import is_watched

_EXCHANGE = b"dlpack_exchange_api"
_MAJOR = 1  # of the version of DLPack's table
_DESCRIBE = 40  # where it has the function that describes a tensor: behind version, older table and three functions
_new = torch._C._dynamo.guards._empty_strided_cpu  # a third of `torch.empty_strided`'s time


class _Setup(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("describe", "run_one", "run_grid")),
        ("types", 2 * ctypes.py_object),
        ("singletons", 3 * ctypes.py_object),
        *((name, ctypes.py_object) for name in ("new_tensor", "default_dtype", "settings", "hooks")),
        ("chains", 2 * ctypes.py_object),
        *((name, ctypes.py_object) for name in ("calls", "is_watched")),
    )


def _describe() -> int | None:
    """The address of PyTorch's function that describes a tensor; None where there is none that calls.c knows."""
    capsule = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = get_pointer(capsule, _EXCHANGE)
    while table and ctypes.c_uint32.from_address(table).value != _MAJOR:
        table = ctypes.c_void_p.from_address(table + 8).value
    return ctypes.c_void_p.from_address(table + _DESCRIBE).value if table else None


@functools.cache
def library() -> Any:
    """The functions of calls.c; where they cannot be, what is missing, as a word."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "a Python with a global lock"
    describe = _describe()
    if describe is None:
        return f"a PyTorch whose tensors have version {_MAJOR} of DLPack's `__dlpack_c_exchange_api__`"
    try:
        loaded: Any = ctypes.PyDLL(str(calls_library()))
        host = ctypes.CDLL(str(host_library()))
    except (DeviceError, OSError) as error:
        return str(error)
    hooks = triton.knobs.runtime
    chains = (type(hooks).launch_enter_hook, type(hooks).launch_exit_hook)
    setup = loaded.setup = _Setup(
        describe,
        *(ctypes.cast(function, ctypes.c_void_p) for function in (host.run_one, host.run_grid)),
        (torch.Tensor, torch.nn.Parameter),
        (torch.dtype, torch.memory_format, torch.layout),
        _new,
        torch.get_default_dtype,
        vars(knobs),
        vars(hooks),
        tuple(map(vars, chains)),
        "calls",
        is_watched,
    )
    loaded.set_up(ctypes.byref(setup))
    loaded.new_overload.restype = ctypes.py_object
    loaded.new_overload.argtypes = (ctypes.py_object, ctypes.py_object)
    return loaded
