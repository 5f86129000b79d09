"""Launching: what Triton calls for each launch of a kernel, a few microseconds from the call to the code."""

import math
import threading
from collections.abc import Callable
from typing import Any

from triton_spacemit.backend.devices import get_device
from triton_spacemit.backend.errors import ArgumentError, DeviceError
from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.backend.packing import make_packer, with_storages
from triton_spacemit.backend.repeats import Description, Repeat, repeat
from triton_spacemit.dialect.abi import MAX_THREADS

_LARGEST_EXTENT = (1 << 31) - 1  # program ids are int32
_LARGEST_GRID = (1 << 63) - 1  # the runtime counts programs in int64
_CUBE_ROOT_OF_LARGEST_GRID = 1 << 21


def _cooperative(kernel: str, run: Callable[..., None]) -> Callable[..., None]:
    """`run` with a thread for each program of the grid, so that programs may wait for each other."""

    def run_together(function: Any, grid: tuple[int, int, int], *rest: Any) -> None:
        programs = math.prod(grid)
        if programs > MAX_THREADS:
            raise ArgumentError(f"kernel {kernel!r}: a cooperative grid has at most {MAX_THREADS} programs here, got {programs}")
        with knobs.scope():
            knobs.threads = programs
            run(function, grid, *rest)

    return run_together


class Loading:
    """A kernel between its launcher and its code: Triton makes the one, then loads the other, and lets another thread launch in between."""

    _LONGEST = 60.0  # seconds

    def __init__(self) -> None:
        self._done = threading.Event()
        self._kernel: Any = None
        _this_thread.loading = self

    @staticmethod
    def end(kernel: Any) -> None:
        """What this thread made a launcher for last is loaded, as `kernel`, or cannot be (None)."""
        loading, _this_thread.loading = _this_thread.loading, None
        if loading is not None:
            loading._kernel = kernel
            loading._done.set()

    def wait(self, name: str) -> Any:
        """The kernel, once it is loaded. Raises DeviceError where it cannot be."""
        self._done.wait(self._LONGEST)
        if self._kernel is None:
            raise DeviceError(f"kernel {name!r} could not be loaded by the thread that launched it first")
        return self._kernel


class _ThisThread(threading.local):
    loading: Loading | None = None


_this_thread = _ThisThread()


def make_launcher(src: Any, metadata: Any) -> Callable[..., None]:
    """The function that Triton calls for each launch of a kernel. Raises DeviceError where the active device runs another chip's code."""
    device = get_device(*active_target())
    if metadata.arch != device.chip.name:
        raise DeviceError(
            f"kernel {metadata.name!r} was compiled for chip {metadata.arch!r}; the active device {device.name!r} runs {device.chip.name!r}"
        )
    parameters = getattr(getattr(src, "fn", None), "params", ())
    constexprs = {parameter.name for parameter in parameters if parameter.is_constexpr}
    memories = getattr(device, "memories", ("cpu",))
    pack, signature = make_packer(metadata.name, {str(name): kind for name, kind in src.signature.items()}, constexprs, memories)
    pack = with_storages(pack) if metadata.sanitize else pack
    run = _cooperative(metadata.name, device.launch) if metadata.launch_cooperative_grid else device.launch

    loading = Loading()

    def wrong_grid(*grid: Any) -> ArgumentError:
        return ArgumentError(f"the grid of kernel {metadata.name!r} must be integers from 0 to {_LARGEST_EXTENT}, got {grid}")

    def launch(
        grid_x: int,
        grid_y: int,
        grid_z: int,
        stream: Any,
        function: Any,
        packed_metadata: Any,
        launch_metadata: Any,
        enter_hook: Any,
        exit_hook: Any,
        *values: Any,
    ) -> None:
        try:
            extents = grid_x | grid_y | grid_z
        except TypeError:
            raise wrong_grid(grid_x, grid_y, grid_z) from None
        if not 0 <= extents <= _LARGEST_EXTENT:
            raise wrong_grid(grid_x, grid_y, grid_z)
        if extents >= _CUBE_ROOT_OF_LARGEST_GRID and grid_x * grid_y * grid_z > _LARGEST_GRID:
            raise ArgumentError(
                f"the grid of kernel {metadata.name!r} must have at most {_LARGEST_GRID} programs, got {(grid_x, grid_y, grid_z)}"
            )
        if function is None:
            function = loading.wait(metadata.name)
        slots, pointers = pack(values)
        # Triton passes a chain of hooks, empty more often than not.
        if enter_hook is not None and getattr(enter_hook, "calls", True):
            enter_hook(launch_metadata)
        if grid_x and grid_y and grid_z:
            run(function, (grid_x, grid_y, grid_z), slots, pointers, signature)
        if exit_hook is not None and getattr(exit_hook, "calls", True):
            if hasattr(device, "nanoseconds") and hasattr(launch_metadata, "data"):
                launch_metadata.data["nanoseconds"] = device.nanoseconds
            exit_hook(launch_metadata)

    is_plain = not metadata.sanitize and not metadata.launch_cooperative_grid  # slots say all
    starter, describe = (getattr(device, name, None) if is_plain else None for name in ("starter", "describe"))

    def repeated(function: Any, values: tuple[Any, ...]) -> Repeat | None:
        """A function for launches with these numbers that tells no hooks; None where a launch here takes more than slots."""
        return None if function is None or starter is None else repeat(signature, pack(values)[0], starter(function))

    def described(function: Any, values: tuple[Any, ...]) -> Description | None:
        """What a launch with these values comes to; None where it takes more than slots."""
        return None if function is None or describe is None else describe(function, *pack(values), signature)

    # Attributes of what Triton keeps as the kernel's `run`.
    launch.repeated = repeated  # type: ignore[attr-defined]
    launch.described = described  # type: ignore[attr-defined]
    return launch
