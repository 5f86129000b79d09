"""Powers of two that divide an integer scalar. They survive the wrap-around of machine arithmetic, which makes them proofs.

`pid * 1024` may wrap around at 2^31, but it is a multiple of 1024 then too, so the largest value it can have is 2^31 - 1024.
"""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.abi import SCRATCH_ALIGNMENT
from triton_spacemit.passes.facts.induction import advance_of, loop_of
from triton_spacemit.passes.facts.nodes import Node
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.facts.steps import step_of

MOST = 1 << 63  # what divides zero; no integer of 64 bits but zero is a multiple of more

_Rule = Callable[[Sequence[int]], int]


def _least(divisors: Sequence[int]) -> int:
    return min(divisors)


_RULES: dict[str, _Rule] = {
    "arith.addi": _least,
    "arith.subi": _least,
    "arith.muli": lambda divisors: min(divisors[0] * divisors[1], MOST),
    "arith.minsi": _least,
    "arith.maxsi": _least,
    "arith.select": lambda divisors: min(divisors[1:]),
    "arith.extsi": _least,
    "arith.extui": _least,
    "arith.trunci": _least,
    "arith.index_cast": _least,
    "arith.andi": max,
}


def of_number(number: int) -> int:
    """The largest power of two that divides a number."""
    return min(number & -number, MOST) if number else MOST


class Divisibility:
    """Answers for scalars of a function, each found once."""

    def __init__(self) -> None:
        self._values: dict[ir.Value, int] = {}
        self._nodes: dict[Node, int] = {}
        self._slots: dict[Node, int] = {}

    def of(self, value: ir.Value) -> int:
        """A power of two that divides the scalar `value`."""
        for one in unanswered(value, self._values, _needs):
            self._values[one] = self._rule(one)
        return self._values[value]

    def of_pointer(self, pointer: ir.Value) -> int:
        """A power of two that divides an address: of an argument of the function, or of what the program allocates, or at distances
        from such."""
        divisor = MOST
        while (step := step_of(pointer)) is not None:
            distance = of_number(step.constant) if step.index is None else self.of(step.index)
            divisor = min(divisor, distance * step.size)
            pointer = step.pointer
        if isinstance(pointer, ir.OpResult):
            return min(divisor, SCRATCH_ALIGNMENT) if pointer.owner.name == "xsmt.alloc" else 1
        return min(divisor, self._of_argument(pointer)) if pointer.owner.owner.operation.name == "func.func" else 1

    def of_node(self, node: Node) -> int:
        """The same for a value to be."""
        for one in unanswered(node, self._nodes, lambda n: n.operands):
            self._nodes[one] = self._node_rule(one)
        return self._nodes[node]

    def learn(self, slot: Node, divisor: int) -> None:
        """A divisor of a value that is filled in later."""
        self._nodes.clear()  # what is made of the slot
        self._slots[slot] = divisor

    def _node_rule(self, node: Node) -> int:
        if node.constant is not None:
            return of_number(node.constant)
        if node.name:
            return of_op(node.name, [self._nodes[operand] for operand in node.operands])
        return self.of(node.value) if node.is_leaf else self._slots.get(node, 1)

    def _rule(self, value: ir.Value) -> int:
        if not isinstance(value, ir.OpResult):
            return self._of_argument(value)
        op = value.owner.operation
        if op.name == "arith.constant":
            attribute = op.attributes["value"]
            return of_number(attribute.value) if isinstance(attribute, ir.IntegerAttr) else 1
        return of_op(op.name, [self._values[operand] for operand in _needs(value)])

    def _of_argument(self, value: ir.Value) -> int:
        needed = _needs(value)
        if needed:
            return min(self._values[other] for other in needed)
        owner = value.owner.owner.operation
        if owner.name == "func.func" and "arg_attrs" in owner.attributes:
            attributes = owner.attributes["arg_attrs"][value.arg_number]
            if "tt.divisibility" in attributes:
                return of_number(attributes["tt.divisibility"].value)
        return 1


def _needs(value: ir.Value) -> list[ir.Value]:
    """The scalars whose divisors decide that of `value`: of what a loop advances, the start and the step."""
    if isinstance(value, ir.OpResult):
        op = value.owner.operation
        return list(op.operands) if op.name in _RULES else []
    loop, advance = loop_of(value), advance_of(value)
    if loop is not None:
        return [loop.operands[0], loop.operands[2]]
    return [advance.start, advance.step] if advance is not None else []


def of_op(name: str, divisors: Sequence[int]) -> int:
    """A power of two that divides an op's result, from those that divide its operands."""
    rule = _RULES.get(name)
    return rule(divisors) if rule is not None else 1
