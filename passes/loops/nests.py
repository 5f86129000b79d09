"""Loop nests over a block: outer dimensions element by element, vectors along one dimension innermost."""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.tensors import Coordinate, Coordinates

VectorBody = Callable[[Coordinate, list[Emitted]], Sequence[Emitted]]


class Nests:
    """Emits loops; `zero` is the coordinate along every dimension of extent 1."""

    def __init__(self, builder: Builder, zero: Coordinate) -> None:
        self.b = builder
        self.zero = zero

    def vector_loop(
        self,
        extent: int,
        width: int,
        carried: Sequence[Emitted],
        body: VectorBody,
        limit: Emitted | None = None,
        begin: int = 0,
        streams: Emitted | None = None,
        once: bool = False,
        alone: bool = False,
        seen: Emitted | None = None,
    ) -> list[Emitted]:
        """`body` at every `width` lanes from `begin` to `extent`: a main part in which bounded accesses need no mask, then the rest.

        `limit`: nothing has to be done from this position on. `streams`: where it holds, the main part stores past the caches (a loop
        of its own; nothing may be carried). `once`: the body is there once, with all masks. `alone`: even one vector is worth a main part.
        `seen`: as in `Coordinate`, for lanes that have masks.
        """
        b = self.b
        first, end = b.constant(begin), b.constant(extent)
        if begin >= extent:
            return list(carried)
        if alone and extent == width:
            end = Emitted(end.value, 0, 0)  # not known to be one vector, which would have no loop to end
        elif extent <= width:
            return list(body(Coordinate(first, extent if extent > 1 else 0, seen=seen), list(carried)))
        stop = end if limit is None else b.minimum(end, limit)
        if once:
            return b.for_loop(first, stop, width, carried, lambda i, c: body(Coordinate(i, width, seen=seen), c))[0]
        assumed: list[Emitted] = []
        streaming = None
        if streams is not None:
            _, streaming = b.for_loop(first, end, width, [], lambda i, c: body(Coordinate(i, width, assumed, streams=True), c))
        results, loop = b.for_loop(first, end, width, carried, lambda i, c: body(Coordinate(i, width, assumed), c))
        if not assumed and streaming is None:
            return results
        bound = self._end_main_part(streaming, loop, (first, end), width, assumed, streams)
        if not assumed:
            return results
        results, _ = b.for_loop(bound, stop, width, results, lambda i, c: body(Coordinate(i, width, seen=seen), c))
        return results

    def line_loop(
        self, extent: int, carried: Sequence[Emitted], body: VectorBody, limit: Emitted | None = None, begin: int = 0
    ) -> list[Emitted]:
        """`body` at every single index, as `vector_loop` does it for vectors; without a rest where only `limit` is taken for granted."""
        b = self.b
        first, end = b.constant(begin), b.constant(extent)
        stop = end if limit is None else b.minimum(end, limit)
        assumed: list[Emitted] = []
        results, loop = b.for_loop(first, stop, 1, carried, lambda i, c: body(Coordinate(i, 0, assumed), c))
        further = [end for end in assumed if limit is None or end.value != limit.value]
        if not further or loop is None:
            return results
        bound = self._end_main_part(None, loop, (first, stop), 1, further, None)
        return b.for_loop(bound, stop, 1, results, lambda i, c: body(Coordinate(i), c))[0]

    def _end_main_part(
        self,
        streaming: ir.Operation | None,
        loop: ir.Operation,
        extent: tuple[Emitted, Emitted],
        width: int,
        assumed: list[Emitted],
        streams: Emitted | None,
    ) -> Emitted:
        """End the main part's loops at the least of the bounds that their body takes for granted, rounded down to whole vectors."""
        b, (first, end) = self.b, extent
        scope = b.scopes[-1]
        resume, scope.ip = scope.ip, ir.InsertionPoint(streaming or loop)
        bound = end
        for other in {id(a.value): a for a in assumed}.values():
            bound = b.minimum(bound, other)
        if assumed:
            bound = b.maximum(bound, first)
            if width > 1:
                bound = b.op("arith.andi", b.i64, [bound, b.constant(-width)])
            loop.operands[1] = bound.value
        if streaming is not None:
            streaming.operands[1] = loop.operands[0] = b.select(streams, bound, first).value
        scope.ip = resume
        return bound

    def nest(
        self,
        shape: tuple[int, ...],
        dim: int,
        width: int,
        body: Callable[[Coordinates], None],
        limit: Callable[[Coordinates], Emitted | None] | None = None,
        streams: Emitted | None = None,
        once: bool = False,
        alone: bool = False,
        ends: Sequence[Emitted] = (),
        vectors_first: bool = False,
        seen: Emitted | None = None,
    ) -> None:
        """`body` at all coordinates of `shape`, vectors along `dim` innermost; outermost with `vectors_first`.

        `limit`, `streams`, `once`, `alone` and `seen` as in `vector_loop`, the first from the coordinates of the loops around it. `ends`:
        by dimensions, from where on nothing has to be done along the others.
        """
        if not shape:
            body(())
            return
        at: list[Coordinate] = [self.zero] * len(shape)
        others = [d for d in range(len(shape)) if d != dim]

        def step(coordinate: Coordinate, carried: list[Emitted]) -> list[Emitted]:
            at[dim] = coordinate
            if vectors_first:
                self._outer(others, shape, at, lambda: body(tuple(at)), ends)
            else:
                body(tuple(at))
            return []

        def vectors() -> None:
            at[dim] = self.zero
            self.vector_loop(shape[dim], width, [], step, limit(tuple(at)) if limit else None, 0, streams, once, alone, seen)

        if vectors_first:
            vectors()
        else:
            self._outer(others, shape, at, vectors, ends)

    def parts(self, at: Coordinates, dim: int, count: int) -> list[Coordinates]:
        """The places of the `count` vectors beside each other that fill `at`, which runs along `dim`."""
        if count == 1:
            return [at]
        whole = at[dim]
        lanes = whole.width // count
        starts = [self.b.add(whole.start, self.b.constant(number * lanes)) for number in range(count)]
        return [(*at[:dim], Coordinate(start, lanes, whole.assumed), *at[dim + 1 :]) for start in starts]

    def nest_scalar(self, shape: tuple[int, ...], body: Callable[[Coordinates], None]) -> None:
        """`body` at every single element of `shape`, in row-major order."""
        at: list[Coordinate] = [self.zero] * len(shape)
        self._outer(list(range(len(shape))), shape, at, lambda: body(tuple(at)))

    def _outer(
        self, dims: list[int], shape: tuple[int, ...], at: list[Coordinate], body: Callable[[], None], ends: Sequence[Emitted] = ()
    ) -> None:
        """`body` with each of `at[d]`, d in `dims`, at every index, the first dimension outermost."""
        if not dims:
            body()
            return
        d, *inner = dims
        if shape[d] == 1:
            at[d] = self.zero
            self._outer(inner, shape, at, body, ends)
            return
        end = ends[d] if ends and ends[d].constant is None else None

        def step(i: Emitted) -> None:
            at[d] = Coordinate(i, end=end)
            self._outer(inner, shape, at, body, ends)

        stop = self.b.constant(shape[d])
        if end is not None:
            stop = self.b.maximum(self.b.minimum(end, stop), self.b.constant(0))
        self.b.repeat(self.b.constant(0), stop, 1, step)
