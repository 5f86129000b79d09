"""Which integer tensors go through control flow on their way to an address or a mask."""

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.passes.facts.masks import DESCRIBED

CONTROL = ("scf.for", "scf.if", "scf.while")
_ACCESSES = frozenset("tt." + name for name in "load store atomic_load atomic_store atomic_rmw atomic_cas atomic_poll".split())


def needed_in(entry: ir.Block) -> set[ir.Value]:
    """The integer tensors in control flow that addresses or masks are computed from; the others are data and left alone."""
    needed: set[ir.Value] = set()
    work: list[ir.Value] = []
    controls = _collect(entry, work)
    seen: set[ir.Value] = set()
    while controls and work:
        value = work.pop()
        if value in seen or not isinstance(value.type, ir.RankedTensorType):
            continue
        seen.add(value)
        if isinstance(value, ir.OpResult):
            op = value.owner.operation
            number = value.result_number
            if op.name in DESCRIBED:
                work.extend(op.operands)
            elif op.name not in CONTROL:
                continue
            else:
                needed.add(value)
                work.extend(_sources(op, number, leaving=True))
        else:
            op = value.owner.owner.operation
            if op.name not in CONTROL:
                continue
            needed.add(value)
            number = value.arg_number
            after = op.name == "scf.while" and value.owner == op.regions[1].blocks[0]
            work.extend(_sources(op, number - 1 if op.name == "scf.for" else number, leaving=after))
    return needed


def terminator(block: ir.Block) -> ir.Operation:
    return block.operations[len(block.operations) - 1].operation


def _sources(op: ir.Operation, number: int, leaving: bool) -> list[ir.Value]:
    """The values that flow into result `number` (`leaving`) or into what enters the op with that number, and its other names."""
    blocks = [region.blocks[0] for region in op.regions if region.blocks]
    if op.name == "scf.for":
        return [op.operands[number + 3], terminator(blocks[0]).operands[number], op.results[number], blocks[0].arguments[number + 1]]
    if op.name == "scf.if":
        return [terminator(block).operands[number] for block in blocks]
    if leaving:
        return [terminator(blocks[0]).operands[number + 1], op.results[number], blocks[1].arguments[number]]
    return [op.operands[number], terminator(blocks[1]).operands[number]]


def _collect(block: ir.Block, work: list[ir.Value]) -> bool:
    """Add the pointers and masks of all accesses to `work`; whether there is control flow."""
    controls = False
    for view in block.operations:
        op = view.operation
        name = op.name
        if name in _ACCESSES:
            pointer, _, mask, _ = tt.access_operands(op)
            work += [pointer] if mask is None else [pointer, mask]
        elif name in CONTROL:
            controls = True
        for region in op.regions:
            for inner in region.blocks:
                controls |= _collect(inner, work)
    return controls
