"""The function as a tree of nodes, and which ops need each tensor: computed once, so that decisions read it instead of the IR."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError

# Ops that are computed wherever their result is needed, at the coordinates where it is needed. All others act where they stand.
LAZY_TT = {
    "tt.splat",
    "tt.make_range",
    "tt.expand_dims",
    "tt.broadcast",
    "tt.trans",
    "tt.split",
    "tt.bitcast",
    "tt.fp_to_fp",
    "tt.clampf",
    "tt.mulhiui",
    "tt.precise_divf",
    "tt.precise_sqrt",
    "tt.extern_elementwise",
    "tt.map_elementwise",
    "tt.gather",
    "xsmt.descriptor_load",
    "xsmt.gather",
    "xsmt.subview",
    "xsmt.pack",
}
WRITES = {"xsmt.descriptor_store", "xsmt.scatter", "xsmt.atomic_rmw", "xsmt.atomic_cas", "xsmt.atomic_poll", "llvm.store", "llvm.fence"}
# Whoever waits for a thread's arrival may write what it has read before: its loads do not pass the arrival. They may pass a wait.
WRITES |= {"xsmt.barrier_arrive", "xsmt.barrier_set_expect", "xsmt.parallel"}


@dataclass(eq=False)
class Node:
    """One op: `order` counts in program order, `last` is the order of the last op inside it, `block` the list it stands in."""

    op: ir.Operation
    name: str
    operands: list[ir.Value]
    results: list[ir.Value]
    order: int
    block: "Block"
    regions: "list[Block]" = field(default_factory=list)
    last: int = 0
    writes: bool = False

    @property
    def is_tensor(self) -> bool:
        return any(isinstance(r.type, ir.RankedTensorType) for r in self.results)

    @property
    def is_lazy(self) -> bool:
        if self.name.startswith(("arith.", "math.")) or self.name in LAZY_TT:
            return True
        return self.name == "tt.reshape" and keeps_order(self.operands[0].type.shape, self.results[0].type.shape)

    def attribute(self, name: str) -> ir.Attribute | None:
        attributes = self.op.attributes
        return attributes[name] if name in attributes else None


@dataclass(eq=False)
class Block:
    arguments: list[ir.Value]
    nodes: list[Node] = field(default_factory=list)
    parent: Node | None = None


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
    """`users` and `pulls` of every value of a function."""

    def __init__(self, function: ir.Operation) -> None:
        self.users: dict[ir.Value, list[Node]] = {}
        self.producer: dict[ir.Value, Node] = {}
        self.arguments: dict[ir.Value, Block] = {}
        self.nodes: list[Node] = []
        self._pulls: dict[ir.Value, frozenset[int]] = {}
        self._supported: dict[ir.Type, bool] = {}
        self.body = self._block(function.regions[0].blocks[0], None)

    def _block(self, block: ir.Block, parent: Node | None) -> Block:
        result = Block(list(block.arguments), [], parent)
        self._check(result.arguments, block.owner)
        self.arguments.update(dict.fromkeys(result.arguments, result))
        for view in block.operations:
            op = view.operation
            node = Node(op, op.name, list(op.operands), list(op.results), len(self.nodes), result)
            node.writes = node.name in WRITES
            self._check(node.results, op)
            self.nodes.append(node)
            result.nodes.append(node)
            for operand in node.operands:
                self.users.setdefault(operand, []).append(node)
            for value in node.results:
                self.producer[value] = node
            if node.name not in (
                "tt.reduce",
                "tt.scan",
                "tt.map_elementwise",
            ):  # their regions are functions of scalars, not code that runs here
                for region in op.regions:
                    for inner in region.blocks:
                        node.regions.append(self._block(inner, node))
                node.writes |= any(n.writes for b in node.regions for n in b.nodes)
            node.last = len(self.nodes) - 1
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
        known = self._pulls.get(value)
        if known is None:
            orders: set[int] = set()
            for node in self.users.get(value, ()):
                if node.is_lazy and node.is_tensor:
                    for result in node.results:
                        orders |= self.pulls(result)
                else:
                    orders.add(node.order)
            known = self._pulls[value] = frozenset(orders)
        return known

    def block_of(self, value: ir.Value) -> Block:
        """The block that defines `value`."""
        return self.arguments[value] if value in self.arguments else self.producer[value].block

    def ends_at(self, value: ir.Value, node: Node) -> bool:
        """Whether `node`, as one operand of it, is the only use of `value`, and runs as often as what defines it."""
        return self.pulls(value) == {node.order} and node.operands.count(value) == 1 and self.block_of(value) is node.block

    def pulled_inside_region(self, value: ir.Value, block: Block) -> bool:
        """Whether an op in a region nested below `block` needs `value`."""
        return any(self.nodes[order].block is not block for order in self.pulls(value))

    def walk(self, block: Block) -> Iterator[Node]:
        for node in block.nodes:
            yield node
            for inner in node.regions:
                yield from self.walk(inner)
