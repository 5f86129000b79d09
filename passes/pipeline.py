"""The stages of the compiler as one list, each with the state that it ends in."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError, from_mlir
from triton_spacemit.passes import registry


@dataclass(frozen=True)
class State:
    """What a stage ends in: ops whose name, or a type whose text, starts with one of these are not left over.

    `allowed` are exceptions to `ops`. `only`, where given, is the one dialect that may occur besides the module itself.
    """

    ops: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()
    only: str = ""

    def permits_op(self, name: str) -> bool:
        if self.only:
            return name.startswith(self.only) or name == "builtin.module"
        return name in self.allowed or not name.startswith(self.ops)

    def permits_type(self, text: str) -> bool:
        return not any(part in text for part in self.types)


@dataclass(frozen=True)
class Stage:
    """A named step of the compiler: passes in order, and the state they end in."""

    passes: tuple[str, ...]
    state: State


_BRANCHES = ("cf.br", "cf.cond_br", "cf.switch", "func.call", "tt.call")
_MEMORY = ("tt.load", "tt.store", "tt.addptr", "tt.atomic_", "tt.int_to_ptr", "tt.ptr_to_int", "tt.make_tensor", "tt.descriptor_")
# Each of these is one LLVM intrinsic that both targets have instructions or short sequences for.
_INTRINSIC_MATH = frozenset(
    "math." + name for name in "absf absi ceil copysign ctlz ctpop cttz floor fma isfinite isinf isnan round roundeven sqrt trunc".split()
)

STAGES = {
    "structure": Stage(
        (
            *("lift-cf-to-scf", "smt", "inline-calls", "canonicalize", "cse"),
            *("exchanges", "flatten-reductions", "structure", "canonicalize", "cse"),
        ),
        State(ops=(*_BRANCHES, *_MEMORY), types=("!tt.",)),
    ),
    "smt": Stage(
        ("plain-blocks", "widen-sums", "canonicalize", "cse"),
        State(ops=("xsmt.mmt4d", "xsmt.repack", *_BRANCHES, *_MEMORY), types=("!tt.",)),
    ),
    "loops": Stage(("narrow-accumulators", "loops", "canonicalize", "cse"), State(ops=("xsmt.",), types=("tensor<", "!tt."))),
    "elementwise": Stage(
        ("expand-math", "legalize-floats", "retype-narrow-floats", "guard-division"),
        State(ops=("tt.", "math.", "xsmt."), allowed=_INTRINSIC_MATH),
    ),
    "llvm": Stage(("to-llvm",), State(only="llvm.")),
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
        stage = STAGES[name]
        for argument in stage.passes:
            registry.lookup(argument)(module)
            if on_pass is not None:
                on_pass(argument, module)
        check(module, name)
        if name == until:
            return


def check(module: ir.Module, stage: str) -> None:
    """Raise LoweringError where `module` is invalid or is not in the state that `stage` ends in."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise from_mlir(error, module.operation.location, f"invalid IR after stage {stage}: ") from None
    state = STAGES[stage].state
    permits_op, permits_type = functools.cache(state.permits_op), functools.cache(lambda type_: state.permits_type(str(type_)))
    wrong: list[tuple[ir.Operation, str]] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if not permits_op(op.name):
            wrong.append((op, f"'{op.name}'"))
        if state.types:
            visit_values(op, op.results)
            for region in op.regions:
                for block in region:
                    visit_values(op, block.arguments)
        return ir.WalkResult.INTERRUPT if wrong else ir.WalkResult.ADVANCE

    def visit_values(op: ir.Operation, values: Iterable[ir.Value]) -> None:
        for value in values:
            if not permits_type(value.type):
                wrong.append((op, f"'{op.name}' has the type {value.type}, which"))

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    if wrong:
        op, what = wrong[0]
        raise LoweringError(f"{what} may not be left after stage {stage}", op.location)
