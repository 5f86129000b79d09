"""`make bench-compile`: models under `torch.compile` with this backend, beside Inductor's C++ backend and eager PyTorch.

One thread. What each costs is the least of many calls of the three in turns, in the thread's own time. Results are compared with float64:
they may be off by four times what eager PyTorch's are, or by 32 roundings of the largest value: a sum of a million numbers in blocks
passes through some 600 additions, whose roundings add up like the steps of a random walk. Compilation starts with empty caches and is
measured in the time of this process's threads and of the compilers that it starts. Writes `compile.md` and `compile.json`.
"""

import argparse
import copy
import functools
import json
import math
import os
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from perf.inductor_models import MODELS, Model
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch._inductor import config
from torch._inductor.utils import fresh_cache

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.backend.tools.bench import time_in_turns

LEAST = 0.9  # of the speed of Inductor's C++, every model
LEAST_MEAN = 1.25
MOST_COMPILE = 0.35  # of its compile time, in the mean
_OURS, _CPP = {"backend": "spacemit"}, {"options": {"cpu_backend": "cpp"}}
Call = Callable[[], list[Tensor]]


@dataclass(frozen=True)
class Result:
    """Milliseconds of a call, seconds of a compilation, and the largest error as a share of its bound."""

    name: str
    ours: float = math.nan
    cpp: float = math.nan
    eager: float = math.nan
    ours_compile: float = math.nan
    cpp_compile: float = math.nan
    error: float = math.nan
    failure: str = ""

    @property
    def speed(self) -> float:
        return self.cpp / self.ours

    @property
    def compile(self) -> float:
        return self.ours_compile / self.cpp_compile


def double(tree: Any) -> Any:
    """The same in float64; integers and functions as they are."""
    if isinstance(tree, Tensor):
        return tree.detach().double().requires_grad_(tree.requires_grad) if tree.is_floating_point() else tree
    return copy.deepcopy(tree).double() if isinstance(tree, nn.Module) else tree


def calls_of(model: Model, function: Any, compiled: Any, inputs: tuple[Tensor, ...]) -> Call:
    """A forward pass or a step of training with `compiled`, which stands for `function`; its results as a list."""
    if not model.trains:

        def forward() -> list[Tensor]:
            with torch.no_grad():
                result = compiled(*inputs)
            return [result] if isinstance(result, Tensor) else list(result)

        return forward
    wanted = [x for x in inputs if x.requires_grad]
    if isinstance(function, nn.Module):
        wanted += list(function.parameters())

    def step() -> list[Tensor]:
        loss = compiled(*inputs)
        return [loss.detach(), *torch.autograd.grad(loss, wanted)]

    return step


