"""The kernel that the command line names: one in Triton's cache, or one to be compiled from a Python file and a signature."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triton_spacemit.backend.estimate import Estimate
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError, arguments_of, kernel_of, load


@dataclass
class Kernel:
    """A compiled kernel: its metadata and the texts of Triton's stages.

    folder: its entry in the cache. constants: the constexpr arguments, where they are known. stage_ms: the times of the stages before
    TTIR, where its source is known. estimates: of its launches, where there were any, by when they are.
    """

    name: str
    chip: str
    metadata: dict[str, Any]
    ttir: str
    xsmt: str
    llir: str
    folder: Path
    constants: dict[str, Any] = field(default_factory=dict)
    stage_ms: dict[str, float] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_kernel(place: str, signature: str | None, constants: Sequence[str], chip: str | None) -> Kernel:
    """The kernel that `place` names: `FILE.py:KERNEL`, a path in the cache, the start of a hash, or a name.

    Raises UnknownKernelError, and Triton's CompilationError where it does not compile.
    """
    file, separator, name = place.rpartition(":")
    if separator and file.endswith(".py"):
        return _compile(Path(file), name, signature, constants, chip)
    if place.endswith(".py"):
        raise UnknownKernelError(f"{place}: say which kernel of the file, as {place}:KERNEL")
    if signature is not None or constants:
        raise UnknownKernelError("--signature and --constexpr are for FILE.py:KERNEL; a cached kernel has them")
    return _cached(place, chip)


# Kernels in the cache


def _cached(place: str, chip: str | None) -> Kernel:
    from triton import knobs

    path = Path(place)
    if path.is_dir() or path.is_file():
        entries = _entries(path if path.is_dir() else path.parent)
        if path.is_file():
            entries = [entry for entry in entries if entry.stem == path.stem]
        if not entries:
            raise UnknownKernelError(f"{place} is no entry of Triton's cache with a kernel of this backend")
    else:
        cache = Path(knobs.cache.dir)
        known = [entry for folder in sorted(cache.glob("*")) if folder.is_dir() for entry in _entries(folder)]
        named = [entry for entry in known if entry.stem == place]
        entries = named or [e for e in known if len(place) >= 4 and (_hash(e).startswith(place.lower()) or e.parent.name.startswith(place))]
        if not entries:
            names = sorted({entry.stem for entry in known})
            held = f"it holds {', '.join(names[:12])}{' and others' if len(names) > 12 else ''}" if names else "it holds none"
            raise UnknownKernelError(f"no kernel with the name or hash {place!r} in Triton's cache {cache}: {held}")
    if chip is not None:
        fitting = [entry for entry in entries if json.loads(entry.read_text())["arch"] == chip]
        if not fitting:
            chips = sorted({json.loads(entry.read_text())["arch"] for entry in entries})
            raise UnknownKernelError(f"{place} was compiled for {', '.join(chips)}, not for {chip}")
        entries = fitting
    entries.sort(key=lambda entry: entry.stat().st_mtime)
    kernel = _read(entries[-1])
    if len(entries) > 1:
        others = ", ".join(_hash(entry)[:10] for entry in entries[:-1][-4:])
        kernel.notes.append(f"{len(entries)} cached kernels fit {place!r}; this is the newest. Others: {others}")
    return kernel


def _entries(folder: Path) -> list[Path]:
    """The metadata of this backend's kernels in a folder of the cache."""
    return [path for path in sorted(folder.glob("*.json")) if not path.name.startswith("__") and path.with_suffix(".xsmt").is_file()]


def _hash(entry: Path) -> str:
    try:
        return str(json.loads(entry.read_text())["hash"])
    except (ValueError, KeyError, TypeError):
        return ""


def _read(entry: Path) -> Kernel:
    try:
        metadata = json.loads(entry.read_text())
        ttir, xsmt, llir = (entry.with_suffix(f".{stage}").read_text() for stage in ("ttir", "xsmt", "llir"))
        return Kernel(metadata["name"], metadata["arch"], metadata, ttir, xsmt, llir, folder=entry.parent)
    except (OSError, ValueError, KeyError) as error:
        raise UnknownKernelError(f"{entry} is damaged: {type(error).__name__}: {error}") from None


# Kernels in a file


def _compile(path: Path, name: str, signature: str | None, constants: Sequence[str], chip: str | None) -> Kernel:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from triton_spacemit.backend.knobs import active_target

    module = load(path)
    function = kernel_of(module, path, name)
    types, values, attributes = arguments_of(function, module, signature, constants)
    source = ASTSource(fn=function, constexprs=values, signature=types, attrs=attributes)
    target = GPUTarget("cpu", chip or active_target()[1], 32)
    compiled = triton.compile(source, target=target)
    folder = Path(next(path for name, path in compiled.metadata_group.items() if name.endswith(".json"))).parent
    kernel = _read(folder / f"{compiled.metadata.name}.json")
    kernel.constants, kernel.stage_ms = values, _frontend_ms(source, target)
    return kernel


def _frontend_ms(source: Any, target: Any) -> dict[str, float]:
    """The time of the stages before TTIR is there, in a process that has been through them."""
    from triton._C.libtriton import ir
    from triton.compiler import make_backend

    from triton_spacemit.backend.frontend.ttir import optimize

    backend = make_backend(target)
    options = backend.parse_options({})
    context = ir.context()
    ir.load_dialects(context)
    implementation, modules = backend.get_codegen_implementation(options), backend.get_module_map()
    start = time.perf_counter()
    module = source.make_ir(target, options, implementation, modules, context)
    made = time.perf_counter()
    optimize(module)
    return {"frontend": (made - start) * 1e3, "ttir": (time.perf_counter() - made) * 1e3}
