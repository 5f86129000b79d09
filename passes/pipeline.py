"""The stages of the compiler as one list, each with the state that it ends in."""

from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
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
        ("lift-cf-to-scf", "smt", "inline-calls", "canonicalize", "cse", "structure", "canonicalize", "cse"),
        State(ops=(*_BRANCHES, *_MEMORY), types=("!tt.",)),
    ),
    "smt": Stage(
        ("plain-blocks", "canonicalize", "cse"), State(ops=("xsmt.mmt4d", "xsmt.repack", *_BRANCHES, *_MEMORY), types=("!tt.",))
    ),
    "loops": Stage(("loops", "canonicalize", "cse"), State(ops=("xsmt.",), types=("tensor<", "!tt."))),
    "elementwise": Stage(
        ("expand-math", "legalize-floats", "guard-division"), State(ops=("tt.", "math.", "xsmt."), allowed=_INTRINSIC_MATH)
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
        raise LoweringError(f"invalid IR after stage {stage}: {error}", module.operation.location) from None
    state = STAGES[stage].state
    permitted: dict[ir.Type, bool] = {}

    def check_type(op: ir.Operation, type_: ir.Type) -> None:
        if type_ not in permitted:
            permitted[type_] = state.permits_type(str(type_))
        if not permitted[type_]:
            raise LoweringError(f"'{op.name}' has the type {type_}, which may not be left after stage {stage}", op.location)

    def check_region(region: ir.Region) -> None:
        for block in region.blocks:
            for argument in block.arguments:
                check_type(block.owner, argument.type)
            for op in block.operations:
                check_op(op.operation)

    def check_op(op: ir.Operation) -> None:
        if not state.permits_op(op.name):
            raise LoweringError(f"'{op.name}' may not be left after stage {stage}", op.location)
        for result in op.results:
            check_type(op, result.type)
        for region in op.regions:
            check_region(region)

    check_op(module.operation)
