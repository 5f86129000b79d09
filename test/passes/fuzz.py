"""Damaged modules for `triton-spacemit-opt`: each must be lowered or refused in words.

    python test/passes/fuzz.py FIRST COUNT FOLDER

Mutant number N is a part of one of the tests' .mlir files in which some tokens, lines or operands have been replaced, dropped, repeated or
exchanged; N alone determines it and the passes that it is run through. One line `N outcome` is printed for each: `lowered`, `refused`, or
`DEFECT` with what happened. Mutants with defects are left in FOLDER.

Mutants share a process and a context, which takes a tenth of the time. Where it ends, the tool itself is given the one that was under way.
"""

import contextlib
import functools
import io
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch_mlir import ir

from triton_spacemit.dialect import tt_verifier
from triton_spacemit.dialect.context import shared_context
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes import isolation, opt, opt_input, ttir_text

ROOT = Path(__file__).parents[1]
STAGES = ["--until=structure", "--until=smt", "--until=loops", "--until=elementwise", "--until=llvm", "--to=llir", "--to=asm"]
TOKEN = re.compile(
    r"""-?\d+ | \b[a-z]+\d+\b | [%@\#!^][\w.$]+ | "[^"]*" | (?:tensor|vector)<[^<>]*(?:<[^<>]*>)?[^<>]*> | \b[a-z]+\.\w+ | \b\w+\b""",
    re.VERBOSE,
)
NEW = ["0", "1", "-1", "7", "4294967296", "true", "f64", "bf16", "i1", "i8", "i128", "index", "none", "f8E4M3FN", "tensor<4xf32>",
       "tensor<0xf32>", "tensor<?xi32>", "tensor<*xf32>", "tensor<3x5xf16>", "tensor<2x2x4x4xf32>", "vector<4xf32>", "!llvm.ptr",
       "!tt.ptr<f32>", "!tt.ptr<tensor<4xf32>>", "dense<0>", "unit", '"none"']  # fmt: skip
#: Where upstream's code may end the tool's process: it sees the input before any of ours, but for the parser's words.
UPSTREAM = re.compile("the parser")
LONGEST = 20  # seconds
#: Python's own errors, which a diagnostic only passes on: the input was not checked.
UNCHECKED = re.compile(r"error: (\w*(?:Error|Exception|Iteration)|IndexError): ")


@functools.cache
def sources() -> list[tuple[str, list[str]]]:
    """Parts of the test files without their comments, and the passes that they are tests of."""
    found = []
    for path in sorted([*ROOT.glob("passes/*.mlir"), *ROOT.glob("dialect/*.mlir")]):
        text = path.read_text()
        run = re.search(r"// RUN: triton-spacemit-opt %s([^|\n]*)", text)
        given = re.findall(r"--(?!chip|split|verify)[\w=-]+", run[1] if run else "")
        for part in re.split(r"^// -----.*$", text, flags=re.MULTILINE):
            part = re.sub(r"//.*", "", part).strip()
            if part:
                found.append((part + "\n", given))
    return found


def mutant(number: int, begin: Callable[[str], None]) -> tuple[str, list[str]]:
    """A module's text, and the tool's arguments. What does not even parse is drawn again, mostly. `begin` is told what is parsed."""
    source = random.Random(number)
    for _ in range(source.choice((1, 12, 12, 12))):
        text, given = source.choice(sources())
        other = source.choice(sources())[0]
        for _ in range(source.choice((1, 1, 1, 2, 3))):
            text = _damaged(text, other, source)
        begin(json.dumps((text, STAGES[:1])))
        if _parses(text):
            break
    arguments = list(given) if source.random() < 0.4 else [source.choice(STAGES)]
    arguments.append(f"--chip={source.choice(('x60', 'a100', 'host'))}")
    return text, arguments


def _parses(text: str) -> bool:
    context = shared_context()
    handler = context.attach_diagnostic_handler(lambda _: True)
    try:
        with context, ir.Location.unknown():
            tt_verifier.verify(ir.Module.parse(ttir_text.as_functions(text)))
    except (ir.MLIRError, LoweringError):
        return False
    finally:
        handler.detach()
    return True


