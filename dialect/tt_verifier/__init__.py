"""Checks of Triton's ops, which are unregistered here and so have no verifiers of their own, and of what upstream's verifiers do not see.

What libtriton has parsed or built is valid; MLIR text in the generic form need not be, and passes rely on the types.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.tt_verifier import elementwise, functions, memory, products, program, shapes


@dataclass(frozen=True)
class Rule:
    """What must hold of an op: the numbers of its operands and results (none: any), and what `fits` checks, which `needs` says in words."""

    counts: set[tuple[int, int]]
    fits: Callable[[ir.Operation], bool]
    needs: str


RULES = {
    "tt.make_range": Rule({(0, 1)}, shapes.make_range, "an i32 block of as many elements as lie from `start` to `end`"),
    "tt.splat": Rule({(1, 1)}, shapes.splat, "a block of the scalar's type"),
    "tt.expand_dims": Rule({(1, 1)}, shapes.expand_dims, "the same block with a dimension of one at `axis`"),
    "tt.broadcast": Rule({(1, 1)}, shapes.broadcast, "the same elements in a shape that differs where the extent was one"),
    "tt.reshape": Rule({(1, 1)}, shapes.reshape, "as many elements of the same type"),
    "tt.trans": Rule({(1, 1)}, shapes.trans, "the same block with its dimensions in the order `order`"),
    "tt.bitcast": Rule({(1, 1)}, memory.bitcast, "one shape, and pointers on both sides or on none"),
    "tt.int_to_ptr": Rule({(1, 1)}, memory.int_to_ptr, "i64 and pointers in one shape"),
    "tt.ptr_to_int": Rule({(1, 1)}, memory.ptr_to_int, "i64 and pointers in one shape"),
    "tt.addptr": Rule({(2, 1)}, memory.addptr, "pointers, integers in their shape, and a result of the pointers' type"),
    "tt.load": Rule(
        {(1, 1), (2, 1), (3, 1)},
        memory.access,
        "pointers to the values' type, with mask and `other` in their shape and counted by operandSegmentSizes",
    ),
    "tt.store": Rule({(2, 0), (3, 0)}, memory.access, "pointers to the value's type, with the mask in their shape"),
    "tt.atomic_load": Rule(
        {(1, 1), (2, 1)}, memory.access, "pointers to the result's type, with the mask in their shape, and a known order `sem`"
    ),
    "tt.atomic_store": Rule(
        {(2, 0), (3, 0)}, memory.access, "pointers to the value's type, with the mask in their shape, and a known order `sem`"
    ),
    "tt.atomic_rmw": Rule(
        {(2, 1), (3, 1)}, memory.access, "pointers to the value's type, with the mask in their shape, a known order `sem` and operation"
    ),
    "tt.atomic_cas": Rule({(3, 1)}, memory.access, "pointers to the values' type and a known order `sem`"),
    "tt.atomic_poll": Rule(
        {(2, 1), (3, 1)},
        memory.poll,
        "pointers to the type of what is expected, an i1 result in their shape, a timeout in i64, and a known order `sem`",
    ),
    "tt.get_program_id": Rule({(0, 1)}, program.place, "an i32 and an `axis` of 0, 1 or 2"),
    "tt.get_num_programs": Rule({(0, 1)}, program.place, "an i32 and an `axis` of 0, 1 or 2"),
    "tt.reduce": Rule(
        set(),
        functions.reduce,
        "blocks of one shape, a function of their elements that uses nothing but constants, and results without the dimension `axis`",
    ),
    "tt.scan": Rule(
        set(),
        functions.scan,
        "blocks of one shape, a function of their elements that uses nothing but constants, results of the same types, and `reverse`",
    ),
    "tt.map_elementwise": Rule(
        set(), functions.map_elementwise, "blocks of one shape, and a function of `pack` elements of each that uses nothing but constants"
    ),
    "tt.dot": Rule(
        {(3, 1)}, products.dot, "matrices whose extents match, all of floats or all of integers, and a result of the accumulator's type"
    ),
    "tt.dot_scaled": Rule(
        {(3, 1), (4, 1), (5, 1)},
        products.dot_scaled,
        "matrices whose extents match, scales of 8 bits for groups along k, and a result of the accumulator's type",
    ),
    "tt.join": Rule({(2, 1)}, shapes.join, "blocks of one type, and a result with one more dimension, of two"),
    "tt.split": Rule({(1, 2)}, shapes.split, "a block whose last dimension is of two, and results of one type without it"),
    "tt.cat": Rule({(2, 1)}, shapes.cat, "blocks that differ in their first extent alone, and a result that has the sum of both"),
    "tt.gather": Rule(
        {(2, 1)}, shapes.gather, "indices of i32 or i64 in the result's shape, which differs from the source's along `axis` alone"
    ),
    "tt.histogram": Rule({(1, 1), (2, 1)}, shapes.histogram, "rows of integers, and a mask in the source's shape"),
    "tt.unsplat": Rule({(1, 1)}, shapes.unsplat, "a block of one element, and a scalar of its type"),
    "tt.fp_to_fp": Rule({(1, 1)}, elementwise.fp_to_fp, "floats in one shape"),
    "tt.clampf": Rule({(3, 1)}, elementwise.clampf, "floats of one type, and `propagateNan`"),
    "tt.mulhiui": Rule({(2, 1)}, elementwise.mulhiui, "i32 or i64 of one type"),
    "tt.precise_divf": Rule({(2, 1)}, elementwise.floats, "floats in one shape"),
    "tt.precise_sqrt": Rule({(1, 1)}, elementwise.floats, "floats in one shape"),
    "tt.extern_elementwise": Rule(
        {(1, 1), (2, 1), (3, 1)}, elementwise.extern_elementwise, "one shape, and the name of a function in `symbol`"
    ),
    "tt.print": Rule(set(), program.print_, "a text in `prefix`, `hex`, and one number in `isSigned` for each operand"),
    "tt.assert": Rule({(1, 0)}, program.assert_, "a condition of i1 and a text in `message`"),
    # Upstream's verifier takes any type here, and its translation to LLVM IR ends the process.
    "llvm.getelementptr": Rule(set(), memory.getelementptr, "a type of LLVM's in `elem_type`"),
}


def verify(module: ir.Module) -> None:
    """Raise LoweringError for the first op that breaks a rule which passes rely on."""

    errors: list[LoweringError] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        error = _check(op)
        if error is None:
            return ir.WalkResult.ADVANCE
        errors.append(error)
        return ir.WalkResult.INTERRUPT

    module.operation.walk(visit)
    if errors:
        raise errors[0]


def _check(op: ir.Operation) -> LoweringError | None:
    rule = RULES.get(op.name)
    if rule is None:
        return None
    operands, results = list(op.operands), list(op.results)
    if rule.counts and (len(operands), len(results)) not in rule.counts:
        return LoweringError(f"'{op.name}' op cannot have {len(operands)} operands and {len(results)} results", op.location)
    try:
        if rule.fits(op):
            return None
    except (KeyError, AttributeError, TypeError, ValueError, IndexError):
        pass  # a missing attribute, or a type or attribute of another kind
    except LoweringError as error:
        return LoweringError(f"'{op.name}' op with {error.message}", op.location)
    types = [", ".join(str(value.type) for value in values) for values in (operands, results)]
    return LoweringError(f"'{op.name}' op needs {rule.needs}; it has the types ({types[0]}) -> ({types[1]})", op.location)
