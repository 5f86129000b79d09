"""The command `triton-spacemit bench`: what one kernel costs on a device, and how costs are measured.

Time is measured in turns with what it is compared with, so that whatever else the machine does slows both; the minimum is what the
code costs, the median what this machine made of it. On one thread it is the thread's own time, else the wall's. A board tells the time
that launches take there. Under QEMU, whose time means nothing, executed instructions are counted, and the chip's cycles are estimated
where something is known of them.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from triton_spacemit.backend.devices import DEVICES, Clock, counting, device_class, resolve
from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect.chips import CHIPS

_TURN = 0.02  # seconds
_LARGEST_TURN = 50


def time_in_turns(
    functions: Sequence[Callable[[], object]], seconds: float = 1.0, turns: int = 5, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """The seconds of calls of each of `functions`, for at least so long and so many turns each.

    clock: `time.thread_time` leaves out what other processes took from calls that run on one thread. The first call of a turn is not
    timed: the threads of the turn before may still spin, and the caches hold its data.
    """
    calls = []
    for function in functions:
        function()
        start = time.perf_counter()
        function()
        calls.append(min(max(int(_TURN / (time.perf_counter() - start)), 1), _LARGEST_TURN))
    times: list[list[float]] = [[] for _ in functions]
    deadline = time.perf_counter() + seconds * len(functions)
    while turns > 0 or time.perf_counter() < deadline:
        turns -= 1
        for function, count, own in zip(functions, calls, times, strict=True):
            function()
            for _ in range(count):
                start = clock()
                function()
                own.append(clock() - start)
    return times


class CompileTimes:
    """A listener of Triton's compilations: the milliseconds of every stage of each kernel that was compiled, not found in the cache."""

    def __init__(self) -> None:
        self.kernels: dict[str, dict[str, float]] = {}

    def __call__(self, *, metadata: dict[str, Any], times: Any, cache_hit: bool, **_: Any) -> None:
        if not cache_hit:
            stages = {"frontend": times.ir_initialization, **dict(times.lowering_stages), "store": times.store_results}
            self.kernels[metadata["name"]] = {stage: microseconds / 1e3 for stage, microseconds in stages.items()}


def top(counts: counting.Counts, per: float = 1.0, most: int = 10) -> dict[str, float]:
    """The mnemonics that weigh most, each with its weight divided by `per`."""
    ordered = sorted(counts.weighted_by_mnemonic.items(), key=lambda item: -item[1])
    return {mnemonic: weight / per for mnemonic, weight in ordered[:most]}


def measure(
    function: Callable[[], object],
    device: str,
    per: float = 1.0,
    seconds: float = 1.0,
    against: Callable[[], object] | None = None,
    warm: bool = False,
) -> dict[str, Any]:
    """What a call of `function`, which launches kernels, costs on the active device `device`, a count divided by `per`.

    against: another function, measured in the same way; `times_as_fast` is its cost divided by ours.
    warm: an estimate of cycles is of a second call, with the caches as the first one leaves them; on a board they are not emptied.
    Raises DeviceError where the device sees launches alone, and one of the functions launches no kernel.

    `first_compile_ms`: where these are the first kernels of the process, their compilation includes imports.
    """
    from triton import knobs as triton_knobs

    with triton_knobs.compilation.scope():
        triton_knobs.compilation.listener = compiled = CompileTimes()
        function()
    result: dict[str, Any] = {"first_compile_ms": compiled.kernels}
    functions = {"ours": function, **({"against": against} if against else {})}
    clock = device_class(device).clock
    if clock is Clock.INSTRUCTIONS:
        found = {name: _counted(each, per, warm) for name, each in functions.items()}
        result |= found["ours"]
        if against:
            what = "estimated_cycles" if "estimated_cycles" in found["ours"] else "weighted"
            result |= {"against": found["against"], "times_as_fast": found["against"][what] / found["ours"][what]}
    elif clock in (Clock.TIME, Clock.BOARD):
        times = _host_times(functions, seconds) if clock is Clock.TIME else _board_times(functions, seconds, warm)
        for name, own in times.items():
            result[f"{name}_ms"] = {"minimum": min(own), "median": statistics.median(own), "calls": len(own)}
        if against:
            result["times_as_fast"] = result["against_ms"]["minimum"] / result["ours_ms"]["minimum"]
    return result


