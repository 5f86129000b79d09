"""Putting into a kernel's code what follows its time: at the start of every block the cycles of its instructions are added to a clock, and
in front of every access its address goes to a model of the caches (backend/runtime/trace.c).

The code is written anew behind the kernel's image, with compressed instructions as those of 32 bits that they stand for. Numbers that
depend on where an instruction lies (`auipc`) are those of the old place. Where the kernel is entered, its old code jumps to the new.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.backend.estimate.blocks import Block, blocks_of, cycles
from triton_spacemit.backend.estimate.compressed import branch, i_type, jal, s_type
from triton_spacemit.backend.estimate.instructions import Access, Instruction, Pattern, decode
from triton_spacemit.backend.estimate.protocol import PARTS, SITE
from triton_spacemit.dialect.timings import CoreTiming

_RA, _SP, _T0, _T1, _T3 = 1, 2, 5, 6, 28
_AUIPC, _LOAD, _STORE, _OP_IMM, _JALR, _JAL, _BRANCH = 0x17, 0x03, 0x23, 0x13, 0x67, 0x6F, 0x63
_VECTORS_IN_FRAME = 32  # t0, ra, base, distance lie before them
_MOST_ADDED = 2047
_JUMP_REACH = 1 << 20


@dataclass(frozen=True)
class Traced:
    """code: what has to lie behind the image, from a multiple of 8 on. moved: by the offset of an instruction in it, from the image's
    start, that of the one in the kernel. blocks: those whose runs are counted, in the order of the counters.
    """

    code: bytes
    moved: Mapping[int, int]
    blocks: Sequence[Block]


@dataclass
class _Writer:
    """New code from `start` on, an offset from the image's start, as are all addresses here."""

    start: int
    words: list[int] = field(default_factory=list)
    literals: list[int] = field(default_factory=list)
    sites: list[bytes] = field(default_factory=list)
    fixes: list[tuple[int, str, int]] = field(default_factory=list)  # word, kind, number of the literal or the site

    @property
    def here(self) -> int:
        return self.start + 4 * len(self.words)

    def add(self, *words: int) -> None:
        self.words += words

    def literal(self, register: int, value: int) -> None:
        """Load a number of 64 bits."""
        self.fixes.append((len(self.words), "literal", len(self.literals)))
        self.literals.append(value & 2**64 - 1)
        self.add(register << 7 | _AUIPC, i_type(_LOAD, 3, register, register, 0))

    def site(self, register: int, site: bytes) -> None:
        """The address of a site."""
        self.fixes.append((len(self.words), "site", len(self.sites)))
        self.sites.append(site)
        self.add(register << 7 | _AUIPC, i_type(_OP_IMM, 0, register, register, 0))

    def finish(self) -> bytes:
        if len(self.words) % 2:
            self.add(i_type(_OP_IMM, 0, 0, 0, 0))
        literals = self.here
        places = {"literal": (literals, 8), "site": (literals + 8 * len(self.literals), SITE.size)}
        for word, kind, number in self.fixes:
            first, size = places[kind]
            distance = first + size * number - (self.start + 4 * word)
            self.words[word] |= (distance + 0x800) & 0xFFFFF000
            self.words[word + 1] |= (distance & 0xFFF) << 20
        return struct.pack(f"<{len(self.words)}I{len(self.literals)}Q", *self.words, *self.literals) + b"".join(self.sites)


