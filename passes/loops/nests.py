"""Loop nests over a block: outer dimensions element by element, vectors along one dimension innermost."""

from collections.abc import Callable, Sequence

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Builder, Emitted
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
    ) -> list[Emitted]:
        """`body` at every `width` lanes from `begin` to `extent`: a main part in which bounded accesses need no mask, then the rest.

        `limit`: nothing has to be done from this position on. `streams`: where it holds, the main part stores past the caches (a loop
        of its own; nothing may be carried). `once`: the body is there once, with all masks.
        """
        b = self.b
        first, end = b.constant(begin), b.constant(extent)
        if begin >= extent:
            return list(carried)
        if extent <= width:
            return list(body(Coordinate(first, extent if extent > 1 else 0), list(carried)))
        stop = end if limit is None else b.minimum(end, limit)
        if once:
            return b.for_loop(first, stop, width, carried, lambda i, c: body(Coordinate(i, width), c))[0]
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
        results, _ = b.for_loop(bound, stop, width, results, lambda i, c: body(Coordinate(i, width), c))
        return results

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
            bound = b.op("arith.andi", b.i64, [b.maximum(bound, first), b.constant(-width)])
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
    ) -> None:
        """`body` at all coordinates of `shape`, vectors along `dim` innermost.

        `limit`, `streams` and `once` as in `vector_loop`, the first from the outer coordinates.
        """
        if not shape:
            body(())
            return
        at: list[Coordinate] = [self.zero] * len(shape)

        def innermost(coordinate: Coordinate, carried: list[Emitted]) -> list[Emitted]:
            at[dim] = coordinate
            body(tuple(at))
            return []

        def vectors() -> None:
            at[dim] = self.zero
            self.vector_loop(shape[dim], width, [], innermost, limit(tuple(at)) if limit else None, 0, streams, once)

        self._outer([d for d in range(len(shape)) if d != dim], shape, at, vectors)

    def nest_scalar(self, shape: tuple[int, ...], body: Callable[[Coordinates], None]) -> None:
        """`body` at every single element of `shape`, in row-major order."""
        at: list[Coordinate] = [self.zero] * len(shape)
        self._outer(list(range(len(shape))), shape, at, lambda: body(tuple(at)))

    def _outer(self, dims: list[int], shape: tuple[int, ...], at: list[Coordinate], body: Callable[[], None]) -> None:
        """`body` with each of `at[d]`, d in `dims`, at every index, the first dimension outermost."""
        if not dims:
            body()
            return
        d, *inner = dims
        if shape[d] == 1:
            at[d] = self.zero
            self._outer(inner, shape, at, body)
            return

        def step(i: Emitted) -> None:
            at[d] = Coordinate(i)
            self._outer(inner, shape, at, body)

        self.b.repeat(self.b.constant(0), self.b.constant(shape[d]), 1, step)
