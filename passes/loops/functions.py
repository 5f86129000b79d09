"""Functions of scalars in the regions of ops: evaluated on scalars or on vectors, or copied as they are."""

from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import apply, attributes_of, element_of, placed, shape_of, total_cost
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.tensors import Computed, Coordinate, Coordinates, Tensor, identity

_OTHERS = ("tt.bitcast", "tt.fp_to_fp", "tt.clampf", "tt.mulhiui", "tt.extern_elementwise")  # besides arith and math


def inlines(block: ir.Block) -> bool:
    """Whether `inline` can evaluate the block: it has no loops."""
    return all(
        op.operation.name not in ("scf.for", "scf.while") and all(inlines(inner) for r in op.operation.regions for inner in r.blocks)
        for op in block.operations
    )


def inline(low: Lowering, block: ir.Block, arguments: Sequence[Emitted]) -> list[Emitted]:
    """The values that `block`'s terminator returns, for these arguments. Branches are computed on both sides and selected."""
    return _inline(low, block, dict(zip(block.arguments, arguments, strict=True)))


def _inline(low: Lowering, block: ir.Block, known: dict[ir.Value, Emitted]) -> list[Emitted]:
    for view in block.operations:
        op = view.operation
        name, operands = op.name, [known[v] if v in known else low.scalar(v) for v in op.operands]
        if name.endswith((".return", ".yield")):
            return operands
        if name == "arith.constant":
            known[op.results[0]] = low.b.constant_attribute(op.attributes["value"], op.results[0].type)
        elif name == "scf.if":
            sides = [_inline(low, region.blocks[0], known) for region in op.regions]
            for result, then, other in zip(op.results, *sides, strict=True):
                known[result] = low.b.select(operands[0], then, other)
        elif name.startswith(("arith.", "math.")) or name in _OTHERS:
            known[op.results[0]] = apply(low, name, op.results[0].type, operands, attributes_of(op))
        else:
            raise low.b.fail(op, "is not supported in a function of scalars")
    return []


def copy_in(low: Lowering, block: ir.Block, arguments: Sequence[Emitted]) -> list[Emitted]:
    """The block's ops copied here, loops and branches included, for scalar arguments; gives what its terminator returns."""
    known = dict(zip(block.arguments, (a.value for a in arguments), strict=True))
    return [Emitted(v, low.b.depth, 0) for v in _copy(low, block, known, low.b.scopes[-1].ip)]


def _copy(low: Lowering, block: ir.Block, known: dict[ir.Value, ir.Value], ip: ir.InsertionPoint) -> list[ir.Value]:
    for view in block.operations:
        op = view.operation
        operands = [known[v] if v in known else low.scalar(v).value for v in op.operands]
        if op.name.startswith("tt.") and op.name.endswith(".return"):
            return operands
        types = [r.type for r in op.results]
        copy = ir.Operation.create(op.name, types, operands, attributes_of(op), None, len(op.regions), op.location, ip, False)
        known.update(zip(op.results, copy.results, strict=True))
        for old, new in zip(op.regions, copy.regions, strict=True):
            for inner in old.blocks:
                target = new.blocks.append(*(a.type for a in inner.arguments), arg_locs=[op.location] * len(inner.arguments))
                known.update(zip(inner.arguments, target.arguments, strict=True))
                _copy(low, inner, known, ir.InsertionPoint(target))
    return []


def lower_map_elementwise(low: Lowering, node: Node) -> list[Value]:
    """A function of scalars applied to every element, or to every `pack` neighbours along the last dimension.

    Evaluated on whole vectors where its body has no loop and takes one element at a time, else element by element.
    """
    sources = [low.tensor(v) for v in node.operands]
    shape = shape_of(node.results[0])
    pack = node.attribute("pack")
    pack = 1 if pack is None else pack.value
    block = node.op.regions[0].blocks[0]
    if pack == 1 and inlines(block):
        cost = total_cost(low, len(list(block.operations)), set(sources))
        read = tuple((source, identity(len(shape))) for source in sources)

        def lazy(number: int, result: ir.Value) -> Tensor:
            def compute(at: Coordinates) -> Emitted:
                return inline(low, block, [low.evaluate(s, at) for s in sources])[number]

            tensor = Computed(
                shape=shape, element=element_of(result.type), origin=node.op, sources=read, cost=cost, compute=compute, always=True
            )
            return placed(low, node, result, tensor)

        return [lazy(number, result) for number, result in enumerate(node.results)]
    buffers = [low.storage.allocate(shape, element_of(r.type)) for r in node.results]
    targets = [low.memory.buffer_access(buffer, node.op) for buffer in buffers]

    def body(at: Coordinates) -> None:
        first = low.b.mul(at[-1].start, low.b.constant(pack))
        places = [(*at[:-1], Coordinate(low.b.add(first, low.b.constant(i)))) for i in range(pack)]
        results = iter(copy_in(low, block, [low.evaluate(s, place) for s in sources for place in places]))
        for target in targets:
            for place in places:
                low.memory.store(target, next(results), place)

    low.nests.nest_scalar((*shape[:-1], shape[-1] // pack), body)
    return [low.storage.from_buffer(buffer, node.op) for buffer in buffers]


def lower_scalar(low: Lowering, node: Node) -> list[Value]:
    """A scalar op that stays as it is, with new operands."""
    operands = [low.scalar(v).value for v in node.operands]
    copy = low.b.create(node.name, [r.type for r in node.results], operands, attributes_of(node.op))
    return [Emitted(result, low.b.depth, 0) for result in copy.results]
