"""Evaluation of blocks: their lanes at given coordinates, each computed once per place, and which memory that reads.

A block that a loop has stored is read from its buffer from then on. This is noted here, not in the block: `now` gives what stands for it.
What is noted in a region, code that may not run or that runs several times, does not hold behind it.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_spacemit.dialect.chips import Chip
from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted
from triton_spacemit.passes.loops.memory import Memory
from triton_spacemit.passes.loops.tensors import (
    Access,
    Buffer,
    Computed,
    Coordinate,
    Coordinates,
    Follows,
    Loaded,
    Renamed,
    Stored,
    Tensor,
    Uniform,
    identity,
)

DEEP = 40  # blocks on a chain up to which Python's stack holds their evaluation


@dataclass(frozen=True)
class Read:
    """Memory that evaluating a block reads: of `buffer`, or where it is None the caller's, as `access` says.

    `tensor` is the block that is read there, `follows` where: a place that does not follow the evaluated block's own coordinates is any.
    """

    tensor: Tensor
    buffer: Buffer | None
    access: Access | None
    follows: Follows


class Evaluator:
    """Evaluates blocks, in the scopes of `builder`. `stored(tensor, at, lanes)` is called with all lanes that were computed."""

    def __init__(self, builder: Builder, chip: Chip) -> None:
        self.b = builder
        self.memory = Memory(builder, chip, self.evaluate)
        self.zero = Coordinate(builder.constant(0))
        self.on_computed: Callable[[Tensor, Coordinates, Emitted], None] = lambda tensor, at, lanes: None
        self._now: dict[Tensor, Tensor] = {}
        self._undo: list[tuple[Tensor, Tensor | None]] = []
        self._loops: dict[Tensor, list[list[Emitted]]] = {}  # by the bounds that they take for granted, the loops that load a block

    @property
    def has_loaded(self) -> bool:
        """Whether some loop has gone through a block of memory already, of which the next program's is known."""
        return bool(self._loops)

    # What stands for a block

    def now(self, tensor: Tensor) -> Tensor:
        """The block itself, or what it is read from by now."""
        return self._now.get(tensor, tensor)

    def becomes(self, tensor: Tensor, state: Tensor) -> None:
        """From here on, in this region, `tensor` is evaluated as `state`, which has the same elements."""
        self._undo.append((tensor, self._now.get(tensor)))
        self._now[tensor] = state

    @contextlib.contextmanager
    def region(self) -> Iterator[None]:
        """Code that may not run, or runs several times: what blocks become in it they are not behind it."""
        outer, self._undo = self._undo, []
        try:
            yield
        finally:
            for tensor, state in reversed(self._undo):
                if state is None:
                    del self._now[tensor]
                else:
                    self._now[tensor] = state
            self._undo = outer

    @contextlib.contextmanager
    def rarely(self) -> Iterator[None]:
        """Code that hardly ever runs: loops behind it are not the second to load what is loaded in it."""
        outer, self._loops = self._loops, {}
        try:
            yield
        finally:
            self._loops = outer

    # Lanes

    def evaluate(self, tensor: Tensor, at: Coordinates) -> Emitted:
        """The lanes of `tensor` at coordinates; computed once per place."""
        state = self.now(tensor)
        if isinstance(state, Uniform):
            return state.value
        known = self._known(tensor, at)
        if known is not None:
            return known
        if state.height > DEEP:
            self._evaluate_chain(tensor, at)
        outer = self.b.location
        if tensor.origin is not None:
            self.b.location = tensor.origin.location
        if isinstance(state, Loaded) and state.access.next_program is not None:
            self._ask_ahead(tensor, state.access, at)
        result = self._compute(state, at)
        self.b.location = outer
        self.b.scopes[result.depth].known[tensor, at] = result
        self.on_computed(tensor, at, result)
        return result

    def _known(self, tensor: Tensor, at: Coordinates) -> Emitted | None:
        key = (tensor, at)
        for scope in reversed(self.b.scopes):
            if key in scope.known:
                return scope.known[key]
        return None

    def _compute(self, state: Tensor, at: Coordinates) -> Emitted:
        if isinstance(state, Computed):
            return state.compute(at)
        if isinstance(state, Renamed):
            return self.evaluate(state.source, renamed(state, at))
        if isinstance(state, Stored):
            return self.memory.read_buffer(state.buffer, at, state.home)
        assert isinstance(state, Loaded)
        value = self.memory.load(state.access, at, state.home)
        return value if state.access.element == state.element else self.memory.from_stored(value, state.element)

    def _ask_ahead(self, tensor: Tensor, access: Access, at: Coordinates) -> None:
        """In loops that load what another one has loaded before, ask for what the next program loads in its place."""
        loop = next((coordinate.assumed for coordinate in at if coordinate.width), None)
        if loop is None:
            return
        loops = self._loops.setdefault(tensor, [])
        if not any(known is loop for known in loops):
            loops.append(loop)
        if len(loops) > 1:
            self.memory.ask_for_next(access, at)

    def _evaluate_chain(self, tensor: Tensor, at: Coordinates) -> None:
        """Evaluate what a long chain is computed from, its far end first, so that no evaluation nests as deep as the chain is long."""
        stack = [(tensor, at, False)]
        while stack:
            current, place, ready = stack.pop()
            if ready:
                self.evaluate(current, place)
                continue
            state = self.now(current)
            if state.height <= DEEP or self._known(current, place) is not None:
                continue
            if current is not tensor:
                stack.append((current, place, True))
            if isinstance(state, Renamed):
                stack.append((state.source, renamed(state, place), False))
            elif isinstance(state, Computed) and state.always:
                stack += [(source, tuple(place[d] for d in follows if d is not None), False) for source, follows in state.sources]

    # What is read

    def cone(self, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor, Follows]]:
        """Every block that evaluating `tensor` evaluates, what stands for it now, and what dimensions of `tensor` it follows."""
        seen = set()
        stack: list[tuple[Tensor, Follows]] = [(tensor, identity(len(tensor.shape)))]
        while stack:
            current, follows = stack.pop()
            if (current, follows) in seen:
                continue
            seen.add((current, follows))
            state = self.now(current)
            yield current, state, follows
            for source, mapping in state.sources:
                stack.append((source, tuple(None if m is None else follows[m] for m in mapping)))

    def reads(self, tensor: Tensor) -> Iterator[Read]:
        """All memory that evaluating `tensor` reads: of operands, indices, masks and what stands for masked elements alike."""
        for block, state, follows in self.cone(tensor):
            if isinstance(state, Stored):
                yield Read(block, state.buffer, None, follows)
            elif isinstance(state, Loaded):
                yield Read(block, state.memory, state.access, follows if state.memory is None else (None,) * len(follows))

    def reads_buffer(self, tensor: Tensor, buffer: Buffer) -> bool:
        """Whether evaluating `tensor` reads memory of `buffer`."""
        return any(read.buffer is not None and read.buffer.base.value == buffer.base.value for read in self.reads(tensor))

    def reads_elsewhere(self, tensor: Tensor, buffer: Buffer) -> bool:
        """Whether an element of `tensor` is computed from one of `buffer` that is not at its own place: then writing `tensor` to `buffer`,
        place by place, would overwrite what is still to be read."""
        for read in self.reads(tensor):
            if read.buffer is None or read.buffer.base.value != buffer.base.value:
                continue
            in_lanes = read.follows == identity(len(tensor.shape)) and read.buffer.strides == buffer.strides
            if not in_lanes or buffer.shape != tensor.shape:
                return True
        return False


def renamed(tensor: Renamed, at: Coordinates) -> Coordinates:
    """The source's coordinates for those of `tensor`."""
    return tuple(at[place] if isinstance(place, int) else place for place in tensor.places)
