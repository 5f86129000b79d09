"""Kernels of a Python file that the command line names, with Triton's ahead-of-time convention for their signatures."""

import argparse
import ast
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


class UnknownKernelError(Exception):
    """What the command line names does not exist, or does not fit together; the message says what does."""


def add_signature(parser: argparse.ArgumentParser) -> None:
    """The options that say what `arguments_of` is asked for."""
    parser.add_argument("--signature", metavar="TYPES", help="types of the parameters, such as '*fp32:16, i32, 1024'")
    parser.add_argument("--constexpr", metavar="NAME=VALUE", action="append", default=[], help="a constant; may be given again")


def load(path: Path) -> ModuleType:
    """The module in the file `path`, imported. Raises UnknownKernelError where it cannot be."""
    if not path.is_file():
        raise UnknownKernelError(f"{path}: no such file")
    path = path.resolve()
    sys.path[:0] = [folder for folder in (str(path.parent), str(Path.cwd())) if folder not in sys.path]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UnknownKernelError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def kernel_of(module: ModuleType, path: Path, name: str) -> Any:
    """The `@triton.jit` function `name` of a module, without its autotuner and heuristics. Raises UnknownKernelError."""
    from triton.runtime.jit import JITFunction

    def unwrap(value: Any) -> Any:
        while value is not None and not isinstance(value, JITFunction):
            value = getattr(value, "fn", None)  # an autotuner's, a heuristic's
        return value

    kernels = [key for key, value in vars(module).items() if unwrap(value) is not None and not key.startswith("_")]
    function = unwrap(getattr(module, name, None))
    if function is None:
        raise UnknownKernelError(f"{path} has no @triton.jit function {name!r}; it has {', '.join(kernels) or 'none'}")
    return function


def tuned_names(module: ModuleType, name: str) -> list[str]:
    """The constants of the function `name` of a module that `triton.autotune` chooses."""
    found: dict[str, None] = {}
    value = getattr(module, name, None)
    while value is not None:
        for config in getattr(value, "configs", ()):
            found |= dict.fromkeys(config.kwargs)
        value = getattr(value, "fn", None)
    return list(found)


def arguments_of(
    function: Any, module: ModuleType, signature: str | None, constants: Sequence[str]
) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int], list[list[Any]]]]:
    """Types, constants and hints by parameter, from Triton's ahead-of-time convention: `*fp32:16, i32, 1024`. Raises UnknownKernelError."""
    names = list(function.arg_names)
    values: dict[str, Any] = {}
    for assignment in constants:
        name, separator, text = assignment.partition("=")
        if not separator or name.strip() not in names:
            raise UnknownKernelError(f"--constexpr {assignment}: give NAME=VALUE with one of {', '.join(names)}")
        values[name.strip()] = _value(text, module)
    parts = [part.strip() for part in signature.split(",")] if signature and signature.strip() else []
    left = [name for name in names if name not in values]
    if len(parts) < len(left):  # defaults of constexpr parameters
        for parameter in function.params:
            if parameter.is_constexpr and parameter.has_default and parameter.name in left:
                values[parameter.name] = parameter.default
        left = [name for name in names if name not in values]
    if len(parts) == len(names):
        left = names
    if len(parts) != len(left):
        raise UnknownKernelError(
            f"the signature has {len(parts)} part(s), but {function.__name__} needs {len(left)}: {', '.join(left)}. "
            "Give a type such as *fp32:16, i32 or a constant for each, for example --signature '*fp32:16, i32, 1024'"
        )
    types, attributes = {}, {}
    for name, part in zip(left, parts, strict=True):
        type_, _, hint = (piece.strip() for piece in part.partition(":"))
        number = names.index(name)
        if hint and hint not in ("1", "16"):
            raise UnknownKernelError(f"{part!r} for {name}: a hint is 16 (divisible by it) or 1 (equal to it)")
        if name in values:
            continue
        if not _is_type(type_):
            values[name] = _value(type_, module)
        elif hint == "1":
            values[name] = 1
        else:
            types[name] = type_
            if hint == "16":
                attributes[(number,)] = [["tt.divisibility", 16]]
    missing = [parameter.name for parameter in function.params if parameter.is_constexpr and parameter.name in types]
    if missing:
        raise UnknownKernelError(f"{', '.join(missing)} is a constexpr: give a value, not a type")
    return {name: types.get(name, "constexpr") for name in names}, values, attributes


_SCALARS = ("i1", "i8", "i16", "i32", "i64", "u1", "u8", "u16", "u32", "u64", "fp16", "bf16", "fp32", "f32", "fp64")
_FLOAT8 = ("fp8e4nv", "fp8e5", "fp8e4b15", "fp8e4b8", "fp8e5b16")


def _is_type(text: str) -> bool:
    pointee = text.lstrip("*")
    return pointee in _SCALARS or (text.startswith("*") and pointee in _FLOAT8)


def _value(text: str, module: ModuleType) -> Any:
    """A literal, or what the kernel's own module calls by this name, such as `tl.float32`."""
    text = text.strip()
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value: Any = module
        for name in text.split("."):
            value = getattr(value, name, None) if value is not None else None
        if value is None:
            known = ", ".join(("*TYPE", *_SCALARS))
            file = Path(str(module.__file__)).name
            raise UnknownKernelError(f"{text!r} is no type ({known}), no literal and no name in {file}") from None
        return value
