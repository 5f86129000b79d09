"""Emission of scalar and vector code into nested scopes: loops and branches, over the ops and arithmetic of one scope."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from torch_mlir import ir

from triton_spacemit.dialect.errors import LoweringError
from triton_spacemit.passes.loops.arithmetic import Arithmetic
from triton_spacemit.passes.loops.emitter import Emitted, Scope


class Builder(Arithmetic):
    """What loops are lowered with."""

    @contextlib.contextmanager
    def inside(self, op: ir.Operation, block: ir.Block) -> Iterator[int]:
        """Fill `block` of `op`, the last op of the innermost scope; yields the new scope's depth."""
        outer = self.scopes[-1]
        resume = outer.ip
        outer.ip = ir.InsertionPoint(op)
        self.scopes.append(Scope(ir.InsertionPoint(block)))
        try:
            yield self.depth
        finally:
            self.scopes.pop()
            outer.ip = resume

    def for_loop(
        self,
        begin: Emitted,
        end: Emitted,
        step: int,
        carried: Sequence[Emitted],
        body: Callable[[Emitted, list[Emitted]], Sequence[Emitted]],
        type_: ir.Type | None = None,
    ) -> tuple[list[Emitted], ir.Operation | None]:
        """`for i in range(begin, end, step)`; the carried values' last state, and the loop (None where it ran no or one time)."""
        if begin.value == end.value:
            return list(carried), None
        if begin.constant is not None and end.constant is not None:
            trips = -(-(end.constant - begin.constant) // step)
            if trips <= 0:
                return list(carried), None
            if trips == 1:
                return list(body(begin, list(carried))), None
        types = [c.value.type for c in carried]
        operands = [begin.value, end.value, self.constant(step).value, *(c.value for c in carried)]
        loop = self.create("scf.for", types, operands, regions=1)
        block = loop.regions[0].blocks.append(self.i64, *types, arg_locs=[self.location] * (1 + len(types)))
        with self.inside(loop, block) as depth:
            arguments = [Emitted(a, depth, c.width) for a, c in zip(list(block.arguments)[1:], carried, strict=True)]
            results = body(Emitted(block.arguments[0], depth, 0), arguments)
            self.create("scf.yield", [], [self.broadcast(r, c.width).value for r, c in zip(results, carried, strict=True)])
        return [Emitted(r, self.depth, c.width) for r, c in zip(loop.results, carried, strict=True)], loop

    def repeat(self, begin: Emitted, end: Emitted, step: int, body: Callable[[Emitted], None]) -> None:
        """`for i in range(begin, end, step)` that carries nothing."""

        def once(i: Emitted, _: list[Emitted]) -> list[Emitted]:
            body(i)
            return []

        self.for_loop(begin, end, step, [], once)

    def when(self, condition: Emitted | None, body: Callable[[], object]) -> None:
        """`body` where the scalar `condition` holds (None: always)."""
        if condition is None:
            body()
            return

        def taken() -> list[Emitted]:
            body()
            return []

        self.if_else(condition, [], taken, None)

    def choose(self, condition: Emitted, body: Callable[[], object], otherwise: Callable[[], object]) -> None:
        """`body` where the scalar `condition` holds, else `otherwise`."""

        def run(side: Callable[[], object]) -> list[Emitted]:
            side()
            return []

        self.if_else(condition, [], lambda: run(body), lambda: run(otherwise))

    def if_else(
        self,
        condition: Emitted,
        types: Sequence[tuple[ir.Type, int]],
        then: Callable[[], Sequence[Emitted]],
        otherwise: Callable[[], Sequence[Emitted]] | None,
    ) -> list[Emitted]:
        """`scf.if` with results of (element type, width)."""
        results = [self.vector_type(t, w) for t, w in types]
        branch = self.create("scf.if", results, [condition.value], regions=2)
        for region, body in zip(branch.regions, (then, otherwise), strict=True):
            if body is None:
                continue
            block = region.blocks.append()
            with self.inside(branch, block):
                values = body()
                self.create("scf.yield", [], [self.broadcast(v, w).value for v, (_, w) in zip(values, types, strict=True)])
        return [Emitted(r, self.depth, w) for r, (_, w) in zip(branch.results, types, strict=True)]

    def fail(self, op: ir.Operation, message: str) -> LoweringError:
        return LoweringError(f"'{op.name}' op {message}", op.location)
