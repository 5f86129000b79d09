"""One function while it is rewritten: its forms and masks, the ops that are made, and the walk over its blocks."""

from collections.abc import Callable, Mapping, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.identity import identity
from triton_spacemit.passes.facts import tensors
from triton_spacemit.passes.facts.affine import Describer
from triton_spacemit.passes.facts.masks import DESCRIBED, Masks
from triton_spacemit.passes.facts.nodes import Node, Nodes
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.rewriting import sweep
from triton_spacemit.passes.structure.merges import Planner
from triton_spacemit.passes.structure.needed import needed_in

DYNAMIC = -(1 << 31)  # llvm.getelementptr: the index is an operand


class Function:
    """Rewrites one function, each op by the rule for it. Old ops stay, without effect, until the end: nodes are anchored at them."""

    def __init__(self, function: ir.Operation, rules: "Mapping[str, Rule]") -> None:
        self.function = function
        self.rules = rules
        self.nodes = Nodes(function.context)
        self.planner = Planner(self.nodes)
        self.describer: Describer = self.planner.describer
        self.masks = Masks(self.describer)
        self.replaced: dict[ir.Value, ir.Value] = {}
        self.done: set[int] = set()  # identities of ops that others stand for by now
        self.constants: dict[ir.Attribute, ir.Value] = {}
        self.null: ir.Value | None = None
        self.carried_arguments: list[tuple[ir.Block, list[int]]] = []

    def rewrite(self) -> None:
        blocks = self.function.regions[0].blocks
        if len(blocks) > 1:
            raise LoweringError("branches between blocks are not supported here: run lift-cf-to-scf first", self.function.location)
        entry = blocks[0]
        self.start = ir.InsertionPoint(next(iter(entry.operations)))
        self.planner.needed = needed_in(entry)
        self.block(entry)
        sweep(self.function, self.done)
        for block, numbers in self.carried_arguments:
            for number in sorted(numbers, reverse=True):
                use = next(iter(block.arguments[number].uses), None)
                if use is not None:
                    user = use.owner.operation
                    raise LoweringError(f"'{user.name}' of a tensor of pointers is not supported", user.location)
                block.erase_argument(number)
        type_ = self.function.attributes["function_type"].value
        inputs = [argument.type for argument in entry.arguments]
        self.function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, type_.results))

    def emit(self, node: Node) -> ir.Value:
        """The value of `node`, created before its anchor when it is first asked for."""
        made: dict[Node, ir.Value] = {}
        for one in unanswered(node, made, lambda n: n.operands if n.value is None else ()):
            made[one] = self.made(one, [made[operand] for operand in one.operands] if one.value is None else [])
        return made[node]

    def made(self, node: Node, operands: list[ir.Value]) -> ir.Value:
        if node.value is not None:
            return self.replaced.get(node.value, node.value)
        if node.constant is not None:
            return self.constant(ir.IntegerAttr.get(self.nodes.i64, node.constant))
        if node is self.nodes.null:
            if self.null is None:
                self.null = self.create("llvm.mlir.zero", [], [self.nodes.ptr], self.start, self.function.location).result
            return self.null
        anchor = node.anchor
        node.value = self.create(node.name, operands, [node.type], ir.InsertionPoint(anchor), anchor.location, node.attributes).result
        return node.value

    def create(
        self,
        name: str,
        operands: Sequence[ir.Value],
        results: Sequence[ir.Type],
        point: ir.InsertionPoint,
        location: ir.Location,
        attributes: dict[str, ir.Attribute] | None = None,
        regions: int = 0,
    ) -> ir.Operation:
        # A list: of an operation's own operand list the bindings keep pointers to values that are gone by then.
        return ir.Operation.create(
            name, results=results, operands=list(operands), attributes=attributes, regions=regions, loc=location, ip=point
        )

    def before(self, op: ir.Operation, name: str, operands: Sequence[ir.Value], result: ir.Type, /, **attributes: ir.Attribute) -> ir.Value:
        """The result of a new op before `op`, at its location."""
        return self.create(name, operands, [result], ir.InsertionPoint(op), op.location, attributes).result

    def constant(self, attribute: ir.Attribute) -> ir.Value:
        """A scalar constant at the start of the function."""
        value = self.constants.get(attribute)
        if value is None:
            made = self.create("arith.constant", [], [attribute.type], self.start, self.function.location, {"value": attribute})
            value = self.constants[attribute] = made.result
        return value

    def addresses(self, value: ir.Value, op: ir.Operation) -> ir.Value:
        """A tensor of pointers as one of i64."""
        return self.emit(tensors.addresses_of(self.describer, self.describer.describe(value), op))

    def replace(self, op: ir.Operation, new: ir.Value) -> None:
        old = op.results[0]
        self.replaced[old] = new
        if old.type == new.type or not isinstance(old.type, ir.RankedTensorType):  # addresses do not take the place of pointers
            old.replace_all_uses_with(new)
        self.done.add(identity(op))

    def block(self, block: ir.Block) -> None:
        for argument in block.arguments:
            self.retype(argument)
        for op in list(block.operations):
            self.visit(op.operation)

    def retype(self, value: ir.Value) -> None:
        """Give a scalar pointer its new type; tensors of pointers go with their uses."""
        shape, _, pointee = self.describer.info(value.type)
        if pointee is not None and not shape:
            value.set_type(self.nodes.ptr)

    def visit(self, op: ir.Operation) -> None:
        self.rules.get(op.name, other)(self, op)


def other(f: Function, op: ir.Operation) -> None:
    """An op that is left as it is, but for the types of pointers."""
    lazy = op.name in DESCRIBED
    for result in op.results:
        shape, _, pointee = f.describer.info(result.type)
        if pointee is None:
            continue
        if not shape:
            result.set_type(f.nodes.ptr)
        elif not lazy:
            result.set_type(f.describer.integers(shape, f.nodes.i64))
    if not lazy and op.name.startswith("tt."):
        for number, operand in enumerate(op.operands):
            if f.describer.info(operand.type)[2] is not None and isinstance(operand.type, ir.RankedTensorType):
                op.operands[number] = f.addresses(operand, op)
    for region in op.regions:
        for block in region.blocks:
            f.block(block)


Rule = Callable[[Function, ir.Operation], None]
