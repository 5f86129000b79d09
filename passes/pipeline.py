"""The stages of the compiler as one list: each is passes in order, and ends in a state that is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_spacemit.passes import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch_mlir import ir

# Each ends in the state of its name (`states.py`).
STAGES: dict[str, tuple[str, ...]] = {
    "structure": (
        *("lift-cf-to-scf", "smt", "inline-calls", "canonicalize", "cse"),
        *("exchanges", "flatten-reductions", "structure", "canonicalize", "cse"),
    ),
    "smt": ("plain-blocks", "widen-sums", "canonicalize", "cse", "stores", "sanitize"),
    # From the last op to the first: unrolled code has long chains of addresses, which fold in half the time.
    "loops": ("narrow-accumulators", "loops", "canonicalize{top-down=false}", "cse"),
    "elementwise": ("expand-math", "legalize-floats", "retype-narrow-floats", "guard-division", "expand-division"),
    "llvm": ("count-turns", "to-llvm"),
}


def run(
    module: ir.Module,
    until: str = "llvm",
    on_pass: Callable[[str, ir.Module], None] | None = None,
    after: str | None = None,
) -> None:
    """Run the stages up to and with `until` on a bridged module, or, with `after`, on one that this stage has been run on.

    `on_pass(argument, module)` is called after each pass. Raises LoweringError where a pass refuses the program or a stage does not
    reach its end state.
    """
    for name in (until, after or until):
        if name not in STAGES:
            raise ValueError(f"unknown stage {name!r}; known: {', '.join(STAGES)}")
    names = list(STAGES)
    for name in names[names.index(after) + 1 if after else 0 :]:
        for argument in STAGES[name]:
            registry.lookup(argument)(module)
            if on_pass is not None:
                on_pass(argument, module)
        check(module, name)
        if name == until:
            return


def check(module: ir.Module, stage: str) -> None:
    """Raise LoweringError where `module` is invalid or is not in the state that `stage` ends in."""
    from triton_spacemit.passes import states  # brings MLIR with it, which the table of stages does without

    states.check(module, stage)
