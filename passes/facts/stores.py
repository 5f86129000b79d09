"""Which of its pointers a kernel may store through.

The fact: an address leads where the pointers lead that it was computed from (`sources.py`). A pointer that becomes an integer may come back
as part of any other address, so it counts as stored through. Where an address was loaded, or came as an integer, nothing is known.
"""

from torch_mlir import ir

from triton_spacemit.dialect.module import operations
from triton_spacemit.dialect.values import producer_of
from triton_spacemit.passes.facts.sources import Sources

#: The ops of the structured state that write to memory which the caller knows. `atomic_poll` only reads.
STORES = ("xsmt.descriptor_store", "xsmt.scatter", "xsmt.atomic_rmw", "xsmt.atomic_cas", "llvm.store")


def stored_through(kernel: ir.Operation) -> tuple[int, ...] | None:
    """The numbers of the arguments of a function in the structured state that it may store through, in order; None where it may be any."""
    pointers = {a: number for number, a in enumerate(kernel.regions[0].blocks[0].arguments) if str(a.type) == "!llvm.ptr"}
    sources = Sources(pointers)
    found: set[int] = set()
    stores = operations(kernel, *STORES)
    for op in stores:
        leads_to = sources.of(_address(op))
        if not leads_to:
            return None
        found |= leads_to
    for op in operations(kernel, "llvm.ptrtoint") if stores else ():
        found |= sources.of(op.operands[0])
    return tuple(sorted(found))


def _address(op: ir.Operation) -> ir.Value:
    """What says where an op stores: without a base, its index is an address."""
    if op.name == "llvm.store":
        return op.operands[1]
    access = op.opview
    index = getattr(access, "index", None)
    return index if index is not None and producer_of(access.base, "llvm.mlir.zero") is not None else access.base
