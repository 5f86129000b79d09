"""What the next turn of an outer loop reads: asking memory for it while a loop in registers goes through this turn's again and again.

A product takes a strip of columns (the outer loop), all rows of it one panel after the other (the middle loop), and all steps for each (the
inner one). So the inner loop reads the strip once for each panel, the first time from memory, where it waits, and the other times from a
cache. Each turn of the inner loop asks for a part of the next strip, so that all of it has been asked for, evenly, when its turn comes. No
result depends on it.
"""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.facts.steps import step_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.next_program import growth
from triton_spacemit.passes.loops.tensors import LINE


@dataclass(frozen=True)
class Ahead:
    """Turn `i` of the inner loop, counted from 0, asks for what lies `i` times `part` bytes behind `start`."""

    start: Emitted
    part: Emitted


def ahead_of(low: Lowering, loop: Node) -> list[Ahead]:
    """What the turns of `loop` ask for: along each pointer that it carries over a line of memory and more a turn, which begins where it
    began in the middle loop's turn before, and further on in the outer loop's next one."""
    middle = loop.block.parent
    outer = None if middle is None else middle.block.parent
    if not low.chip.asks_ahead or middle is None or outer is None or not _counts(middle) or not _counts(outer):
        return []
    index = outer.regions[0].arguments[0]
    found = []
    for start, last in zip(loop.operands[3:], loop.regions[0].nodes[-1].operands, strict=True):
        distance = _distance(last)
        if distance < LINE or last.type != start.type or low.analysis.block_of(start) is loop.block:
            continue
        step = growth(low, start, lambda value: value == index)
        if step is not None:
            found.append(_ahead(low, loop, middle, low.b.offset(low.scalar(start), step, low.b.i8), distance))
    return found


def ask(low: Lowering, ahead: list[Ahead], loop: Node, number: Emitted) -> None:
    """In the turn in which the loop's index is `number`."""
    for each in ahead:
        distance = low.b.mul(_turns(low, loop, number), each.part)
        low.memory.prefetch(low.b.offset(each.start, distance, low.b.i8), low.b.i8, 1)


def _turns(low: Lowering, loop: Node, number: Emitted) -> Emitted:
    """How many turns a loop by steps of 1 has taken when its index is `number`."""
    b = low.b
    return b.sub(b.cast_index(number, b.i64), b.cast_index(low.scalar(loop.operands[0]), b.i64))


def _ahead(low: Lowering, loop: Node, middle: Node, start: Emitted, distance: int) -> Ahead:
    """What begins at `start` and grows by `distance` bytes a turn, shared by the turns of the middle loop; one turn asks for nothing."""
    b = low.b
    shares = b.maximum(_turns(low, middle, low.scalar(middle.operands[1])), b.constant(1))
    part = b.op("arith.divsi", b.i64, [b.add(shares, b.constant(distance - 1)), shares])
    part = b.select(b.compare("sgt", shares, b.constant(1)), part, b.constant(0))
    share = b.mul(_turns(low, loop, low.scalar(loop.operands[1])), part)
    taken = _turns(low, middle, low.scalar(middle.regions[0].arguments[0]))
    return Ahead(b.offset(start, b.mul(taken, share), b.i8), part)


def _counts(node: Node) -> bool:
    """Whether it is a loop by steps of 1."""
    if node.name != "scf.for" or "unsignedCmp" in node.op.attributes:
        return False
    step = constant_of(node.operands[2])
    return step is not None and step.value == 1


def _distance(pointer: ir.Value) -> int:
    """The constant number of bytes from a loop's argument to a pointer; 0 where it is not known."""
    step = step_of(pointer)
    return 0 if step is None or step.index is not None or isinstance(step.pointer, ir.OpResult) else step.constant * step.size
