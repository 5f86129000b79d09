"""Loops and branches of the program: scalars stay values, carried blocks live in buffers that are updated in place."""

from collections.abc import Callable

from torch_mlir import ir

from triton_spacemit.dialect.xsmt.accesses import common_neighbours
from triton_spacemit.passes import remarks
from triton_spacemit.passes.loops.aliasing import before_write
from triton_spacemit.passes.loops.analysis import Block, Node
from triton_spacemit.passes.loops.chunks import accumulating, lower_accumulating
from triton_spacemit.passes.loops.elementwise import shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.fixed_registers import BYTES
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.register_blocks import lower_register_blocks, register_blocks
from triton_spacemit.passes.loops.register_loops import NotInRegisters, check
from triton_spacemit.passes.loops.resident import lower_resident
from triton_spacemit.passes.loops.scaled_sums import ScaledSums, scaled_sums
from triton_spacemit.passes.loops.scaled_sums_code import lower_scaled_sums
from triton_spacemit.passes.loops.tensors import Buffer, Tensor


def lower_nothing(low: Lowering, node: Node) -> None:
    """An op that has no code here: one that only ends a block, whose operands its parent reads, or one that says nothing to one thread."""


def carry(low: Lowering, node: Node, operands: list[ir.Value]) -> list[Buffer | None]:
    """A buffer with the initial value for each block among `operands` (None for scalars)."""
    buffers: list[Buffer | None] = []
    for value in operands:
        tensor = low.values[value]
        if not isinstance(tensor, Tensor):
            buffers.append(None)
            continue
        buffer = low.storage.buffer_of(tensor)
        if buffer is None or not low.storage.is_free(buffer, node, last=value):
            buffer = low.storage.allocate(tensor.shape, tensor.element, _neighbours(node, tensor.shape))
            low.storage.write_all([(tensor, buffer)])
        buffers.append(buffer)
    for buffer in buffers:
        if buffer is not None:
            low.storage.hand_over(buffer)
    return buffers


def _neighbours(loop: Node, shape: tuple[int, ...]) -> int | None:
    """The dimension along which what a loop loads for its carried blocks of `shape` are neighbours in memory, where that is not the last.

    A buffer of another order would be loaded or stored across it in every turn. Products take sums by rows.
    """
    nodes = [node for region in loop.regions for node in region.nodes]
    if len(shape) < 2 or any(node.name.startswith("tt.dot") for node in nodes):
        return None
    loads = [node.op for node in nodes if node.name == "xsmt.descriptor_load" and shape_of(node.results[0]) == shape]
    return common_neighbours(loads)


def bind(low: Lowering, node: Node, values: list[ir.Value], buffers: list[Buffer | None], scalars: list[Emitted]) -> None:
    """Give `values` their buffers, or the scalars in order."""
    for value, made in zip(values, made_of(low, node, buffers, scalars), strict=True):
        low.bind_value(value, made)


def finished(low: Lowering, node: Node, buffers: list[Buffer | None], scalars: list[Emitted]) -> list[Value]:
    """The results of `node`: nothing but them lives in its buffers any more."""
    for buffer in buffers:
        if buffer is not None:
            low.storage.hand_over(buffer)
    return made_of(low, node, buffers, scalars)


def made_of(low: Lowering, node: Node, buffers: list[Buffer | None], scalars: list[Emitted]) -> list[Value]:
    """Blocks that fill their buffers, and the scalars in order where there is none."""
    remaining = iter(scalars)
    return [next(remaining) if buffer is None else low.storage.from_buffer(buffer, node.op) for buffer in buffers]


def update(low: Lowering, operands: list[ir.Value], buffers: list[Buffer | None]) -> list[Emitted]:
    """Write new values of carried blocks into their buffers; gives the new scalars.

    All values are of the old state: one that reads what another's new value overwrites is computed aside first, unless it reads it in the
    same loop and at its own place.
    """
    scalars: list[Emitted] = []
    groups: dict[tuple[int, ...], list[tuple[Tensor, Buffer]]] = {}
    for value, buffer in zip(operands, buffers, strict=True):
        if buffer is None:
            scalars.append(low.scalar(value))
            continue
        new = low.tensor(value)
        lies = low.storage.buffer_of(new)
        if lies is None or lies.base.value != buffer.base.value or lies.strides != buffer.strides:
            groups.setdefault(buffer.shape, []).append((new, buffer))
    written = [buffer for pairs in groups.values() for _, buffer in pairs]
    for shape, pairs in groups.items():
        for i, (new, buffer) in enumerate(pairs):
            if any(low.evaluator.reads_elsewhere(new, other) for other in written):
                copy = low.storage.allocate(shape, new.element)
                low.storage.write_all([(new, copy)])
                pairs[i] = (low.storage.from_buffer(copy, new.origin), buffer)
    for pairs in groups.values():
        low.storage.write_all(pairs)
    return scalars


def lower_in_registers(low: Lowering, loop: Node) -> list[Value] | None:
    """A loop over products of bytes whose blocks live in registers (`register_loops.py`), by the first way that takes it; else None."""
    multiplies = any(node.name == "tt.dot" for node in loop.regions[0].nodes)
    if loop.writes or not multiplies or not (low.chip.ime or any(row.form == BYTES for row in low.chip.matrix)):
        return None
    try:
        check(low, loop)
        plan = scaled_sums(low, loop) or register_blocks(low, loop)
    except NotInRegisters as reason:
        text = str(reason)
        remarks.emit(loop.op.location, lambda: f"loop not in registers: {text}")
        return None
    remarks.emit(loop.op.location, lambda: "loop in registers")
    return lower_scaled_sums(low, plan) if isinstance(plan, ScaledSums) else lower_register_blocks(low, loop, plan)


