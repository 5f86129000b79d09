"""The compiler that Triton calls: its stages, from TTIR to a relocatable object.

Everything heavy is imported inside functions: Triton imports this module while it is itself being imported.
"""

import contextlib
import functools
import gc
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from triton import knobs as triton_knobs
from triton._C.libtriton import ir
from triton.backends.compiler import BaseBackend, GPUTarget, Language

from triton_spacemit.backend import patches
from triton_spacemit.backend.errors import OptionError
from triton_spacemit.backend.knobs import active_target
from triton_spacemit.backend.options import Options, make_options


class _Text(str):
    """The text of a stage, for Triton's cache, with the module itself for the next stage."""

    module: Any


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python from looking for garbage: passes make many objects that all live until they end. `_object` looks for what they leave."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class SpacemitBackend(BaseBackend):
    """Compiles for one chip: the target's, or the active one where the target names none."""

    binary_ext = "o"

    def __init__(self, target: GPUTarget) -> None:
        super().__init__(target)
        program = getattr(sys.modules.get("__main__"), "__spec__", None)
        if program is not None and program.name == "triton.tools.compile":
            raise OptionError("triton.tools.compile writes C for the drivers of GPUs; for this backend there is `triton-spacemit aot`")
        patches.apply(patches.COMPILE)
        self.chip = str(target.arch) or active_target()[1]

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return target.backend == "cpu"

    def hash(self) -> str:
        return f"{self.chip}-{source_hash()}"

    def parse_options(self, options: dict[str, Any]) -> Options:
        return make_options(options, self.chip)

    def pack_metadata(self, metadata: Any) -> tuple[int, int, int]:
        return metadata.num_warps, metadata.num_ctas, metadata.shared

    def get_codegen_implementation(self, options: Options) -> dict[str, Any]:
        from triton_spacemit.backend.frontend.fp8 import convert_fp8e4b15

        return {"min_dot_size": lambda lhs, rhs: (1, 1, 1), "convert_custom_types": convert_fp8e4b15}

    def get_module_map(self) -> dict[str, ModuleType]:
        from triton_spacemit.backend.language import module_map

        return module_map()

    def load_dialects(self, context: ir.context) -> None:
        pass

    def add_stages(self, stages: dict[str, Any], options: Options, language: Language) -> None:
        if language != Language.TRITON:
            raise OptionError("the cpu backend compiles Triton kernels, not Gluon's")
        if triton_knobs.compilation.store_binary_only:
            raise OptionError("TRITON_STORE_BINARY_ONLY keeps GPUs' binaries only, and this backend's objects would be lost; unset it")
        stages["ttir"] = self._ttir
        stages["xsmt"] = self._xsmt
        stages["llir"] = self._llir
        stages["o"] = self._object

    def _ttir(self, module: Any, metadata: dict[str, Any]) -> Any:
        from triton_spacemit.backend.frontend.ttir import optimize

        return optimize(module)

    def _xsmt(self, module: Any, metadata: dict[str, Any]) -> str:
        from triton_spacemit.backend.frontend.bridge import to_torch_mlir
        from triton_spacemit.backend.frontend.diagnostics import compilation_errors
        from triton_spacemit.dialect.chips import get_chip
        from triton_spacemit.dialect.module import SANITIZE, say, set_allow_ime, set_chip, set_fp_fusion, set_slots
        from triton_spacemit.passes import pipeline

        metadata["name"] = module.get_entry_func_name()
        with _without_collection(), compilation_errors(metadata["name"]):
            lowered = to_torch_mlir(module)
            set_chip(lowered, get_chip(self.chip))
            set_fp_fusion(lowered, metadata["enable_fp_fusion"])
            if not metadata["allow_ime"]:
                set_allow_ime(lowered, False)
            set_slots(lowered)
            if metadata["sanitize"]:
                say(lowered, SANITIZE)
            pipeline.run(lowered, until="structure")
            return _text(lowered)

    def _llir(self, source: str, metadata: dict[str, Any]) -> str:
        from triton_spacemit.backend.frontend.diagnostics import compilation_errors
        from triton_spacemit.dialect.module import SCRATCH
        from triton_spacemit.passes import codegen, pipeline

        module = source.module if isinstance(source, _Text) else parse(source)
        with _without_collection(), compilation_errors(metadata["name"]):
            pipeline.run(module, after="structure")
            attributes = module.operation.attributes
            # Never 0: kernels size their grids by dividing by it.
            metadata["shared"] = max(attributes[SCRATCH].value if SCRATCH in attributes else 0, 1)
            return codegen.llvm_ir(module)

    def _object(self, source: str, metadata: dict[str, Any]) -> bytes:
        from triton_spacemit.dialect.chips import get_chip
        from triton_spacemit.passes import codegen

        # What the passes leave behind refers to itself and keeps modules alive; it is young, and found in half a millisecond.
        gc.collect(1)
        return codegen.compile_object(source, get_chip(self.chip))


def _text(module: Any) -> _Text:
    text = _Text(module.operation.get_asm(enable_debug_info=True))
    text.module = module
    return text


def parse(text: str) -> Any:
    """The module of a stage's text."""
    from torch_mlir import ir as mlir

    from triton_spacemit.dialect.context import shared_context

    return mlir.Module.parse(text, shared_context())


@functools.cache
def source_hash() -> str:
    """A hash of this compiler's own sources and of the versions of what generates code for it."""
    from importlib.metadata import version

    digest = hashlib.sha256("".join(f"{name} {version(name)}\n" for name in ("torch-mlir", "llvmlite")).encode())
    root = Path(__file__).parent
    for folder in (root, root.parent / "dialect", root.parent / "passes"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
