"""Values to be: scalars and tensors that become ops only where they are needed, and one op where they are the same computation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch_mlir import ir

from triton_spacemit.passes.facts.order import unanswered


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

    def add(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant + b.constant)
        if a.constant == 0:
            return b
        if b.constant == 0:
            return a
        if a.constant is not None:
            a, b = b, a
        if b.constant is not None and a.name == "arith.addi" and a.operands[1].constant is not None:
            return self.add(a.operands[0], self.const(a.operands[1].constant + b.constant), anchor)
        return self.op("arith.addi", [a, b], self.i64, anchor)

    def mul(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None and b.constant is not None:
            return self.const(a.constant * b.constant)
        if a.constant == 0 or b.constant == 0:
            return self.zero
        if a.constant == 1:
            return b
        if b.constant == 1:
            return a
        return self.op("arith.muli", [a, b], self.i64, anchor)

    def neg(self, a: Node, anchor: ir.Operation) -> Node:
        if a.constant is not None:
            return self.const(-a.constant)
        return self.op("arith.subi", [self.zero, a], self.i64, anchor)

    def sub(self, a: Node, b: Node, anchor: ir.Operation) -> Node:
        if a.key == b.key:
            return self.zero
        if b.constant is not None:
            return self.add(a, self.const(-b.constant), anchor)
        return self.op("arith.subi", [a, b], self.i64, anchor)

    def floordiv(self, a: Node, divisor: int, anchor: ir.Operation) -> Node:
        if divisor == 1:
            return a
        if a.constant is not None:
            return self.const(a.constant // divisor)
        return self.op("arith.floordivsi", [a, self.const(divisor)], self.i64, anchor)

    def least(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        return self._extreme("arith.minsi", min, a, b, anchor)

    def greatest(self, a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        return self._extreme("arith.maxsi", max, a, b, anchor)

    def _extreme(self, name: str, fold: Callable[[int, int], int], a: Node | None, b: Node | None, anchor: ir.Operation) -> Node | None:
        if a is None or b is None or a.key == b.key:
            return b if a is None else a
        if a.constant is not None and b.constant is not None:
            return self.const(fold(a.constant, b.constant))
        return self.op(name, [a, b], self.i64, anchor)

    def select(self, condition: Node, a: Node, b: Node, anchor: ir.Operation) -> Node:
        return a if a.key == b.key else self.op("arith.select", [condition, a, b], a.type, anchor)

    def all_of(self, nodes: Iterable[Node], anchor: ir.Operation) -> Node:
        """The conjunction of i1 values, scalars or tensors, at least one."""
        total, *others = {node.key: node for node in nodes}.values()
        for node in others:
            total = self.op("arith.andi", [total, node], total.type, anchor)
        return total
