"""The states between the stages of the compiler: what may occur in each, as a conversion target says it. All else is refused."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError, from_mlir
from triton_spacemit.dialect.module import ALLOW_IME, CHIP, CONCURRENT, FP_FUSION, SANITIZE, SCHEDULED, SCRATCH, SLOTS, STORAGES, STORED
from triton_spacemit.dialect.xsmt import HINTS

# Names of ops: `arith.*` stands for all of `arith`.
Ops = tuple[str, ...]
# What is made of numbers, and of which (of any, where the set is empty): `vector` is of one dimension, `scalable` a vector that is.
Types = Mapping[str, frozenset[str]]


def _ops(dialect: str, names: str) -> Ops:
    return tuple(f"{dialect}.{name}" for name in names.split())


# Each of these is one LLVM intrinsic that every chip has an instruction or a short sequence for.
INTRINSIC_MATH = _ops("math", "absf absi ceil copysign ctlz ctpop cttz floor fma roundeven sqrt trunc")
# Triton's ops that compute element by element.
ELEMENTWISE = _ops("tt", "bitcast clampf extern_elementwise fp_to_fp mulhiui precise_divf precise_sqrt")

_NUMBERS = frozenset("i1 i8 i16 i32 i64 index f16 f32 f64".split())
_LANES = _NUMBERS - {"index"}
_STORED = _NUMBERS | set("bf16 f8E5M2 f8E5M2FNUZ f8E4M3FN f8E4M3FNUZ f8E4M3B11FNUZ".split())
_POINTER = frozenset({"!llvm.ptr"})
_ANY: frozenset[str] = frozenset()

_STRUCTURED = (
    *("builtin.module", "func.func", "func.return", "ub.poison", "ttg.barrier", "arith.*", "math.*"),
    *_ops("scf", "condition for if index_switch while yield"),
    *_ops("llvm", "fence getelementptr intr.assume inttoptr load mlir.zero ptrtoint store"),
    *ELEMENTWISE,
    *_ops("tt", "assert broadcast cat dot dot_scaled elementwise_inline_asm expand_dims gather get_num_programs get_program_id histogram"),
    *_ops("tt", "join make_range map_elementwise map_elementwise.return print reduce reduce.return reshape scan scan.return splat split"),
    *_ops("tt", "trans unsplat"),
    *_ops("xsmt", "alloc atomic_cas atomic_poll atomic_rmw barrier_arrive barrier_at barrier_set_expect barrier_wait descriptor_load"),
    *_ops("xsmt", "descriptor_store exchange gather get_num_of_thread global_mbarrier mbarrier pack parallel scatter subview unpack yield"),
)
_LOOPS = (
    *("builtin.module", "builtin.unrealized_conversion_cast", "func.constant", "func.func", "func.return", "ub.poison"),
    *("arith.*", "vector.*"),
    *_ops("scf", "condition for if index_switch while yield"),
    *_ops("llvm", "alloca atomicrmw bitcast call call_intrinsic cmpxchg extractelement extractvalue fence freeze getelementptr inline_asm"),
    *_ops("llvm", "intr.* inttoptr load mlir.addressof mlir.constant mlir.global mlir.zero ptrtoint store"),
)
_BLOCKS = {"scalar": _STORED | _POINTER, "tensor": _STORED}
_VECTORS = {
    "scalar": _STORED | _POINTER,
    "vector": _STORED - {"index"} | _POINTER,
    "scalable": _STORED - {"index"},
    "struct": _ANY,
    "function": _ANY,
}


_WITHOUT_REGIONS = ("arith.", "math.", "vector.", "llvm.")  # but for functions
_WITH_ATTRIBUTES = frozenset({"builtin.module", "func.func", "tt.dot"})


@dataclass(frozen=True)
class State:
    """What may occur: ops, types of their results and of blocks' arguments, and which of our own attributes (`xsmt.*`) on which ops.

    No types are given where the verifiers of all ops say them. `required`: attributes that the module has to have. `any_type`: ops whose
    results may have types that nothing else has.
    """

    ops: Ops
    types: Types | None
    attributes: Mapping[str, Set[str]]
    required: frozenset[str] = frozenset()
    any_type: frozenset[str] = frozenset()

    def permits_op(self, name: str) -> bool:
        return name in self.ops or any(name.startswith(pattern[:-1]) for pattern in self.ops if pattern.endswith("*"))

    def permits_type(self, type_: ir.Type) -> bool:
        if self.types is None:
            return True
        container, element = _described(type_)
        allowed = self.types.get(container)
        return allowed is not None and (not allowed or element in allowed)


_OF_INPUT = frozenset({ALLOW_IME, CHIP, FP_FUSION, SLOTS})
_OF_SMT = _OF_INPUT | {STORAGES, STORED}
_OF_LOOPS = _OF_SMT | {SCRATCH, SCHEDULED, CONCURRENT}
_HINTS = frozenset(f"xsmt.{hint}" for hint in HINTS)

# By the stage that ends in the state.
STATES = {
    "structure": State(
        ops=(*_STRUCTURED, *_ops("xsmt", "annotation mmt4d repack")),
        types=_BLOCKS,
        attributes={"builtin.module": _OF_INPUT | {SANITIZE}},
    ),
    "smt": State(
        ops=_STRUCTURED,
        types=_BLOCKS,
        attributes={"builtin.module": _OF_SMT, "tt.dot": _HINTS},
    ),
    "loops": State(
        ops=(*_LOOPS, "math.*", *ELEMENTWISE),
        types=_VECTORS,
        attributes={"builtin.module": _OF_LOOPS},
        required=frozenset({SCRATCH}),
    ),
    "elementwise": State(
        ops=(*_LOOPS, *INTRINSIC_MATH),
        types=_VECTORS | {"scalar": _NUMBERS | _POINTER, "vector": _LANES | _POINTER, "scalable": _LANES | {"bf16"}},
        attributes={"builtin.module": _OF_LOOPS},
        any_type=frozenset({"llvm.bitcast"}),  # operands of instructions that take bfloat16
    ),
    "llvm": State(
        ops=("builtin.module", "llvm.*"),
        types=None,
        attributes={"builtin.module": _OF_LOOPS},
    ),
}


def _described(type_: ir.Type) -> tuple[str, str]:
    """A type as what holds numbers, and the text of these; what no state knows is held by its own text."""
    if isinstance(type_, ir.RankedTensorType):
        return ("tensor" if type_.has_static_shape else str(type_)), str(type_.element_type)
    if isinstance(type_, ir.VectorType):
        is_line = type_.rank == 1 and type_.shape[0] & (type_.shape[0] - 1) == 0
        container = "scalable" if type_.scalable else "vector"
        return (container if is_line else str(type_)), str(type_.element_type)
    text = str(type_)
    if isinstance(type_, ir.FunctionType):
        return "function", text
    return ("struct" if text.startswith("!llvm.struct<") else "scalar"), text


def check(module: ir.Module, stage: str) -> None:
    """Raise LoweringError where `module` is invalid or is not in the state that `stage` ends in."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        raise from_mlir(error, module.operation.location, f"invalid IR after stage {stage}: ") from None
    state = STATES[stage]
    for name in state.required:
        if name not in module.operation.attributes:
            raise LoweringError(f"the module must have the attribute {name} after stage {stage}", module.operation.location)
    found = _first_wrong(module, state)
    if found is not None:
        op, what = found
        raise LoweringError(f"{what} may not be left after stage {stage}", op.location)