def _damaged(text: str, other: str, source: random.Random) -> str:
    kind = source.random()
    lines = text.splitlines()
    line = source.randrange(len(lines))
    if kind < 0.7:
        tokens = list(TOKEN.finditer(text))
        if not tokens:
            return text
        old = source.choice(tokens)
        alike = [token[0] for token in tokens if token[0][0] == old[0][0]]
        new = source.choice(alike if source.random() < 0.6 else NEW + [token[0] for token in tokens])
        return text[: old.start()] + new + text[old.end() :]
    if kind < 0.78:
        del lines[line]
    elif kind < 0.84:
        lines.insert(source.randrange(len(lines)), lines[line])
    elif kind < 0.9:
        # exchange two of the operands of a line
        names = list(re.finditer(r"%\w+", lines[line]))
        if len(names) > 1:
            first, second = sorted(source.sample(names, 2), key=lambda name: name.start())
            old = lines[line]
            lines[line] = old[: first.start()] + second[0] + old[first.end() : second.start()] + first[0] + old[second.end() :]
    elif kind < 0.96:
        # drop an attribute, an operand or a type of a list
        lines[line] = re.sub(r"(?:, )?[\w.%]+(?: = [^,}>]+)?(?=[,)}>])", "", lines[line], count=1)
    else:
        lines.insert(line, source.choice(other.splitlines()))
    return "\n".join(lines) + "\n"


def outcome(text: str, arguments: list[str]) -> str:
    """What the tool makes of a module."""
    out, err = io.StringIO(), io.StringIO()
    standard = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = opt.main(arguments)
    except BaseException as error:  # of whatever kind it is
        return f"DEFECT {type(error).__name__}: {error}".splitlines()[0]
    finally:
        sys.stdin = standard
    unchecked = UNCHECKED.search(err.getvalue())
    if unchecked:
        return "DEFECT " + " ".join(err.getvalue()[unchecked.start() :].split())[:300]
    if code and ": error: " not in err.getvalue():
        return f"DEFECT exit status {code} without a message"
    return "refused" if code else "lowered"


def tool(text: str, arguments: list[str], folder: Path) -> str:
    """What the tool makes of a module in a process of its own, for one that ended the process which many share."""
    file = folder / "ended.mlir"
    file.write_text(text)
    command = [sys.executable, "-m", "triton_spacemit.passes.opt", str(file), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    if run.returncode not in (0, 1) or (run.returncode and ": error: " not in run.stderr) or "Traceback" in run.stderr:
        return f"DEFECT exit status {run.returncode}: {' '.join(run.stderr.split())[-300:]}"
    ended = re.search(r"error: (the .*) ended the process", run.stderr)
    if ended and not UPSTREAM.fullmatch(ended[1]):
        return f"DEFECT {ended[0]}"
    return "refused" if run.returncode else "lowered"


def share(number: int, begin: Callable[[str], None]) -> tuple[str, str, list[str]]:
    """The outcome of one mutant, its text and the tool's arguments."""
    text, arguments = mutant(number, begin)
    begin(json.dumps((text, arguments)))
    return outcome(text, arguments), text, arguments


def main() -> None:
    first, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    opt_input.make_context = shared_context  # a fresh one for each mutant takes longer than most mutants
    each = isolation.each
    isolation.each = within  # the processes of this module are enough
    numbers = range(first, first + count)
    for number, made in zip(numbers, each(share, numbers), strict=True):
        if isinstance(made, isolation.Ended):
            text, arguments = json.loads(made.at)
            result = tool(text, arguments, folder)
        else:
            result, text, arguments = made
        print(number, result, flush=True)
        if result.startswith("DEFECT"):
            (folder / f"{number}.mlir").write_text(f"// {' '.join(arguments)}\n{text}")


def within(function: Callable[[str, Callable[[str], None]], object], items: Sequence[str]) -> Iterator[object]:
    """Stands for `isolation.each`: in this process."""
    return (function(item, lambda at: None) for item in items)


if __name__ == "__main__":
    main()
