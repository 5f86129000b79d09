"""The function as a tree of nodes, and which ops need each tensor: computed once, so that decisions read it instead of the IR."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes.loops.ops import Op, known_op

FUNCTIONS = ("tt.reduce", "tt.scan", "tt.map_elementwise")  # their regions are functions of scalars, not code that runs where they stand


@dataclass(eq=False)
class Node:
    """One op: `order` counts in program order, `block` is the list it stands in, `row` what the table of ops says of it, if it has it.

    `is_lazy`: it is computed wherever its result is needed. `writes`: it, or an op in its regions, writes memory.
    """

    op: ir.Operation
    name: str
    operands: list[ir.Value]
    results: list[ir.Value]
    order: int
    block: "Block"
    row: Op | None
    is_lazy: bool
    writes: bool
    regions: "list[Block]" = field(default_factory=list)

    @property
    def is_tensor(self) -> bool:
        return any(isinstance(r.type, ir.RankedTensorType) for r in self.results)

    def attribute(self, name: str) -> ir.Attribute | None:
        attributes = self.op.attributes
        return attributes[name] if name in attributes else None


@dataclass(eq=False)
class Block:
    arguments: list[ir.Value]
    nodes: list[Node] = field(default_factory=list)
    parent: Node | None = None

    def behind(self, node: Node) -> Iterator[Node]:
        """The nodes of the block that come after `node`, from the next one on."""
        for number in range(bisect.bisect(self.nodes, node.order, key=lambda other: other.order), len(self.nodes)):
            yield self.nodes[number]

    def between(self, first: Node, last: Node) -> Iterator[Node]:
        """The nodes of the block that come after `first` and before `last`."""
        return itertools.takewhile(lambda node: node.order < last.order, self.behind(first))


def keeps_order(source: list[int], result: list[int]) -> bool:
    """Whether a reshape only adds or drops dimensions of extent 1."""
    return [n for n in source if n != 1] == [n for n in result if n != 1]


INTEGERS = (1, 8, 16, 32, 64)


def is_scalar(type_: ir.Type) -> bool:
    """Whether registers hold a type."""
    if isinstance(type_, ir.IntegerType):
        return type_.width in INTEGERS and type_.is_signless
    return isinstance(type_, ir.FloatType | ir.IndexType) or str(type_) == "!llvm.ptr"


def is_supported(type_: ir.Type) -> bool:
    """Whether a value is a scalar or a block of scalars."""
    if not isinstance(type_, ir.RankedTensorType):
        return is_scalar(type_)
    return type_.rank > 0 and type_.has_static_shape and 0 not in type_.shape and is_scalar(type_.element_type)


class Analysis:
    """`users` and `pulls` of every value of a function; `synchronises`: any of its ops does."""

    def __init__(self, function: ir.Operation) -> None:
        self.users: dict[ir.Value, list[Node]] = {}
        self.producer: dict[ir.Value, Node] = {}
        self.arguments: dict[ir.Value, Block] = {}
        self.nodes: list[Node] = []
        self._pulls: dict[ir.Value, frozenset[int]] = {}
        self._supported: dict[ir.Type, bool] = {}
        self.body = self._block(function.regions[0].blocks[0], None)
        self.synchronises = any(node.row is not None and node.row.synchronises for node in self.nodes)

    def _block(self, block: ir.Block, parent: Node | None) -> Block:
        result = Block(list(block.arguments), [], parent)
        self._check(result.arguments, block.owner)
        self.arguments.update(dict.fromkeys(result.arguments, result))
        for view in block.operations:
            op = view.operation
            name, operands, results, row = op.name, list(op.operands), list(op.results), known_op(op.name)
            lazy = row is not None and (row.lazy or (name == "tt.reshape" and keeps_order(operands[0].type.shape, results[0].type.shape)))
            node = Node(op, name, operands, results, len(self.nodes), result, row, lazy, row is not None and row.writes)
            self._check(results, op)
            self.nodes.append(node)
            result.nodes.append(node)
            for operand in node.operands:
                self.users.setdefault(operand, []).append(node)
            for value in node.results:
                self.producer[value] = node
            if name not in FUNCTIONS:
                for region in op.regions:
                    for inner in region.blocks:
                        node.regions.append(self._block(inner, node))
                node.writes |= any(n.writes for b in node.regions for n in b.nodes)
        return result

    def _check(self, values: list[ir.Value], op: ir.Operation) -> None:
        for value in values:
            type_ = value.type
            if type_ not in self._supported:
                self._supported[type_] = is_supported(type_)
            if not self._supported[type_]:
                raise LoweringError(f"'{op.operation.name}' op has a value of type {type_}, which is not supported", op.operation.location)

    def pulls(self, value: ir.Value) -> frozenset[int]:
        """Orders of the acting ops that need `value`, directly or through lazy ops."""
        stack = [value]
        while stack:
            current = stack[-1]
            if current in self._pulls:
                stack.pop()
                continue
            orders, unknown = set(), False
            for node in self.users.get(current, ()):
                if not (node.is_lazy and node.is_tensor):
                    orders.add(node.order)
                    continue
                for result in node.results:
                    known = self._pulls.get(result)
                    if known is None:
                        stack.append(result)
                        unknown = True
                    else:
                        orders |= known
            if not unknown:
                self._pulls[current] = frozenset(orders)
        return self._pulls[value]

    def block_of(self, value: ir.Value) -> Block:
        """The block that defines `value`."""
        return self.arguments[value] if value in self.arguments else self.producer[value].block

    def pulled_inside_region(self, value: ir.Value, block: Block) -> bool:
        """Whether an op in a region nested below `block` needs `value`."""
        return any(self.nodes[order].block is not block for order in self.pulls(value))
