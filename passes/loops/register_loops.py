"""Loops over products of bytes whose blocks live in vector registers: when they do, and why that is legal.

A product that is a register tile or a few is so few instructions that the memory which its operands and its result would pass through
costs more than they. In a loop of such products blocks are values, in one of two ways: tile by tile, as the matrix instruction leaves its
sums (`scaled_sums.py`), else element by element in the order of the block (`register_blocks.py`). Both stand on the same facts, and ask
for them here:

- A turn writes no memory and has no control flow, and what is no block in it is scalar arithmetic and scalar loads (`check`). So a load
  may be carried out wherever in the turn its lanes are wanted.
- A block is loaded whole: no mask or bound cuts it short (`cut_short`), and its strides are constants (`strides_of`). So the place of every
  lane in memory is known while code is made.
- What is computed takes each element from those at its own place (`ELEMENTWISE`), and registers have such elements (`fits`); what only
  puts elements in other places is known lane by lane.

What of it does not hold is told by NotInRegisters, and the loop is lowered as others are.
"""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.module import SCHEDULED
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.facts.steps import step_of
from triton_spacemit.passes.loops.analysis import Block, Node
from triton_spacemit.passes.loops.elementwise import attributes_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering, Value
from triton_spacemit.passes.loops.next_turn import ahead_of, ask

GROUP = 8  #: registers that one value may fill
ELEMENTWISE = frozenset(
    [f"arith.{name}" for name in "addi subi muli andi ori xori shli shrui shrsi maxsi maxui minsi minui".split()]
    + [f"arith.{name}" for name in "addf subf mulf negf extf truncf extsi extui trunci sitofp uitofp fptosi fptoui".split()]
    + ["math.fma", "tt.bitcast"]
)
_FUSED = ("arith.addf", "arith.subf", "arith.mulf")
_IMMEDIATE = 2047  # the largest number that RISC-V's instructions add without a register


class NotInRegisters(Exception):
    """Why a block cannot be held in registers."""


def check(low: Lowering, loop: Node) -> None:
    """Raise NotInRegisters where a turn does something else than to compute blocks and scalars."""
    for node in loop.regions[0].nodes[:-1]:
        if node.is_tensor and not node.regions:
            continue
        if node.regions or not (node.is_lazy or node.name.startswith("llvm.")):
            raise NotInRegisters(f"{node.name} is in it")
        if any(isinstance(value.type, ir.RankedTensorType) for value in node.operands):
            raise NotInRegisters(f"{node.name} takes a block")


def fits(element: ir.Type) -> bool:
    """Whether lanes of registers can be such elements."""
    return isinstance(element, ir.F32Type | ir.F16Type) or (isinstance(element, ir.IntegerType) and element.width in (8, 16, 32))


def cut_short(op: ir.Operation, shape: Sequence[int]) -> str:
    """What may keep an access from some elements of its block; empty where nothing does."""
    view = op.opview
    lower, upper = ([constant_of(value) for value in values] for values in (view.lower, view.upper))
    if view.mask is not None:
        return "a mask"
    if any(bound is None or bound.value > 0 for bound in lower):
        return "a lower bound"
    inside = all(bound is not None and bound.value >= extent for bound, extent in zip(upper, shape, strict=True))
    return "" if inside else "an upper bound"


def strides_of(op: ir.Operation, shape: Sequence[int]) -> list[int]:
    """The strides of an access to a whole block. Raises NotInRegisters where it is none, or one of them is not a constant."""
    if what := cut_short(op, shape):
        raise NotInRegisters(f"an access has {what}")
    strides = [constant_of(stride) for stride in op.opview.strides]
    known = [stride.value for stride in strides if stride is not None]
    if len(known) < len(strides):
        raise NotInRegisters("a stride is not a constant")
    return known


def as_on_lanes(low: Lowering, op: ir.Operation) -> tuple[str, dict[str, ir.Attribute]]:
    """The name and the attributes of an element-wise op on lanes of registers."""
    attributes = attributes_of(op)
    if low.fuses and op.name in _FUSED:
        attributes = {**attributes, "fastmath": ir.Attribute.parse("#arith.fastmath<contract>")}
    return "arith.bitcast" if op.name == "tt.bitcast" else op.name, attributes


