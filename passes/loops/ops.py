"""The one table of ops that the loops pass knows: what each is to a block program, and the function that lowers it.

A lazy op is a pure function of coordinates: its result is computed wherever it is needed, at the coordinates where it is needed. All others
act where they stand. (What a lazy op reads may have to be put in memory first; it may be stored where it is defined, if that is cheaper.)
"""

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Op:
    """A row of the table.

    handler: `module.function` in this package; it is called with the lowering and the node, and returns what the results are. lazy: see
    above. writes: memory is written, or must have been read, when the op is over: loads before it do not pass it. synchronises: besides,
    other programs or threads may see what was written before. cost: the
    field of a chip's `Costs` that says about how many vector ops it is; one where it is empty. whole_registers: its loops are worth
    full vector registers. conversion: it only changes the type of floats. attributes: names of inherent attributes, which do not show when
    those of an unregistered op are iterated.
    """

    handler: str
    lazy: bool = False
    writes: bool = False
    synchronises: bool = False
    cost: str = ""
    whole_registers: bool = False
    conversion: bool = False
    attributes: tuple[str, ...] = ()

    def lower(self, low: Any, node: Any) -> Any:
        return _function(self.handler)(low, node)


@functools.cache
def _function(handler: str) -> Callable:
    module, function = handler.split(".")
    return getattr(importlib.import_module(f"triton_spacemit.passes.loops.{module}"), function)


_ELEMENTWISE = "elementwise.lower_elementwise"
_COPIED = "functions.lower_scalar"  # scalar ops that stay as they are, with new operands


def _elementwise(cost: str = "", conversion: bool = False, attributes: tuple[str, ...] = ()) -> Op:
    return Op(_ELEMENTWISE, lazy=True, cost=cost, conversion=conversion, attributes=attributes)


