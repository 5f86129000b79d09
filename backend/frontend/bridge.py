"""Bring a module from libtriton into torch-mlir: generic text across, then one function with structured control flow.

`tt.func`, `tt.return` and `tt.call` become `func`'s ops; branches between blocks (early returns) become `scf`; the calls that
Triton's inliner leaves (`noinline` functions, functions with early returns called inside a loop) are inlined here, because
upstream's inliner refuses bodies with unregistered ops. Locations are kept.
"""

import ctypes
import functools
import threading
from typing import Any

import triton._C.libtriton as libtriton
from torch_mlir import ir

from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes.registry import run_upstream

_print_lock = threading.Lock()


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(libtriton.__file__)
    library._ZN4mlir27registerAsmPrinterCLOptionsEv()  # mlir::registerAsmPrinterCLOptions()
    return library


def generic_text(module: Any) -> str:
    """The generic form, with locations, of a module of libtriton.

    libtriton has no such printing option in Python, but exports LLVM's option parser. Options are process-wide, hence the lock; they are
    reset afterwards because a second occurrence of one ends the process.
    """
    arguments = (ctypes.c_char_p * 2)(b"triton", b"--mlir-print-op-generic")
    with _print_lock:
        library = _library()
        library.LLVMParseCommandLineOptions(len(arguments), arguments, b"")
        try:
            return module.str()
        finally:
            library._ZN4llvm2cl25ResetAllOptionOccurrencesEv()  # llvm::cl::ResetAllOptionOccurrences()


def to_torch_mlir(module: Any) -> ir.Module:
    """The same program as `module` of libtriton, in a fresh context, as one function without calls or branches between blocks.

    Raises LoweringError for recursive functions.
    """
    text = generic_text(module)
    for name in ("func", "return", "call"):
        # An op's name is followed by its operands; the same text inside a string attribute never is.
        text = text.replace(f'"tt.{name}"(', f'"func.{name}"(')
    result = ir.Module.parse(text, make_context())
    if '"cf.' in text:
        run_upstream(result, "lift-cf-to-scf")
    if '"func.call"(' in text:
        inline_calls(result)
    return result


def inline_calls(module: ir.Module) -> None:
    """Replace every call of a function that has a body by that body, and drop the private functions. Raises LoweringError on recursion."""
    functions = {op.attributes["sym_name"].value: op.operation for op in module.body.operations if op.operation.name == "func.func"}
    done: set[str] = set()

    def visit(name: str, active: tuple[str, ...]) -> None:
        if name in active:
            raise LoweringError(f"recursive function {name!r} is not supported", functions[name].location)
        if name in done:
            return
        for call in _calls(functions[name]):
            callee = call.attributes["callee"].value
            if functions[callee].regions[0].blocks:
                visit(callee, (*active, name))
                _inline(call, functions[callee])
        done.add(name)

    for name in functions:
        visit(name, ())
    for function in functions.values():
        if function.attributes["sym_visibility"].value == "private" and function.regions[0].blocks:
            function.erase()


def _calls(function: ir.Operation) -> list[ir.Operation]:
    found = []

    def collect(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call":
            found.append(op)
        return ir.WalkResult.ADVANCE

    function.walk(collect)
    return found


def _inline(call: ir.Operation, callee: ir.Operation) -> None:
    with ir.InsertionPoint(call):
        copy = callee.operation.clone()
    block = copy.regions[0].blocks[0]
    for parameter, value in zip(block.arguments, call.operands, strict=True):
        parameter.replace_all_uses_with(value)
    *body, terminator = list(block.operations)
    for op in body:
        op.operation.move_before(call)
    for result, value in zip(call.results, terminator.operation.operands, strict=True):
        result.replace_all_uses_with(value)
    call.erase()
    copy.erase()
