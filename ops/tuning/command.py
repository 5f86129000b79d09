"""The command `triton-spacemit tune`: measures configurations and writes the best of each class of shapes into a chip's table.

It is found by the program through the entry point `triton_spacemit.commands`, so that `backend` does not import `ops`.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from triton_spacemit.dialect.chips import CHIPS

if TYPE_CHECKING:
    from triton_spacemit.ops.tuning.problems import Problem
    from triton_spacemit.ops.tuning.tables import Config, TunedConfigLoader

_WORTH = 0.97  # of the time that the heuristic's choice takes: what is no better than that is not worth an entry


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    text = "Measure which blocks are best for a chip: by time on this machine, by estimated cycles where it is emulated."
    tune = commands.add_parser("tune", help="fill the tables of tuned blocks", description=text)
    tune.add_argument("--chip", choices=("host", *CHIPS), default="host", help="what is tuned for (default: %(default)s)")
    tune.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads to tune for (default: 1)")
    tune.add_argument("--operators", nargs="+", metavar="NAME", help="only these (default: all that are tuned)")
    tune.add_argument("--seconds", type=float, default=0.1, help="how long a configuration is timed at least (default: %(default)s)")
    tune.add_argument("--quick", action="store_true", help="one class of shapes of each operator")
    own = "the table to write, such as that of the package (default: this user's own, in the cache folder)"
    tune.add_argument("--output", type=Path, metavar="FILE", help=own)
    tune.set_defaults(command=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    import torch

    from triton_spacemit.backend import set_device
    from triton_spacemit.backend.errors import DeviceError
    from triton_spacemit.backend.knobs import knobs
    from triton_spacemit.ops.tuning.problems import problems
    from triton_spacemit.ops.tuning.tables import loader

    emulated = arguments.chip != "host"
    try:
        set_device("qemu" if emulated else "host", arguments.chip)
        for threads in arguments.threads:
            knobs.threads = threads
            assert knobs.num_threads
    except (RuntimeError, ValueError, DeviceError) as error:
        print(f"triton-spacemit tune: {error}", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    table = loader(arguments.chip)
    made = [make() for make in problems(emulated, arguments.quick)]
    chosen = [problem for problem in made if not arguments.operators or problem.operator in arguments.operators]
    if not chosen:
        names = ", ".join(dict.fromkeys(problem.operator for problem in made))
        print(f"triton-spacemit tune: none of these operators is tuned; there are {names}", file=sys.stderr)
        return 2
    try:
        _run(table, chosen, arguments.threads, emulated, arguments.seconds)
    except KeyboardInterrupt:
        print("interrupted: what has been measured is kept", file=sys.stderr)
    print(table.save(arguments.output))
    return 0


def _run(table: "TunedConfigLoader", chosen: "list[Problem]", numbers: list[int], emulated: bool, seconds: float) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from triton_spacemit.backend.knobs import knobs
    from triton_spacemit.ops.tuning.tables import shape_class

    rounds = 1 if emulated else 2
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(numbers) * rounds * sum(len(problem.candidates) + 1 for problem in chosen))
        for threads in numbers:
            knobs.threads = threads
            for problem in chosen:
                shapes = shape_class(problem.dtype_name, problem.sizes, threads, problem.words)
                progress.update(task, description=f"{problem.operator} {shapes}")
                usual = problem.heuristic(threads)
                configs: list[Config] = [usual, *(config for config in problem.candidates if config != usual)]
                costs = [math.inf] * len(configs)
                for _ in range(rounds):
                    for number, config in enumerate(configs):
                        problem.forget()
                        with table.trial(problem.operator, shapes, config):
                            costs[number] = min(costs[number], _cost(problem, emulated, threads, seconds))
                        progress.advance(task)
                progress.advance(task, rounds * (len(problem.candidates) + 1 - len(configs)))
                problem.forget()
                best = min(range(len(configs)), key=costs.__getitem__)
                if costs[best] < costs[0] * (1 if emulated else _WORTH):
                    table.add(problem.operator, shapes, configs[best])


def _cost(problem: "Problem", emulated: bool, threads: int, seconds: float) -> float:
    """Milliseconds as `benchmarks.cost` has them of an emulated chip, or seconds: the least of many calls."""
    from triton_spacemit.backend.benchmarks import cost
    from triton_spacemit.backend.tools.bench import time_in_turns

    if emulated:
        return cost(problem.call)
    problem.call()
    clock = time.thread_time if threads == 1 else time.perf_counter
    return min(time_in_turns([problem.call], seconds, turns=2, clock=clock)[0])
