"""triton-spacemit-opt: run passes on MLIR files, as mlir-opt does for upstream's."""

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from triton_spacemit.dialect.chips import CHIPS, get_chip
from triton_spacemit.passes import isolation, nesting, pipeline, registry, textual
from triton_spacemit.passes.diagnostics import Diagnostic, Failed, unexpected

_TARGETS = {"xsmt": "structure", "loops": "loops", "llvm": "llvm", "llir": "llvm", "asm": "llvm"}
_EPILOG = """
Any other --NAME or --NAME=OPTIONS is a pass or pipeline, run in the order given; --list-passes names them, and upstream's have their usual
names. The module is verified after each. Input is TTIR in Triton's syntax, or MLIR of any later state.

  triton-spacemit-opt kernel.ttir --until=structure
  triton-spacemit-opt kernel.mlir --structure --canonicalize="max-iterations=3" --mlir-print-ir-after-all
  triton-spacemit-opt kernel.mlir --pass-pipeline='builtin.module(loops,func.func(canonicalize{max-iterations=3},cse))'
  triton-spacemit-opt kernel.ttir --chip x60 --to asm
"""


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
    chunks = _chunks(text) if options.split_input_file else [text]
    for chunk, processed in zip(chunks, isolation.each(functools.partial(_process, file, options), chunks), strict=True):
        if isinstance(processed, isolation.Ended):
            message = f"{processed.at} ended the process that ran it, by {processed.how}; upstream's code counts on what is not so here"
            processed = None, [Diagnostic("error", message, file, 1, 1)]
        result, diagnostics = processed
        if result is not None:
            results.append(result)
        elif not options.verify_diagnostics:
            failed = True
        if options.verify_diagnostics:
            diagnostics = unexpected(chunk, file, diagnostics)
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


def _process(file: str, options: argparse.Namespace, text: str, begin: Callable[[str], None]) -> tuple[str | None, list[Diagnostic]]:
    """What comes of one module, None where it is refused, and what is said of it. `begin` is told what is begun."""
    if deep := nesting.too_deep(text):  # quickly, and with the place
        return None, [Diagnostic("error", f"nested deeper than {nesting.DEEPEST} levels", file, *deep)]
    from triton_spacemit.passes.opt_input import process  # brings MLIR with it, which help and mistakes do without

    diagnostics: list[Diagnostic] = []
    try:
        return process(text, file, options, diagnostics, begin), diagnostics
    except Failed as failure:
        return None, diagnostics + failure.diagnostics


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
    parser.add_argument("--remarks", action="store_true", help="print what passes chose and why, such as a product's tile")
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


if __name__ == "__main__":
    sys.exit(main())