def _first_wrong(module: ir.Module, state: State) -> tuple[ir.Operation, str] | None:
    """An op and what is wrong with it. All ops are looked at, so what is known of names and types is not asked again."""
    permitted: set[str] = set()  # ops that may occur
    plain: set[str] = set()  # those of them that have neither regions nor attributes of interest
    types: set[ir.Type] = set()  # that may occur
    wrong: list[tuple[ir.Operation, str]] = []
    advance = ir.WalkResult.ADVANCE

    def visit(op: ir.Operation) -> ir.WalkResult:
        name = op.name
        if state.types is not None:
            for type_ in op.results.types:
                if type_ not in types:
                    look_at_type(op, type_)
        if name not in plain:
            look_at_op(op, name)
        return ir.WalkResult.INTERRUPT if wrong else advance

    def look_at_op(op: ir.Operation, name: str) -> None:
        if name not in permitted:
            if not state.permits_op(name):
                wrong.insert(0, (op, f"'{name}'"))
            permitted.add(name)
        for region in op.regions:
            for block in region:
                for type_ in block.arguments.types:
                    look_at_type(op, type_)
        if name in _WITH_ATTRIBUTES:
            own = {attribute for attribute in op.attributes if attribute.startswith("xsmt.")}
            wrong.extend((op, f"'{name}' has the attribute {a}, which") for a in sorted(own - state.attributes.get(name, set())))
        elif name.startswith(_WITHOUT_REGIONS) and name != "llvm.func":
            plain.add(name)

    def look_at_type(op: ir.Operation, type_: ir.Type) -> None:
        if state.permits_type(type_):
            types.add(type_)
        elif op.name not in state.any_type:
            wrong.append((op, f"'{op.name}' has the type {type_}, which"))

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return wrong[0] if wrong else None
