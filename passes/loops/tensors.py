"""Block tensors that have no code yet: how one is computed at given coordinates, or where it lies in memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch_mlir import ir

from triton_spacemit.passes.loops.builder import Builder, Emitted

LINE = 64  # bytes in a line of the caches


@dataclass(eq=False)
class Coordinate:
    """A position along one dimension: one index, or `width` lanes from `start` on.

    `assumed` collects the upper bounds that code at this coordinate takes for granted (None where every access must check its own):
    the loop that owns the coordinate then ends its main part at the least of them. `streams`: stores go past the caches, to whole lines.
    """

    start: Emitted
    width: int = 0
    assumed: list[Emitted] | None = None
    streams: bool = False


Coordinates = tuple[Coordinate, ...]


@dataclass(eq=False)
class Tensor:
    """A block value. `compute(coordinates)` emits its lanes; it may read `sources`, each with the dimension (or None) of this tensor that
    each of the source's dimensions follows.

    `cost` is about the number of vector ops it takes to compute one vector of it from memory. `origin` is the op it stands for.
    """

    shape: tuple[int, ...]
    element: ir.Type
    compute: Callable[[Coordinates], Emitted] | None
    origin: ir.Operation | None = None
    sources: "tuple[tuple[Tensor, tuple[int | None, ...]], ...]" = ()
    cost: int = 1
    buffer: "Buffer | None" = None
    uniform: Emitted | None = None  # every element is this scalar
    home: int = 0  # depth of the scope the op stands in: memory is not read further out than there
    access: "Access | None" = None
    shared: bool = False  # its buffer is also another tensor's
    permutes: "tuple[Tensor, tuple[int, ...]] | None" = None  # it is this tensor with its dimensions in another order


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
    op: ir.Operation
    index_value: ir.Value | None = None
    unmasked: Emitted | None = None  # a scalar condition under which the mask is true everywhere


def bits(type_: ir.Type) -> int:
    """Width of a scalar type as stored in memory; pointers and index are 64."""
    text = str(type_)
    if text in ("index", "!llvm.ptr"):
        return 64
    return max(type_.width, 8)


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))


def stored_type(builder: Builder, element: ir.Type) -> ir.Type:
    """The type in memory: bytes for i1 and for floats of 8 bits, which LLVM has no types for."""
    return builder.i8 if bits(element) == 8 else element
