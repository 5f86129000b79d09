"""What an instruction of a kernel does, as far as time and memory are concerned: its kind, its registers, the memory it touches.

Source: the encodings in the RISC-V Unprivileged ISA manual and its "V" extension; SpacemiT's matrix instructions by dialect/ime.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from triton_spacemit.backend.estimate.compressed import expand
from triton_spacemit.dialect import ime
from triton_spacemit.dialect.timings import Kind


class Pattern(Enum):
    """Where a vector access finds its elements."""

    UNIT = 0
    STRIDED = 1
    INDEXED = 2
    WHOLE = 3  # registers
    MASK = 4
    SCALAR = 5


@dataclass(frozen=True)
class Access:
    """What is read or written. base: the register with the address, plus `offset`. bits: of an element in memory. other: the register of
    the distance, or the vector of indices with `index_bits` each. fields: of a segment, or whole registers. masked: by v0.
    """

    pattern: Pattern
    write: bool
    base: int
    bits: int
    offset: int = 0
    other: int = 0
    index_bits: int = 0
    fields: int = 1
    masked: bool = False


@dataclass(frozen=True)
class Instruction:
    """One, with its address. Registers are numbered in one row: x0 to x31, f0 to f31, v0 to v31.

    size: bytes in the kernel. target: where a branch or a jump goes. sew, lmul: what a vset makes them. masked: by v0.
    group: registers of each vector operand, where the instruction itself says it, whatever LMUL is.
    """

    address: int
    word: int
    size: int
    kind: Kind
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    access: Access | None = None
    target: int | None = None
    sew: int | None = None
    lmul: float | None = None
    masked: bool = False
    group: int | None = None

    @property
    def opcode(self) -> int:
        return self.word & 0x7F

    @property
    def ends_block(self) -> bool:
        return self.opcode in (0x63, 0x67, 0x6F)


_F, _V = 32, 64  # where those registers begin


def decode(image: bytes | bytearray, end: int) -> Iterator[Instruction]:
    """The instructions in the first `end` bytes of `image`, up to where nothing but zeros follows. Raises ValueError for what is none."""
    place = 0
    while place + 2 <= end:
        half = int.from_bytes(image[place : place + 2], "little")
        if half & 3 == 3:
            word, size = int.from_bytes(image[place : place + 4], "little"), 4
        elif half == 0:  # the padding behind functions
            place += 2
            continue
        else:
            word, size = expand(half), 2
        yield _decoded(place, word, size)
        place += size


def _decoded(address: int, word: int, size: int) -> Instruction:
    opcode, rd, rs1, rs2 = word & 0x7F, word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    one = Instruction(address, word, size, Kind.INTEGER)
    function = word >> 12 & 7
    if opcode in (0x37, 0x17):  # lui, auipc
        return replace(one, writes=(rd,))
    if opcode in (0x13, 0x1B):
        return replace(one, reads=(rs1,), writes=(rd,))
    if opcode in (0x33, 0x3B):
        kind = Kind.INTEGER if word >> 25 != 1 else Kind.DIVIDE if function & 4 else Kind.MULTIPLY
        return replace(one, kind=kind, reads=(rs1, rs2), writes=(rd,))
    if opcode == 0x63:
        return replace(one, kind=Kind.BRANCH, reads=(rs1, rs2), target=address + _branch_distance(word))
    if opcode == 0x6F:
        return replace(one, kind=Kind.BRANCH, writes=(rd,), target=address + _jump_distance(word))
    if opcode == 0x67:
        return replace(one, kind=Kind.BRANCH, reads=(rs1,), writes=(rd,))
    if opcode == 0x03:
        access = Access(Pattern.SCALAR, False, rs1, 8 << (function & 3), _signed(word >> 20, 12))
        return replace(one, kind=Kind.LOAD, reads=(rs1,), writes=(rd,), access=access)
    if opcode == 0x23:
        access = Access(Pattern.SCALAR, True, rs1, 8 << (function & 3), _store_offset(word))
        return replace(one, kind=Kind.STORE, reads=(rs1, rs2), access=access)
    if opcode == 0x2F:  # atomics
        access = Access(Pattern.SCALAR, True, rs1, 8 << (function & 3))
        return replace(one, kind=Kind.LOAD, reads=(rs1, rs2), writes=(rd,), access=access)
    if opcode in (0x07, 0x27):
        return _float_or_vector_access(one, rd, rs1, rs2, function)
    if opcode in (0x43, 0x47, 0x4B, 0x4F):
        return replace(one, kind=Kind.FLOAT, reads=(_F + rs1, _F + rs2, _F + (word >> 27)), writes=(_F + rd,))
    if opcode == 0x53:
        return _float(one, rd, rs1, rs2)
    if opcode == 0x57:
        return _vset(one, rd, rs1, rs2) if function == 7 else _vector(one, rd, rs1, rs2, function)
    if opcode == 0x0F or opcode == 0x73:  # fence, csr
        return replace(one, reads=(rs1,), writes=(rd,) if opcode == 0x73 else ())
    if matrix := ime.decode(word):
        reads = (_V + matrix.vs1, _V + matrix.vs2, _V + matrix.vd, _V + matrix.vd + 1)
        return replace(one, kind=Kind.MATRIX, reads=reads, writes=(_V + matrix.vd, _V + matrix.vd + 1))
    raise ValueError(f"no instruction is known for the word {word:#010x} at offset {address:#x}")


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _branch_distance(word: int) -> int:
    return _signed((word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 15) << 1, 13)


def _jump_distance(word: int) -> int:
    return _signed((word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1, 21)


def _store_offset(word: int) -> int:
    return _signed((word >> 25) << 5 | (word >> 7 & 31), 12)


def _float(one: Instruction, rd: int, rs1: int, rs2: int) -> Instruction:
    operation = one.word >> 27
    if operation in (0b11100, 0b11000, 0b10100):  # to integers: moves and classes, conversions, comparisons
        reads = (_F + rs1, _F + rs2) if operation == 0b10100 else (_F + rs1,)
        return replace(one, kind=Kind.MOVE, reads=reads, writes=(rd,))
    if operation in (0b11110, 0b11010):  # from integers
        return replace(one, kind=Kind.MOVE, reads=(rs1,), writes=(_F + rd,))
    kind = Kind.FLOAT_DIVIDE if operation in (0b00011, 0b01011) else Kind.FLOAT
    return replace(one, kind=kind, reads=(_F + rs1, _F + rs2), writes=(_F + rd,))


_VECTOR_WIDTHS = {0: 8, 5: 16, 6: 32, 7: 64}


def _float_or_vector_access(one: Instruction, rd: int, rs1: int, rs2: int, width: int) -> Instruction:
    write = one.opcode == 0x27
    if width not in _VECTOR_WIDTHS:
        access = Access(Pattern.SCALAR, write, rs1, 8 << width, _store_offset(one.word) if write else _signed(one.word >> 20, 12))
        reads = (rs1, _F + rs2) if write else (rs1,)
        return replace(one, kind=Kind.STORE if write else Kind.LOAD, reads=reads, writes=() if write else (_F + rd,), access=access)
    bits, mode, fields = _VECTOR_WIDTHS[width], one.word >> 26 & 3, (one.word >> 29) + 1
    masked = not one.word >> 25 & 1
    data = _V + rd
    kind, pattern, other, index_bits = Kind.VECTOR_STORE if write else Kind.VECTOR_LOAD, Pattern.UNIT, 0, 0
    if mode == 0 and rs2 == 8:
        pattern = Pattern.WHOLE
    elif mode == 0 and rs2 == 11:
        pattern = Pattern.MASK
    elif mode == 2:
        kind, pattern, other = Kind.VECTOR_ELEMENTS, Pattern.STRIDED, rs2
    elif mode in (1, 3):
        kind, pattern, other, index_bits, bits = Kind.VECTOR_ELEMENTS, Pattern.INDEXED, rs2, bits, 0
    elif fields > 1:
        kind = Kind.VECTOR_ELEMENTS
    access = Access(pattern, write, rs1, bits, 0, other, index_bits, fields, masked)
    more = (rs2,) if pattern is Pattern.STRIDED else (_V + rs2,) if pattern is Pattern.INDEXED else ()
    reads = (rs1, *more, *((_V,) if masked else ()), *((data,) if write else ()))
    group = fields if pattern is Pattern.WHOLE else None
    return replace(one, kind=kind, reads=reads, writes=() if write else (data,), access=access, masked=masked, group=group)


def _vset(one: Instruction, rd: int, rs1: int, rs2: int) -> Instruction:
    immediate = one.word >> 30 == 3  # vsetivli
    if one.word >> 31 and not immediate:  # vsetvl: a type that is known at run time alone
        return replace(one, kind=Kind.VSET, reads=(rs1, rs2), writes=(rd,))
    vtype = one.word >> 20 & (0x3FF if immediate else 0x7FF)
    lmul = _signed(vtype, 3)
    return replace(one, kind=Kind.VSET, reads=() if immediate else (rs1,), writes=(rd,), sew=8 << (vtype >> 3 & 7), lmul=2.0**lmul)


_INTEGER_KINDS = (  # by funct6
    ((0x00, 0x08), Kind.VECTOR_ADD),
    ((0x08, 0x0C), Kind.VECTOR_LOGIC),
    ((0x0C, 0x0D), Kind.VECTOR_GATHER),
    ((0x0E, 0x10), Kind.VECTOR_SLIDE),
    ((0x10, 0x20), Kind.VECTOR_LOGIC),
    ((0x20, 0x24), Kind.VECTOR_ADD),
    ((0x24, 0x2C), Kind.VECTOR_LOGIC),
    ((0x2C, 0x30), Kind.VECTOR_NARROW),
    ((0x30, 0x32), Kind.VECTOR_REDUCE),
)
_MULTIPLY_KINDS = (
    ((0x00, 0x08), Kind.VECTOR_REDUCE),
    ((0x08, 0x0C), Kind.VECTOR_ADD),
    ((0x0E, 0x10), Kind.VECTOR_SLIDE),
    ((0x12, 0x13), Kind.VECTOR_LOGIC),
    ((0x14, 0x15), Kind.VECTOR_LOGIC),
    ((0x17, 0x18), Kind.VECTOR_COMPRESS),
    ((0x18, 0x20), Kind.VECTOR_MASK),
    ((0x20, 0x24), Kind.VECTOR_DIVIDE),
    ((0x24, 0x30), Kind.VECTOR_MULTIPLY),
    ((0x30, 0x40), Kind.VECTOR_WIDEN),
)
_FLOAT_KINDS = (
    ((0x00, 0x01), Kind.VECTOR_FLOAT),
    ((0x02, 0x03), Kind.VECTOR_FLOAT),
    ((0x04, 0x05), Kind.VECTOR_FLOAT),
    ((0x06, 0x07), Kind.VECTOR_FLOAT),
    ((0x08, 0x0B), Kind.VECTOR_LOGIC),
    ((0x0E, 0x10), Kind.VECTOR_SLIDE),
    ((0x17, 0x20), Kind.VECTOR_LOGIC),
    ((0x20, 0x22), Kind.VECTOR_FLOAT_DIVIDE),
    ((0x24, 0x30), Kind.VECTOR_FLOAT),
    ((0x30, 0x40), Kind.VECTOR_WIDEN),
)
_REDUCTIONS = {1: Kind.VECTOR_FLOAT_REDUCE, 3: Kind.VECTOR_ORDERED_REDUCE, 5: Kind.VECTOR_FLOAT_REDUCE, 7: Kind.VECTOR_FLOAT_REDUCE}
_WIDENING_REDUCTIONS = {0x31: Kind.VECTOR_FLOAT_REDUCE, 0x33: Kind.VECTOR_ORDERED_REDUCE}


def _kind_of(rows: tuple[tuple[tuple[int, int], Kind], ...], function: int) -> Kind:
    for (low, high), kind in rows:
        if low <= function < high:
            return kind
    raise ValueError(f"no vector operation has the number {function:#x}")


def _vector(one: Instruction, rd: int, rs1: int, rs2: int, group: int) -> Instruction:
    operation, masked = one.word >> 26, not one.word >> 25 & 1
    floats = group in (1, 5)
    first = {0: _V + rs1, 1: _V + rs1, 2: _V + rs1, 4: rs1, 5: _F + rs1, 6: rs1}.get(group)
    reads: tuple[int, ...] = (_V + rs2,) if first is None else (first, _V + rs2)
    writes: tuple[int, ...] = (_V + rd,)
    if floats:
        if group == 1 and operation in _REDUCTIONS:
            kind = _REDUCTIONS[operation]
        elif group == 1 and operation in _WIDENING_REDUCTIONS:
            kind = _WIDENING_REDUCTIONS[operation]
        elif operation == 0x10:  # one element to or from a scalar register
            kind = Kind.VECTOR_TO_SCALAR if group == 1 else Kind.VECTOR_FROM_SCALAR
            reads, writes = ((_V + rs2,), (_F + rd,)) if group == 1 else ((_F + rs1,), writes)
        elif operation == 0x12:  # conversions
            kind = (Kind.VECTOR_LOGIC, Kind.VECTOR_FLOAT_WIDEN, Kind.VECTOR_NARROW, Kind.VECTOR_LOGIC)[rs1 >> 3]
            reads = (_V + rs2,)
        elif operation == 0x13:
            kind = Kind.VECTOR_FLOAT_DIVIDE if rs1 == 0 else Kind.VECTOR_LOGIC
            reads = (_V + rs2,)
        else:
            kind = _kind_of(_FLOAT_KINDS, operation)
    elif group in (2, 6):
        if operation == 0x10:
            kind = Kind.VECTOR_TO_SCALAR if group == 2 else Kind.VECTOR_FROM_SCALAR
            reads, writes = ((_V + rs2,), (rd,)) if group == 2 else ((rs1,), writes)
        else:
            kind = _kind_of(_MULTIPLY_KINDS, operation)
            if operation in (0x12, 0x14):
                reads = (_V + rs2,)
    else:
        kind = Kind.VECTOR_GATHER if (group, operation) == (0, 0x0E) else _kind_of(_INTEGER_KINDS, operation)
    accumulates = (floats and (0x28 <= operation < 0x30 or operation >= 0x3B)) or (
        group in (2, 6) and (operation in (0x29, 0x2B, 0x2D, 0x2F) or operation >= 0x3C)
    )
    if accumulates:
        reads += (_V + rd,)
    if masked:
        reads += (_V,)
    whole = rs1 + 1 if (group, operation) == (3, 0x27) else None  # vmv1r.v to vmv8r.v
    return replace(one, kind=kind, reads=reads, writes=writes, masked=masked, group=whole)
