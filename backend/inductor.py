"""Kernels in packages of AOTInductor's: the libraries that PyTorch takes, and what it would run wrongly, which is refused.

PyTorch 2.13 asks a compiled kernel for two shared libraries, `asm["so"]` and `asm["launcher.so"]`, puts them into the package and calls the
launcher with a grid, the arguments and what it finds under the kernel's name in the first. The launcher is the same for all kernels: the
runtime, with threads that they share. What stands under the name says how the arguments become slots (`runtime/package.h`).

The C++ that PyTorch writes for it (`torch/_inductor/codegen/cpp_wrapper_cpu.py`) is right for kernels that users wrote, with a grid that
does not depend on what autotune chooses. Other grids it takes from the wrong arguments or for one program, and it passes floats as `float`.
"""

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triton_spacemit.backend.compiler import parse
from triton_spacemit.backend.elf import ElfObject
from triton_spacemit.backend.errors import PackageError
from triton_spacemit.backend.frontend.diagnostics import compilation_errors
from triton_spacemit.backend.loader import host_machine
from triton_spacemit.backend.native import SOURCES, host_target, package_launcher, zig
from triton_spacemit.backend.processors import fits
from triton_spacemit.dialect.artifact import Artifact
from triton_spacemit.dialect.chips import get_chip

_BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "u1": 1, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "fp32": 4, "f32": 4}


def save_cpu_kernel(original: Callable[..., None]) -> Callable[..., None]:
    """What stands for `CachingAutotuner.save_cpu_kernel`, which takes a kernel's libraries for a package: first they are made."""

    @functools.wraps(original)
    def save_cpu_kernel(self: Any, launcher: Any) -> None:
        kernel = launcher.bin
        if "o" in kernel.asm and getattr(kernel.metadata, "backend_name", None) == "cpu":
            name = kernel.metadata.name
            _check_use(name, self)
            if "so" not in kernel.asm:
                kernel.asm["so"] = kernel_library(kernel)
                kernel.asm["launcher.so"] = package_launcher().read_bytes()
        original(self, launcher)

    return save_cpu_kernel


def _refuse(name: str, why: str) -> PackageError:
    return PackageError(f"kernel {name!r} cannot be part of an AOTInductor package: {why}")


def _check_use(name: str, autotuner: Any) -> None:
    """Raise PackageError where PyTorch would launch the kernel on another grid than it does in this process."""
    if not autotuner.custom_kernel:
        raise _refuse(
            name,
            "PyTorch generated it, and launches such kernels in packages on a grid of one program. Kernels of your own work; for what is "
            "between them, leave torch._inductor.config.cpu_backend at 'cpp'",
        )
    meta = autotuner.inductor_meta
    if meta.get("grid_type") != "FixedGrid" or len(meta.get("extra_launcher_args", ())) != 3:
        raise _refuse(
            name,
            "its grid depends on what autotune chooses, which PyTorch does not pass on to packages. Give it one configuration, "
            "or a grid that is the same for all",
        )


def kernel_library(kernel: Any) -> bytes:
    """The shared library of a compiled kernel, for this machine. Raises PackageError where a package cannot have it."""
    name = kernel.metadata.name
    artifact = ElfObject(kernel.asm["o"], name).artifact()
    machine = ElfObject(kernel.asm["o"], name).machine
    if machine != host_machine():
        raise _refuse(name, f"it was compiled for the chip {artifact.chip}, and packages run on this machine; use the device host")
    module = parse(kernel.asm["xsmt"])
    slots = _slots(name, kernel.src.signature, _divisors(module))
    code = _code(kernel, module)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        (work / "kernel.o").write_bytes(code)
        (work / "package.c").write_text(_source(name, artifact, slots))
        flags = ("-target", host_target("a package"), "-std=gnu11", "-O2", "-fPIC", "-shared", "-s", f"-I{SOURCES}")
        zig("cc", *flags, "kernel.o", "package.c", str(SOURCES / "bfloat16.c"), "-lm", "-o", "kernel.so", work=work)
        return (work / "kernel.so").read_bytes()


_SYMBOL = "ts_package_code"


def _code(kernel: Any, module: Any) -> bytes:
    """The kernel's object, which defines `_SYMBOL`. One that checks its accesses against storages is made anew: a package knows none."""
    from triton_spacemit.dialect.module import takes_sanitize
    from triton_spacemit.passes import codegen, pipeline

    text = kernel.asm["llir"]
    if takes_sanitize(module):
        with compilation_errors(kernel.metadata.name):
            pipeline.run(module, after="structure")
            text = codegen.llvm_ir(module)
    return codegen.compile_object(text, symbol=_SYMBOL)


def _divisors(module: Any) -> list[int]:
    """Of each of the kernel's slots, what it is a multiple of, as far as that was made use of; else 0."""
    from triton_spacemit.dialect.module import kernel_of

    function = kernel_of(module)
    types = function.attributes["function_type"].value.inputs
    attributes = function.attributes["arg_attrs"] if "arg_attrs" in function.attributes else [{}] * len(types)
    return [own["tt.divisibility"].value if "tt.divisibility" in own else 0 for own in attributes]


def _slots(name: str, signature: Mapping[str, Any], divisors: list[int]) -> list[tuple[int, int, int]]:
    """Of each slot: the number of its argument in what the launcher is given, the bytes of a number (0: a pointer), and the divisor."""
    runtime = [number for number, kind in enumerate(signature.values()) if kind != "constexpr"]
    if len(runtime) != len(divisors):
        raise _refuse(name, f"its signature has {len(runtime)} arguments, and its code {len(divisors)}")
    slots: list[tuple[int, int, int]] = []
    for number, (argument, kind) in enumerate(signature.items()):
        if kind == "constexpr":
            continue
        divisor = divisors[len(slots)]
        if isinstance(kind, str) and kind.startswith("*"):
            slots.append((number, 0, divisor))
        elif kind in _BYTES:
            slots.append((number, _BYTES[kind], divisor))
        elif kind in ("fp64", "fp16", "bf16"):
            raise _refuse(
                name,
                f"its argument {argument!r} is a number of type {kind}, which PyTorch passes as a float of 32 bits. Floats are of type "
                "fp32, as in Triton itself, with torch._inductor.config._use_fp64_for_unbacked_floats = False; a tensor works too",
            )
        else:
            raise _refuse(name, f"its argument {argument!r} has the type {kind}; pointers, integers, booleans and float32 are supported")
    return slots


def _source(name: str, artifact: Artifact, slots: list[tuple[int, int, int]]) -> str:
    """The C that defines what the launcher finds under the kernel's name."""
    rows = ", ".join(f"{{{number}, {size}, {divisor}}}" for number, size, divisor in slots)
    quoted = json.dumps(name)
    return f"""#include "package.h"
{fits("ts_package", get_chip(artifact.chip))}
extern void {_SYMBOL}(const uint64_t *slots, void *context);
static const PackageSlot slots[] = {{{rows or "{0, 0, 0}"}}};
extern const PackageKernel ts_package_kernel __asm__({quoted});
const PackageKernel ts_package_kernel = {{
  PACKAGE_VERSION, {len(slots)}, {quoted}, {_SYMBOL}, ts_package_fits, {artifact.scratch_bytes}, slots,
}};
"""
