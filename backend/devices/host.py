"""The device that runs kernels in this process: code is mapped from the object, tensors stay in place.

A fault in a kernel's code ends its launch, and so does a timeout, or an exception that a handler of one of this process's signals raises
meanwhile (`runtime/guard.c`). Python runs such handlers in the main thread, so an interrupt ends a launch there; as with an endless loop in
Python, it does not reach launches of other threads.
"""

import atexit
import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from triton_spacemit.backend.devices import Clock, Signature
from triton_spacemit.backend.devices.faults import ended, fault_text, place_text, timeout_text
from triton_spacemit.backend.elf import ObjectError
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.loader import KernelObject, host_machine
from triton_spacemit.backend.native import host_library
from triton_spacemit.backend.repeats import Description
from triton_spacemit.dialect import abi
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import Chip

_READ, _WRITE, _EXECUTE, _PRIVATE_ANONYMOUS = 1, 2, 4, 0x22


Program, Failure = abi.PROGRAM.as_ctypes(), abi.FAILURE.as_ctypes()


class _External(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("address", ctypes.c_void_p))


_Timeout = ctypes.CFUNCTYPE(ctypes.c_double)


class _Python(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("ensure", "release", "check_signals", "fetch")),
        ("timeout", _Timeout),
        ("main_thread", ctypes.c_uint64),
    )


@_Timeout
def _timeout() -> float:
    """Seconds that a launch may take. What is wrong with the setting is raised by whoever reports that the time is over."""
    try:
        return knobs.timeout
    except RuntimeError:
        return 1e-9


def _install_guard(library: ctypes.CDLL) -> None:
    """Have kernels that fault or do not end fail their launch."""
    api, names = ctypes.pythonapi, ("PyGILState_Ensure", "PyGILState_Release", "PyErr_CheckSignals", "PyErr_Fetch")
    functions = (ctypes.cast(getattr(api, name), ctypes.c_void_p) for name in names)
    library.install_guard(ctypes.byref(_Python(*functions, _timeout, threading.main_thread().ident or 0)))
    atexit.register(library.leave_python)


class HostKernel:
    """A kernel in this process's memory."""

    def __init__(self, object_: KernelObject, address: int, artifact: Artifact) -> None:
        self.name = artifact.name
        self.concurrent = artifact.concurrent
        self.object = object_
        self.address = address
        self.size = object_.size
        self.program = Program(address + object_.entry, artifact.scratch_bytes, address, object_.code_end)
        self.reference = ctypes.addressof(self.program)


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc


def _read_externals(library: ctypes.CDLL) -> dict[str, int]:
    externals, i = {}, 0
    table = ctypes.cast(library.externals, ctypes.POINTER(_External))
    while name := table[i].name:
        externals[name.decode()] = table[i].address
        i += 1
    return externals


class HostDevice:
    name = "host"
    chips = ("host",)
    clock = Clock.TIME

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        library = ctypes.CDLL(str(host_library()))
        self._run = library.run_grid
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_char_p) + (ctypes.c_int32,) * 4
        self._run_one = library.run_one
        self._run_one.argtypes = self._run.argtypes[:2]
        library.last_failure.restype = ctypes.POINTER(Failure)
        self._last_failure = library.last_failure
        self._stand_first = library.stand_first
        self._externals = _read_externals(library)
        _install_guard(library)

    def load(self, artifact: Artifact) -> HostKernel:
        name = artifact.name
        object_ = KernelObject(artifact.binary, name)
        if object_.machine != host_machine():
            raise ObjectError(f"the object of kernel {name!r} is for {object_.machine}; the host device runs {host_machine()}")
        libc = _libc()
        address = libc.mmap(None, object_.size, _READ | _WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            raise DeviceError(f"no memory for the {object_.size} bytes of kernel {name!r}")
        try:
            image = object_.link(address, self._externals)
            ctypes.memmove(address, (ctypes.c_char * object_.size).from_buffer(image), object_.size)
            code, readonly = object_.code_end, object_.readonly_end
            for start, end, rights in ((0, code, _READ | _EXECUTE), (code, readonly, _READ)):
                if end > start and libc.mprotect(address + start, end - start, rights):
                    raise DeviceError(f"the system does not let kernel {name!r} be executed (mprotect: errno {ctypes.get_errno()})")
        except DeviceError:
            libc.munmap(address, object_.size)
            raise
        self._stand_first()
        return HostKernel(object_, address, artifact)

    def unload(self, kernel: HostKernel) -> None:
        if kernel.address:
            _libc().munmap(kernel.address, kernel.size)
            kernel.address = 0

    def launch(
        self,
        kernel: HostKernel,
        grid: tuple[int, int, int],
        slots: bytes,
        pointers: Sequence[Any] = (),
        signature: Signature | None = None,
    ) -> None:
        if grid == (1, 1, 1) and not kernel.concurrent:
            status = self._run_one(kernel.reference, slots)
        else:
            status = self._run(kernel.reference, slots, *grid, knobs.num_threads)
        if status:
            self._raise(kernel, status)

    def starter(self, kernel: HostKernel) -> Callable[[tuple[int, int, int], bytes], None]:
        """`launch` of this kernel, for which packed slots say all."""
        return functools.partial(self.launch, kernel)

    def describe(self, kernel: HostKernel, slots: bytes, pointers: Sequence[Any], signature: Signature) -> Description:
        """A launch of this kernel, as `launch` is given it."""
        fail = functools.partial(self._raise, kernel)
        return Description(kernel.reference, kernel.concurrent, slots, signature.pointers, tuple(pointers), fail)

    def _raise(self, kernel: HostKernel, status: int) -> None:
        if status == abi.STATUS["NO_MEMORY"]:
            raise DeviceError(f"kernel {kernel.name!r}: no memory for {kernel.program.scratch_bytes} bytes of scratch a thread")
        failure = self._last_failure().contents
        if status == abi.STATUS["INTERRUPTED"]:
            ctypes.pythonapi.PyErr_Restore(*(ctypes.c_void_p(value) for value in failure.raised))  # raises it
        place = failure.place - kernel.address if failure.place else None
        if status == abi.STATUS["FAULTED"]:
            text = fault_text(failure.signal, failure.address, failure.code)
            if failure.stack_bytes:
                text += f": the kernel needs more than the {failure.stack_bytes} bytes of its thread's stack"
            text += f", {place_text(kernel.object, place)}"
        elif status == abi.STATUS["TIMED_OUT"]:
            text = timeout_text(knobs.timeout) + (f"; it was {place_text(kernel.object, place)}" if failure.place else "")
        else:
            text = failure.message.decode(errors="replace")
        raise ended(kernel.name, tuple(failure.program_id), text)