def trace(
    image: bytearray, code_end: int, entry: int, base: int, core: CoreTiming, vlen: int, memory: tuple[int, int], function: int
) -> Traced:
    """The new code of a kernel, to which the old code in `image` is made to jump.

    base: the address of the image. memory: the addresses of the Trace and of the counters of blocks. function: of the guest's
    `trace_access`. Raises DeviceError where the code has something that cannot be moved.
    """
    try:
        instructions = list(decode(image, code_end))
    except ValueError as error:
        raise DeviceError(f"cycles cannot be estimated: {error}") from None
    entries = {entry, *_taken_addresses(instructions)}
    blocks = blocks_of(instructions, sorted(entries))
    writer = _Writer(len(image))
    starts = {block.start: number for number, block in enumerate(blocks)}
    moved: dict[int, int] = {}
    places: dict[int, int] = {}  # old to new, of blocks
    jumps: list[tuple[int, Instruction]] = []
    for block in blocks:
        places[block.start] = writer.here
        _begin_block(writer, round(cycles(block, core, vlen) * PARTS), memory[0], memory[1] + 8 * starts[block.start])
        for one in block.instructions:
            if one.access is not None:
                _record(writer, one.access, memory[0], function, vlen // 8)
            moved[writer.here] = one.address
            _move(writer, one, base, jumps)
    for word, one in jumps:
        assert one.target is not None
        if one.target not in places:
            raise DeviceError(f"cycles cannot be estimated: the code jumps to {one.target:#x}, which is not in it")
        distance = places[one.target] - (writer.start + 4 * word)
        if abs(distance) >= _JUMP_REACH:
            raise DeviceError("cycles cannot be estimated: the kernel has too much code")
        writer.words[word] = jal(one.writes[0] if one.opcode == _JAL else 0, distance)
    for place in entries:
        struct.pack_into("<I", image, place, jal(0, places[place] - place))
    return Traced(writer.finish(), moved, blocks)


def _taken_addresses(instructions: Sequence[Instruction]) -> set[int]:
    """Places in the code whose addresses are computed (`auipc` and an addition): bodies that the runtime calls."""
    known = {one.address for one in instructions}
    upper: dict[int, int] = {}  # register: what auipc has put there, until something else is
    taken = set()
    for one in instructions:
        target = one.word >> 7 & 31
        if one.opcode == _OP_IMM and one.reads[0] in upper and one.word >> 12 & 7 == 0:
            place = upper[one.reads[0]] + (one.word >> 20) - (one.word >> 31 << 12)
            if place in known:
                taken.add(place)
        for register in one.writes:
            upper.pop(register, None)
        if one.opcode == _AUIPC:
            upper[target] = one.address + _upper(one.word)
    return taken


def _upper(word: int) -> int:
    return (word & 0xFFFFF000) - (1 << 32 if word >> 31 else 0)


def _begin_block(writer: _Writer, parts: int, clock: int, counter: int) -> None:
    writer.add(i_type(_OP_IMM, 0, _SP, _SP, -16), s_type(_STORE, 3, _SP, _T0, 0), s_type(_STORE, 3, _SP, _T1, 8))
    writer.literal(_T0, clock)
    _increase(writer, parts)
    writer.literal(_T0, counter)
    _increase(writer, 1)
    writer.add(i_type(_LOAD, 3, _T0, _SP, 0), i_type(_LOAD, 3, _T1, _SP, 8), i_type(_OP_IMM, 0, _SP, _SP, 16))


def _increase(writer: _Writer, number: int) -> None:
    """Add to the 64 bits at t0."""
    writer.add(i_type(_LOAD, 3, _T1, _T0, 0))
    while number > 0:
        step = min(number, _MOST_ADDED)
        writer.add(i_type(_OP_IMM, 0, _T1, _T1, step))
        number -= step
    writer.add(s_type(_STORE, 3, _T0, _T1, 0))


def _record(writer: _Writer, access: Access, trace: int, function: int, vlenb: int) -> None:
    indices = min(8, 32 - access.other) if access.pattern is Pattern.INDEXED else 0
    frame = _VECTORS_IN_FRAME + vlenb * (access.masked + indices)
    frame = -(-frame // 16) * 16
    writer.add(i_type(_OP_IMM, 0, _SP, _SP, -frame), s_type(_STORE, 3, _SP, _T0, 0), s_type(_STORE, 3, _SP, _RA, 8))
    if access.base == _SP:
        writer.add(i_type(_OP_IMM, 0, _T0, _SP, frame), s_type(_STORE, 3, _SP, _T0, 16))
    else:
        writer.add(s_type(_STORE, 3, _SP, access.base, 16))
    if access.pattern is Pattern.STRIDED:
        writer.add(s_type(_STORE, 3, _SP, access.other, 24))
    kept = [*([0] if access.masked else []), *range(access.other, access.other + indices)]
    for number, register in enumerate(kept):
        step = (_SP, _VECTORS_IN_FRAME) if number == 0 else (_T0, vlenb)
        writer.add(i_type(_OP_IMM, 0, _T0, *step), _store_register(register))
    pattern = access.pattern.value
    row = (trace, access.offset & 2**64 - 1, pattern, access.write, access.bits, access.index_bits, access.fields, access.masked)
    writer.site(_T0, struct.pack("<8Q", *row))
    writer.literal(_RA, function)
    writer.add(i_type(_JALR, 0, _RA, _RA, 0))
    writer.add(i_type(_LOAD, 3, _T0, _SP, 0), i_type(_LOAD, 3, _RA, _SP, 8), i_type(_OP_IMM, 0, _SP, _SP, frame))


def _store_register(register: int) -> int:
    """`vs1r.v` at t0."""
    return 1 << 25 | 8 << 20 | _T0 << 15 | register << 7 | 0x27


def _move(writer: _Writer, one: Instruction, base: int, jumps: list[tuple[int, Instruction]]) -> None:
    """Write an instruction at its new place. Those that jump are finished when all places are known."""
    if one.opcode == _AUIPC:
        writer.literal(one.word >> 7 & 31, base + one.address + _upper(one.word))
    elif one.opcode == _BRANCH:
        opposite = (one.word >> 12 & 7) ^ 1
        writer.add(branch(opposite, one.reads[0], one.reads[1], 8), 0)
        jumps.append((len(writer.words) - 1, one))
    elif one.opcode == _JAL:
        writer.add(0)
        jumps.append((len(writer.words) - 1, one))
    elif one.opcode == _JALR and one.writes[0] == 0 and one.reads[0] not in (_RA, _T3):
        raise DeviceError(f"cycles cannot be estimated: the code jumps to an address in x{one.reads[0]} at offset {one.address:#x}")
    else:
        writer.add(one.word)
