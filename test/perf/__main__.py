"""`make bench`: measures every row of the table, checks each result, and writes table, plot and JSON.

Rows that count instructions are exact. Those that time run in turns with what they are compared with, in this process: on a busy machine
both are slower, and their ratio is less certain.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

from perf import boards, compiled, cycles, instructions, loops, products, quantised, report, times
from perf.result import Line, Row
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from triton import knobs as triton_knobs

from triton_spacemit.backend.knobs import knobs

ROWS = [
    *instructions.ON_ROWS,
    *loops.LOOPS,
    *instructions.PRODUCTS,
    *products.ROWS,
    *quantised.ROWS,
    *cycles.ROWS,
    *times.HOST,
    *compiled.ROWS,
    *times.PROCESS,
    *boards.ROWS,
]


def measure(row: Row, share: float) -> Line:
    try:
        with knobs.scope(), triton_knobs.autotuning.scope():
            return Line(row, row.measure(share))
    except Exception as error:
        # A CompilationError's text starts with the source.
        message = str(getattr(error, "error_message", error)).strip().partition("\n")[0]
        return Line(row, failure=f"{type(error).__name__}: {message}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", action="append", metavar="REGEX", help="only rows whose names match (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="leave the slow rows out, and time for a quarter as long")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder to write to (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = [row for row in ROWS if not (arguments.quick and row.slow)]
    if arguments.rows:
        chosen = [row for row in chosen if any(re.search(pattern, row.name) for pattern in arguments.rows)]
    if not chosen:
        parser.error("no row has such a name; --list prints them")
    if arguments.list:
        print("\n".join(row.name for row in chosen))
        return 0
    console, lines, start = Console(stderr=True), [], time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(chosen))
        for row in chosen:
            progress.update(task, description=row.name)
            lines.append(measure(row, 0.25 if arguments.quick else 1.0))
            progress.advance(task)
            report.write(lines, arguments.output)
    print(report.table(lines))
    right = sum(line.right for line in lines)
    judged = [line.met for line in lines if line.met is not None]
    print(f"{right} of {len(lines)} rows are right, {sum(judged)} of {len(judged)} reach what they should")
    busy = os.getloadavg()[1] / (os.cpu_count() or 1)
    print(f"{time.monotonic() - start:.0f} s, {busy:.1f} processes a core: times are {'rough' if busy > 1.2 else 'good'}")
    print(f"{arguments.output}/table.md, results.json, plot.png")
    return 0 if right == len(lines) else 1


if __name__ == "__main__":
    sys.exit(main())
