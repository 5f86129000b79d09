"""What kernels may import or call besides Triton's own language: block pointers, pointers to pointers, `smt` and the CPU's libdevice."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_TARGET = "triton.language"


class _AfterImport:
    """Finds `triton.language` with the finders behind it, once, and completes it as soon as it has been executed."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _install()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _install() -> None:
    from triton_spacemit.backend import launch_path
    from triton_spacemit.backend.language import block_pointer, pointers

    block_pointer.install()
    pointers.install()
    launch_path.install()


def extend_language() -> None:
    """Give block pointers, and pointers to pointers, to `triton.language`: now, or as soon as it is imported.

    Backends are found before `triton.language` exists. Nothing of a user's can have imported from it before it is complete, so a name
    taken by `from triton.language import load` is ours as well.
    """
    if hasattr(sys.modules.get(_TARGET), "make_block_ptr"):
        _install()
    elif _AfterImport not in sys.meta_path:
        sys.meta_path.insert(0, _AfterImport)
