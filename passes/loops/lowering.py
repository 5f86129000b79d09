"""One function's lowering: op after op, each by its row in the table of ops, with what all of them share."""

from collections.abc import Callable, Sequence
from typing import Any

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.module import LLVM_ATTRIBUTES, SCRATCH, chip_of, fuses
from triton_spacemit.passes.loops.analysis import Analysis, Block, Node
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted, Scope
from triton_spacemit.passes.loops.evaluation import Evaluator
from triton_spacemit.passes.loops.facts import Facts, Place
from triton_spacemit.passes.loops.nests import Nests
from triton_spacemit.passes.loops.storage import Storage
from triton_spacemit.passes.loops.tensors import Coordinates, Loaded, Tensor

Value = Tensor | Emitted

TABLES = "__tables"
# LLVM's words for vectors of half a 512-bit register
HALF_REGISTERS = (("prefer-vector-width", "256"), ("min-legal-vector-width", "0"))


class Lowering:
    """Turns one function's block program into loops over vectors, in a function of its own.

    `evaluator` knows the lanes of blocks, `storage` their buffers, `nests` emits loops, `analysis` says who needs what. `fuses`: whether a
    product and a sum may become one operation. `context` is the kernel's last argument but one.
    """

    def __init__(self, module: ir.Module, function: ir.Operation) -> None:
        self.module, self.function = module, function
        self.chip, self.fuses = chip_of(module), fuses(module)
        self.b = Builder(module.context)
        self.b.location = function.location
        old = list(function.regions[0].blocks[0].arguments)
        self.new, new = self._declare(old)
        *new, self.context, scratch = new
        self.analysis = Analysis(function)
        self.evaluator = Evaluator(self.b, self.chip)
        self.memory, self.zero = self.evaluator.memory, self.evaluator.zero
        self.nests = Nests(self.b, self.zero)
        self.storage = Storage(self.evaluator, self.nests, self.analysis, self.chip, scratch)
        self.values: dict[ir.Value, Value] = dict(zip(old, new, strict=True))
        self.pending: list[tuple[ir.Value, Loaded]] = []  # loads that may not have been carried out yet
        self.redirected: dict[Tensor, int] = {}  # with how many later stores a load was compared at run time
        self.places: dict[Tensor, Place] = {}  # masks that hold, or not, in one place of each row
        self.lowered: set[Node] = set()  # nodes lowered ahead of their turn
        self.stored: dict[Node, Emitted] = {}  # stores that tiles of a product have carried out already where the scalar holds
        self.facts = Facts(self.b, self.scalar, self.repeated)
        self.strings: dict[str, str] = {}  # constant texts, with the names of their globals
        self.tables: dict[bytes, int] = {}  # constant numbers, one behind the other in a global, with their places there
        self.bounds: Any = None  # the checks of accesses (`bounds.py`), once there is one

    def _declare(self, old: Sequence[ir.Value]) -> tuple[ir.Operation, list[Emitted]]:
        """The new function, in front of the old one, with context and scratch memory as further arguments."""
        b, function = self.b, self.function
        types = [a.type for a in old] + [b.ptr, b.ptr]
        attributes = {
            "sym_name": function.attributes["sym_name"],
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(types, [])),
        }
        with ir.InsertionPoint(function):
            new = ir.Operation.create("func.func", [], [], attributes, None, 1, function.location)
        block = new.regions[0].blocks.append(*types, arg_locs=[a.location for a in old] + [function.location] * 2)
        marker = ir.Operation.create("llvm.mlir.zero", [b.ptr], [], None, None, 0, function.location, ir.InsertionPoint(block), False)
        b.set_entry(marker)
        b.scopes.append(Scope(ir.InsertionPoint(block)))
        return new, [Emitted(a, 0, 0) for a in block.arguments]

    def run(self) -> None:
        """Lower the whole function, which the new one replaces."""
        b = self.b
        self.run_block(self.analysis.body, lambda end: [])
        b.create("func.return", [], [])
        empty = ir.DictAttr.get({})
        no_alias = ir.DictAttr.get({"llvm.noalias": ir.UnitAttr.get()})
        self.new.attributes["arg_attrs"] = ir.ArrayAttr.get([empty] * len(self.analysis.body.arguments) + [no_alias, no_alias])
        whole_registers = any(node.row is not None and node.row.whole_registers for node in self.analysis.nodes)
        if self.chip.half_registers and not self.storage.computes and not whole_registers:
            pairs = [ir.ArrayAttr.get([ir.StringAttr.get(text) for text in pair]) for pair in HALF_REGISTERS]
            self.new.attributes[LLVM_ATTRIBUTES] = ir.ArrayAttr.get(pairs)
        self.function.erase()
        self.module.operation.attributes[SCRATCH] = ir.IntegerAttr.get(b.i64, self.storage.scratch_bytes)
        with ir.InsertionPoint.at_block_begin(self.module.body):
            for content, name in self.strings.items():
                self._global(name, content.encode() + b"\0")
            if self.tables:
                self._global(TABLES, b"".join(self.tables))

    def _global(self, name: str, data: bytes) -> None:
        attributes = {
            "sym_name": ir.StringAttr.get(name),
            "global_type": ir.TypeAttr.get(ir.Type.parse(f"!llvm.array<{len(data)} x i8>")),
            "linkage": ir.Attribute.parse("#llvm.linkage<private>"),
            "constant": ir.UnitAttr.get(),
            "value": ir.DenseElementsAttr.get(memoryview(bytearray(data)), type=ir.RankedTensorType.get([len(data)], self.b.i8)),
            "addr_space": ir.IntegerAttr.get(self.b.i32, 0),
        }
        ir.Operation.create("llvm.mlir.global", [], [], attributes, None, 1, self.b.location)

    # Ops in order

    def run_block(self, block: Block, finish: Callable[[Node], list[Emitted]]) -> list[Emitted]:
        """Lower a block's ops in order; `finish(terminator)` gives what the new terminator returns."""
        outer = self.b.location
        with self.storage.region():
            for node in block.nodes[:-1]:
                if node not in self.lowered:
                    self.b.location = node.op.location
                    self.lower(node)
            end = block.nodes[-1]
            self.b.location = end.op.location
            result = finish(end)
        self.b.location = outer
        return result

    def lower(self, node: Node) -> None:
        """Lower one op, and bind its results."""
        if node.row is None:
            types = ", ".join(str(v.type) for v in (*node.operands, *node.results))
            raise self.b.fail(node.op, f"is not supported on ({types})")
        self.bind(node, node.row.lower(self, node) or ())

    def lower_ahead(self, node: Node) -> None:
        """Lower an op before its turn."""
        self.lower(node)
        self.lowered.add(node)

    def address_of(self, name: str, depth: int | None = None) -> Emitted:
        """The address of a global."""
        attributes = {"global_name": ir.FlatSymbolRefAttr.get(name)}
        value = self.b.create("llvm.mlir.addressof", [self.b.ptr], [], attributes, depth=depth).results[0]
        return Emitted(value, self.b.depth if depth is None else depth, 0)

    # Values

    def bind(self, node: Node, values: Sequence[Value]) -> None:
        """What the results of `node` are from now on."""
        for result, value in zip(node.results, values, strict=True):
            self.bind_value(result, value)

    def bind_value(self, result: ir.Value, value: Value) -> None:
        self.values[result] = value
        if isinstance(value, Tensor):
            self.storage.bind(result, value)

    def tensor(self, value: ir.Value) -> Tensor:
        result = self.values[value]
        if not isinstance(result, Tensor):
            raise LoweringError(f"expected a block, got {value.type}", self.b.location)
        return result

    def scalar(self, value: ir.Value) -> Emitted:
        result = self.values[value]
        if not isinstance(result, Emitted):
            raise LoweringError(f"expected a scalar, got {value.type}", self.b.location)
        return result

    def extent(self, value: ir.Value) -> Emitted:
        """An integer scalar that counts something, with what is known to divide it."""
        result = self.scalar(value)
        result.multiple = max(result.multiple, self.facts.multiple(value))
        return result

    def repeated(self, value: ir.Value) -> Emitted | None:
        """The scalar that a block is known to repeat."""
        known = self.values.get(value)
        return known.uniform if isinstance(known, Tensor) else None

    def evaluate(self, tensor: Tensor, at: Coordinates) -> Emitted:
        return self.evaluator.evaluate(tensor, at)

    def cost(self, tensor: Tensor) -> int:
        """What computing `tensor` costs by now."""
        return self.evaluator.now(tensor).cost
