"""Values to be: scalars and tensors that become ops only where they are needed, and one op where they are the same computation."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch_mlir import ir

from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.folding import Operand, fold


class Node:
    """A value to be: a constant, an existing value, a slot that is filled later, or an op on other nodes, created before `anchor`.

    Or what only its owner knows to make a value of, as `given`.

    Nodes that stand for the same computation have the same `key`.
    """

    __slots__ = ("anchor", "attributes", "constant", "given", "key", "name", "operands", "type", "value")

    def __init__(self, key: Any, type_: ir.Type) -> None:
        self.key = key
        self.type = type_
        self.value: ir.Value | None = None
        self.constant: int | None = None
        self.given: Any = None
        self.name = ""
        self.operands: tuple[Node, ...] = ()
        self.attributes: dict[str, ir.Attribute] = {}
        self.anchor: ir.Operation | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether it is a value that exists already. A slot is none, also when it is filled."""
        return isinstance(self.key, tuple) and self.key[0] == "value"


class Nodes:
    """Makes nodes, folding constants and giving equal computations equal keys."""

    def __init__(self, context: ir.Context) -> None:
        with context:
            self.i1 = ir.IntegerType.get_signless(1)
            self.i8 = ir.IntegerType.get_signless(8)
            self.i32 = ir.IntegerType.get_signless(32)
            self.i64 = ir.IntegerType.get_signless(64)
            self.ptr = ir.Type.parse("!llvm.ptr")
        self._keys: dict[object, int] = {}
        self._constants: dict[int, Node] = {}
        self.null = Node("null", self.ptr)
        self.zero = self.const(0)

    def const(self, number: int) -> Node:
        node = self._constants.get(number)
        if node is None:
            node = self._constants[number] = Node(("const", number), self.i64)
            node.constant = number
        return node

    def leaf(self, value: ir.Value) -> Node:
        node = Node(("value", value), value.type)
        node.value = value
        return node

    def given(self, thing: object, type_: ir.Type) -> Node:
        node = Node(("given", thing), type_)
        node.given = thing
        return node

    def slot(self, type_: ir.Type) -> Node:
        """A node whose `value` is set once the op that defines it exists."""
        node = Node(None, type_)
        node.key = ("slot", id(node), node)
        return node

    def op(
        self,
        name: str,
        operands: Sequence[Node],
        type_: ir.Type,
        anchor: ir.Operation,
        attributes: dict[str, ir.Attribute] | None = None,
    ) -> Node:
        attributes = attributes or {}
        key = (name, tuple(o.key for o in operands), type_, tuple(sorted((k, str(v)) for k, v in attributes.items())))
        node = Node(self._keys.setdefault(key, len(self._keys)), type_)
        node.name, node.operands, node.attributes, node.anchor = name, tuple(operands), attributes, anchor
        return node

    def moved(self, node: Node, anchor: ir.Operation) -> Node:
        """The same computation, created before `anchor`, which all its leaves must dominate."""
        made: dict[Node, Node] = {}
        for one in unanswered(node, made, lambda n: n.operands):
            made[one] = self.op(one.name, [made[o] for o in one.operands], one.type, anchor, one.attributes) if one.name else one
        return made[node]

    def scalar(self, value: ir.Value, anchor: ir.Operation) -> Node:
        """A scalar integer as i64; constants are recognised."""
        owner = value.owner
        if isinstance(value, ir.OpResult) and owner.name == "arith.constant":
            return self.const(owner.attributes["value"].value)
        return self.wide(self.leaf(value), anchor)

    def wide(self, node: Node, anchor: ir.Operation) -> Node:
        """An integer as i64."""
        if node.type == self.i64:
            return node
        return self.op("arith.index_cast" if isinstance(node.type, ir.IndexType) else "arith.extsi", [node], self.i64, anchor)

    def unsigned(self, node: Node, bits: int) -> Node:
        """The node read as an unsigned integer of `bits` bits, where that can differ from its sign-extended value."""
        if node.constant is not None:
            return self.const(node.constant % (1 << bits))
        if node.name == "arith.extsi":
            return self.op("arith.extui", node.operands, self.i64, node.anchor)
        return node

    def _folded(self, name: str, a: Node, b: Node) -> Node | None:
        """What the op on a and b comes to without being made; None where it has to be."""
        found = fold(name, a.constant, b.constant, a.key == b.key)
        if found is None:
            return None
        return {Operand.LEFT: a, Operand.RIGHT: b}[found] if isinstance(found, Operand) else self.const(found)

    def _made(self, name: str, a: Node, b: Node, anchor: ir.Operation) -> Node:
        return self._folded(name, a, b) or self.op(name, [a, b], self.i64, anchor)

    def add(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        """Constants are on the right, and of nested sums they are added up."""
        folded = self._folded("arith.addi", a, b)
        if folded is not None:
            return folded
        if a.constant is not None:
            a, b = b, a
        if b.constant is not None and a.name == "arith.addi" and a.operands[1].constant is not None:
            return self.add(a.operands[0], self.const(a.operands[1].constant + b.constant), anchor)
        return self.op("arith.addi", [a, b], self.i64, anchor)

    def mul(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        return self._made("arith.muli", a, b, anchor)

    def neg(self, a: Node, anchor: ir.Operation) -> Node:
        return self._made("arith.subi", self.zero, a, anchor)

    def sub(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        """What is less a constant is a sum."""
        folded = self._folded("arith.subi", a, b)
        if folded is not None:
            return folded
        return self.op("arith.subi", [a, b], self.i64, anchor) if b.constant is None else self.add(a, self.const(-b.constant), anchor)

    def floordiv(self, a: Node, divisor: int, anchor: ir.Operation) -> Node:
        return self._made("arith.floordivsi", a, self.const(divisor), anchor)

    def least(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        """The smaller one, or the one that there is."""
        return (b if a is None else a) if a is None or b is None else self._made("arith.minsi", a, b, anchor)

    def greatest(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        """The larger one, or the one that there is."""
        return (b if a is None else a) if a is None or b is None else self._made("arith.maxsi", a, b, anchor)

    def select(self, condition: Node, a: Node, b: Node, anchor: ir.Operation) -> Node:
        return a if a.key == b.key else self.op("arith.select", [condition, a, b], a.type, anchor)

    def all_of(self, nodes: Iterable[Node], anchor: ir.Operation) -> Node:
        """The conjunction of i1 values, scalars or tensors, at least one."""
        total, *others = {node.key: node for node in nodes}.values()
        for node in others:
            total = self.op("arith.andi", [total, node], total.type, anchor)
        return total
