"""Pretty-printed TTIR into the generic form that torch-mlir parses, by libtriton's own parser but without importing triton."""

import contextlib
import ctypes
import functools
import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

_PRETTY = re.compile(r"^\s*tt\.func\b", re.MULTILINE)
_DIAGNOSTIC = re.compile(r'loc\(".*?":(\d+):(\d+)\): (?:error: )?(.*)')
_FUNCTION_OPS = re.compile(r'"tt\.(func|return|call)"\(')
_NAME = "triton._C.libtriton"
_print_lock = threading.Lock()


class TTIRError(Exception):
    """Text that libtriton refuses: what it says, and the line and column where."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


def is_pretty(text: str) -> bool:
    """Whether `text` is TTIR in Triton's own syntax, which only libtriton parses."""
    return _PRETTY.search(text) is not None


def as_functions(text: str) -> str:
    """Generic text with `func`'s ops instead of `tt.func`, `tt.return` and `tt.call`, which have the same form."""
    return _FUNCTION_OPS.sub(r'"func.\1"(', text)


def generic(text: str, name: str) -> str:
    """The generic form of pretty TTIR, its locations in the file `name` where it gives none itself. Raises TTIRError."""
    library = _load()
    context = library.ir.context()
    library.ir.load_dialects(context)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "input.mlir")
        Path(path).write_text(text)
        with _captured_stderr() as said:
            try:
                module = library.ir.parse_mlir_module(path, context)
            except RuntimeError:
                module = None
        if module is None:
            match = _DIAGNOSTIC.search(said[0])
            if match is None:
                raise TTIRError(said[0].strip() or "not valid TTIR", 1, 1)
            raise TTIRError(match[3], int(match[1]), int(match[2]))
        return as_functions(print_generic(module, library.__file__).replace(path, name))


def print_generic(module: Any, library: str) -> str:
    """The generic form, with locations, of a module of the libtriton in the file `library`.

    libtriton has no such printing option in Python, but exports LLVM's option parser. Options are process-wide, hence the lock; they are
    reset afterwards because a second occurrence of one ends the process.
    """
    functions = _functions(library)
    arguments = (ctypes.c_char_p * 2)(b"triton", b"--mlir-print-op-generic")
    with _print_lock:
        functions.LLVMParseCommandLineOptions(len(arguments), arguments, b"")
        try:
            return module.str()
        finally:
            functions._ZN4llvm2cl25ResetAllOptionOccurrencesEv()  # llvm::cl::ResetAllOptionOccurrences()


@functools.cache
def _functions(library: str) -> ctypes.CDLL:
    functions = ctypes.CDLL(library)
    functions._ZN4mlir27registerAsmPrinterCLOptionsEv()  # mlir::registerAsmPrinterCLOptions()
    return functions


def _load() -> ModuleType:
    """libtriton's extension module. Importing its package would import all of Triton, and discover the installed backends."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = importlib.util.find_spec("triton")
    files = [file for folder in package.submodule_search_locations for file in Path(folder).glob("_C/libtriton*.so")] if package else []
    if not files:
        raise TTIRError("reading TTIR in Triton's syntax needs the triton package", 1, 1)
    spec = importlib.util.spec_from_file_location(_NAME, files[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_NAME] = module
    return module


@contextlib.contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Collect what native code writes to standard error; the text is in the list afterwards."""
    said: list[str] = []
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield said
            finally:
                os.dup2(saved, 2)
                file.seek(0)
                said.append(file.read().decode(errors="replace"))
    finally:
        os.close(saved)
