"""What a program means: it is run by Triton's interpreter, watched (`watch`) and corrected in a few places (`corrections`).

Triton decides at import whether its own functions (`tl.sum`) are compiled or interpreted. Here both happen in one process: while a program
is interpreted, calling a compiled function runs the interpreter's version of it.
"""

import ast
import contextlib
import linecache
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import triton
import triton.language as tl
from random_kernels import corrections, watch
from random_kernels.memory import Memory
from random_kernels.program import Program
from triton.language import core  # noqa: F401 (see `_probe`)
from triton.runtime import interpreter
from triton.runtime.jit import JITFunction

HEADER = "import triton\nimport triton.language as tl\n\n\n"


def load_kernel(program: Program) -> JITFunction:
    """The kernel as Triton's compiler takes it. Its source is where `inspect` looks for it."""
    text = HEADER + program.source()
    name = f"<random kernel {program.seed} {hash(text) & 0xFFFFFFFFFFFF:x}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"__name__": "random_kernel", "__file__": name}
    exec(compile(text, name, "exec"), scope)
    return scope["kernel"]


@contextlib.contextmanager
def _replaced(changes: list[watch.Change]) -> Iterator[None]:
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, new in changes:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


_rewritten: dict[Any, Callable] = {}


def _interpreted(function: JITFunction, *args: Any, **kwargs: Any) -> Any:
    if function.fn not in _rewritten:
        _rewritten[function.fn] = interpreter.FunctionRewriter(function.fn).rewrite_ast()
    return _rewritten[function.fn](*args, **kwargs)


@contextlib.contextmanager
def interpreting() -> Iterator[None]:
    """In this scope calls of compiled functions are interpreted, and nothing can be compiled."""
    changes: list[watch.Change] = [(JITFunction, "__call__", _interpreted), *watch.changes()]
    with _replaced(changes), _replaced(corrections.changes()), _quiet():
        scope = interpreter._patch_lang(_probe)
        try:
            yield
        finally:
            scope.restore()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NumPy does not warn of infinities, nor Triton of what it calls only compiled."""
    with triton.knobs.runtime.scope(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        triton.knobs.runtime.interpret = True
        yield


def _probe() -> None:
    """Its globals show `tl` and `core`, whose functions the interpreter replaces."""


def _argument(value: Any, dtype: str | None) -> Any:
    if dtype == "float32":
        return tl.tensor(interpreter.TensorHandle(np.array([value], np.float32), tl.float32), tl.float32)
    return interpreter._implicit_cvt(value)


def _rewrite(program: Program, kernel: JITFunction) -> Callable:
    """What the interpreter's FunctionRewriter makes of the kernel, without looking for its source."""
    tree = ast.parse(HEADER + program.source())
    function = tree.body[-1]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    module = ast.Module([ast.fix_missing_locations(interpreter.ASTTransformer().visit(function))], [])
    scope = vars(interpreter) | kernel.fn.__globals__
    exec(compile(module, kernel.fn.__code__.co_filename, "exec"), scope)
    return scope["kernel"]


def run(program: Program, kernel: JITFunction, memory: Memory) -> None:
    """Interpret every program of the grid, within `interpreting()`."""
    function = _rewrite(program, kernel)
    types = [None] * len(program.pointers) + [scalar.dtype for scalar in program.scalars]
    arguments = [_argument(value, dtype) for value, dtype in zip(memory.arguments(), types, strict=True)]
    watch.WATCH.ranges = memory.ranges()
    interpreter.interpreter_builder.set_grid_dim(*program.grid)
    for place in np.ndindex(*program.grid):
        interpreter.interpreter_builder.set_grid_idx(*(int(i) for i in place))
        function(*arguments, **program.atoms)
