"""The page: everything that there is to see of a kernel as one JSON object in one HTML file, which needs nothing else."""

import ast
import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.estimate import Estimate
from triton_spacemit.backend.tools import mca
from triton_spacemit.backend.tools.inspector.kernels import Kernel
from triton_spacemit.backend.tools.inspector.locations import Chain
from triton_spacemit.backend.tools.inspector.machine_code import Function, Instruction
from triton_spacemit.backend.tools.inspector.mix import KINDS, mix
from triton_spacemit.backend.tools.inspector.stages import Stages
from triton_spacemit.dialect.chips import Chip, get_chip

_TEMPLATE = Path(__file__).with_name("page.html")
_ARGUMENT = re.compile(r"%(\w+): ([^\s,){]+(?:<[^>]*>)?)(?: \{([^}]*)\})?")


def write(path: Path, kernel: Kernel, stages: Stages, mca_command: Sequence[str] | None) -> None:
    """Write the page of `kernel`. Raises OSError where that is not possible."""
    data = describe(kernel, stages, mca_command)
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, default=str).replace("<", "\\u003c")
    page = _TEMPLATE.read_text().replace("{{title}}", html.escape(f"{kernel.name} · {kernel.chip}"))
    path.write_text(page.replace("{{data}}", text))


def describe(kernel: Kernel, stages: Stages, mca_command: Sequence[str] | None) -> dict[str, Any]:
    """What the page shows."""
    chip = get_chip(kernel.chip)
    places: dict[Chain, int] = {}
    panes = [
        {
            "name": pane.name,
            "title": pane.title,
            "language": pane.language,
            "lines": pane.text.lines,
            "places": [places.setdefault(place, len(places)) if place else -1 for place in pane.text.places],
        }
        for pane in stages.panes
    ]
    files: dict[str, int] = {}
    chains = [[[files.setdefault(file, len(files)), line, column] for file, line, column in place] for place in places]
    source, missing = _source(kernel, list(places), files)
    functions, note = _functions(stages.functions, stages.panes[-1].text.places, chip, mca_command)
    return {
        "name": kernel.name,
        "chip": kernel.chip,
        "launch": _launch(kernel, stages, chip),
        "notes": kernel.notes + stages.notes + missing + note,
        "files": list(files),
        "places": chains,
        "kernel": chains[places[stages.kernel_place]][0][:2] if stages.kernel_place else [0, 0],
        "source": source,
        "panes": panes,
        "kinds": KINDS,
        "functions": functions,
        "weighted": chip.is_riscv,
        "times": kernel.stage_ms | stages.times_ms,
    }


def _launch(kernel: Kernel, stages: Stages, chip: Chip) -> dict[str, str]:
    """What the launcher and the chip make of it."""
    head = next(line for line in stages.panes[0].text.lines if "tt.func public" in line)
    arguments = []
    for name, type_, attributes in _ARGUMENT.findall(head):
        divisor = re.search(r"tt.divisibility = (\d+)", attributes)
        arguments.append(f"{name}: {type_.replace('!tt.ptr', 'ptr')}" + (f":{divisor[1]}" if divisor else ""))
    metadata = kernel.metadata
    registers = f"{chip.vector_registers} registers of {chip.vlen} bits"
    shown = {"Chip": f"{chip.name}: {chip.cpu}, {registers}", "Arguments": "\n".join(arguments)}
    if kernel.constants:
        constants = {name: getattr(value, "__name__", value) for name, value in kernel.constants.items()}
        shown["Constants"] = "\n".join(f"{name} = {value}" for name, value in constants.items())
    if stages.tiles:
        shown["Tiles"] = "\n".join(stages.tiles)
    if kernel.estimates:
        shown["Estimated cycles"] = "\n".join(f"{when}: {_cycles(estimate)}" for when, estimate in kernel.estimates.items())
    scratch = metadata["shared"] if metadata["shared"] > 1 else 0  # it is never 0 in the metadata
    shown["Scratch"] = f"{scratch:,} bytes a program"
    shown["Object"] = f"{stages.object_bytes:,} bytes"
    shown["Options"] = ", ".join(f"{name}={metadata[name]}" for name in ("num_warps", "num_stages", "enable_fp_fusion", "debug"))
    shown["Hash"] = str(metadata["hash"])
    shown["Cache entry"] = str(kernel.folder)
    return shown


def _cycles(estimate: Estimate) -> str:
    parts = f"{estimate.computing:,.0f} computing, {estimate.waiting_l2:,.0f} waiting for L2, {estimate.waiting_memory:,.0f} for memory"
    moved = f"{estimate.l1_bytes:,} bytes between L1 and L2, {estimate.memory_bytes:,} to and from memory"
    return f"{estimate.cycles:,.0f} of one core ({parts}; {moved}), {estimate.instructions:,} instructions"


