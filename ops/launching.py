"""Launches of one kernel over and over, at a third of what `kernel[grid](...)` costs.

Triton finds the compiled kernel of a launch by binding and specialising all arguments. A `Kernel` keeps compiled kernels by a key of
its own, which tells apart at least what Triton's does: dtypes, whether addresses and integers are multiples of 16, integers that are 1,
and how wide they are.
"""

from typing import Any

import torch
from triton import knobs
from triton.runtime.jit import JITFunction

from triton_spacemit.backend.knobs import active_target

_INT32 = 1 << 31


def _kind(value: Any) -> Any:
    """What Triton would specialise on, or something finer."""
    if type(value) is int:
        if value == 1:
            return 1
        return (0 if value & 15 else 16) + (32 if -_INT32 <= value < _INT32 else 64 if value < _INT32 << 32 else 65)
    if value is None or type(value) in (float, bool):
        return type(value)
    return value.dtype if value.data_ptr() & 15 == 0 else (value.dtype,)


def launch(kernel: Any, grid: tuple[int, ...], args: tuple[Any, ...]) -> None:
    """Launch a kernel that `function[grid](...)` returned, on three extents, with all runtime arguments."""
    x, y, z = grid
    runtime = knobs.runtime
    kernel.run(
        x,
        y,
        z,
        0,
        kernel.function,
        kernel.packed_metadata,
        kernel.launch_metadata(grid, 0, *args),
        runtime.launch_enter_hook,
        runtime.launch_exit_hook,
        *args,
    )


_KEPT = 1 << 14


class Kernel:
    """`function`, which takes tensors, numbers or None first, then constants (`tl.constexpr`). `constants` are the same at every launch."""

    def __init__(self, function: JITFunction[Any], **constants: Any) -> None:
        self.function, self.constants = function, constants
        self._compiled: dict[Any, Any] = {}
        self._known: dict[Any, Any] = {}  # the same by the very integers: a look-up that looks at none of them

    def __call__(self, grid: tuple[int, ...], *args: Any, **constants: Any) -> None:
        """Launch. `args`: all runtime arguments by position; `constants`: the rest by name, values that have a hash."""
        exact = [active_target(), *constants, *constants.values()]
        for value in args:
            if type(value) is int:
                exact.append(value)
            elif type(value) is torch.Tensor:
                exact.append(value.dtype if value.data_ptr() & 15 == 0 else (value.dtype,))
            else:
                exact.append(_kind(value))
        key = tuple(exact)
        kernel = self._known.get(key)
        if kernel is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = self._compile(grid, args, constants)
            return
        launch(kernel, (*grid, 1, 1)[:3], args)

    def _compile(self, grid: tuple[int, ...], args: tuple[Any, ...], constants: dict[str, Any]) -> Any:
        """Launch, and the compiled kernel."""
        key = (active_target(), *map(_kind, args), *constants, *constants.values())
        kernel = self._compiled.get(key)
        if kernel is None:
            kernel = self._compiled[key] = self.function[grid](*args, **self.constants, **constants)
        else:
            launch(kernel, (*grid, 1, 1)[:3], args)
        return kernel
