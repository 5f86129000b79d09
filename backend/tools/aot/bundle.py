"""A bundle: a folder with header, libraries for each chip, a Python module, files for CMake and pkg-config, and a manifest with hashes."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from triton_spacemit.backend.native import SOURCES
from triton_spacemit.backend.tools.aot import c_source, ctypes_source
from triton_spacemit.backend.tools.aot.libraries import RUNTIME, build_bundle, build_runtime
from triton_spacemit.backend.tools.aot.names import RESERVED
from triton_spacemit.backend.tools.aot.variants import Function, Variant, compile_variants, only_read
from triton_spacemit.dialect.chips import get_chip


def write(folder: Path, functions: Sequence[Function], chips: Sequence[str], done: Callable[[str], None]) -> None:
    """Write the bundle into `folder`, which is replaced only when the new one is whole; it is called what the folder is called.

    done: called with what has been done, once for every function and chip and once for every chip.
    Raises Triton's CompilationError, DeviceError, and FileExistsError where the folder holds something that is no bundle.
    """
    folder = folder.resolve()
    name = folder.name.replace("-", "_")
    if not name.isidentifier() or not name.isascii() or name in RESERVED or name == RUNTIME:
        raise ValueError(f"{folder.name!r} is no name for a library")
    if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise FileExistsError(f"{folder} holds something else than a bundle")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new = Path(temporary) / "bundle"
        _write(new, name, functions, chips, done)
        if folder.exists():
            folder.rename(Path(temporary) / "old")
        new.rename(folder)


def _write(folder: Path, name: str, functions: Sequence[Function], chips: Sequence[str], done: Callable[[str], None]) -> None:
    include = folder / "include"
    include.mkdir(parents=True)
    shutil.copy(SOURCES / f"{RUNTIME}.h", include)
    variants: dict[str, dict[str, list[Variant]]] = {chip: {} for chip in chips}
    for chip_name, compiled in variants.items():
        for function in functions:
            compiled[function.name] = compile_variants(function, chip_name)
            done(f"{function.name} for {chip_name}")
    for function in functions:
        function.only_read = only_read(function, [variant for compiled in variants.values() for variant in compiled[function.name]])
    (include / f"{name}.h").write_text(c_source.header(name, functions))
    (folder / f"{name}.py").write_text(ctypes_source.module(name, functions, chips))
    for chip_name, compiled in variants.items():
        chip = get_chip(chip_name)
        libraries = folder / "lib" / chip_name
        build_runtime(libraries, chip)
        source = c_source.source(name, {f.name: (f, compiled[f.name]) for f in functions}, chip)
        build_bundle(libraries, name, chip, source, include, [v.artifact.binary for each in compiled.values() for v in each])
        done(f"libraries for {chip_name}")
        _write_pkg_config(folder, name, chip_name)
    _write_cmake(folder, name, chips)
    (folder / "LICENSE").write_text(_license())
    (folder / "manifest.json").write_text(json.dumps(_manifest(folder, name, functions, variants), indent=2) + "\n")


def _license() -> str:
    """The text of this project's licence, which the runtime in the bundle is under."""
    from importlib.metadata import files as installed

    for path in installed("triton-spacemit") or ():
        if path.name == "LICENSE":
            return path.read_text()
    return files("triton_spacemit.backend").joinpath("../LICENSE").read_text()


def _json(value: Any) -> int | float | str:
    return value if isinstance(value, int | float | str) else str(value)


