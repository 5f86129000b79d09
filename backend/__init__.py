"""Triton backend for SpacemiT's CPUs, found through the entry point ``cpu`` in ``triton.backends``."""

import functools
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from triton_spacemit.backend import patches

_LANGUAGE = str(Path(__file__).parent / "language")
_ALIAS = "triton.backends.spine_triton"


class _Finder:
    """Serves `triton.language.extra.*` and `triton.backends.spine_triton.*` from this package, after Triton's own modules.

    The alias package has an empty path, or the import system would load a second copy of each module below it.
    """

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.startswith("triton.language.extra."):
            return PathFinder.find_spec(name, [_LANGUAGE])
        if name in (_ALIAS, f"{_ALIAS}.compiler", f"{_ALIAS}.driver"):
            return ModuleSpec(name, cls, is_package=name == _ALIAS)  # type: ignore[arg-type]
        return None

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        if spec.name == _ALIAS:
            return ModuleType(_ALIAS)
        module = importlib.import_module(__name__ + spec.name.removeprefix(_ALIAS))
        spec.loader_state = module.__spec__
        return module

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        if module.__name__ != _ALIAS:
            # The import system has just replaced the spec with the alias's.
            module.__spec__ = module.__spec__.loader_state  # type: ignore[union-attr]


class _AfterImport:
    """Finds one module with the finders behind it, once, and calls `complete` as soon as the module has been executed."""

    def __init__(self, name: str, complete: Callable[[], None]) -> None:
        self.name, self.complete = name, complete

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.complete()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.append(_Finder)

sys.meta_path.insert(0, _AfterImport("triton.runtime.interpreter", functools.partial(patches.apply, patches.INTERPRET)))

# Triton imports the compiler and the driver while it is being imported; either of them as a process's first import would find itself
# half made. Within Triton's own import this does nothing.
importlib.import_module("triton")


def set_device(name: str, chip: str | None = None) -> None:
    """Run kernels on device `name` (`host`, `qemu` or `null`), compiled for `chip`, from the next launch on.

    Without `chip`: the first that the device runs, the host's own on `host` and `x60` elsewhere. On a machine with a GPU this makes ours
    Triton's active backend.
    Raises ValueError for an unknown device or chip, or a device that cannot run the chip's code.
    """
    from triton.runtime import driver

    from triton_spacemit.backend.devices import resolve
    from triton_spacemit.backend.driver import CPUDriver
    from triton_spacemit.backend.knobs import knobs

    knobs.device, knobs.chip = resolve(name, chip)
    if not isinstance(driver.active, CPUDriver):
        driver.set_active(CPUDriver())
