"""What the generator knows of a block or scalar that it has made: type, how large its numbers are, and what may be in it."""

import math
from dataclasses import dataclass

from random_kernels.program import SIZES

#: One extent: a product of the kernel's constants and of twos. The empty product is 1.
Extent = tuple[str, ...]
#: A scalar's is ().
Shape = tuple[Extent, ...]

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
FLOATS = ("float16", "bfloat16", "float32", "float64")
#: Up to here, every integer is a number of the type: sums that stay below are exact in every order.
EXACT = {"float16": 2.0**11, "bfloat16": 2.0**8, "float32": 2.0**24, "float64": 2.0**53}
#: What a float buffer that is both read and written holds at most, and so what is loaded from it.
STORED = {"float16": 8.0, "bfloat16": 8.0, "float32": 16.0, "float64": 16.0}
#: What a float that a loop carries, or that a branch may replace, holds at most.
CARRIED = {"float16": 64.0, "bfloat16": 32.0, "float32": 2.0**16, "float64": 2.0**20}


@dataclass
class Value:
    name: str
    shape: Shape
    dtype: str  # of a mask: int1
    bound: float = math.inf  # of a float's finite numbers, which are integers
    special: bool = False  # may hold infinities and NaN
    approximate: bool = False  # holds results of exp and log, or what comes of them
    origin: str | None = None  # it depends, lane by lane, only on what was loaded at these offsets
    memory: int | None = None  # the storage that it, or something it is computed from, was loaded from
    low: int = 0  # of an index: its least and its greatest value
    high: int = 0
    index: bool = False  # low and high are known
    used: int = 0
    replaceable: bool = False  # carried by a loop or branch around this place

    @property
    def is_float(self) -> bool:
        return self.dtype in FLOATS

    @property
    def is_integer(self) -> bool:
        return self.dtype in INTEGERS

    @property
    def bits(self) -> int:
        return 1 if self.dtype == "int1" else 8 * SIZES[self.dtype]


@dataclass
class Offsets:
    """A block of places, in elements."""

    name: str
    shape: Shape
    low: int
    high: int
    injective: bool
    used: int = 0


def same_extent(a: Extent, b: Extent) -> bool:
    return sorted(a) == sorted(b)


def same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(same_extent(x, y) for x, y in zip(a, b, strict=True))


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape of an element-wise operation on both; None where there is none."""
    if not a or not b:
        return a or b
    if len(a) != len(b):
        return None
    result = []
    for x, y in zip(a, b, strict=True):
        if not same_extent(x, y) and x and y:
            return None
        result.append(x or y)
    return tuple(result)


def extent_text(extent: Extent) -> str:
    return " * ".join(extent) if extent else "1"


def shape_text(shape: Shape) -> str:
    inner = ", ".join(extent_text(extent) for extent in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def along(dim: int, rank: int) -> str:
    """The subscript that puts a block of one dimension along dimension `dim` of `rank`."""
    return "" if rank == 1 else "[" + ", ".join(":" if d == dim else "None" for d in range(rank)) + "]"