def _manifest(folder: Path, name: str, functions: Sequence[Function], variants: dict[str, dict[str, list[Variant]]]) -> dict[str, Any]:
    def described(variant: Variant) -> dict[str, Any]:
        artifact = variant.artifact
        return {
            "symbol": variant.symbol,
            "conditions": [asdict(condition) for condition in variant.conditions],
            "slots": dict(zip(variant.arguments, artifact.slots, strict=True)),
            "scratch_bytes": artifact.scratch_bytes,
            "concurrent": artifact.concurrent,
            "abi": artifact.abi,
            "sha256": hashlib.sha256(artifact.binary).hexdigest(),
        }

    return {
        "name": name,
        "versions": {package: version(package) for package in ("triton-spacemit", "triton", "torch-mlir", "llvmlite", "ziglang")},
        "functions": {
            function.name: {
                "kernel": function.jit.__name__,
                "parameters": function.parameters,
                "only_read": sorted(function.only_read),
                "constants": {key: _json(value) for key, value in function.constants.items()},
                "options": function.options,
                "grid": function.grid.text,
                "variants": {chip: [described(variant) for variant in found[function.name]] for chip, found in variants.items()},
            }
            for function in functions
        },
        "files": {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }


def _write_pkg_config(folder: Path, name: str, chip: str) -> None:
    path = folder / "lib" / "pkgconfig" / f"{name}-{chip}.pc"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"""prefix=${{pcfiledir}}/../..
libdir=${{prefix}}/lib/{chip}

Name: {name}
Description: Kernels compiled ahead of time for {chip}
Version: {version("triton-spacemit")}
Cflags: -I${{prefix}}/include
Libs: -L${{libdir}} -l{name} -l{RUNTIME}
Libs.private: -lm -lpthread
""")


def _write_cmake(folder: Path, name: str, chips: Sequence[str]) -> None:
    path = folder / "lib" / "cmake" / name / f"{name}Config.cmake"
    path.parent.mkdir(parents=True)
    riscv = [chip for chip in chips if get_chip(chip).is_riscv]
    others = [chip for chip in chips if chip not in riscv]
    path.write_text(f"""# {name}::{name} (shared) and {name}::static, for {name}_CHIP: {", ".join(chips)}.
get_filename_component({name}_PREFIX "${{CMAKE_CURRENT_LIST_DIR}}/../../.." ABSOLUTE)
if(NOT DEFINED {name}_CHIP)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "riscv")
    set({name}_CHIP "{(riscv or others)[0]}")
  else()
    set({name}_CHIP "{(others or riscv)[0]}")
  endif()
endif()
set({name}_LIBRARIES "${{{name}_PREFIX}}/lib/${{{name}_CHIP}}")
if(NOT EXISTS "${{{name}_LIBRARIES}}/lib{name}.so")
  set({name}_FOUND FALSE)
  set({name}_NOT_FOUND_MESSAGE "{name}_CHIP is '${{{name}_CHIP}}'; this bundle is for {", ".join(chips)}")
  return()
endif()
find_package(Threads REQUIRED)
if(NOT TARGET {RUNTIME}::shared)
  add_library({RUNTIME}::shared SHARED IMPORTED)
  set_target_properties({RUNTIME}::shared PROPERTIES IMPORTED_LOCATION "${{{name}_LIBRARIES}}/lib{RUNTIME}.so")
  add_library({RUNTIME}::static STATIC IMPORTED)
  set_target_properties({RUNTIME}::static PROPERTIES IMPORTED_LOCATION "${{{name}_LIBRARIES}}/lib{RUNTIME}.a"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;m")
endif()
if(NOT TARGET {name}::{name})
  add_library({name}::{name} SHARED IMPORTED)
  set_target_properties({name}::{name} PROPERTIES IMPORTED_LOCATION "${{{name}_LIBRARIES}}/lib{name}.so"
    INTERFACE_INCLUDE_DIRECTORIES "${{{name}_PREFIX}}/include" INTERFACE_LINK_LIBRARIES "{RUNTIME}::shared")
  add_library({name}::static STATIC IMPORTED)
  set_target_properties({name}::static PROPERTIES IMPORTED_LOCATION "${{{name}_LIBRARIES}}/lib{name}.a"
    INTERFACE_INCLUDE_DIRECTORIES "${{{name}_PREFIX}}/include" INTERFACE_LINK_LIBRARIES "{RUNTIME}::static")
endif()
""")
