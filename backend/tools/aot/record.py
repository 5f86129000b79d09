"""Recording a program's launches, as requests for kernels to compile ahead of time.

A grid is known as numbers only. It is written as an expression of the kernel's integers that gives the numbers of all recorded launches;
the simplest is taken, which the user is to look at.

Of a kernel under `triton.autotune` the configuration that was chosen is recorded, not those that were tried.
"""

import inspect
import itertools
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triton_spacemit.backend.tools.aot.grid import parse
from triton_spacemit.backend.tools.aot.variants import CODE_OPTIONS, INTEGERS, Request
from triton_spacemit.backend.tools.kernel_files import UnknownKernelError


@dataclass
class _Launches:
    """Launches of one function with the same types, constants and options. hints: of each specialisation that was launched, by argument."""

    function: Any
    types: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, bool]
    hints: set[tuple[tuple[str, str], ...]] = field(default_factory=set)
    grids: list[tuple[tuple[int, int, int], dict[str, int]]] = field(default_factory=list)


#: Whether a launch is one of those by which `triton.autotune` chooses.
_tuning: ContextVar[bool] = ContextVar("tuning", default=False)


def record(program: Path, arguments: Sequence[str]) -> list[Request]:
    """The kernels that the Python program launches while it runs as a script.

    Raises UnknownKernelError where it launches none, or one whose grid no expression gives, or where it fails; and what the program raises.
    """
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    found: dict[Any, _Launches] = {}
    original, original_bench = JITFunction.run, Autotuner._bench

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        kernel = original(self, *args, grid=grid, warmup=warmup, **kwargs)
        if kernel is not None and not warmup and not _tuning.get():
            bound = inspect.signature(self.fn).bind(*args, **{key: value for key, value in kwargs.items() if key in self.arg_names})
            bound.apply_defaults()
            extents = grid(bound.arguments) if callable(grid) else grid
            _note(found, self, kernel, dict(bound.arguments), (*extents, 1, 1)[:3])
        return kernel

    def bench(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _tuning.set(True)
        try:
            return original_bench(self, *args, **kwargs)
        finally:
            _tuning.reset(token)

    JITFunction.run, Autotuner._bench = run, bench
    argv, sys.argv = sys.argv, [str(program), *arguments]
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise UnknownKernelError(f"{program} ended with {end.code!r}") from None
    finally:
        JITFunction.run, Autotuner._bench, sys.argv = original, original_bench, argv
    if not found:
        raise UnknownKernelError(f"{program} launches no kernel")
    return [request for number, launches in enumerate(found.values()) for request in _requests(launches, _name(found, number))]


def _note(found: dict[Any, _Launches], function: Any, kernel: Any, values: dict[str, Any], grid: tuple[int, int, int]) -> None:
    source = kernel.src
    declared = [parameter.name for parameter in function.params if parameter.is_constexpr]
    # An argument that is 1 is a constant of its specialisation only.
    types = {name: kind for name, kind in source.signature.items() if kind != "constexpr"}
    ones = {name for name, kind in source.signature.items() if kind == "constexpr" and name not in declared}
    types |= {name: "i32" for name in ones}
    constants = {name: values[name] for name in declared}
    unwritable = [name for name, value in constants.items() if not isinstance(value, int | float | str | bool | None)]
    if unwritable:
        raise UnknownKernelError(f"{function.__name__}: the constant {unwritable[0]} = {constants[unwritable[0]]!r} cannot be written down")
    options = {name: getattr(kernel.metadata, name) for name in CODE_OPTIONS if not getattr(kernel.metadata, name)}
    key = (function, *(tuple(sorted(part.items(), key=lambda item: item[0])) for part in (types, constants, options)))
    launches = found.setdefault(key, _Launches(function, types, constants, options))
    divisible = {function.arg_names[path[0]] for path, hints in source.attrs.items() if ["tt.divisibility", 16] in hints}
    launches.hints.add(tuple((name, "1" if name in ones else "16" if name in divisible else "") for name in types))
    integers = {name: values[name] for name, kind in types.items() if kind in INTEGERS}
    launches.grids.append((grid, integers))


def _name(found: dict[Any, _Launches], number: int) -> str | None:
    """A name of its own for a function that is there with several constants, types or options."""
    functions = [key[0] for key in found]
    earlier = functions[:number].count(functions[number])
    return f"{functions[number].__name__}_{earlier + 1}" if earlier else None


def _requests(launches: _Launches, name: str | None) -> Iterator[Request]:
    function = launches.function
    grid = ", ".join(_extent(launches, dimension) for dimension in range(_dimensions(launches)))
    constants = tuple(f"{key}={value!r}" for key, value in launches.constants.items())
    place = f"{Path(function.fn.__code__.co_filename).resolve()}:{function.__name__}"
    for hints in sorted(launches.hints, reverse=True):
        known = dict(hints)
        order = [argument for argument in function.arg_names if argument in known]
        signature = ", ".join(launches.types[argument] + (f":{known[argument]}" if known[argument] else "") for argument in order)
        yield Request(place, signature, grid, constants, name, tuple(launches.options.items()))


def _dimensions(launches: _Launches) -> int:
    return max([1] + [d + 1 for grid, _ in launches.grids for d in range(3) if grid[d] != 1])


def _extent(launches: _Launches, dimension: int) -> str:
    """The simplest expression that is the extent of every launch: a number, an integer, a quotient by a constant, a product of two."""
    integers = list(launches.grids[0][1])
    constants = [name for name, value in launches.constants.items() if type(value) is int and value > 0]
    quotients = [f"cdiv({integer}, {constant})" for integer in integers for constant in constants]
    extents = [grid[dimension] for grid, _ in launches.grids]
    varies = len({tuple(values.values()) for _, values in launches.grids}) > 1
    number = [str(extents[0])] if len(set(extents)) == 1 else []
    single = [*integers, *quotients]
    products = [f"{left} * {right}" for left, right in itertools.combinations(single, 2)]
    # Where the integers never varied, nothing tells a number from an expression that happens to be it.
    candidates = [*number, *single, *products] if varies or extents[0] == 1 else [*quotients, *integers, *products, *number]
    for candidate in candidates:
        tree = parse(candidate, frozenset(integers), launches.constants)
        if all(tree.evaluate(values) == (grid[dimension],) for grid, values in launches.grids):
            return candidate
    name, example = launches.function.__name__, launches.grids[0]
    raise UnknownKernelError(f"{name}: no simple expression gives the grids that were launched, such as {example[0]} for {example[1]}")