def error_share(found: list[Tensor], eager: list[Tensor], exact: list[Tensor]) -> float:
    """The largest error of a result, as a share of what it may be."""
    shares = []
    for mine, theirs, right in zip(found, eager, exact, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        error, other = ((value.double() - right).abs().max().item() for value in (mine, theirs))
        bound = 4 * max(other, 8 * torch.finfo(mine.dtype).eps * right.abs().max().item())
        shares.append(error / bound if bound else math.inf if error else 0.0)
    return max(shares)


def _processor_time() -> float:
    """Seconds of this process and of the processes that it started and that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def _compile(model: Model, function: Any, inputs: tuple[Tensor, ...], how: dict[str, Any]) -> tuple[Call, float]:
    """The compiled call, and the processor time of its first one."""
    torch._dynamo.reset()
    start = _processor_time()
    call = calls_of(model, function, torch.compile(function, **how), inputs)
    call()
    return call, _processor_time() - start


def measure(model: Model, seconds: float) -> Result:
    """Raises AssertionError where results are not of the same kind."""
    torch.manual_seed(0)
    function, inputs = model.make()
    exact_function, exact_inputs = double(function), tuple(map(double, inputs))
    exact = calls_of(model, exact_function, exact_function, exact_inputs)()
    calls = {"eager": calls_of(model, function, function, inputs)}
    expected, compile_times = calls["eager"](), {}
    with fresh_cache(), config.patch(compile_threads=1):
        for name, how in (("cpp", _CPP), ("ours", _OURS)):
            calls[name], compile_times[name] = _compile(model, function, inputs, how)
        error = error_share(calls["ours"](), expected, exact)
        times = time_in_turns(list(calls.values()), seconds, clock=time.thread_time)
    least = {name: min(own) * 1e3 for name, own in zip(calls, times, strict=True)}
    return Result(model.name, least["ours"], least["cpp"], least["eager"], compile_times["ours"], compile_times["cpp"], error)


def _attempt(model: Model, seconds: float) -> Result:
    try:
        return measure(model, seconds)
    except Exception as error:
        return Result(model.name, failure=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")


def geometric_mean(values: Iterable[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def table(results: list[Result]) -> str:
    """In Markdown."""
    rows = ["| model | ours, ms | C++ | eager | times as fast as C++ | compilation, s | C++ | share | error/bound |", "|---" * 9 + "|"]
    for one in results:
        if one.failure:
            rows.append(f"| {one.name} | {one.failure} |")
            continue
        runs = f"{one.ours:.3f} | {one.cpp:.3f} | {one.eager:.3f} | {one.speed:.2f}"
        rows.append(f"| {one.name} | {runs} | {one.ours_compile:.2f} | {one.cpp_compile:.2f} | {one.compile:.2f} | {one.error:.2f} |")
    return "\n".join(rows) + "\n"


def summary(results: list[Result]) -> str:
    right = [one for one in results if not one.failure]
    if not right:
        return "nothing was measured"
    speed, compilation = geometric_mean(one.speed for one in right), geometric_mean(one.compile for one in right)
    low = [f"{one.name} ({one.speed:.2f})" for one in right if one.speed < LEAST]
    return (
        f"{len(right)} of {len(results)} models; times as fast as Inductor's C++: geometric mean {speed:.2f} (at least {LEAST_MEAN}), "
        f"below {LEAST}: {', '.join(low) or 'none'}; share of its compile time {compilation:.2f} (at most {MOST_COMPILE})"
    )


def write(results: list[Result], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compile.md").write_text(table(results) + f"\n{summary(results)}\n")
    document = {"load": os.getloadavg(), "models": [asdict(one) | {"speed": one.speed, "compile": one.compile} for one in results]}
    (folder / "compile.json").write_text(json.dumps(document, indent=1) + "\n")


def _warm() -> None:
    """What a process does once: imports, and what compilers prepare at their first use."""
    with fresh_cache(), config.patch(compile_threads=1):
        for how in (_CPP, _OURS):
            torch._dynamo.reset()
            torch.compile(functools.partial(torch.add, alpha=2), **how)(torch.ones(100), torch.ones(100))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-compile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", action="append", metavar="REGEX", help="only models whose names match (may be repeated)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each is timed (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the names of the models")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder to write to (default: %(default)s)")
    arguments = parser.parse_args()
    chosen = [model for model in MODELS if not arguments.rows or any(re.search(pattern, model.name) for pattern in arguments.rows)]
    if not chosen:
        parser.error("no model has such a name; --list prints them")
    if arguments.list:
        print("\n".join(model.name for model in chosen))
        return 0
    set_device("host")
    knobs.threads = 1
    torch.set_num_threads(1)
    results: list[Result] = []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(chosen))
        _warm()
        for model in chosen:
            progress.update(task, description=model.name)
            results.append(_attempt(model, arguments.seconds))
            progress.advance(task)
            write(results, arguments.output)
    print(table(results))
    print(summary(results))
    print(f"load {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores; {arguments.output}/compile.md, compile.json")
    return 1 if any(one.failure or one.error > 1 for one in results) else 0


if __name__ == "__main__":
    sys.exit(main())