def _source(kernel: Kernel, places: list[Chain], files: dict[str, int]) -> tuple[list[list[Any]], list[str]]:
    """Rows of the source pane, [file, line, text] (line 0: a heading): the functions that the code comes from; and what is missing."""
    used: dict[str, Counter[int]] = {}
    for place in places:
        for file, line, _ in reversed(place):
            used.setdefault(file, Counter())[line] += 1
    rows: list[list[Any]] = []
    notes = []
    library = f"{Path('triton', 'language')}/"
    for file, lines in sorted(used.items(), key=lambda item: library in item[0]):
        try:
            path = Path(file)
            text = path.read_text()
            functions = _enclosing(text, lines)
            if path.stat().st_mtime > kernel.folder.stat().st_mtime:
                notes.append(f"{path.name} is newer than the kernel: its lines may have moved since.")
        except (OSError, ValueError, SyntaxError) as error:
            notes.append(f"The source {file} cannot be shown: {error}")
            continue
        rows.append([files[file], 0, file])
        before = 0
        for first, last in functions:
            if before and first > before + 1:
                rows.append([files[file], 0, ""])
            rows += [[files[file], number, text_] for number, text_ in enumerate(text.splitlines()[first - 1 : last], first)]
            before = last
    return rows, notes


def _enclosing(text: str, lines: Counter[int]) -> list[tuple[int, int]]:
    """First and last lines of the outermost functions in `text` that hold one of `lines`; of the line itself where none does."""
    ranges = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            ranges.append((first, node.end_lineno or first))
    found = set()
    for line in lines:
        around = [each for each in ranges if each[0] <= line <= each[1]]
        found.add(min(around) if around else (line, line))
    return sorted(found)


def _functions(
    functions: list[Function], places: list[Chain], chip: Chip, mca_command: Sequence[str] | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each function, and one for each of its loops below it, outer before inner."""
    rows: list[dict[str, Any]] = []
    innermost: list[tuple[dict[str, Any], list[str]]] = []
    for function in functions:
        rows.append(_row(function.name, 0, function.instructions(), places, chip))
        for loop in function.nest():
            instructions = function.instructions(loop.header)
            row = _row(loop.header, loop.depth, instructions, places, chip)
            row["innermost"] = function.is_innermost(loop.header)
            rows.append(row)
            if row["innermost"]:
                innermost.append((row, _for_mca(instructions, chip)))
    return rows, _estimate(innermost, chip, mca_command)


def _row(name: str, depth: int, instructions: list[Instruction], places: list[Chain], chip: Chip) -> dict[str, Any]:
    lines = [instruction.line for instruction in instructions]
    # What most of it comes from: the line of the kernel, which is the outermost frame.
    origins = Counter(places[line][-1][:2] for line in lines if places[line])
    origin = origins.most_common(1)[0][0] if origins else ("", 0)
    return {
        "name": name,
        "depth": depth,
        "first": min(lines, default=0),
        "last": max(lines, default=0),
        "origin": f"{origin[0].rpartition('/')[2]}:{origin[1]}" if origin[1] else "",
        **asdict(mix(instructions, chip)),
    }


def _for_mca(instructions: list[Instruction], chip: Chip) -> list[str]:
    lines: list[str] = []
    before: tuple[int, float] | None = None
    for instruction in instructions:
        vector = instruction.sew, instruction.lmul
        if chip.is_riscv and instruction.sew and vector != before:
            lines += mca.hints(*vector)
            before = vector
        lines.append(f"{instruction.mnemonic} {instruction.operands}")
    return lines


def _estimate(loops: list[tuple[dict[str, Any], list[str]]], chip: Chip, command: Sequence[str] | None) -> list[str]:
    """Put llvm-mca's cycles into the rows of innermost loops; a note where there are none."""
    if command is None:
        missing = f"no llvm-mca of LLVM {mca.MINIMUM} or newer was found"
        return [f"No cycle estimates: {missing}. --mca PATH names one, --mca fetch gets Debian's."]
    if not chip.scheduling_model:
        return [f"No cycle estimates: LLVM has no model of the {chip.name}'s pipeline."]
    failures = []
    for row, lines in loops:
        try:
            row["cycles"] = mca.cycles([lines], chip, command)[0]
        except DeviceError as error:
            failures.append(f"No cycle estimate for the loop at {row['name']}: {error}")
    return failures
