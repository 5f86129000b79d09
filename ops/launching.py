"""Launches of one kernel over and over, at a tenth of what `kernel[grid](...)` costs.

Triton finds the compiled kernel of a launch by binding and specialising all arguments. A `Kernel` keeps compiled kernels by a key of
its own, which tells apart at least what Triton's does: dtypes, whether addresses and integers are multiples of 16, integers that are 1,
and how wide they are. A launch with the same numbers as one before packs nothing but addresses.
"""

import ctypes
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from triton import knobs
from triton.runtime.jit import JITFunction

from triton_spacemit.backend.knobs import active_index

_OPS = __name__.rpartition(".")[0] + "."
_INT32 = 1 << 31
_LARGEST_GRID = 1 << 31
_runtime = knobs.runtime
_Tensor = torch.Tensor


def _kind(value: Any) -> Any:
    """What Triton would specialise on, or something finer."""
    if type(value) is int:
        if value == 1:
            return 1
        return (0 if value & 15 else 16) + (32 if -_INT32 <= value < _INT32 else 64 if value < _INT32 << 32 else 65)
    if value is None or type(value) in (float, bool):
        return type(value)
    return value.dtype if value.data_ptr() & 15 == 0 else (value.dtype,)


def exact(value: Any) -> Any:
    """A key for a number, a word or None that is another one's only if both are the same: not 1 and 1.0 and True, nor 0.0 and -0.0."""
    if value is None or type(value) is str:
        return value
    return type(value), value if value and value == value else str(value)


@dataclass(frozen=True, slots=True)
class Launched:
    """A launch: the compiled kernel, three extents, all runtime arguments."""

    kernel: Any
    grid: tuple[int, ...]
    args: tuple[Any, ...]

    def described(self) -> Any:
        """What says all of it (`repeats.Description`); None where the device has no such description."""
        return self.kernel.run.described(self.kernel.function, self.args)


def constant(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor`, to which nobody writes any more: what launches with it may be repeated with it."""
    tensor.is_constant = True
    return tensor


def is_constant(value: Any) -> bool:
    """Whether it is such a tensor."""
    return getattr(value, "is_constant", False)


@dataclass(frozen=True, slots=True)
class Checked:
    """A look at a flag that the launch before it may have raised."""

    flag: torch.Tensor


class Warned:
    """A warning that was given, and that a plan would not give."""


class _ThisThread(threading.local):
    launches: list[Launched | Checked | Warned] | None = None

    def __init__(self) -> None:
        self.flags: list[torch.Tensor] = []  # that nobody has


_this_thread = _ThisThread()


@contextmanager
def noted() -> Iterator[list[Launched | Checked | Warned]]:
    """A list of all launches of this thread inside the `with` block."""
    before = _this_thread.launches
    launches: list[Launched | Checked | Warned] = []
    _this_thread.launches = launches
    try:
        yield launches
    finally:
        _this_thread.launches = before


def is_noting() -> bool:
    """Whether launches are noted down."""
    return _this_thread.launches is not None


def flag() -> torch.Tensor:
    """A 0 that a kernel makes another number where its call is a mistake; `raised` reads it and keeps it for this thread's next kernel."""
    own = _this_thread
    return own.flags.pop() if own.flags and own.launches is None else torch.zeros(1, dtype=torch.int32)


def raised(flag: torch.Tensor) -> bool:
    """Whether the kernel that was launched last has made it that."""
    wrong = ctypes.c_int32.from_address(flag.data_ptr()).value != 0
    if wrong:
        flag.zero_()
    own = _this_thread
    if own.launches is None:
        own.flags.append(flag)
    else:
        own.launches.append(Checked(flag))
    return wrong


def warn(text: str) -> None:
    """Warn at the line that calls the operator, as PyTorch does. All implementations warn by this: what a call says, all like it say."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith(_OPS):
        level, frame = level + 1, frame.f_back
    if _this_thread.launches is not None:
        _this_thread.launches.append(Warned())
    warnings.warn(text, stacklevel=level)


def first_launch(function: Any, grid: tuple[int, ...], args: tuple[Any, ...], constants: dict[str, Any]) -> Any:
    """Launch a function, and the kernel that it is compiled to."""
    kernel = function[grid](*args, **constants)
    if _this_thread.launches is not None:
        _this_thread.launches.append(Launched(kernel, (*grid, 1, 1)[:3], args))
    return kernel


def launch(kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...]) -> None:
    """Launch a kernel that `function[grid](...)` returned, on three extents, with all runtime arguments."""
    x, y, z = grid
    if _this_thread.launches is not None:
        _this_thread.launches.append(Launched(kernel, grid, args))
    kernel.run(
        x,
        y,
        z,
        0,
        kernel.function,
        kernel.packed_metadata,
        kernel.launch_metadata(grid, 0, *args),
        _runtime.launch_enter_hook,
        _runtime.launch_exit_hook,
        *args,
    )


def is_watched() -> bool:
    """Whether a hook is to be told of launches."""
    try:
        return bool(_runtime.launch_enter_hook.calls or _runtime.launch_exit_hook.calls)
    except AttributeError:  # no chain of hooks: one, or none
        return True


def repeated(kernel: Any, args: tuple[Any, ...]) -> Any:
    """`run(grid, *addresses)`: launches of that kernel with the same numbers; None where the device has no such way."""
    return kernel.run.repeated(kernel.function, args)


_KEPT = 1 << 14


class Kernel:
    """`function`, which takes tensors, numbers or None first, then constants (`tl.constexpr`). `constants` are the same at every launch."""

    def __init__(self, function: JITFunction[Any], **constants: Any) -> None:
        self.function, self.constants = function, constants
        self._compiled: dict[Any, Any] = {}
        self._known: dict[Any, Any] = {}  # kernels, and their repeated launches, by the very numbers

    def __call__(self, grid: tuple[int, ...], *args: Any, **constants: Any) -> None:
        """Launch. `args`: all runtime arguments by position; `constants`: the rest by name, values that have a hash."""
        numbers: list[Any] = [active_index(), *constants, *constants.values()]
        addresses = []
        for value in args:
            if type(value) is int or value is None:
                numbers.append(value)
            elif isinstance(value, _Tensor):
                address = value.data_ptr()
                addresses.append(address)
                numbers.append((value.dtype,) if address & 15 else value.dtype)
            else:
                numbers.append(exact(value))
        key = tuple(numbers)
        known = self._known.get(key)
        grid = (*grid, 1, 1)[:3]
        if known is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._compile(grid, args, constants), None, False
            return
        kernel, run, is_settled = known
        if not is_settled:  # the second of such launches: many numbers never come again
            run = repeated(kernel, args)
            self._known[key] = kernel, run, True
        if run is None or not 0 < grid[0] * grid[1] * grid[2] < _LARGEST_GRID or is_watched() or is_noting():
            launch(kernel, grid, args)
        else:
            run(grid, *addresses)

    def _compile(self, grid: tuple[int, ...], args: tuple[Any, ...], constants: dict[str, Any]) -> Any:
        """Launch, and the compiled kernel."""
        key = (active_index(), *map(_kind, args), *constants, *constants.values())
        kernel = self._compiled.get(key)
        if kernel is None:
            kernel = self._compiled[key] = first_launch(self.function, grid, args, self.constants | constants)
        else:
            launch(kernel, grid, args)
        return kernel
