"""Scalars that a loop advances: its index, and what it adds the same number to every turn."""

from typing import NamedTuple

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of, producer_of

_LOOPS = ("scf.for", "xsmt.parallel")


class Advance(NamedTuple):
    """`start`, and `step` more each turn of the loop with these bounds."""

    start: ir.Value
    step: ir.Value
    loop: ir.Operation

    @property
    def bounds(self) -> list[ir.Value]:
        """Where the loop's index begins, where it ends, and its step."""
        return list(self.loop.operands)[:3]


def loop_of(value: ir.Value) -> ir.Operation | None:
    """The loop whose index `value` is."""
    if isinstance(value, ir.OpResult) or value.arg_number != 0:
        return None
    owner = value.owner.owner.operation
    return owner if owner.name in _LOOPS else None


def advance_of(value: ir.Value) -> Advance | None:
    """How a loop advances the scalar `value` that it carries, where it adds a constant."""
    if isinstance(value, ir.OpResult) or value.arg_number == 0:
        return None
    block, loop = value.owner, value.owner.owner.operation
    if loop.name != "scf.for":
        return None
    carried, yielded = list(loop.operands)[3:], list(block.operations[len(block.operations) - 1].operation.operands)
    if not len(carried) == len(yielded) == len(block.arguments) - 1:
        return None  # a loop that is being rewritten
    number = value.arg_number - 1
    added = producer_of(yielded[number], "arith.addi")
    if added is None or value not in list(added.operands):
        return None
    step = added.operands[1] if added.operands[0] == value else added.operands[0]
    return Advance(carried[number], step, loop) if constant_of(step) is not None else None
