"""Block values that have no code yet: frozen descriptions of how a block is computed at given coordinates, or of where it lies in memory.

A block is one of five kinds, and stays what it is. That a block lies in a buffer from some point on is not a change of the block: the
evaluator notes it in a map of its own (`evaluation.py`), which a region of code can drop again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Builder
from triton_spacemit.passes.loops.emitter import Emitted

LINE = 64  # bytes in a line of the caches
MOST_COST = 1 << 20  # costs are added up to this: a chain that uses each of its values twice would double them without end


@dataclass(eq=False)
class Coordinate:
    """A position along one dimension: one index, or `width` lanes from `start` on.

    `assumed` collects the upper bounds that code at this coordinate takes for granted (None where every access must check its own):
    the loop that owns the coordinate then ends its main part at the least of them. `streams`: stores go past the caches, to whole lines.
    `end`: an upper bound that the loop keeps, of one index. `seen`: from this bound on nobody looks at what lanes are.
    """

    start: Emitted
    width: int = 0
    assumed: list[Emitted] | None = None
    streams: bool = False
    end: Emitted | None = None
    seen: Emitted | None = None

    def is_below(self, bound: Emitted) -> bool:
        """Whether the loop is known to end at `bound`."""
        return self.end is not None and self.end.value == bound.value


Coordinates = tuple[Coordinate, ...]
# For each dimension of a block that is read, the dimension of the reading block whose coordinate it is read at; None where it is another
# place: a fixed one, or one that is computed.
Follows = tuple[int | None, ...]


def identity(rank: int) -> Follows:
    """Each dimension follows the one of the same number."""
    return tuple(range(rank))


@dataclass(frozen=True, eq=False, kw_only=True)
class Tensor:
    """A block value, of one of the kinds below. `origin` is the op it stands for.

    `sources`: the blocks that evaluating it evaluates. `cost`: about the number of vector ops that compute one vector of it from memory.
    `height`: the length of the longest chain of blocks that it is computed through.
    """

    shape: tuple[int, ...]
    element: ir.Type
    origin: ir.Operation | None = None
    sources: tuple[tuple["Tensor", Follows], ...] = ()
    cost: int = 1
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", 1 + max((source.height for source, _ in self.sources), default=0))

    @property
    def uniform(self) -> Emitted | None:
        """The scalar that every element is, of a `Uniform`."""
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Uniform(Tensor):
    """Every element is the scalar `value`."""

    value: Emitted

    @property
    def uniform(self) -> Emitted | None:
        return self.value


@dataclass(frozen=True, eq=False, kw_only=True)
class Stored(Tensor):
    """The block that fills `buffer`, which is read no further out than in the scope of depth `home`."""

    buffer: "Buffer"
    home: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Loaded(Tensor):
    """The elements that `access` reads where they are needed, no further out than in the scope of depth `home`.

    `memory`: the buffer of the program that the access reads at places of its own; None where it reads the caller's memory. `element`
    differs from the access's where it lies in memory as bytes.
    """

    access: "Access"
    home: int
    memory: "Buffer | None" = None

    def __post_init__(self) -> None:
        parts = (self.access.index, self.access.mask, self.access.other)
        sources = tuple((part, identity(len(self.shape))) for part in parts if isinstance(part, Tensor))
        object.__setattr__(self, "sources", sources)
        super().__post_init__()


@dataclass(frozen=True, eq=False, kw_only=True)
class Renamed(Tensor):
    """`source`, whose dimension d is read at this block's coordinate number `places[d]`, or at the fixed coordinate `places[d]`."""

    source: Tensor
    places: tuple[int | Coordinate, ...]

    def __post_init__(self) -> None:
        follows = tuple(place if isinstance(place, int) else None for place in self.places)
        object.__setattr__(self, "sources", ((self.source, follows),))
        super().__post_init__()

    @property
    def order(self) -> tuple[int, ...] | None:
        """The dimension that each of the source's follows, where this is the source with its dimensions in another order."""
        follows = tuple(place for place in self.places if isinstance(place, int))
        return follows if len(follows) == len(self.places) and sorted(follows) == list(range(len(self.shape))) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class Computed(Tensor):
    """`compute(coordinates)` emits the lanes there; it evaluates `sources` and no other block, at coordinates that follow its own as said.

    `always`: it evaluates every source, at its own coordinates, wherever it is evaluated itself.
    """

    compute: Callable[[Coordinates], Emitted]
    always: bool = False


@dataclass(eq=False)
class Buffer:
    """Memory of a program that holds a block: element i at `base + sum strides[d] * i[d]`, `stored` is the type in memory (i8 for i1)."""

    base: Emitted
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    element: ir.Type
    stored: ir.Type
    room: int = 0  # elements behind the block that may be overwritten


@dataclass(eq=False)
class Access:
    """A resolved block access, from an `xsmt` op: scalars of the new code, and tensors for what is not affine."""

    base: Emitted
    strides: list[Emitted]
    lower: list[Emitted]
    upper: list[Emitted]
    index: Tensor | None
    unit: int
    mask: Tensor | None
    other: "Tensor | Emitted | None"
    element: ir.Type
    shape: tuple[int, ...]
    op: ir.Operation | None
    index_value: ir.Value | None = None
    unmasked: Emitted | None = None  # a scalar condition under which the mask is true everywhere
    next_program: Emitted | None = None  # bytes to the same block of the next program, where it is worth asking for that ahead

    @property
    def has_neighbours(self) -> bool:
        """Whether elements along a dimension are known to be neighbours: along others they hardly are, and no test is worth its code."""
        return any(stride.constant == 1 and extent > 1 for stride, extent in zip(self.strides, self.shape, strict=True))


_NUMBERS = (ir.IntegerType, ir.FloatType)


def bits(type_: ir.Type) -> int:
    """Width of a scalar type as stored in memory; pointers and index are 64."""
    return max(type_.width, 8) if isinstance(type_, _NUMBERS) else 64


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def stored_type(builder: Builder, element: ir.Type) -> ir.Type:
    """The type in memory: bytes for i1 and for floats of 8 bits, which LLVM has no types for."""
    return builder.i8 if bits(element) == 8 else element
