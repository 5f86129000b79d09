"""`make bench-ops`: every operator of the library beside PyTorch's own, one thread and two.

A row times one call of PyTorch in turns with the operator enabled and disabled; the minimum counts, of the thread's own time on one
thread and of the wall's on more. Results are compared. `--write` puts what was measured into `docs/operators.json`, from which the page of
operators has its times.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from perf.operator_rows import ROWS
from perf.operator_rows.row import Row
from rich.console import Console
from rich.progress import track
from rich.table import Table

from triton_spacemit import ops
from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs

JSON = Path(__file__).parents[2] / "docs/operators.json"
_TURN = 0.02  # seconds
_LARGEST_TURN = 200
LEAST = 0.8  # of PyTorch's speed, every row
LEAST_MEAN = 1.1


@dataclass(frozen=True)
class Times:
    """Microseconds of a call."""

    ours: float
    eager: float

    @property
    def speed(self) -> float:
        return self.eager / self.ours


def _turn(call: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    call()
    best = math.inf
    for _ in range(calls):
        start = clock()
        call()
        best = min(best, clock() - start)
    return best


def measure(row: Row, threads: int, seconds: float) -> Times:
    """Raises AssertionError where the results differ, or where PyTorch answered for us."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    knobs.threads = threads
    arguments = row.make()
    names = row.enabled or (row.operator,)

    def call() -> Any:
        return row.call(*arguments)

    expected = call()
    start = time.perf_counter()
    call()
    calls = min(max(int(_TURN / (time.perf_counter() - start)), 1), _LARGEST_TURN)
    before = ops.left_to_pytorch()
    with ops.enabled(*names):
        tolerance = {"rtol": row.tolerance, "atol": row.tolerance} if row.tolerance else {}
        torch.testing.assert_close(call(), expected, equal_nan=True, **tolerance)
    assert ops.left_to_pytorch() == before, f"PyTorch answered for {row.operator}"
    clock = time.thread_time if threads == 1 else time.perf_counter
    ours, eager, turns = [], [], 0
    deadline = time.perf_counter() + seconds
    while turns < 3 or time.perf_counter() < deadline:
        turns += 1
        eager.append(_turn(call, calls, clock))
        with ops.enabled(*names):
            ours.append(_turn(call, calls, clock))
    return Times(min(ours) * 1e6, min(eager) * 1e6)


def geometric_mean(values: Iterable[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def _cell(result: Times | str) -> list[str]:
    if isinstance(result, str):
        return ["", "", f"[red]{result}"]
    colour = "[red]" if result.speed < LEAST else ""
    return [f"{result.ours:.1f}", f"{result.eager:.1f}", f"{colour}{result.speed:.2f}"]


def _attempt(row: Row, threads: int, seconds: float) -> Times | str:
    try:
        with knobs.scope():
            return measure(row, threads, seconds)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _run(rows: list[Row], threads: list[int], seconds: float, console: Console) -> Iterator[tuple[Row, list[Times | str]]]:
    for row in track(rows, "", console=console, transient=True):
        yield row, [_attempt(row, count, seconds) for count in threads]


def _document(measured: dict[str, list[Times | str]], rows: dict[str, Row], threads: list[int]) -> dict[str, Any]:
    """name to operator, and for each number of threads the two times in microseconds."""
    return {
        name: {"operator": rows[name].operator, "dtype": str(rows[name].dtype).removeprefix("torch.")}
        | {
            str(count): {"ours": round(result.ours, 2), "eager": round(result.eager, 2)}
            for count, result in zip(threads, results, strict=True)
            if isinstance(result, Times)
        }
        for name, results in measured.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-ops", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", action="append", metavar="REGEX", help="only rows whose names match (may be repeated)")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--seconds", type=float, default=0.6, help="how long each is timed (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the times into {JSON.name}; rows not measured keep theirs")
    arguments = parser.parse_args()
    rows = {row.name: row for row in ROWS if not arguments.rows or any(re.search(pattern, row.name) for pattern in arguments.rows)}
    if not rows:
        parser.error("no row has such a name")
    set_device("host")
    table = Table("row", *(f"{what}, {count}" for count in arguments.threads for what in ("ours us", "eager us", "speed")))
    measured: dict[str, list[Times | str]] = {}
    for row, results in _run(list(rows.values()), arguments.threads, arguments.seconds, Console(stderr=True)):
        measured[row.name] = results
        table.add_row(row.name, *(cell for result in results for cell in _cell(result)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    failed = [name for name, results in measured.items() for result in results if isinstance(result, str)]
    for place, count in enumerate(arguments.threads):
        speeds = [results[place].speed for results in measured.values() if isinstance(results[place], Times)]  # type: ignore[union-attr]
        if speeds:
            low = sum(speed < LEAST for speed in speeds)
            mean = geometric_mean(speeds)
            print(f"{count} threads: geometric mean {mean:.2f} (at least {LEAST_MEAN}), {low} of {len(speeds)} rows below {LEAST}")
    if arguments.write:
        known = json.loads(JSON.read_text()) if JSON.exists() else {}
        known |= _document(measured, rows, arguments.threads)
        JSON.write_text(json.dumps({row.name: known[row.name] for row in ROWS if row.name in known}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