def _counted(function: Callable[[], object], per: float, warm: bool) -> dict[str, Any]:
    """Instructions of a call, and its cycles where they can be estimated."""
    from triton_spacemit.backend import estimate

    function()  # compiles
    counts = counting.count(function)
    if not counts.instructions:
        raise DeviceError("what is to be measured launches no kernel, and nothing else has a cost on an emulated chip")
    result = {"weighted": counts.weighted / per, "instructions": counts.instructions / per, "weighted_by_mnemonic": top(counts, per)}
    return result | (estimate.as_table(estimate.estimate(function, warm), per) if estimate.can_estimate() else {})


def _host_times(functions: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """The milliseconds of calls in turns."""
    from triton_spacemit.backend.knobs import knobs

    timer = time.thread_time if knobs.num_threads == 1 else time.perf_counter
    found = time_in_turns(list(functions.values()), seconds, clock=timer)
    return {name: [once * 1e3 for once in times] for name, times in zip(functions, found, strict=True)}


def _board_times(functions: dict[str, Callable[[], object]], seconds: float, warm: bool) -> dict[str, list[float]]:
    """The milliseconds that calls take on the board, which repeats their launches."""
    from triton_spacemit.backend.benchmarks import time_on_board

    return {name: time_on_board(each, 0, seconds * 1e3, return_mode="all", flush=not warm) for name, each in functions.items()}


def load_function(place: str) -> Callable[[], object]:
    """The function that `FILE:FUNCTION` names. Raises ValueError where there is none."""
    file, _, name = place.rpartition(":")
    path = Path(file)
    if not file or not path.is_file():
        raise ValueError(f"{place!r} must be FILE:FUNCTION with the path of a Python file")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    function = getattr(importlib.import_module(path.stem), name, None)
    if not callable(function):
        raise ValueError(f"{file} has no function {name!r}")
    if hasattr(function, "run"):
        raise ValueError(f"{name!r} is a kernel; name a function without arguments that launches it")
    return function


def _show(result: dict[str, Any], indent: str = "") -> None:
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            _show(value, indent + "  ")
        else:
            print(f"{indent}{key:<24} {value:.4g}" if isinstance(value, float) else f"{indent}{key:<24} {value}")


def _bench(arguments: argparse.Namespace) -> int:
    from triton_spacemit.backend import set_device
    from triton_spacemit.backend.knobs import knobs

    try:
        set_device(arguments.device, arguments.chip)
        function = load_function(arguments.function)
        against = load_function(arguments.against) if arguments.against else None
        if arguments.threads:
            knobs.threads = arguments.threads
            if "torch" in sys.modules:  # for what it is compared with
                sys.modules["torch"].set_num_threads(arguments.threads)
    except ValueError as error:
        print(f"triton-spacemit bench: {error}", file=sys.stderr)
        return 2
    device, chip = resolve(arguments.device, arguments.chip)
    try:
        measured = measure(function, arguments.device, arguments.per, arguments.seconds, against, arguments.warm)
    except DeviceError as error:
        print(f"triton-spacemit bench: {error}", file=sys.stderr)
        return 1
    result = {"device": device, "chip": chip, **measured}
    if arguments.json:
        json.dump(result, sys.stdout, indent=2)
        print()
    else:
        _show(result)
    return 0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command to the program's parser."""
    what = "What one kernel costs: time, here or on a board, or under QEMU instructions and an estimate of cycles."
    bench = commands.add_parser("bench", help="measure a kernel", description=what)
    bench.add_argument("function", metavar="FILE:FUNCTION", help="a Python function without arguments that launches the kernel")
    bench.add_argument("--device", choices=DEVICES, default="host", help="where it runs (default: %(default)s)")
    bench.add_argument("--chip", choices=("host", *CHIPS), help="what it is compiled for (default: the device's)")
    bench.add_argument("--threads", type=int, default=0, help="threads that a grid is spread over (default: one a core)")
    bench.add_argument("--per", type=float, default=1.0, help="divide counts by this, such as the number of elements")
    bench.add_argument("--against", metavar="FILE:FUNCTION", help="a function that is measured likewise, on the host in turns with it")
    bench.add_argument("--seconds", type=float, default=1.0, help="how long it is timed (default: %(default)s)")
    bench.add_argument("--warm", action="store_true", help="on emulated chips and boards: with caches as a first call leaves them")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.set_defaults(command=_bench)
