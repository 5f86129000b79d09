"""Copies of a product's operands as rows or columns of words that hold several lines: rows of A, or columns of B.

Lanes of the copying loop lie along k, where the operand does in memory: then each line is stored by itself, its steps of k at the distance
of a word. Or they lie along the lines of a word: then as many vectors as a word has steps of k are interleaved and stored as one.
"""

import functools

from torch_mlir import ir

from triton_spacemit.passes.intrinsics import intrinsic
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.layouts import Layout
from triton_spacemit.passes.loops.lowering import Lowering
from triton_spacemit.passes.loops.tensors import Buffer, Coordinate, Coordinates, Tensor, bits

_SEGMENTS = 8  # vectors that a store can interleave
_PART = 64  # bits of the widest element that a store with a stride takes
_CHEAP = 4  # the cost up to which computing an operand line by line is worth no copy of its own


def copy_panels(low: Lowering, layout: Layout, tensor: Tensor, plain: Tensor | None, buffer: Buffer, wanted: list[Emitted]) -> None:
    """Fill `buffer`, of words, with those that have any of the `wanted` first rows and columns of `tensor`.

    plain: the same in these, without conditions; it may not be read elsewhere. None where there is no such thing. Lines of a word behind
    the wanted ones are anything, steps behind them zero.
    """
    Panels(low, layout, tensor, plain, buffer, wanted).copy()


