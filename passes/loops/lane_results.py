"""Blocks that a loop leaves in lanes of registers, from where stores take them to memory.

A loop over scaled products ends with tiles of sums in registers (`scaled_sums.py`). Where nothing but stores needs its result, each of them
writes it straight to where it belongs, a register tile by one indexed store. What makes that legal: a held block is a value of the
program and no memory, so it stays what it is whatever is written; a store of all of its elements, without mask and index, to neighbours
along rows, has its places from base and stride alone. Any other store gets the block in memory first, and does with it as with others.
"""

from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.dialect import ime
from triton_spacemit.dialect.values import constant_of
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.elementwise import shape_of
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.ime_tiles import PAIR, places_of_parts
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.register_loops import cut_short
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.tensors import Access, Buffer, Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class LaneResult(Tensor):
    """A block of elements of 32 bits: for each register tile its first row and column, and its lanes, unit behind unit, row by row."""

    tile: ime.Tile
    across: int
    lanes: tuple[tuple[int, int, Emitted], ...]


def only_stored(low: Lowering, loop: Node, result: ir.Value) -> bool:
    """Whether nothing but stores needs a result of a loop, behind it or in a branch behind it."""
    users = low.analysis.users.get(result, ())
    return bool(users) and all(_stores(loop, node, result) for node in users)


def _stores(loop: Node, node: Node, result: ir.Value) -> bool:
    if node.name != "xsmt.descriptor_store" or node.op.opview.value != result or node.operands.count(result) != 1:
        return False
    block = node.block
    while block is not loop.block and block.parent is not None and block.parent.name == "scf.if":
        block = block.parent.block
    return block is loop.block


def held(low: Lowering, node: Node) -> LaneResult | None:
    """What a store stores, if it is held in lanes."""
    found = low.values.get(node.op.opview.value)
    return found if isinstance(found, LaneResult) else None


def is_whole(node: Node) -> bool:
    """Whether a store writes every element of its block, rows of neighbours."""
    op = node.op.opview
    stride = constant_of(op.strides[-1])
    return not cut_short(node.op, shape_of(op.value)) and stride is not None and stride.value == 1


def frozen_base(low: Lowering, result: LaneResult, base: Emitted) -> Emitted:
    """An address that stores of the block on both sides of a branch start from, once: LLVM would count up one for each."""
    depth = result.lanes[0][2].depth
    if base.depth > depth:
        return base
    known, key = low.b.scopes[depth].known, ("frozen", base.value)
    if key not in known:
        known[key] = Emitted(low.b.create("llvm.freeze", [base.value.type], [base.value], depth=depth).results[0], depth, 0)
    return known[key]


def store_result(low: Lowering, result: LaneResult, access: Access) -> None:
    """Store a held block to all of an access's places."""
    _store(low, result, access.base, access.strides[-2])


def in_memory(low: Lowering, result: LaneResult, node: Node) -> Tensor:
    """A held block in memory of the program, from here on."""
    buffer = low.storage.allocate(result.shape, result.element)
    _store(low, result, buffer.base, low.b.constant(buffer.strides[-2]))
    return low.storage.from_buffer(buffer, node.op)


def load_lanes(low: Lowering, tile: ime.Tile, across: int, block: Buffer, row: int, column: int) -> Emitted:
    """A register tile of a block in memory, from this row and column on."""
    b, registers = low.b, Registers(low.b, low.chip.vlen)
    parts = registers.lanes(b.i64, PAIR) * across
    places = places_of_parts(registers, (tile.m, tile.n), b.constant(block.strides[-2]), across)
    pointer = b.offset(block.base, b.constant(row * block.strides[-2] + column), block.stored)
    return registers.cast(registers.load_indexed(pointer, places, b.i64, parts), b.f32, parts * 2)


def _store(low: Lowering, result: LaneResult, base: Emitted, stride: Emitted) -> None:
    """Store it to rows `stride` elements apart."""
    b, registers = low.b, Registers(low.b, low.chip.vlen)
    parts = registers.lanes(b.i64, PAIR) * result.across
    places = places_of_parts(registers, (result.tile.m, result.tile.n), stride, result.across)
    for row, column, lanes in result.lanes:
        first = b.offset(base, b.mul(b.constant(row), stride), b.f32)
        pointer = b.offset(first, b.constant(column), b.f32)
        registers.store_indexed(pointer, places, registers.cast(lanes, b.i64, parts))