OPS = {
    "arith.constant": Op("elementwise.lower_constant", lazy=True),
    "ub.poison": Op("elementwise.lower_poison"),
    "tt.splat": Op("elementwise.lower_splat", lazy=True),
    "tt.unsplat": Op("elementwise.lower_unsplat"),
    "tt.make_range": Op("elementwise.lower_make_range", lazy=True),
    # Element-wise ops that cost more than one instruction, convert or have attributes; all other arith and math ops are element-wise, too.
    "arith.divf": _elementwise("division"),
    "arith.remf": _elementwise("remainder"),
    "arith.divsi": _elementwise("integer_division"),
    "arith.divui": _elementwise("integer_division"),
    "arith.remsi": _elementwise("integer_division"),
    "arith.remui": _elementwise("integer_division"),
    "arith.extf": _elementwise(conversion=True),
    "arith.truncf": _elementwise(conversion=True),
    "tt.bitcast": _elementwise(),
    "tt.fp_to_fp": _elementwise(conversion=True, attributes=("rounding",)),
    "tt.clampf": _elementwise(attributes=("propagateNan",)),
    "tt.mulhiui": _elementwise(),
    "tt.precise_divf": _elementwise("division"),
    "tt.precise_sqrt": _elementwise(),
    "tt.extern_elementwise": _elementwise("function", attributes=("libname", "libpath", "symbol", "pure")),
    "tt.map_elementwise": Op("functions.lower_map_elementwise", lazy=True),
    "tt.elementwise_inline_asm": Op("services.refuse_assembly"),
    # Changes of shape
    "tt.expand_dims": Op("rearrange.lower_expand_dims", lazy=True),
    "tt.broadcast": Op("rearrange.lower_broadcast", lazy=True),
    "tt.trans": Op("rearrange.lower_trans", lazy=True),
    "tt.split": Op("rearrange.lower_split", lazy=True),
    "tt.gather": Op("rearrange.lower_gather", lazy=True, cost="gather"),
    "tt.reshape": Op("rearrange.lower_reshape"),  # lazy where only dimensions of extent 1 come or go
    "tt.join": Op("rearrange.lower_join"),
    "tt.cat": Op("rearrange.lower_cat"),
    "xsmt.subview": Op("packed.lower_subview", lazy=True),
    "xsmt.pack": Op("packed.lower_pack", lazy=True),
    "xsmt.unpack": Op("packed.lower_unpack"),
    # Over whole blocks
    "tt.reduce": Op("reductions.lower_reduce"),
    "tt.scan": Op("scans.lower_scan", whole_registers=True),
    "tt.histogram": Op("histograms.lower_histogram"),
    "tt.dot": Op("dot.lower_dot", whole_registers=True),
    "tt.dot_scaled": Op("scaled_dot.lower_scaled_dot"),
    "xsmt.exchange": Op("exchange.lower_exchange", whole_registers=True),
    # Memory of the caller
    "xsmt.descriptor_load": Op("accesses.lower_load", lazy=True),
    "xsmt.gather": Op("accesses.lower_load", lazy=True, cost="gather"),
    "xsmt.descriptor_store": Op("accesses.lower_store", writes=True),
    "xsmt.scatter": Op("accesses.lower_store", writes=True),
    "xsmt.atomic_rmw": Op("atomics.lower_atomic", writes=True, synchronises=True),
    "xsmt.atomic_cas": Op("atomics.lower_atomic", writes=True, synchronises=True),
    "xsmt.atomic_poll": Op("atomics.lower_atomic_poll", writes=True, synchronises=True),
    "llvm.load": Op("accesses.lower_llvm_load"),
    "llvm.store": Op("accesses.lower_llvm_store", writes=True),
    "llvm.fence": Op("accesses.lower_fence", writes=True, synchronises=True),
    # The program and its threads. Whoever waits for a thread's arrival may write what the thread has read before: its loads do not pass the
    # arrival. They may pass a wait.
    "tt.get_program_id": Op("services.lower_program_id"),
    "tt.get_num_programs": Op("services.lower_program_id"),
    "tt.assert": Op("services.lower_assert"),
    "tt.print": Op("services.lower_print"),
    "ttg.barrier": Op("control.lower_nothing"),  # one thread runs a program: it is always in step with itself
    "xsmt.annotation": Op("control.lower_nothing"),
    "xsmt.alloc": Op("parallel.lower_alloc"),
    "xsmt.parallel": Op("parallel.lower_parallel", writes=True, synchronises=True),
    "xsmt.get_num_of_thread": Op("parallel.lower_num_threads"),
    "xsmt.mbarrier": Op("parallel.lower_mbarrier"),
    "xsmt.global_mbarrier": Op("parallel.lower_global_mbarrier"),
    "xsmt.barrier_at": Op("parallel.lower_barrier_at"),
    "xsmt.barrier_arrive": Op("parallel.lower_arrive", writes=True, synchronises=True),
    "xsmt.barrier_wait": Op("parallel.lower_wait"),
    "xsmt.barrier_set_expect": Op("parallel.lower_set_expect", writes=True, synchronises=True),
    # Control flow
    "scf.for": Op("control.lower_for"),
    "scf.if": Op("control.lower_if"),
    "scf.while": Op("control.lower_while"),
    "scf.index_switch": Op("control.lower_index_switch"),
    "scf.yield": Op("control.lower_nothing"),
    "scf.condition": Op("control.lower_nothing"),
    "func.return": Op("control.lower_nothing"),
    # Scalars of the LLVM dialect
    "llvm.getelementptr": Op(_COPIED),
    "llvm.mlir.zero": Op(_COPIED),
    "llvm.ptrtoint": Op(_COPIED),
    "llvm.inttoptr": Op(_COPIED),
    "llvm.intr.assume": Op(_COPIED),
}
# math's functions that are one or two instructions
_CHEAP_MATH = frozenset(f"math.{name}" for name in "absf fma absi copysign floor ceil roundeven trunc".split())
#: The same of libdevice's, by their symbols in `tt.extern_elementwise`.
CHEAP_SYMBOLS = frozenset(f"__xsmt_{name}" for name in "abs ceil copysign floor rint trunc".split())
_PLAIN, _FUNCTION = _elementwise(), _elementwise("function")

CONVERSIONS = frozenset(name for name, op in OPS.items() if op.conversion)
DIVISIONS = frozenset(f"arith.{name}" for name in "divsi divui remsi remui ceildivsi ceildivui floordivsi".split())


def known_op(name: str) -> Op | None:
    """The op's row; None for an op that has no lowering."""
    row = OPS.get(name)
    if row is None and name.startswith("arith."):
        return _PLAIN
    if row is None and name.startswith("math."):
        return _PLAIN if name in _CHEAP_MATH else _FUNCTION
    return row
