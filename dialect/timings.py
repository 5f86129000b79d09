"""How long a core's instructions take, and its caches and memory, as far as that is known: what estimates of cycles rest on.

Where the numbers are from:
- cycles of integer instructions, loads and stores: measured on silicon by camel-cdr/rvv-bench-results (pages spacemit_x60 and
  spacemit_a100, "Instruction timings"), and those of floats on the A100;
- those of floats on the X60, and all latencies: LLVM 22's model of the X60 (RISCVSchedSpacemitX60.td);
- caches and memory: the curves of copies and fills over their size in rvv-bench-results (memcpy, memset), from which `Hierarchy` says how
  each number follows; sizes of the X60's caches: SpacemiT's K1 documentation.
- a division of float16: LLVM's model has 12 cycles a register; XNNPACK's published times of its logarithm (third_party/xnnpack) need 22.

A matrix instruction starts every second cycle: 1.8 to 1.9 cycles each are reported of the X60.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Kind(Enum):
    """What takes equally long. Those of vectors are counted in registers, by LMUL."""

    INTEGER = auto()
    MULTIPLY = auto()
    DIVIDE = auto()
    FLOAT = auto()
    FLOAT_DIVIDE = auto()
    MOVE = auto()  # between the files of scalar registers
    BRANCH = auto()
    LOAD = auto()
    STORE = auto()
    VSET = auto()

    VECTOR_ADD = auto()  # integers: sums, minima, averages
    VECTOR_MULTIPLY = auto()  # integers
    VECTOR_FLOAT = auto()  # sums, products, both, minima
    VECTOR_LOGIC = auto()  # bits, shifts, compares, merges, moves, conversions
    VECTOR_MASK = auto()  # on masks alone
    VECTOR_WIDEN = auto()
    VECTOR_NARROW = auto()
    VECTOR_FLOAT_WIDEN = auto()  # conversions
    VECTOR_SLIDE = auto()
    VECTOR_GATHER = auto()
    VECTOR_COMPRESS = auto()
    VECTOR_REDUCE = auto()
    VECTOR_FLOAT_REDUCE = auto()
    VECTOR_ORDERED_REDUCE = auto()
    VECTOR_DIVIDE = auto()
    VECTOR_FLOAT_DIVIDE = auto()
    VECTOR_TO_SCALAR = auto()
    VECTOR_FROM_SCALAR = auto()
    VECTOR_LOAD = auto()
    VECTOR_STORE = auto()
    VECTOR_ELEMENTS = auto()  # loads and stores of elements at a distance, or by an index, or of segments
    MATRIX = auto()


@dataclass(frozen=True)
class Timing:
    """cycles: that a unit is busy, of a vector instruction for each register of a group. latency: from its start until what it computes can
    be used, where it has one register. more_latency: for each register of the group. masked: how many times as long it takes under a mask.
    square: for so many registers, it takes as long as the square of their number. least: cycles that it takes at least. cycles_16: `cycles`
    and `latency` where elements have 16 bits, if that is not the same.
    """

    cycles: float = 1.0
    latency: float = 1.0
    more_latency: float = 0.0
    masked: float = 1.0
    square: bool = False
    least: float = 0.0
    cycles_16: float | None = None


@dataclass(frozen=True)
class Hierarchy:
    """The caches of a core, and its way to memory. All have lines of `line` bytes, write back what was stored, and replace by age.

    l1_bytes, l1_ways, l2_bytes, l2_ways. l2_read, l2_write: cycles that the second cache is busy with a line: from a count of bytes and a
    copy of what it alone holds. read_line, write_line: cycles that memory is busy with one: from a count and a fill of more than the
    caches hold. turn: the same when a write follows a read or the other way round: what a copy takes beyond both. l2_far, far: cycles
    until a line arrives that does not follow one before it. ahead: so many cycles a core may be ahead of what it has asked for where
    lines follow each other. Stores that fill such lines do not read them.
    """

    line: int
    l1_bytes: int
    l1_ways: int
    l2_bytes: int
    l2_ways: int
    l2_read: float
    l2_write: float
    l2_far: float
    read_line: float
    write_line: float
    turn: float
    far: float
    ahead: float


@dataclass(frozen=True, eq=False)  # a chip is a key, and this has a dictionary
class CoreTiming:
    """A core that starts instructions in the order of the code. issue: so many a cycle, of which at most one of vectors and one access.

    element: cycles for each element of an access that finds its elements one by one.
    """

    gigahertz: float
    issue: int
    element: float
    kinds: Mapping[Kind, Timing]
    hierarchy: Hierarchy


_SCALAR = {
    Kind.INTEGER: Timing(),
    Kind.MULTIPLY: Timing(1, 6),
    Kind.DIVIDE: Timing(20, 20),
    Kind.FLOAT: Timing(1, 5),
    Kind.FLOAT_DIVIDE: Timing(15, 15),
    Kind.MOVE: Timing(1, 5),
    Kind.BRANCH: Timing(),
    Kind.LOAD: Timing(1, 4),
    Kind.STORE: Timing(),
    Kind.VSET: Timing(),
}
_X60_KINDS = {
    **_SCALAR,
    Kind.VECTOR_ADD: Timing(1, 4, masked=2),
    Kind.VECTOR_MULTIPLY: Timing(1, 5, masked=2),
    Kind.VECTOR_FLOAT: Timing(1, 5, masked=2),
    Kind.VECTOR_LOGIC: Timing(2, 4),
    Kind.VECTOR_MASK: Timing(1, 4),
    Kind.VECTOR_WIDEN: Timing(2, 5),
    Kind.VECTOR_NARROW: Timing(4, 4),
    Kind.VECTOR_FLOAT_WIDEN: Timing(4, 4),
    Kind.VECTOR_SLIDE: Timing(2, 5),
    Kind.VECTOR_GATHER: Timing(4, 5, square=True),
    Kind.VECTOR_COMPRESS: Timing(3, 5, square=True),
    Kind.VECTOR_REDUCE: Timing(2.4, 7, 3),
    Kind.VECTOR_FLOAT_REDUCE: Timing(5, 17, 4),
    Kind.VECTOR_ORDERED_REDUCE: Timing(12, 24, 18),
    Kind.VECTOR_DIVIDE: Timing(23, 23),
    Kind.VECTOR_FLOAT_DIVIDE: Timing(40, 40, cycles_16=22),
    Kind.VECTOR_TO_SCALAR: Timing(1, 6, least=2),
    Kind.VECTOR_FROM_SCALAR: Timing(1, 4),
    Kind.VECTOR_LOAD: Timing(2.1, 5.7, 3.7),
    Kind.VECTOR_STORE: Timing(2.1, 1),
    Kind.VECTOR_ELEMENTS: Timing(1, 8, 1.6),
    Kind.MATRIX: Timing(2, 6),
}

X60 = CoreTiming(
    gigahertz=1.6,
    issue=2,
    element=1.0,
    kinds=_X60_KINDS,
    hierarchy=Hierarchy(
        line=64,
        l1_bytes=32 << 10,
        l1_ways=4,
        l2_bytes=512 << 10,
        l2_ways=16,
        l2_read=13,
        l2_write=2,
        l2_far=12,
        read_line=16,
        write_line=14,
        turn=9.4,
        far=160,
        ahead=200,
    ),
)

_A100_KINDS = {
    **_X60_KINDS,
    Kind.VECTOR_ADD: Timing(2, 4),
    Kind.VECTOR_MULTIPLY: Timing(4, 5),
    Kind.VECTOR_FLOAT: Timing(2, 5),
    Kind.VECTOR_LOGIC: Timing(2.2, 4),
    Kind.VECTOR_MASK: Timing(1, 4),
    Kind.VECTOR_WIDEN: Timing(4, 5),
    Kind.VECTOR_NARROW: Timing(4, 4),
    Kind.VECTOR_FLOAT_WIDEN: Timing(8, 4),
    Kind.VECTOR_SLIDE: Timing(8, 5),
    Kind.VECTOR_GATHER: Timing(64, 5, square=True),
    Kind.VECTOR_REDUCE: Timing(8.3, 10, 8),
    Kind.VECTOR_FLOAT_REDUCE: Timing(12.5, 24, 12),
    Kind.VECTOR_ORDERED_REDUCE: Timing(48, 48, 48),
    Kind.VECTOR_DIVIDE: Timing(92, 92),
    Kind.VECTOR_FLOAT_DIVIDE: Timing(153, 153),
    Kind.VECTOR_LOAD: Timing(2.13, 5.7, 3.7, least=1),
    Kind.VECTOR_STORE: Timing(2.27, 1),
}

A100 = CoreTiming(
    gigahertz=2.0,
    issue=2,
    element=1.25,
    kinds=_A100_KINDS,
    hierarchy=Hierarchy(
        line=64,
        l1_bytes=32 << 10,
        l1_ways=4,
        l2_bytes=1 << 20,
        l2_ways=16,
        l2_read=4.2,
        l2_write=3.5,
        l2_far=14,
        read_line=12,
        write_line=5.8,
        turn=3,
        far=200,
        ahead=200,
    ),
)
