"""Checks random kernels against Triton's interpreter, and prints a program for each kind of failure.

PYTHONPATH=test python -m random_kernels --count 1000 --jobs 2
PYTHONPATH=test python -m random_kernels --device qemu --chip x60 --seconds 60
PYTHONPATH=test python -m random_kernels --seed 17 --count 1 --show
"""

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path

from random_kernels import script, shrink
from random_kernels.check import FAILURES, Result
from random_kernels.generate import generate
from random_kernels.other_cores import CORES
from random_kernels.pool import Worker, check_all
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m random_kernels", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, help="the first program; the others follow (default: a fresh one, which is printed)")
    parser.add_argument("--count", type=int, help="how many programs (default: 100, or as many as --seconds allow)")
    parser.add_argument("--seconds", type=float, help="begin no program after this time")
    parser.add_argument("--device", choices=("host", "qemu"), help="default: qemu where --chip is given, else host")
    parser.add_argument("--chip", choices=("host", "x60", "a100", *CORES), help="what QEMU emulates (default: x60)")
    parser.add_argument(
        "--without", action="append", default=[], metavar="CHOICE", help="leave out a choice of the grammar, such as wild, far or dot"
    )
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (default: %(default)s)")
    parser.add_argument("--show", action="store_true", help="print the programs")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="leave failing programs as they are")
    parser.add_argument("--output", type=Path, help="folder for a script of each failing program")
    arguments = parser.parse_args()
    arguments.chip = arguments.chip or ("x60" if arguments.device == "qemu" else "host")
    return arguments


def failures(arguments: argparse.Namespace, console: Console, counts: Counter[str]) -> list[Result]:
    first = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 31)
    count = arguments.count or (None if arguments.seconds else 100)
    console.print(f"first seed {first}, on {arguments.chip}")
    seeds = itertools.count(first) if count is None else range(first, first + count)
    begin, found = time.monotonic(), []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=count)
        within = itertools.takewhile(lambda _: not arguments.seconds or time.monotonic() - begin < arguments.seconds, seeds)
        for result in check_all(within, arguments.chip, arguments.jobs, arguments.without):
            counts[result.kind] += 1
            if not console.is_terminal and not sum(counts.values()) % 100:
                console.print(dict(counts))
            progress.update(task, advance=1, description=", ".join(f"{n} {kind}" for kind, n in counts.items()))
            if arguments.show:
                console.print(f"# seed {result.seed}\n{generate(result.seed, arguments.without).source()}", markup=False, highlight=False)
            if result.kind in FAILURES or result.kind == "unknown":
                console.print(f"seed {result.seed}: {result.kind}: {result.detail[-800:]}", markup=False, highlight=False)
            if result.kind in FAILURES:
                found.append(result)
    return found


def main() -> int:
    arguments = parse()
    console, counts = Console(stderr=True), Counter[str]()
    found = failures(arguments, console, counts)
    worker = Worker(arguments.chip)
    for result in found:
        program = generate(result.seed, arguments.without)
        if arguments.shrink:
            program, result = shrink.shrink(program, result, worker.check)
        text = script.script(program, result, arguments.chip)
        if arguments.output:
            arguments.output.mkdir(parents=True, exist_ok=True)
            (arguments.output / f"{arguments.chip}_{result.seed}.py").write_text(text)
        print(text)
    worker.close()
    print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
