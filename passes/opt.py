"""triton-spacemit-opt: run passes on MLIR files, as mlir-opt does for upstream's."""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch_mlir import ir

from triton_spacemit.dialect import tt_verifier
from triton_spacemit.dialect.chips import CHIPS, Chip, get_chip
from triton_spacemit.dialect.context import make_context
from triton_spacemit.dialect.errors import LoweringError, from_mlir
from triton_spacemit.dialect.module import chip_of, set_chip
from triton_spacemit.passes import pipeline, registry, textual, ttir_text

_PLACE = re.compile(r'"([^"]*)":(\d+):(\d+)')
_EXPECTED = re.compile(r"expected-(error|warning|remark|note)\s*(?:@(above|below|[+-]\d+))?\s*\{\{(.*?)\}\}")
_TARGETS = {"xsmt": "structure", "loops": "loops", "llvm": "llvm", "llir": "llvm", "asm": "llvm"}
_EPILOG = """
Any other --NAME or --NAME=OPTIONS is a pass or pipeline, run in the order given; --list-passes names them, and upstream's have their usual
names. The module is verified after each. Input is TTIR in Triton's syntax, or MLIR of any later state.

  triton-spacemit-opt kernel.ttir --until=structure
  triton-spacemit-opt kernel.mlir --structure --canonicalize="max-iterations=3" --mlir-print-ir-after-all
  triton-spacemit-opt kernel.mlir --pass-pipeline='builtin.module(loops,func.func(canonicalize{max-iterations=3},cse))'
  triton-spacemit-opt kernel.ttir --chip x60 --to asm
"""


@dataclass(frozen=True)
class Diagnostic:
    """A message for a place in the input."""

    severity: str
    message: str
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"


