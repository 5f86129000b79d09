"""What triton-spacemit-opt does with one module of its input: parse, run passes, verify after each, print."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect import tt_verifier
from triton_spacemit.dialect.chips import Chip
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError, from_mlir
from triton_spacemit.dialect.module import chip_of, set_chip
from triton_spacemit.passes import remarks, ttir_text
from triton_spacemit.passes.diagnostics import Diagnostic, Failed, diagnostic_at


def process(text: str, file: str, options: argparse.Namespace, diagnostics: list[Diagnostic], begin: Callable[[str], None]) -> str:
    """Parse, run what `options` ask for, and print. Raises Failed; other diagnostics are added to the list. `begin` is told each step."""

    def collect(diagnostic: ir.Diagnostic) -> bool:
        diagnostics.append(diagnostic_at(diagnostic.severity.name.lower(), diagnostic.message, diagnostic.location, file))
        return True

    def remark(location: ir.Location, message: str) -> None:
        diagnostics.append(diagnostic_at("remark", message, location, file))

    begin("the parser")
    context = make_context()
    with context, ir.Location.unknown():
        if ttir_text.is_pretty(text):
            text = _guard(lambda: ttir_text.generic(text, file), file)
        elif not text.strip():
            raise Failed([Diagnostic("error", "the input is empty", file, 1, 1)])
        handler = context.attach_diagnostic_handler(collect)

        def run() -> str:
            module = ir.Module.parse(ttir_text.as_functions(text))
            begin("the verifier of Triton's ops")
            tt_verifier.verify(module)
            if options.verify_roundtrip:
                _check_roundtrip(module)
            if options.chip is not None:
                set_chip(module, options.chip)
            with remarks.heard(remark) if options.remarks else contextlib.nullcontext():
                _run_steps(module, options, begin)
            begin("the printer")
            module.operation.verify()
            if options.to in ("llir", "asm"):
                begin("the code generator")
                return _generated(module, options.to, options.chip)
            return module.operation.get_asm(
                enable_debug_info=options.mlir_print_debuginfo, print_generic_op_form=options.mlir_print_op_generic
            )

        try:
            return _guard(run, file)
        finally:
            handler.detach()


def _run_steps(module: ir.Module, options: argparse.Namespace, begin: Callable[[str], None]) -> None:
    """Run what is asked for, with dumps and times. Raises what the steps raise."""

    def show(when: str, name: str, text: str) -> None:
        print(f"// -----// IR Dump {when} {name} //----- //\n{text}", file=sys.stderr)

    times: list[tuple[str, float]] = []
    text = str(module) if options.after_change else ""
    for step in options.steps:
        if step.is_pass and (options.before_all or step.name in options.before):
            show("Before", step.name, str(module))
        begin(f"the pass {step.name!r}")
        start = time.perf_counter()
        step.run(module)
        times.append((step.name, time.perf_counter() - start))
        if not step.is_pass:
            continue
        if options.after_change:
            before, text = text, str(module)
        if options.after_all or step.name in options.after or (options.after_change and text != before):
            show("After", step.name, str(module))
        begin(f"the verifier after the pass {step.name!r}")
        _verify(module, step.name)
    if options.mlir_timing:
        total = sum(seconds for _, seconds in times) or 1.0
        for name, seconds in (*times, ("Total", total)):
            print(f"  {seconds:9.4f} s ({100 * seconds / total:5.1f}%)  {name}", file=sys.stderr)


def _verify(module: ir.Module, name: str) -> None:
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise from_mlir(error, module.operation.location, f"invalid IR after {name}: ") from None


def _check_roundtrip(module: ir.Module) -> None:
    text = str(module)
    if str(ir.Module.parse(text)) != text:
        raise LoweringError("printed and read again, the module is another one", module.operation.location)


def _generated(module: ir.Module, form: str, chip: Chip | None) -> str:
    from triton_spacemit.passes import codegen

    text = codegen.llvm_ir(module)
    return text if form == "llir" else codegen.assembly(text, chip or chip_of(module))


def _guard(action: Callable[[], str], file: str) -> str:
    """The result of `action`, with every way in which it refuses the input turned into Failed."""
    try:
        return action()
    except ttir_text.TTIRError as error:
        raise Failed([Diagnostic("error", str(error), file, error.line, error.column)]) from None
    except LoweringError as error:
        raise Failed([diagnostic_at("error", error.message, error.location, file)]) from None
    except ir.MLIRError as error:
        found = [diagnostic_at("error", d.message, d.location, file) for d in error.error_diagnostics]
        raise Failed(found or [Diagnostic("error", str(error), file, 1, 1)]) from None
    except Exception as error:  # malformed ops of unregistered dialects surface in passes as any kind of error
        raise Failed([Diagnostic("error", f"{type(error).__name__}: {error}", file, 1, 1)]) from error