def run(
    low: Lowering, loop: Node, blocks: Sequence[Emitted], turn: Callable[[list[Emitted]], Sequence[Emitted]], holds_moves: bool = False
) -> tuple[list[Emitted], list[Emitted]]:
    """Emit the loop, which carries its scalars as such and the values `blocks`, of which `turn` gives the next turn's. Returns the last of
    these, and the loop's scalar results.

    holds_moves: there is a scalar register for each distance that a pointer moves on by, where an addition has no room for it.
    """
    b, body = low.b, loop.regions[0]
    if low.chip.in_order:
        low.module.operation.attributes[SCHEDULED] = ir.UnitAttr.get()
    low.storage.computes = True
    end = body.nodes[-1]
    lower, upper, step = (low.scalar(value) for value in loop.operands[:3])
    carried = [*blocks, *(low.scalar(value) for value in _scalars(loop.operands[3:]))]
    moves = {value: distance for value in end.operands if holds_moves and (distance := _move(low, body, value)) is not None}
    ahead = ahead_of(low, loop)
    types = [value.value.type for value in carried]
    attributes = {"unsignedCmp": loop.op.attributes["unsignedCmp"]} if "unsignedCmp" in loop.op.attributes else None
    op = b.create("scf.for", types, [value.value for value in (lower, upper, step, *carried)], attributes, regions=1)
    block = op.regions[0].blocks.append(lower.value.type, *types, arg_locs=[b.location] * (1 + len(types)))
    with b.inside(op, block) as depth, low.storage.region():
        number, *values = (Emitted(argument, depth, 0) for argument in block.arguments)
        low.bind_value(body.arguments[0], number)
        for argument, value in zip(_scalars(body.arguments[1:]), values[len(blocks) :], strict=True):
            low.bind_value(argument, value)
        ask(low, ahead, loop, number)
        scalars = [node for node in body.nodes[:-1] if not node.is_tensor]
        last = [node for node in scalars if all(low.analysis.users.get(value, ()) == [end] for value in node.results)]
        _lower(low, [node for node in scalars if node not in last])
        b.location = end.op.location
        ends = list(turn(values[: len(blocks)]))
        _lower(low, last)  # of the next turn: the registers of this turn's are free by now
        ends += [_next(low, value, moves) for value in _scalars(end.operands)]
        b.create("scf.yield", [], [value.value for value in ends])
    b.location = loop.op.location
    results = [Emitted(value, b.depth, 0) for value in op.results]
    return results[: len(blocks)], results[len(blocks) :]


def in_order(loop: Node, blocks: Sequence[Value], scalars: Sequence[Value]) -> list[Value]:
    """The results of a loop, of which these are the blocks and those the scalars."""
    rest = iter(scalars), iter(blocks)
    return [next(rest[isinstance(result.type, ir.RankedTensorType)]) for result in loop.results]


def blocks_of(values: Sequence[ir.Value]) -> list[ir.Value]:
    return [value for value in values if isinstance(value.type, ir.RankedTensorType)]


def _scalars(values: Sequence[ir.Value]) -> list[ir.Value]:
    return [value for value in values if not isinstance(value.type, ir.RankedTensorType)]


def _lower(low: Lowering, nodes: Sequence[Node]) -> None:
    for node in nodes:
        low.b.location = node.op.location
        low.lower(node)


def _move(low: Lowering, body: Block, value: ir.Value) -> Emitted | None:
    """The bytes that a pointer moves on by in a turn, in a register, where they are a constant that an addition has no room for."""
    step = step_of(value)
    if step is None or step.index is not None or step.pointer not in body.arguments:
        return None
    distance = step.constant * step.size
    return low.b.opaque(low.b.constant(distance)) if abs(distance) > _IMMEDIATE and low.chip.is_riscv else None


def _next(low: Lowering, value: ir.Value, moves: dict[ir.Value, Emitted]) -> Emitted:
    """A scalar of the next turn."""
    if value not in moves:
        return low.scalar(value)
    return low.b.offset(low.scalar(low.analysis.producer[value].operands[0]), moves[value], low.b.i8)
