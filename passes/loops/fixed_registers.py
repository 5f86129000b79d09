"""Blocks in registers of a chip whose vectors have a fixed length, with products of AVX-512 VNNI.

`vpdpbusd` adds to each of 16 sums the products of four bytes of A, the same for all, with four of a column of B, of which one has to be
unsigned and the other one signed. Where both are signed, A's are taken 128 larger, so that each sum is 128 times the column's sum of B too
large, which is added up beside and comes off at the end.
"""

import itertools
from collections.abc import Sequence

from torch_mlir import ir

from triton_spacemit.dialect.chips import MatrixTile
from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.analysis import Node
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.narrow import factor_name
from triton_spacemit.passes.loops.register_loops import NotInRegisters
from triton_spacemit.passes.loops.register_values import RegisterValues, Units
from triton_spacemit.passes.loops.register_views import (
    ComputedLanes,
    LoadedLanes,
    Piece,
    ProductLanes,
    Source,
    View,
    in_order,
)
from triton_spacemit.passes.loops.registers import Registers
from triton_spacemit.passes.loops.selection import Candidate
from triton_spacemit.passes.loops.tensors import Buffer, bits

BYTES = "unsigned-grouped-vectors"  # the form of such products
_WORD = 32  # bits that are shuffled at a time, and of the bytes of a row that are multiplied at once


def signs_of(node: Node) -> tuple[bool, bool]:
    """Whether the bytes of each operand of a product are signed."""
    left, right = (not factor_name(value).startswith("u") for value in node.operands[:2])
    return left, right


def signs_in(count: int) -> int:
    """So many bytes of 128, as a signed number."""
    return int.from_bytes(b"\x80" * count, "little", signed=True)


def block_of(right: View, step: int, depth: int, column: int, columns: int) -> View:
    """Part of B, column by column."""
    count = right.shape[1]
    return right.only([k * count + n for n in range(column, column + columns) for k in range(step, step + depth)])


def word_of(view: View) -> tuple[LoadedLanes, int]:
    """The load that some bytes of a row of A are of, and the first one's lane. Raises NotInRegisters where they are no neighbours there."""
    source, lane = view.located(view.lanes[0])
    neighbours = view.lanes == tuple(range(view.lanes[0], view.lanes[0] + len(view.lanes)))
    if not isinstance(source, LoadedLanes) or not neighbours or lane + len(view.lanes) > source.count:
        raise NotInRegisters("bytes of a row of A are no neighbours in memory")
    return source, lane


def with_lanes(value: Emitted) -> Emitted:
    """The same, as a vector of so many lanes as its type says."""
    type_ = value.value.type
    return Emitted(value.value, value.depth, type_.shape[0] if isinstance(type_, ir.VectorType) else 0)


class FixedRegisters(Registers):
    """The same ops on vectors of a fixed length."""

    def vector(self, element: ir.Type, lanes: int) -> ir.Type:
        return self.b.vector_type(element, lanes)

    def op(
        self,
        name: str,
        result: ir.Type,
        operands: Sequence[Emitted],
        attributes: dict[str, ir.Attribute] | None = None,
        depth: int | None = None,
    ) -> Emitted:
        return with_lanes(super().op(name, result, operands, attributes, depth))

    def splat(self, number: int, element: ir.Type, lanes: int) -> Emitted:
        return self.b.broadcast(self.b.constant(number, element), lanes)

    def part(self, value: Emitted, element: ir.Type, first: int, lanes: int) -> Emitted:
        return value if value.width == lanes else self.b.shuffle(value, value, range(first, first + lanes))

    def joined(self, parts: Sequence[Emitted], element: ir.Type, lanes: int) -> Emitted:
        rest = list(parts)
        while len(rest) > 1:
            size = 2 * rest[0].width
            rest = [self.b.shuffle(one, other, range(size)) for one, other in zip(rest[::2], rest[1::2], strict=True)]
        return rest[0]