class Panels:
    """One such copy."""

    def __init__(self, low: Lowering, layout: Layout, tensor: Tensor, plain: Tensor | None, buffer: Buffer, wanted: list[Emitted]) -> None:
        self.low, self.layout, self.tensor, self.plain, self.buffer = low, layout, tensor, plain, buffer
        self.lines, self.steps = (0, 1) if layout.is_left else (1, 0)  # dimensions
        self.wanted_lines, self.wanted_steps = wanted[self.lines], wanted[self.steps]
        self.bits = bits(tensor.element)

    def copy(self) -> None:
        low, layout = self.low, self.layout
        dim, width = low.storage.vector_shape([self.tensor], self.tensor.shape)
        if dim == self.steps and width >= layout.depth:
            self._along_steps(width)
            return
        if low.cost(self.tensor) > _CHEAP:
            low.storage.materialise(self.tensor)
        self._along_lines()

    def _at(self, line: Coordinate, step: Coordinate) -> Coordinates:
        return (line, step) if self.layout.is_left else (step, line)

    def _word(self, panel: Emitted, step: Emitted) -> Emitted:
        """Where a word begins."""
        b, strides = self.low.b, self.buffer.strides
        base = b.offset(self.buffer.base, b.mul(panel, b.constant(strides[self.lines])), self.layout.word)
        return b.offset(base, b.mul(step, b.constant(strides[self.steps])), self.layout.word)

    def _along_steps(self, width: int) -> None:
        low, b, layout = self.low, self.low.b, self.layout
        across, depth = layout.across, layout.depth

        def part(tensor: Tensor, row: Emitted, panel: Emitted, number: Emitted, along: Coordinate) -> None:
            value = b.broadcast(low.evaluate(tensor, self._at(Coordinate(row), along)), along.width)
            word = self._word(panel, self.low.b.divided(along.start, depth))
            self._store_steps(b.offset(word, b.mul(number, b.constant(depth)), layout.element), value)

        def at(tensor: Tensor, row: Emitted, panel: Emitted, number: Emitted, k: Emitted) -> None:
            part(tensor, row, panel, number, Coordinate(k, width))

        def line(panel: Emitted, number: Emitted) -> None:
            row = b.add(b.mul(panel, b.constant(across)), number)
            if self.plain is None:

                def masked(along: Coordinate, carried: list[Emitted]) -> list[Emitted]:
                    part(self.tensor, row, panel, number, along)
                    return []

                low.nests.vector_loop(self.tensor.shape[self.steps], width, [], masked, self.wanted_steps)
                return
            row = b.minimum(row, b.sub(self.wanted_lines, b.constant(1)))  # the last line in the place of those behind it
            whole = b.rounded_down(self.wanted_steps, width)
            for tensor, begin, end in ((self.plain, b.constant(0), whole), (self.tensor, whole, self.wanted_steps)):
                b.repeat(begin, end, width, functools.partial(at, tensor, row, panel, number))

        def panel(number: Emitted) -> None:
            b.repeat(b.constant(0), b.constant(across), 1, lambda inside: line(number, inside))

        b.repeat(b.constant(0), self._words(self.wanted_lines, across), 1, panel)

    def _words(self, extent: Emitted, size: int) -> Emitted:
        """How many words of `size` there are up to `extent`."""
        b = self.low.b
        return b.divided(extent if extent.divisor % size == 0 else b.add(extent, b.constant(size - 1)), size)

    def _store_steps(self, pointer: Emitted, value: Emitted) -> None:
        """Steps of one line to successive words."""
        b, layout = self.low.b, self.layout
        parts = max(1, layout.depth * self.bits // _PART)
        element = ir.IntegerType.get_signless(min(_PART, layout.depth * self.bits))
        count = value.width * self.bits // element.width
        lanes = Emitted(b.create("llvm.bitcast", [b.vector_type(element, count)], [value.value]).results[0], b.depth, count)
        distance = self.buffer.strides[self.steps] * layout.across * parts  # of words, in parts
        if count == parts:
            self.low.memory.contiguous_store(pointer, lanes, None, element)
            return
        every = b.broadcast(b.constant(1, b.i1), count)
        if parts == 1:
            size = b.constant(distance * element.width // 8)
            operands = [lanes, pointer, size, every, b.constant(count, b.i32)]
            b.create("llvm.intr.experimental.vp.strided.store", [], [o.value for o in operands])
            return
        places = b.numbers([lane // parts * distance + lane % parts for lane in range(count)], b.i64)
        self.low.memory.indexed_store(b.offset(pointer, places, element), lanes, every)

    def _along_lines(self) -> None:
        low, b, layout = self.low, self.low.b, self.layout
        across, depth = layout.across, layout.depth

        def word(tensor: Tensor, number: Emitted, lines: Coordinate) -> None:
            vectors = []
            for i in range(depth):
                place = Coordinate(b.add(b.mul(number, b.constant(depth)), b.constant(i)))
                vectors.append(b.broadcast(low.evaluate(tensor, self._at(lines, place)), across))
            lanes = self._interleaved(vectors)
            low.memory.contiguous_store(self._word(self.low.b.divided(lines.start, across), number), lanes, None, b.element(lanes))

        def at(tensor: Tensor, number: Emitted, j: Emitted) -> None:
            word(tensor, number, Coordinate(j, across))

        def step(first: Tensor, number: Emitted) -> None:
            if self.plain is None:

                def masked(lines: Coordinate, carried: list[Emitted]) -> list[Emitted]:
                    word(self.tensor, number, lines)
                    return []

                low.nests.vector_loop(self.tensor.shape[self.lines], across, [], masked, self.wanted_lines)
                return
            whole = b.rounded_down(self.wanted_lines, across)
            for tensor, begin, end in ((first, b.constant(0), whole), (self.tensor, whole, self.wanted_lines)):
                b.repeat(begin, end, across, functools.partial(at, tensor, number))

        whole = b.constant(0)
        if self.plain is not None:  # words without steps behind the wanted ones
            whole = self.low.b.divided(self.wanted_steps, depth)
            b.repeat(b.constant(0), whole, 1, functools.partial(step, self.plain))
        b.repeat(whole, self._words(self.wanted_steps, depth), 1, functools.partial(step, self.tensor))

    def _interleaved(self, vectors: list[Emitted]) -> Emitted:
        """The first lanes of all vectors, then the second ones, and so on."""
        b = self.low.b
        size = b.element(vectors[0]).width
        while len(vectors) > _SEGMENTS:  # neighbours become lanes of twice the width
            size *= 2
            wider = b.vector_type(ir.IntegerType.get_signless(size), vectors[0].width)
            pairs = [self._joined(vectors[i : i + 2]) for i in range(0, len(vectors), 2)]
            casts = [b.create("llvm.bitcast", [wider], [pair.value], depth=pair.depth).results[0] for pair in pairs]
            vectors = [Emitted(cast, pair.depth, pair.width // 2) for cast, pair in zip(casts, pairs, strict=True)]
        return self._joined(vectors)

    def _joined(self, vectors: list[Emitted]) -> Emitted:
        b, count = self.low.b, len(vectors)
        width, depth = count * vectors[0].width, max(v.depth for v in vectors)
        type_ = b.vector_type(b.element(vectors[0]), width)
        attributes = intrinsic(f"llvm.vector.interleave{count}", count)
        op = b.create("llvm.call_intrinsic", [type_], [v.value for v in vectors], attributes, depth=depth)
        return Emitted(op.results[0], depth, width)
