"""Intervals that integer scalars lie in, as signed numbers: proofs that arithmetic does not wrap around and that numbers are not negative.

Where the arithmetic of a type could wrap around, the interval is all of the type; the largest multiple of a known divisor bounds it then.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch_mlir import ir

from triton_spacemit.passes.facts.divisibility import MOST, Divisibility
from triton_spacemit.passes.facts.induction import advance_of, loop_of
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.facts.order import unanswered


class Range(NamedTuple):
    """All integers from `low` to `high`."""

    low: int
    high: int

    def within(self, other: "Range") -> bool:
        return other.low <= self.low and self.high <= other.high

    def plus(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def minus(self, other: "Range") -> "Range":
        return Range(self.low - other.high, self.high - other.low)

    def times(self, other: "Range") -> "Range":
        return _corners(self, other, lambda x, y: x * y)

    @property
    def natural(self) -> bool:
        return self.low >= 0


def signed(bits: int) -> Range:
    """What integers of so many bits can be."""
    return Range(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


PROGRAMS = Range(1, signed(32).high)  # along one axis of a grid


def _corners(a: Range, b: Range, function: Callable[[int, int], int]) -> Range:
    """Of a function that grows or falls in each argument."""
    results = [function(x, y) for x in a for y in b]
    return Range(min(results), max(results))


def _truncated(x: int, y: int) -> int:
    return x // y if x >= 0 else -(-x // y)


def _quotient(rounded: Callable[[int, int], int], unsigned: bool = False) -> "_Rule":
    def rule(a: Range, b: Range) -> Range | None:
        return _corners(a, b, rounded) if b.low > 0 and (a.natural or not unsigned) else None

    return rule


def _remainder(a: Range, b: Range) -> Range | None:
    """Of the sign of `a`, and smaller than `b`."""
    most = max(abs(b.low), abs(b.high)) - 1
    return Range(max(min(a.low, 0), -most), min(max(a.high, 0), most)) if most >= 0 else None


def _remainder_unsigned(a: Range, b: Range) -> Range | None:
    return _remainder(a, b) if a.natural and b.low > 0 else None


def _and(a: Range, b: Range) -> Range | None:
    natural = [range_.high for range_ in (a, b) if range_.natural]
    return Range(0, min(natural)) if natural else None


def _or(a: Range, b: Range) -> Range | None:
    return Range(0, (1 << max(a.high, b.high).bit_length()) - 1) if a.natural and b.natural else None


def _left(a: Range, b: Range) -> Range | None:
    return a.times(Range(1 << b.low, 1 << b.low)) if b.low == b.high and 0 <= b.low < 64 else None


def _right(a: Range, b: Range) -> Range | None:
    return Range(a.low >> b.low, a.high >> b.low) if b.low == b.high and 0 <= b.low < 64 else None


def _right_unsigned(a: Range, b: Range) -> Range | None:
    return _right(a, b) if a.natural else None


_Rule = Callable[..., Range | None]
_RULES: dict[str, _Rule] = {
    "arith.addi": Range.plus,
    "arith.subi": Range.minus,
    "arith.muli": Range.times,
    "arith.shli": _left,
    "arith.shrsi": _right,
    "arith.shrui": _right_unsigned,
    "arith.divsi": _quotient(_truncated),
    "arith.divui": _quotient(_truncated, unsigned=True),
    "arith.floordivsi": _quotient(lambda x, y: x // y),
    "arith.ceildivsi": _quotient(lambda x, y: -(-x // y)),
    "arith.remsi": _remainder,
    "arith.remui": _remainder_unsigned,
    "arith.minsi": lambda a, b: Range(min(a.low, b.low), min(a.high, b.high)),
    "arith.maxsi": lambda a, b: Range(max(a.low, b.low), max(a.high, b.high)),
    "arith.andi": _and,
    "arith.ori": _or,
    "arith.xori": _or,
    "arith.select": lambda _, a, b: Range(min(a.low, b.low), max(a.high, b.high)),
    "arith.extsi": lambda a: a,
    "arith.index_cast": lambda a: a,
    "arith.trunci": lambda a: a,
}
_KNOWN = {"tt.get_program_id": Range(0, PROGRAMS.high - 1), "tt.get_num_programs": PROGRAMS}


class Ranges:
    """Answers for scalars of a function, each found once."""

    def __init__(self) -> None:
        self.divisibility = Divisibility()
        self._values: dict[ir.Value, Range] = {}
        self._nodes: dict[Node, Range] = {}
        self._slots: dict[Node, Range] = {}

    def of(self, value: ir.Value) -> Range:
        """The interval of the integer scalar `value`, read as signed."""
        for one in unanswered(value, self._values, _needs):
            self._values[one] = _tightened(self._rule(one), self.divisibility.of(one))
        return self._values[value]

    def of_node(self, node: Node) -> Range:
        """The same for a value to be."""
        for one in unanswered(node, self._nodes, lambda n: n.operands):
            self._nodes[one] = _tightened(self._node_rule(one), self.divisibility.of_node(one))
        return self._nodes[node]

    def learn(self, slot: Node, range_: Range, divisor: int) -> None:
        """What is known of a value that is filled in later."""
        self.divisibility.learn(slot, divisor)
        self._nodes.clear()  # what is made of the slot
        self._slots[slot] = range_

    def _rule(self, value: ir.Value) -> Range:
        if not isinstance(value, ir.OpResult):
            return self._of_argument(value)
        op = value.owner.operation
        if op.name == "arith.constant":
            return Range(op.attributes["value"].value, op.attributes["value"].value)
        if op.name in _KNOWN:
            return _KNOWN[op.name]
        ranges = [self._values[operand] for operand in _needs(value)]
        return _of_op(op.name, ranges, [operand.type for operand in op.operands], value.type)

    def _of_argument(self, value: ir.Value) -> Range:
        every, needed = signed(_bits(value.type)), [self._values[other] for other in _needs(value)]
        if not needed or "unsignedCmp" in value.owner.owner.operation.attributes:
            return every
        if loop_of(value) is not None:
            lower, upper = needed
            return Range(lower.low, max(upper.high - 1, lower.low))
        start, by, *bounds = needed
        most = turns(*bounds)
        found = every if most is None else start.plus(by.times(Range(0, most - 1)))
        return found if found.within(every) else every

    def _node_rule(self, node: Node) -> Range:
        if node.constant is not None:
            return Range(node.constant, node.constant)
        if node.name:
            ranges = [self._nodes[operand] for operand in node.operands]
            return _of_op(node.name, ranges, [operand.type for operand in node.operands], node.type)
        return self.of(node.value) if node.is_leaf else self._slots.get(node, signed(_bits(node.type)))


def turns(lower: Range, upper: Range, step: Range) -> int | None:
    """The most that a loop from `lower` to `upper` can take."""
    return max(0, upper.high - 1 - lower.low) // step.low + 1 if step.low > 0 else None


def _bits(type_: ir.Type) -> int:
    """Of an integer; as many as registers have of anything else."""
    return type_.width if isinstance(type_, ir.IntegerType) else 64


def _needs(value: ir.Value) -> list[ir.Value]:
    """The scalars whose ranges decide that of `value`: of a loop's index, its bounds; of what a loop advances, start and step as well."""
    if isinstance(value, ir.OpResult):
        op = value.owner.operation
        return list(op.operands) if op.name in _RULES or op.name == "arith.extui" else []
    loop, advance = loop_of(value), advance_of(value)
    if loop is not None:
        return list(loop.operands)[:2]
    return [advance.start, advance.step, *advance.bounds] if advance is not None else []


def _of_op(name: str, ranges: Sequence[Range], operands: Sequence[ir.Type], result: ir.Type) -> Range:
    if name == "arith.extui":
        return ranges[0] if ranges[0].natural else Range(0, (1 << _bits(operands[0])) - 1)
    rule, every = _RULES.get(name), signed(_bits(result))
    found = rule(*ranges) if rule is not None else None
    return found if found is not None and found.within(every) else every


def _tightened(found: Range, divisor: int) -> Range:
    """Between multiples of the divisor."""
    if divisor == 1 or divisor == MOST:
        return found
    low, high = -(-found.low // divisor) * divisor, found.high // divisor * divisor
    return Range(low, high) if low <= high else found