class Failed(Exception):
    """The input was refused; `diagnostics` say why."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__()
        self.diagnostics = diagnostics


def main(arguments: list[str] | None = None) -> int:
    """Run the tool; the result is the process's exit code."""
    try:
        code = _run(_options(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.list_passes:
        for name, summary in registry.summaries().items():
            print(f"  --{name:<28} {summary}")
        print()
        for name, summary in textual.pipelines().items():
            print(f"  --{name:<28} {summary}")
        return 0
    if options.help_pass:
        print(registry.documentation(options.help_pass))
        return 0
    try:
        data = sys.stdin.buffer.read() if options.input == "-" else Path(options.input).read_bytes()
        text = data.decode()
    except OSError as error:
        print(f"{options.input}: error: {error.strerror}", file=sys.stderr)
        return 1
    except UnicodeDecodeError:
        print(f"{options.input}: error: not a text file", file=sys.stderr)
        return 1
    file = "-" if options.input == "-" else options.input
    results, failed = [], False
    for chunk in _chunks(text) if options.split_input_file else [text]:
        diagnostics: list[Diagnostic] = []
        try:
            results.append(_process(chunk, file, options, diagnostics))
        except Failed as failure:
            diagnostics += failure.diagnostics
            failed = failed or not options.verify_diagnostics
        if options.verify_diagnostics:
            diagnostics = _unexpected(chunk, file, diagnostics)
            failed = failed or bool(diagnostics)
        for diagnostic in diagnostics:
            print(diagnostic, file=sys.stderr)
    if not options.verify_diagnostics:
        output = "\n// -----\n\n".join(results)
        if options.output == "-":
            sys.stdout.write(output)
        elif not failed:
            try:
                _write(Path(options.output), output)
            except OSError as error:
                print(f"{options.output}: error: {error.strerror}", file=sys.stderr)
                return 1
    return int(failed)


def _write(path: Path, text: str) -> None:
    """Put `text` in the file at once, so that whoever reads it meanwhile, or after a failure, finds what it was before."""
    path = path.resolve()
    if path.exists() and not path.is_file():  # a device or a pipe, which cannot be replaced
        path.write_text(text)
        return
    mode = path.stat().st_mode if path.exists() else None
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "triton-spacemit-opt",
        description=__doc__.partition(": ")[2],
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("input", nargs="?", default="-", help="file to read (default: standard input)")
    parser.add_argument("-o", dest="output", default="-", metavar="FILE", help="file to write (default: standard output)")
    parser.add_argument("--pass-pipeline", metavar="TEXT", help="passes to run, separated by commas, also in builtin.module(...)")
    parser.add_argument(
        "--until", metavar="STAGE", choices=list(pipeline.STAGES), help="run all stages up to " + ", ".join(pipeline.STAGES)
    )
    parser.add_argument("--to", metavar="FORM", choices=list(_TARGETS), help="lower and print as " + ", ".join(_TARGETS))
    parser.add_argument("--chip", default=None, help="target: host, " + ", ".join(CHIPS) + " (default: what the input says, or host)")
    parser.add_argument("--split-input-file", action="store_true", help="treat parts separated by // ----- as modules of their own")
    parser.add_argument("--verify-diagnostics", action="store_true", help="check that just the expected-error {{...}} comments come true")
    dumps = "print the module {} each pass, to standard error"
    for when in ("before", "after"):
        names = (f"--mlir-print-ir-{when}-all", "--print-ir-after-all") if when == "after" else (f"--mlir-print-ir-{when}-all",)
        parser.add_argument(*names, dest=f"{when}_all", action="store_true", help=dumps.format(when))
        help_ = f"print the module {when} these passes"
        parser.add_argument(f"--mlir-print-ir-{when}", dest=when, action="append", default=[], metavar="PASS", help=help_)
    parser.add_argument("--mlir-print-ir-after-change", dest="after_change", action="store_true", help="print it after what changes it")
    parser.add_argument("--mlir-timing", action="store_true", help="print the time of each pass, to standard error")
    parser.add_argument("--mlir-print-debuginfo", action="store_true", help="print locations")
    parser.add_argument("--mlir-print-op-generic", action="store_true", help="print the generic form")
    parser.add_argument("--verify-roundtrip", action="store_true", help="check that the input, printed and read again, is the same")
    parser.add_argument("--allow-unregistered-dialect", action="store_true", help="accepted as mlir-opt's: unregistered ops always are")
    parser.add_argument("--list-passes", action="store_true", help="list the passes and pipelines, a line each")
    parser.add_argument("--help-pass", metavar="PASS", choices=list(registry.PASSES), help="print what is known of a pass, with an example")
    options, rest = parser.parse_known_args(arguments)
    try:
        options.steps = [step for argument in rest for step in _named(argument)]
        if options.pass_pipeline:
            options.steps += textual.parse(options.pass_pipeline)
    except textual.PipelineError as error:
        parser.error(str(error))
    known = {step.name for step in (*options.steps, *textual.stages(list(pipeline.STAGES)[-1]))}
    for name in (*options.before, *options.after):
        if name not in known:
            parser.error(f"--mlir-print-ir-before and -after name passes that run; {name!r} does not")
    if options.steps and (options.until or options.to) or (options.until and options.to):
        parser.error("give passes, or --until, or --to")
    if options.until or options.to:
        options.steps = textual.stages(options.until or _TARGETS[options.to])
    if options.chip is not None:
        try:
            options.chip = get_chip(options.chip)
        except (ValueError, RuntimeError) as error:
            parser.error(str(error))
    return options


def _named(argument: str) -> list[textual.Step]:
    match = re.fullmatch(r"--([a-z0-9][a-z0-9-]*)(?:=(.*))?", argument, re.DOTALL)
    if match is None:
        raise textual.PipelineError(f"unrecognized argument {argument}")
    return textual.named(match[1], match[2])


def _chunks(text: str) -> list[str]:
    """The parts of a split file, each preceded by as many empty lines as keep its line numbers."""
    chunks, line = [], 0
    for part in re.split(r"^// -----.*$", text, flags=re.MULTILINE):
        chunks.append("\n" * line + part)
        line += part.count("\n")
    return chunks


def _process(text: str, file: str, options: argparse.Namespace, diagnostics: list[Diagnostic]) -> str:
    """Parse, run what `options` ask for, and print. Raises Failed; other diagnostics are added to the list."""

    def collect(diagnostic: ir.Diagnostic) -> bool:
        diagnostics.append(_diagnostic(diagnostic.severity.name.lower(), diagnostic.message, diagnostic.location, file))
        return True

    context = make_context()
    with context, ir.Location.unknown():
        if ttir_text.is_pretty(text):
            text = _guard(lambda: ttir_text.generic(text, file), file)
        elif not text.strip():
            raise Failed([Diagnostic("error", "the input is empty", file, 1, 1)])
        handler = context.attach_diagnostic_handler(collect)

        def run() -> str:
            module = ir.Module.parse(ttir_text.as_functions(text))
            tt_verifier.verify(module)
            if options.verify_roundtrip:
                _check_roundtrip(module)
            if options.chip is not None:
                set_chip(module, options.chip)
            _run_steps(module, options)
            module.operation.verify()
            if options.to in ("llir", "asm"):
                return _generated(module, options.to, options.chip)
            return module.operation.get_asm(
                enable_debug_info=options.mlir_print_debuginfo, print_generic_op_form=options.mlir_print_op_generic
            )

        try:
            return _guard(run, file)
        finally:
            handler.detach()


def _run_steps(module: ir.Module, options: argparse.Namespace) -> None:
    """Run what is asked for, with dumps and times. Raises what the steps raise."""

    def show(when: str, name: str, text: str) -> None:
        print(f"// -----// IR Dump {when} {name} //----- //\n{text}", file=sys.stderr)

    times: list[tuple[str, float]] = []
    text = str(module) if options.after_change else ""
    for step in options.steps:
        if step.is_pass and (options.before_all or step.name in options.before):
            show("Before", step.name, str(module))
        start = time.perf_counter()
        step.run(module)
        times.append((step.name, time.perf_counter() - start))
        if not step.is_pass:
            continue
        if options.after_change:
            before, text = text, str(module)
        if options.after_all or step.name in options.after or (options.after_change and text != before):
            show("After", step.name, str(module))
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
        raise Failed([_diagnostic("error", error.message, error.location, file)]) from None
    except ir.MLIRError as error:
        found = [_diagnostic("error", d.message, d.location, file) for d in error.error_diagnostics]
        raise Failed(found or [Diagnostic("error", str(error), file, 1, 1)]) from None
    except Exception as error:  # malformed ops of unregistered dialects surface in passes as any kind of error
        raise Failed([Diagnostic("error", f"{type(error).__name__}: {error}", file, 1, 1)]) from error


def _diagnostic(severity: str, message: str, location: ir.Location | None, file: str) -> Diagnostic:
    match = _PLACE.search(str(location))
    if match is None:
        return Diagnostic(severity, message, file, 1, 1)
    return Diagnostic(severity, message, file if match[1] == "-" else match[1], int(match[2]), int(match[3]))


def _unexpected(text: str, file: str, diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    """What differs between `diagnostics` and the comments in `text` that expect them."""
    left = list(diagnostics)
    missing = []
    for number, line in enumerate(text.splitlines(), 1):
        for severity, where, message in _EXPECTED.findall(line):
            at = number + {"": 0, "above": -1, "below": 1}.get(where, 0) + (int(where) if where[:1] in "+-" and where else 0)
            match = next((d for d in left if (d.severity, d.line) == (severity, at) and message in d.message), None)
            if match is not None:
                left.remove(match)
            else:
                missing.append(Diagnostic("error", f"expected {severity} {message!r} was not produced", file, at, 1))
    return missing + [Diagnostic("error", f"unexpected {d.severity}: {d.message}", d.file, d.line, d.column) for d in left]


if __name__ == "__main__":
    sys.exit(main())
