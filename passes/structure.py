"""Resolve every pointer expression and mask once: base, strides and bounds, or an index where an access is not affine.

In: the bridged module. Out: `xsmt.descriptor_load/store`, `xsmt.gather/scatter` and `xsmt.atomic_*` on `!llvm.ptr`, scalar accesses as
`llvm.load/store`; no `tt.ptr` type is left. What control flow carries is in `passes/merges.py`.

```mlir
tt.func public @copy(%x: !tt.ptr<f32>, %y: !tt.ptr<f32>, %n: i32) {
  %i = tt.make_range {end = 256 : i32, start = 0 : i32} : tensor<256xi32>
  %limit = tt.splat %n : i32 -> tensor<256xi32>
  %mask = arith.cmpi slt, %i, %limit : tensor<256xi32>
  %xs = tt.splat %x : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %p = tt.addptr %xs, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  %v = tt.load %p, %mask : tensor<256x!tt.ptr<f32>>
  %ys = tt.splat %y : !tt.ptr<f32> -> tensor<256x!tt.ptr<f32>>
  %q = tt.addptr %ys, %i : tensor<256x!tt.ptr<f32>>, tensor<256xi32>
  tt.store %q, %v, %mask : tensor<256x!tt.ptr<f32>>
  tt.return
}
```
"""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect import tt
from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.dialect.predicates import IntPredicate, attribute_of
from triton_spacemit.passes.affine import Describer
from triton_spacemit.passes.facts.order import unanswered
from triton_spacemit.passes.masks import DESCRIBED, Bounds, Masks
from triton_spacemit.passes.merges import CONTROL, Carried, Plan, Planner, sides
from triton_spacemit.passes.nodes import Node, Nodes
from triton_spacemit.passes.rewriting import sweep

_ACQUIRE_RELEASE = 6  # of LLVM's orderings
_DYNAMIC = -(1 << 31)  # llvm.getelementptr: the index is an operand


def structure(module: ir.Module) -> None:
    """Run the pass on every function of `module`."""
    with module.context:
        for op in module.body.operations:
            if op.operation.name == "func.func" and op.operation.regions[0].blocks:
                _Function(op.operation).rewrite()