class FixedRegisterValues(RegisterValues):
    """The values of one turn."""

    def __init__(self, low: Lowering, tiles: dict[ir.Value, Candidate], sums: dict[ir.Value, Buffer], carried: Sequence[Emitted]) -> None:
        super().__init__(low, tiles, sums, [with_lanes(value) for value in carried])

    def _registers(self) -> Registers:
        return FixedRegisters(self.b, self.low.chip.vlen)

    def _piece(self, piece: Piece) -> Emitted:
        source = piece.source
        if piece.shuffled:
            return self._shuffled(piece)
        if not piece.same and isinstance(source, LoadedLanes):
            return self._part(source, piece.first, piece.count)
        return super()._piece(piece)

    def _part(self, source: Source, first: int, count: int) -> Emitted:
        """Some lanes of a source: of a load these alone, once."""
        if not isinstance(source, LoadedLanes):
            return self.registers.part(self._whole(source), source.element, first, count)
        key = (source, first, count)
        if key not in self._parts:
            self._parts[key] = self._load(source, first, count)
        return self._parts[key]

    def _shuffled(self, piece: Piece) -> Emitted:
        """Lanes of a register in any order, as parts of 32 bits where they lie so, out of two registers where they are in no more."""
        b, source = self.b, piece.source
        per_word, per_register = _WORD // bits(source.element), self.low.chip.vlen // bits(source.element)
        starts = piece.shuffled[::per_word]
        in_words = all(start % per_word == 0 for start in starts) and piece.shuffled == tuple(
            start + i for start in starts for i in range(per_word)
        )
        numbers = sorted({lane // per_register for lane in piece.shuffled})
        if not in_words or len(numbers) > 2 or source.count < per_register:
            whole = self._part(source, 0, source.count)
            return b.shuffle(whole, whole, piece.shuffled)
        words = per_register // per_word
        parts = [self.registers.cast(self._part(source, n * per_register, per_register), b.i32, words) for n in numbers]
        places = [numbers.index(start // per_register) * words + start % per_register // per_word for start in starts]
        return self.registers.cast(b.shuffle(parts[0], parts[-1], places), source.element, piece.count)

    # Products

    def finish(self, source: ProductLanes) -> None:
        row, rows = self.tiles[source.node.results[0]].row, self.units(source)
        self._sources[source] = self.registers.joined([unit for sums in rows for unit in sums], source.element, row.n)

    def units(self, source: ProductLanes) -> Units:
        if source in self._units:
            return self._units[source]
        tile, signed = self.tiles[source.node.results[0]].row, signs_of(source.node)
        # where two steps of half as many columns lie together, a word of A is two steps as well, and its load serves two products
        depth = 2 * tile.k if self._lies(source.right, tile.n // 2, 2 * tile.k) else tile.k
        halves = self._halves(source, tile.n) if depth > tile.k else None
        units = self._sums(source, tile, depth, signed, halves)
        if depth > tile.k:
            units = [[self._pairs_added(*pair) for pair in zip(row[::2], row[1::2], strict=True)] for row in units]
        if halves is None:
            starts = self._starts(source, source.left.shape[0], source.right.shape[1] // tile.n, tile.n)
            both = zip(units, starts, strict=True)
            units = [[self.b.op("arith.addi", source.element, pair) for pair in zip(*row, strict=True)] for row in both]
        self._units[source] = units
        return units

    def _halves(self, source: ProductLanes, columns: int) -> list[Emitted] | None:
        """For each row, what both lanes that are added up to a sum can begin with: half of its start, where that is the sum of a block and
        itself, the same for all columns of a row. So no addition of starts follows."""
        start, count, found = source.start, source.right.shape[1], []
        for row in range(source.left.shape[0]):
            places = [start.located(lane) for lane in start.only(range(row * count, (row + 1) * count)).lanes]
            sums = places[0][0]
            if not isinstance(sums, ComputedLanes) or any(place[0] is not sums for place in places):
                return None
            if sums.node.name != "arith.addi" or sums.node.operands[0] != sums.node.operands[1]:
                return None
            half = sums.operands[0].only([lane for _, lane in places][:columns])
            if len({sums.operands[0].lanes[lane] for _, lane in places}) > 1:
                return None
            found.append(self.vector(half))
        return found

    def _lies(self, right: View, columns: int, depth: int) -> bool:
        """Whether so many columns by so many steps are whole registers throughout B."""
        inner, count = right.shape
        firsts = itertools.product(range(0, inner - inner % depth, depth), range(0, count, columns))
        return not inner % depth and all(in_order(self.low.chip, block_of(right, k, depth, n, columns)) for k, n in firsts)

    def _pairs_added(self, first: Emitted, second: Emitted) -> Emitted:
        """The sums of neighbours in two registers, in one."""
        b, width = self.b, first.width
        even, odd = (b.shuffle(first, second, range(start, 2 * width, 2)) for start in (0, 1))
        return b.op("arith.addi", b.i32, [even, odd])

    def _sums(
        self, source: ProductLanes, tile: MatrixTile, depth: int, signed: tuple[bool, bool], begin: Sequence[Emitted] | None
    ) -> Units:
        """For each row a register of sums for so many columns that `depth` steps of them fill one. begin: what a row's begin with, if not
        with zero."""
        b, (rows, inner), columns = self.b, source.left.shape, source.right.shape[1]
        across = tile.n * tile.k // depth
        zero = self.registers.splat(0, source.element, tile.n)
        sums = [[first] * (columns // across) for first in (begin or [zero] * rows)]
        above = [zero] * (columns // across)
        signs = b.broadcast(b.constant(signs_in(tile.k), b.i32), tile.n)
        for step in range(0, inner, depth):
            words = [word_of(source.left.only(range(r * inner + step, r * inner + step + depth))) for r in range(rows)]
            rights = [self.vector(block_of(source.right, step, depth, c * across, across)) for c in range(columns // across)]
            if all(signed):
                above = [self._multiply_add(tile.instruction, signs, *pair) for pair in zip(rights, above, strict=True)]
            for total, word in zip(sums, words, strict=True):
                left = self._left(*word, depth, all(signed))
                for c, right in enumerate(rights):
                    unsigned, other = (left, right) if signed[1] else (right, left)
                    total[c] = self._multiply_add(tile.instruction, unsigned, other, total[c])
        if not all(signed):
            return sums
        return [[b.op("arith.subi", source.element, pair) for pair in zip(total, above, strict=True)] for total in sums]

    def _starts(self, source: ProductLanes, rows: int, across: int, columns: int) -> Units:
        before = source.start.sources[0]
        if isinstance(before, ProductLanes) and source.start.lanes == tuple(range(before.count)):
            return [list(row) for row in self.units(before)]
        places = [[(r * across + c) * columns for c in range(across)] for r in range(rows)]
        return [[self.vector(source.start.only(range(place, place + columns))) for place in row] for row in places]

    def _left(self, source: LoadedLanes, lane: int, depth: int, flipped: bool) -> Emitted:
        """So many bytes of a row, throughout a register; `flipped`: 128 larger, as unsigned ones."""
        b, type_ = self.b, ir.IntegerType.get_signless(8 * depth)
        pointer = b.offset(self._base(source), b.constant(lane), source.element)
        attributes = {"alignment": ir.IntegerAttr.get(b.i64, 1)}
        value = Emitted(b.create("llvm.load", [type_], [pointer.value], attributes).results[0], b.depth, 0)
        if flipped:
            value = b.op("arith.xori", type_, [value, b.constant(signs_in(depth), type_)])
        return b.broadcast(value, self.low.chip.vlen // type_.width)

    def _multiply_add(self, name: str, left: Emitted, right: Emitted, sums: Emitted) -> Emitted:
        b, registers = self.b, self.registers
        count = self.low.chip.vlen // 8
        operands = [sums, registers.cast(left, b.i8, count), registers.cast(right, b.i8, count)]
        op = b.create("llvm.call_intrinsic", [sums.value.type], [operand.value for operand in operands], intrinsic(name, 3))
        return Emitted(op.results[0], b.depth, sums.width)