def lower_for(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    accumulated = accumulating(low, node)
    if accumulated is not None:
        return lower_accumulating(low, node, *accumulated)
    held = lower_in_registers(low, node)
    if held is not None:
        return held
    resident = lower_resident(low, node)
    if resident is not None:
        return resident
    if node.writes:
        before_write(low, node)
    lower, upper, step = (low.scalar(v) for v in node.operands[:3])
    inits = node.operands[3:]
    buffers = carry(low, node, inits)
    scalars = [low.scalar(v) for v, buffer in zip(inits, buffers, strict=True) if buffer is None]
    types = [s.value.type for s in scalars]
    attributes = {"unsignedCmp": node.op.attributes["unsignedCmp"]} if "unsignedCmp" in node.op.attributes else None
    loop = b.create("scf.for", types, [lower.value, upper.value, step.value, *(s.value for s in scalars)], attributes, regions=1)
    block = loop.regions[0].blocks.append(lower.value.type, *types, arg_locs=[b.location] * (1 + len(types)))
    body = node.regions[0]
    with b.inside(loop, block) as depth:
        arguments = [Emitted(a, depth, 0) for a in block.arguments]
        low.bind_value(body.arguments[0], arguments[0])
        bind(low, node, body.arguments[1:], buffers, arguments[1:])
        results = low.run_block(body, lambda end: update(low, end.operands, buffers))
        b.create("scf.yield", [], [r.value for r in results])
    return finished(low, node, buffers, [Emitted(r, b.depth, 0) for r in loop.results])


def lower_if(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    if node.writes:
        before_write(low, node)
    condition = low.scalar(node.operands[0])
    buffers = result_buffers(low, node.results)
    types = [r.type for r, buffer in zip(node.results, buffers, strict=True) if buffer is None]
    bodies: list[Callable | None] = []
    for region in node.regions:
        bodies.append(lambda region=region: low.run_block(region, lambda end: fill(low, end.operands, buffers)))
    if len(bodies) < 2:
        bodies.append(None)
    results = b.if_else(condition, [(t, 0) for t in types], *bodies)
    return finished(low, node, buffers, results)


def result_buffers(low: Lowering, values: list[ir.Value]) -> list[Buffer | None]:
    """A fresh buffer for each block among `values` (None for scalars)."""
    blocks = [isinstance(v.type, ir.RankedTensorType) for v in values]
    return [low.storage.allocate(shape_of(v), v.type.element_type) if block else None for v, block in zip(values, blocks, strict=True)]


def fill(low: Lowering, operands: list[ir.Value], buffers: list[Buffer | None]) -> list[Emitted]:
    """Write the blocks among `operands` into fresh buffers; gives the scalars."""
    scalars = []
    for value, buffer in zip(operands, buffers, strict=True):
        if buffer is None:
            scalars.append(low.scalar(value))
        else:
            low.storage.write_all([(low.tensor(value), buffer)])
    return scalars


def lower_while(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    if node.writes:
        before_write(low, node)
    before, after = node.regions
    carried = carry(low, node, node.operands)
    passed = result_buffers(low, node.results)
    inits = [low.scalar(v) for v, buffer in zip(node.operands, carried, strict=True) if buffer is None]
    types = [r.type for r, buffer in zip(node.results, passed, strict=True) if buffer is None]
    loop = b.create("scf.while", types, [i.value for i in inits], regions=2)

    def region(
        number: int, body: Block, types: list[ir.Type], buffers: list[Buffer | None], finish: Callable[[Node], list[ir.Value]], end: str
    ) -> None:
        block = loop.regions[number].blocks.append(*types, arg_locs=[b.location] * len(types))
        with b.inside(loop, block) as depth:
            bind(low, node, body.arguments, buffers, [Emitted(a, depth, 0) for a in block.arguments])
            operands = low.run_block(body, finish)
            b.create(end, [], [o.value for o in operands])

    def condition(end: Node) -> list[Emitted]:
        return [low.scalar(end.operands[0]), *fill(low, end.operands[1:], passed)]

    region(0, before, [i.value.type for i in inits], carried, condition, "scf.condition")
    region(1, after, types, passed, lambda end: update(low, end.operands, carried), "scf.yield")
    return finished(low, node, passed, [Emitted(r, b.depth, 0) for r in loop.results])


def lower_index_switch(low: Lowering, node: Node) -> list[Value]:
    b = low.b
    if node.writes:
        before_write(low, node)
    buffers = result_buffers(low, node.results)
    types = [r.type for r, buffer in zip(node.results, buffers, strict=True) if buffer is None]
    switch = b.create(
        "scf.index_switch", types, [low.scalar(node.operands[0]).value], {"cases": node.op.attributes["cases"]}, regions=len(node.regions)
    )
    for region, body in zip(switch.regions, node.regions, strict=True):
        block = region.blocks.append()
        with b.inside(switch, block):
            results = low.run_block(body, lambda end: fill(low, end.operands, buffers))
            b.create("scf.yield", [], [r.value for r in results])
    return finished(low, node, buffers, [Emitted(r, b.depth, 0) for r in switch.results])