class _Function:
    """Rewrites one function. Old ops stay, without effect, until the end: nodes are anchored at them."""

    def __init__(self, function: ir.Operation) -> None:
        self.function = function
        self.nodes = Nodes(function.context)
        self.planner = Planner(self.nodes)
        self.describer: Describer = self.planner.describer
        self.masks = Masks(self.describer)
        self.replaced: dict[ir.Value, ir.Value] = {}
        self.done: set[ir.Operation] = set()
        self.constants: dict[ir.Attribute, ir.Value] = {}
        self.null: ir.Value | None = None
        self.carried_arguments: list[tuple[ir.Block, list[int]]] = []

    def rewrite(self) -> None:
        blocks = self.function.regions[0].blocks
        if len(blocks) > 1:
            raise LoweringError("branches between blocks are not supported here: run lift-cf-to-scf first", self.function.location)
        entry = blocks[0]
        self.start = ir.InsertionPoint(next(iter(entry.operations)))
        self.planner.find_needed(entry)
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

    # Making ops

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

    def number(self, number: int) -> ir.Value:
        return self.emit(self.nodes.const(number))

    def replace(self, op: ir.Operation, new: ir.Value) -> None:
        old = op.results[0]
        self.replaced[old] = new
        if old.type == new.type or not isinstance(old.type, ir.RankedTensorType):  # addresses do not take the place of pointers
            old.replace_all_uses_with(new)
        self.done.add(op)

    # Walking

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
        name = op.name
        rewrite = _REWRITES.get(name)
        if rewrite is not None:
            rewrite(self, op)
        elif name in CONTROL:
            self.control(op)
        else:
            lazy = name in DESCRIBED
            for result in op.results:
                shape, _, pointee = self.describer.info(result.type)
                if pointee is None:
                    continue
                if not shape:
                    result.set_type(self.nodes.ptr)
                elif not lazy:
                    result.set_type(self.describer.integers(shape, self.nodes.i64))
            if not lazy and name.startswith("tt."):
                for number, operand in enumerate(op.operands):
                    if self.describer.info(operand.type)[2] is not None and isinstance(operand.type, ir.RankedTensorType):
                        op.operands[number] = self.pointers_as_integers(operand, op)
            for region in op.regions:
                for block in region.blocks:
                    self.block(block)

    def pointers_as_integers(self, value: ir.Value, op: ir.Operation) -> ir.Value:
        return self.emit(self.describer.address_tensor(self.describer.describe(value), op))

    # Accesses

    def load(self, op: ir.Operation) -> None:
        pointer, _, mask, other = tt.access_operands(op)
        result = op.results[0]
        shape, _, pointee = self.describer.info(result.type)
        element = result.type.element_type if shape else result.type
        if not isinstance(pointer.type, ir.RankedTensorType):
            self.replace(op, self.scalar_load(op, pointer, mask, other))
            return
        stored = self.nodes.i64 if pointee is not None else self.nodes.i8 if element == self.nodes.i1 else element
        if other is not None:
            if pointee is not None:
                other = self.pointers_as_integers(other, op)
            else:
                other = self.as_bytes(op, self.splatted(other))
        block = self.describer.integers(shape, stored)
        volatile = op.attributes["isVolatile"].value
        if volatile:
            self.fence(op)
        new = self.access(op, ("xsmt.descriptor_load", "xsmt.gather"), pointer, [], mask, [other], block)
        if volatile:
            self.fence(op)
        if element == self.nodes.i1:
            new = self.as_bool(op, new)
        self.replace(op, new)

    def fence(self, op: ir.Operation) -> None:
        """Memory is read anew behind a fence; for the compiler only, it is no instruction."""
        attributes = {
            "ordering": ir.IntegerAttr.get(self.nodes.i64, _ACQUIRE_RELEASE),
            "syncscope": ir.StringAttr.get("singlethread"),
        }
        self.create("llvm.fence", [], [], ir.InsertionPoint(op), op.location, attributes)

    def store(self, op: ir.Operation) -> None:
        pointer, (value,), mask, _ = tt.access_operands(op)
        if not isinstance(pointer.type, ir.RankedTensorType):
            self.scalar_store(op, pointer, value, mask)
        else:
            if self.describer.info(value.type)[2] is not None:
                value = self.pointers_as_integers(value, op)
            attributes = {"streams": ir.UnitAttr.get()} if tt.streams(op) else {}
            self.access(op, ("xsmt.descriptor_store", "xsmt.scatter"), pointer, [self.as_bytes(op, value)], mask, [], None, attributes)
        self.done.add(op)

    def atomic(self, op: ir.Operation) -> None:
        """An atomic op; a load compares with zero and writes zero where it finds it, a store exchanges."""
        pointer, values, mask, _ = tt.access_operands(op)
        attributes: dict[str, ir.Attribute] = {"order": ir.StringAttr.get(tt.ORDERS[op.attributes["sem"].value])}
        name = "xsmt.atomic_cas" if op.name in ("tt.atomic_cas", "tt.atomic_load") else "xsmt.atomic_rmw"
        if op.name == "tt.atomic_rmw":
            attributes["kind"] = ir.StringAttr.get(tt.RMW_KINDS[op.attributes["atomic_rmw_op"].value])
        elif op.name == "tt.atomic_store":
            attributes["kind"] = ir.StringAttr.get("xchg")
        elif op.name == "tt.atomic_load":
            values = [self.zeros(op, op.results[0].type)] * 2
        result = values[0].type
        if isinstance(pointer.type, ir.RankedTensorType):
            new = self.access(op, (name, name), pointer, values, mask, [], result, attributes)
        else:
            if mask is not None and _is_true(mask):
                mask = None
            segments = [[pointer], [], *([v] for v in values), [], [], [], [mask] if mask is not None else []]
            new = self.segmented(op, name, segments, result, attributes | {"unit": ir.IntegerAttr.get(self.nodes.i64, 1)})
        if op.results:
            self.replace(op, new)
        else:
            self.done.add(op)

    def poll(self, op: ir.Operation) -> None:
        pointer, expected, *timeout = op.operands
        attributes: dict[str, ir.Attribute] = {"order": ir.StringAttr.get(tt.ORDERS[op.attributes["sem"].value])}
        result, name = op.results[0].type, "xsmt.atomic_poll"
        if isinstance(pointer.type, ir.RankedTensorType):
            new = self.access(op, (name, name), pointer, [expected], None, timeout or [None], result, attributes)
        else:
            segments = [[pointer], [], [expected], [], [], [], [], timeout]
            new = self.segmented(op, name, segments, result, attributes | {"unit": ir.IntegerAttr.get(self.nodes.i64, 1)})
        self.replace(op, new)

    def zeros(self, op: ir.Operation, type_: ir.Type) -> ir.Value:
        """A scalar or tensor of zeros, before `op`."""
        tensor = isinstance(type_, ir.RankedTensorType)
        element = type_.element_type if tensor else type_
        integer = isinstance(element, ir.IntegerType)
        zero = self.constant(ir.IntegerAttr.get(element, 0) if integer else ir.FloatAttr.get(element, 0.0, loc=op.location))
        return self.before(op, "tt.splat", [zero], type_) if tensor else zero

    def access(
        self,
        op: ir.Operation,
        names: tuple[str, str],
        pointer: ir.Value,
        values: Sequence[ir.Value],
        mask: ir.Value | None,
        last: Sequence[ir.Value | None],
        result: ir.Type | None,
        attributes: dict[str, ir.Attribute] | None = None,
    ) -> ir.Value | None:
        """Create the block access `names[0]`, or `names[1]` with an index, from the forms of `pointer` and `mask`."""
        form = self.describer.describe(pointer)
        base = self.emit(form.pointer)
        if form.offset.constant != 0:
            unit = ir.TypeAttr.get(ir.IntegerType.get_signless(8 * form.size))
            indices = ir.DenseI32ArrayAttr.get([_DYNAMIC])
            operands = [base, self.emit(form.offset)]
            base = self.before(op, "llvm.getelementptr", operands, self.nodes.ptr, elem_type=unit, rawConstantIndices=indices)
        bounds = self.masks.bounds(mask) if mask is not None else None
        lower, upper, rest = self.resolve(op, form.shape, bounds)
        segments = [[base]]
        attributes = dict(attributes or {})
        indexed = form.rest is not None
        atomic = names[0] == names[1]
        if indexed or atomic:
            segments.append([self.emit(form.rest)] if indexed else [])
            attributes["unit"] = ir.IntegerAttr.get(self.nodes.i64, form.unit)
        segments += [[value] for value in values]
        segments += [[self.emit(stride) for stride in form.strides], lower, upper, rest]
        segments += [[] if value is None else [value] for value in last]
        return self.segmented(op, names[indexed], segments, result, attributes)

    def segmented(
        self, op: ir.Operation, name: str, segments: list[list[ir.Value]], result: ir.Type | None, attributes: dict[str, ir.Attribute]
    ) -> ir.Value | None:
        sizes = ir.DenseI32ArrayAttr.get([len(segment) for segment in segments])
        operands = [value for segment in segments for value in segment]
        results = [] if result is None else [result]
        attributes = attributes | {"operandSegmentSizes": sizes}
        new = self.create(name, operands, results, ir.InsertionPoint(op), op.location, attributes)
        return new.result if results else None

    def resolve(
        self, op: ir.Operation, shape: tuple[int, ...], bounds: Bounds | None
    ) -> tuple[list[ir.Value], list[ir.Value], list[ir.Value]]:
        """Lower and upper bounds on every dimension, and the mask that is left (a list of at most one)."""
        nodes = self.nodes
        none = [None] * len(shape)
        lower = [node or nodes.zero for node in (bounds.lower if bounds else none)]
        upper = [node or nodes.const(extent) for node, extent in zip(bounds.upper if bounds else none, shape, strict=True)]
        rest: list[ir.Value] = []
        if bounds:
            for condition in bounds.conditions:
                upper[0] = nodes.select(condition, upper[0], nodes.zero, op)
            masks = [*bounds.rest, *self.unless(op, bounds)]
            if masks:
                rest = [self.emit(self.all_of(masks, op))]
        return [self.emit(node) for node in lower], [self.emit(node) for node in upper], rest

    def unless(self, op: ir.Operation, bounds: Bounds) -> list[Node]:
        """What counts instead of bounds where their conditions do not hold: true, by one scalar, where all do (a list of at most one)."""
        if not bounds.checked:
            return []
        conditions, masks = zip(*{(c.key, m.key): (c, m) for c, m in bounds.checked}.values(), strict=True)
        mask = self.all_of(masks, op)
        holds = self.nodes.op("tt.splat", [self.all_of(conditions, op)], mask.type, op)
        return [self.nodes.op("arith.ori", [holds, mask], mask.type, op)]

    def all_of(self, nodes: Sequence[Node], op: ir.Operation) -> Node:
        """The conjunction of different nodes of one type."""
        distinct = list({node.key: node for node in nodes}.values())
        total = distinct[0]
        for node in distinct[1:]:
            total = self.nodes.op("arith.andi", [total, node], total.type, op)
        return total

    def splatted(self, value: ir.Value) -> ir.Value:
        """The scalar that a tensor repeats, or the tensor."""
        if not isinstance(value, ir.OpResult):
            return value
        owner = value.owner.operation
        if owner.name == "tt.splat":
            return owner.operands[0]
        if owner.name == "arith.constant" and owner.attributes["value"].is_splat:
            return self.constant(owner.attributes["value"].get_splat_value())
        return value

    def as_bytes(self, op: ir.Operation, value: ir.Value) -> ir.Value:
        """A value as it lies in memory: i1, scalar or tensor, takes a byte."""
        tensor = isinstance(value.type, ir.RankedTensorType)
        if (value.type.element_type if tensor else value.type) != self.nodes.i1:
            return value
        return self.before(
            op, "arith.extui", [value], self.describer.integers(tuple(value.type.shape), self.nodes.i8) if tensor else self.nodes.i8
        )

    def as_bool(self, op: ir.Operation, value: ir.Value) -> ir.Value:
        """A byte from memory, or a tensor of them, as i1: whether it is not zero."""
        tensor = isinstance(value.type, ir.RankedTensorType)
        result = self.describer.integers(tuple(value.type.shape), self.nodes.i1) if tensor else self.nodes.i1
        return self.before(op, "arith.cmpi", [value, self.zeros(op, value.type)], result, predicate=attribute_of(IntPredicate.ne))

    # Scalars

    def scalar_load(self, op: ir.Operation, pointer: ir.Value, mask: ir.Value | None, other: ir.Value | None) -> ir.Value:
        type_ = op.results[0].type
        if self.describer.info(type_)[2] is not None:
            type_ = self.nodes.ptr
        if mask is None or _is_true(mask):
            return self.plain_load(op, pointer, type_, op)
        if other is None:
            if type_ == self.nodes.ptr:
                other = self.emit(self.nodes.null)
            else:
                other = self.zeros(op, type_)
        branch = self.create("scf.if", [mask], [type_], ir.InsertionPoint(op), op.location, regions=2)
        for region, taken in zip(branch.regions, (True, False), strict=True):
            end = self.create("scf.yield", [other], [], ir.InsertionPoint(ir.Block.create_at_start(region, [])), op.location)
            if taken:
                end.operands[0] = self.plain_load(op, pointer, type_, end)
        return branch.result

    def plain_load(self, op: ir.Operation, pointer: ir.Value, type_: ir.Type, end: ir.Operation) -> ir.Value:
        """Load before `end` what the load `op` asks for."""
        attributes = {"volatile_": ir.UnitAttr.get()} if op.attributes["isVolatile"].value else {}
        stored = self.stored(type_)
        value = self.before(end, "llvm.load", [pointer], stored, **attributes)
        if type_ == self.nodes.i1:
            return self.as_bool(end, value)
        return value if stored == type_ else self.before(end, "arith.bitcast", [value], type_)

    def stored(self, type_: ir.Type) -> ir.Type:
        """What LLVM loads and stores for a scalar type: bytes for i1 and eight-bit floats, which it does not know."""
        narrow = type_ == self.nodes.i1 or (not isinstance(type_, ir.IntegerType) and str(type_).startswith("f8"))
        return self.nodes.i8 if narrow else type_

    def scalar_store(self, op: ir.Operation, pointer: ir.Value, value: ir.Value, mask: ir.Value | None) -> None:
        stored = self.stored(value.type)
        if value.type == self.nodes.i1:
            value = self.as_bytes(op, value)
        elif stored != value.type:
            value = self.before(op, "arith.bitcast", [value], stored)
        point = ir.InsertionPoint(op)
        if mask is not None and not _is_true(mask):
            branch = self.create("scf.if", [mask], [], point, op.location, regions=2)
            block = ir.Block.create_at_start(branch.regions[0], [])
            point = ir.InsertionPoint(self.create("scf.yield", [], [], ir.InsertionPoint(block), op.location))
        self.create("llvm.store", [value, pointer], [], point, op.location)

    def addptr(self, op: ir.Operation) -> None:
        result = op.results[0]
        shape, _, pointee = self.describer.info(result.type)
        if shape:
            return
        unit = ir.TypeAttr.get(ir.IntegerType.get_signless(8 * tt.size_of(pointee)))
        indices = ir.DenseI32ArrayAttr.get([_DYNAMIC])
        new = self.before(op, "llvm.getelementptr", op.operands, self.nodes.ptr, elem_type=unit, rawConstantIndices=indices)
        self.replace(op, new)

    def bitcast(self, op: ir.Operation) -> None:
        shape, _, pointee = self.describer.info(op.results[0].type)
        if pointee is not None and not shape:
            self.replace(op, op.operands[0])

    def int_to_ptr(self, op: ir.Operation) -> None:
        if not self.describer.info(op.results[0].type)[0]:
            self.replace(op, self.before(op, "llvm.inttoptr", op.operands, self.nodes.ptr))

    def ptr_to_int(self, op: ir.Operation) -> None:
        operand, type_ = op.operands[0], op.results[0].type
        if isinstance(type_, ir.RankedTensorType):
            new = self.pointers_as_integers(operand, op)
            if type_ != new.type:
                new = self.before(op, "arith.trunci", [new], type_)
        else:
            new = self.before(op, "llvm.ptrtoint", [operand], type_)
        self.replace(op, new)

    # Control flow

    def control(self, op: ir.Operation) -> None:
        """Rewrite an scf op that carries described values: they are dropped from its operands, arguments and results, and their parts
        are appended instead."""
        plan = self.planner.plan(op)
        if not plan.rewrites:
            for region in op.regions:
                for block in region.blocks:
                    self.block(block)
            for result in op.results:
                self.retype(result)
            return
        fixed, initial = op.operands[: plan.fixed], op.operands[plan.fixed :]
        operands = [*fixed, *self.carry(initial, plan.entering, op)]
        attributes = {name: op.attributes[name] for name in op.attributes if name != "operandSegmentSizes"}
        kept = [result for number, result in enumerate(op.results) if number not in plan.leaving]
        for result in kept:
            self.retype(result)
        types = [result.type for result in kept] + [slot.type for carried in plan.leaving.values() for slot in carried.outer_slots]
        new = self.create(op.name, operands, types, ir.InsertionPoint(op), op.location, attributes, regions=len(op.regions))
        self.planner.plans[new] = Plan(new, plan.fixed)  # what it still carries itself is left alone
        for region, target in zip(op.regions, new.regions, strict=True):
            for block in list(region.blocks):
                block.append_to(target)
        for number, region in enumerate(new.regions):
            if not region.blocks:
                continue
            block = region.blocks[0]
            entering, leaving, skipped = sides(plan, number)
            self.arguments(block, entering)
            self.block(block)
            end = block.operations[len(block.operations) - 1].operation
            operands = [*end.operands[:skipped], *self.carry(end.operands[skipped:], leaving, end)]
            self.create(end.name, operands, [], ir.InsertionPoint(end), end.location)
            end.erase()
        for old, result in zip(kept, new.results, strict=False):
            self.replaced[old] = result
            old.replace_all_uses_with(result)
        slots = [slot for carried in plan.leaving.values() for slot in carried.outer_slots]
        for slot, result in zip(slots, list(new.results)[len(kept) :], strict=True):
            slot.value = result
        for number in plan.leaving:
            self.rematerialize(op.results[number], op)
        self.done.add(op)

    def carry(self, values: Sequence[ir.Value], carried: dict[int, Carried], op: ir.Operation) -> list[ir.Value]:
        """What is passed instead of `values`: the ones that are kept, then the parts of those that are carried."""
        kept = [value for number, value in enumerate(values) if number not in carried]
        parts = [self.planner.parts(values[number], how, op) for number, how in carried.items()]
        return kept + [self.emit(node) for nodes in parts for node in nodes]

    def arguments(self, block: ir.Block, carried: dict[int, Carried]) -> None:
        if not carried:
            return
        first = next(iter(block.operations)).operation
        old = list(block.arguments)
        for number, how in carried.items():
            for slot in how.inner_slots:
                slot.value = block.add_argument(slot.type, old[number].location)
        self.carried_arguments.append((block, list(carried)))
        for number in carried:
            self.rematerialize(old[number], first)

    def rematerialize(self, value: ir.Value, op: ir.Operation) -> None:
        """Compute an integer tensor that is no longer carried, for its uses other than in accesses."""
        shape, bits, pointee = self.describer.info(value.type)
        if pointee is not None or next(iter(value.uses), None) is None:
            return
        form = self.describer.describe(value)
        new = self.emit(self.describer.tensor(form, op))
        if bits < 64:
            new = self.before(op, "arith.trunci", [new], value.type)
        self.describer.forms[new] = form
        value.replace_all_uses_with(new)


def _is_true(mask: ir.Value) -> bool:
    owner = mask.owner
    return isinstance(mask, ir.OpResult) and owner.name == "arith.constant" and bool(owner.attributes["value"].value)


_REWRITES = {
    "tt.load": _Function.load,
    "tt.store": _Function.store,
    "tt.atomic_load": _Function.atomic,
    "tt.atomic_store": _Function.atomic,
    "tt.atomic_rmw": _Function.atomic,
    "tt.atomic_cas": _Function.atomic,
    "tt.atomic_poll": _Function.poll,
    "tt.addptr": _Function.addptr,
    "tt.bitcast": _Function.bitcast,
    "tt.int_to_ptr": _Function.int_to_ptr,
    "tt.ptr_to_int": _Function.ptr_to_int,
}
