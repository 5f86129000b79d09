"""What is asked for, and its kernels compiled: functions of a bundle, each with variants for arguments that allow faster code.

A variant holds where all its conditions do: an argument is divisible by 16, or is 1. The last variant of every function has none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triton_spacemit.backend.tools.aot.grid import Grid, parse
from triton_spacemit.backend.tools.aot.names import RESERVED
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError, arguments_of, kernel_of, load, tuned_names
from triton_spacemit.dialect.artifact import Artifact

INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
FLOATS = ("fp16", "bf16", "fp32", "f32", "fp64")
#: Compile options that change what a kernel computes or which instructions it may use; they are on by default.
CODE_OPTIONS = ("allow_ime", "enable_fp_fusion")


@dataclass(frozen=True)
class Request:
    """One kernel as the user asks for it.

    place: FILE.py:KERNEL. signature: Triton's ahead-of-time convention, `*fp32:16, i32, 1024`; constants: NAME=VALUE. grid: one to three
    expressions. name: of the C function (default: the kernel's). options: those of `CODE_OPTIONS` that are given.
    """

    place: str
    signature: str
    grid: str
    constants: tuple[str, ...] = ()
    name: str | None = None
    options: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Condition:
    """What an argument has to be: divisible by 16 (for a pointer its address), or 1."""

    argument: str
    is_one: bool


@dataclass(frozen=True)
class Variant:
    """A compiled kernel.

    arguments: the names of those that have a slot. symbol: of its code. entry: where in its code that is. text_bytes: of its code.
    """

    conditions: tuple[Condition, ...]
    arguments: tuple[str, ...]
    symbol: str
    artifact: Artifact
    entry: int = 0
    text_bytes: int = 0


@dataclass
class Function:
    """A C function.

    parameters: name to Triton's type of each runtime argument. specialisations: conditions and constants of each variant. only_read: the
    pointers that no variant on any chip stores through, once they are compiled.
    """

    name: str
    jit: Any
    place: str
    parameters: dict[str, str]
    constants: dict[str, Any]
    grid: Grid
    options: dict[str, bool] = field(default_factory=dict)
    specialisations: list[tuple[tuple[Condition, ...], dict[str, Any]]] = field(default_factory=list)
    only_read: frozenset[str] = frozenset()


def functions_of(requests: Iterable[Request]) -> list[Function]:
    """The functions of a bundle; requests with the same name are variants of one. Raises UnknownKernelError."""
    modules: dict[Path, Any] = {}
    found: dict[str, Function] = {}
    for request in requests:
        file, separator, kernel = request.place.rpartition(":")
        if not separator or not file.endswith(".py"):
            raise UnknownKernelError(f"{request.place}: name a kernel as FILE.py:KERNEL")
        path = Path(file)
        module = modules[path] if path in modules else modules.setdefault(path, load(path))
        jit = kernel_of(module, path, kernel)
        # Hints become conditions, so the argument itself stays one of the function's.
        plain = ",".join(part.partition(":")[0] for part in request.signature.split(","))
        try:
            types, constants, _ = arguments_of(jit, module, plain, request.constants)
        except UnknownKernelError as error:
            tuned = tuned_names(module, kernel)
            advice = (
                f". triton.autotune chooses {', '.join(tuned)}: record a run (--record), or give a choice by --constexpr" if tuned else ""
            )
            raise UnknownKernelError(f"{error}{advice}") from None
        hinted, ones, hints = arguments_of(jit, module, request.signature, request.constants)
        parameters = {name: kind for name, kind in types.items() if kind != "constexpr"}
        conditions = [Condition(name, is_one=True) for name in parameters if hinted[name] == "constexpr"]
        conditions += [Condition(jit.arg_names[number], is_one=False) for (number,) in hints]
        for condition in conditions:
            _check(request, condition, parameters[condition.argument])
        name = request.name or kernel
        if not name.isidentifier() or not name.isascii() or name in RESERVED or name.startswith("ts_"):
            raise UnknownKernelError(f"{name!r} is no name for a C function")
        grid = parse(request.grid, frozenset(key for key, kind in parameters.items() if kind in INTEGERS), constants)
        options = dict(request.options)
        function = found.setdefault(name, Function(name, jit, request.place, parameters, constants, grid, options))
        same = (jit, parameters, constants, grid, options)
        if (function.jit, function.parameters, function.constants, function.grid, function.options) != same:
            raise UnknownKernelError(
                f"two requests for the function {name!r} differ in more than hints (:16, :1): give one of them another name"
            )
        specialisation = (tuple(conditions), ones)
        if specialisation not in function.specialisations:
            function.specialisations.append(specialisation)
    for name in found:
        for derived in (f"{name}_count", f"{name}_programs"):
            if derived in found:
                raise UnknownKernelError(f"{derived!r} is also what belongs to the function {name!r}: give one of them another name")
    for function in found.values():
        if all(conditions for conditions, _ in function.specialisations):
            function.specialisations.append(((), function.constants))
        function.specialisations.sort(key=lambda specialisation: -len(specialisation[0]))
    return list(found.values())


def _check(request: Request, condition: Condition, kind: str) -> None:
    if condition.is_one and kind not in INTEGERS:
        raise UnknownKernelError(f"{request.place}: :1 is for an integer, {condition.argument} is {kind}")
    if not condition.is_one and kind not in INTEGERS and not kind.startswith("*"):
        raise UnknownKernelError(f"{request.place}: :16 is for a pointer or an integer, {condition.argument} is {kind}")


def compile_variants(function: Function, chip: str) -> list[Variant]:
    """The function's variants for `chip`, in the order in which they are tried. Raises Triton's CompilationError."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from triton_spacemit.backend.elf import ElfObject
    from triton_spacemit.dialect.chips import get_chip
    from triton_spacemit.passes import codegen

    variants = []
    for number, (conditions, constants) in enumerate(function.specialisations):
        types = {name: function.parameters.get(name, "constexpr") for name in function.jit.arg_names}
        types |= {name: "constexpr" for name in constants}
        hints = {(function.jit.arg_names.index(c.argument),): [["tt.divisibility", 16]] for c in conditions if not c.is_one}
        source = ASTSource(fn=function.jit, signature=types, constexprs=constants, attrs=hints)
        options = {**function.options, "sanitize": False}  # a program of C knows addresses, not storages
        compiled = triton.compile(source, target=GPUTarget("cpu", chip, 32), options=options)
        symbol = f"{function.name}__{number}"
        binary = codegen.compile_object(compiled.asm["llir"], get_chip(chip), symbol)
        slots = tuple(name for name in function.jit.arg_names if types[name] != "constexpr")
        compiled_object = ElfObject(binary, symbol)
        entry = next(found for found in compiled_object.symbols() if found.name == symbol)
        text_bytes = compiled_object.sections[entry.section].size
        variants.append(Variant(conditions, slots, symbol, compiled_object.artifact(), entry.value, text_bytes))
    return variants


def only_read(function: Function, variants: Iterable[Variant]) -> frozenset[str]:
    """The pointers among the function's parameters that none of the variants may store through."""
    stored = {name for variant in variants for slot, name in enumerate(variant.arguments) if variant.artifact.stores_through(slot)}
    return frozenset(name for name, kind in function.parameters.items() if kind.startswith("*") and name not in stored)
