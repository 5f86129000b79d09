"""The one table of passes: command-line argument to function, imported when it is first used."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from triton_spacemit.dialect.errors import from_mlir

if TYPE_CHECKING:  # help and lists of passes do without MLIR, which takes half of the time that a run takes
    from torch_mlir import ir
    from torch_mlir.passmanager import PassManager

Pass = Callable[["ir.Module"], None]

PASSES = {
    "smt": "triton_spacemit.passes.smt:smt",
    "inline-calls": "triton_spacemit.passes.inline_calls:inline_calls",
    "exchanges": "triton_spacemit.passes.exchanges:exchanges",
    "flatten-reductions": "triton_spacemit.passes.flatten_reductions:flatten_reductions",
    "structure": "triton_spacemit.passes.structure:structure",
    "plain-blocks": "triton_spacemit.passes.plain_blocks:plain_blocks",
    "widen-sums": "triton_spacemit.passes.widen_sums:widen_sums",
    "stores": "triton_spacemit.passes.stores:stores",
    "sanitize": "triton_spacemit.passes.sanitize:sanitize",
    "narrow-accumulators": "triton_spacemit.passes.narrow_accumulators:narrow_accumulators",
    "loops": "triton_spacemit.passes.loops:loops",
    "expand-math": "triton_spacemit.passes.expand_math:expand_math",
    "legalize-floats": "triton_spacemit.passes.legalize_floats:legalize_floats",
    "retype-narrow-floats": "triton_spacemit.passes.retype_narrow_floats:retype_narrow_floats",
    "guard-division": "triton_spacemit.passes.guard_division:guard_division",
    "expand-division": "triton_spacemit.passes.expand_division:expand_division",
    "count-turns": "triton_spacemit.passes.count_turns:count_turns",
    "rotate-loops": "triton_spacemit.passes.rotate_loops:rotate_loops",
    "to-llvm": "triton_spacemit.passes.to_llvm:to_llvm",
}

# Passes of upstream MLIR that the pipelines use; any other of them works by its own argument as well.
UPSTREAM = {
    "canonicalize": "Fold and simplify registered ops (upstream)",
    "cse": "Eliminate common subexpressions (upstream)",
    "lift-cf-to-scf": "Turn branches between blocks into scf ops (upstream)",
    "loop-invariant-code-motion": "Hoist loop-invariant ops (upstream)",
}


def lookup(argument: str) -> Pass:
    """The pass called `argument`: one of `PASSES`, or else upstream's; running it raises ValueError where that has none."""
    return functools.partial(_run, argument=argument)


def _run(module: ir.Module, argument: str) -> None:
    if argument not in PASSES:
        run_upstream(module, argument)
        return
    name, function = PASSES[argument].split(":")
    getattr(importlib.import_module(name), function)(module)


def problem(pipeline: str) -> str:
    """What is wrong with the text of upstream passes, such as `canonicalize{max-iterations=3},cse`; empty where nothing is."""
    from torch_mlir import ir

    try:
        with ir.Context():
            _parse_upstream(pipeline)
    except ValueError as error:
        return str(error)
    return ""


# Of each context: a pass manager collects its patterns when it is first run, which takes longer than most runs do.
_managers: weakref.WeakKeyDictionary[ir.Context, dict[str, PassManager]] = weakref.WeakKeyDictionary()


def run_upstream(module: ir.Module, pipeline: str, failure: str = "") -> None:
    """Run upstream passes given as text, e.g. `canonicalize,cse`. Raises LoweringError where one fails, which says `failure` first."""
    from torch_mlir import ir

    context = module.context
    managers = _managers.setdefault(context, {})
    with context:
        if pipeline not in managers:
            managers[pipeline] = _parse_upstream(pipeline)
            managers[pipeline].enable_verifier(False)  # `states.check` verifies what a stage ends in
        try:
            managers[pipeline].run(module.operation)
        except ir.MLIRError as error:
            raise from_mlir(error, module.operation.location, f"{failure or pipeline}: ") from None


def _parse_upstream(pipeline: str) -> PassManager:
    from torch_mlir.passmanager import PassManager

    try:
        return PassManager.parse(f"builtin.module({pipeline})")
    except ValueError:
        # Passes on functions need the function level named.
        try:
            return PassManager.parse(f"builtin.module(func.func({pipeline}))")
        except ValueError as error:
            said = str(error)
            if missing := re.search(r"'([^']*)' does not refer to a registered pass", said):
                raise ValueError(f"unknown pass {missing[1]!r}; triton-spacemit-opt --list-passes shows the known ones") from None
            raise ValueError(f"{pipeline}: {said.strip().splitlines()[0].partition('>: ')[2] or said.strip()}") from None


def summaries() -> dict[str, str]:
    """Every pass of the table with its summary: the first line of its documentation."""
    return {argument: documentation(argument).partition("\n")[0] for argument in PASSES} | UPSTREAM


def documentation(argument: str) -> str:
    """The docstring of the module of one of `PASSES`, read without importing it: what the pass does, and an example of its input."""
    path = Path(__file__).parent.joinpath(*PASSES[argument].split(":")[0].split(".")[2:])
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return inspect.cleandoc(ast.get_docstring(ast.parse(source.read_text())) or "")
