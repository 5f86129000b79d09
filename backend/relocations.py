"""Relocations of kernel objects: what code and data must hold once it is known where everything lies.

Kinds and their fields are those of the psABI supplements of x86-64 and of RISC-V, as far as LLVM emits them into kernels.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from triton_spacemit.backend.elf import Section, Symbol


class RelocationError(ValueError):
    """What a relocation asks for cannot be encoded, or is not understood; said as the end of "the object of kernel 'k' ..."."""


@dataclass(frozen=True)
class Relocation:
    """One row of a relocation section, about `section`."""

    section: Section
    offset: int
    kind: int
    symbol: Symbol
    addend: int

    @property
    def place(self) -> int:
        """Its offset in the image."""
        return self.section.place + self.offset

    @property
    def is_external(self) -> bool:
        return not self.symbol.section and bool(self.symbol.name)


@dataclass(frozen=True)
class Places:
    """Where things lie: the image at address `base`, symbols by their addresses, what else is in the image by its offset."""

    base: int
    address: Callable[[Symbol], int]
    offset: Callable[[Symbol], int]
    stubs: Mapping[Symbol, int]
    slots: Mapping[Symbol, int]

    def reach(self, symbol: Symbol) -> int:
        """The address that a direct call or access goes to: a stub for what is outside the image."""
        stub = self.stubs.get(symbol)
        return self.base + stub if stub is not None else self.address(symbol)


class Machine(Protocol):
    """An architecture's relocations."""

    #: Kinds that reach 2 GiB, so that they go to a stub where the symbol is outside the image.
    direct: frozenset[int]
    #: Kinds that read the address from a slot of the global offset table.
    through_table: frozenset[int]
    #: From one stub to the next.
    stub_bytes: int

    def stub(self, distance: int) -> bytes:
        """A jump to the address that the slot `distance` bytes behind the stub's begin holds."""

    def apply(self, image: bytearray, relocations: Sequence[Relocation], places: Places) -> None:
        """Write all relocations. Raises RelocationError, and struct.error for a distance that its field cannot hold."""


class _X86(IntEnum):
    R_64 = 1
    PC32 = 2
    PLT32 = 4
    GOTPCREL = 9
    PC64 = 24
    GOTPCRELX = 41
    REX_GOTPCRELX = 42


class _X86Machine:
    direct: frozenset[int] = frozenset((_X86.PC32, _X86.PLT32))
    through_table: frozenset[int] = frozenset((_X86.GOTPCREL, _X86.GOTPCRELX, _X86.REX_GOTPCRELX))
    stub_bytes = 8

    def stub(self, distance: int) -> bytes:
        return struct.pack("<BBi", 0xFF, 0x25, distance - 6)  # jmp *distance(%rip), six bytes

    def apply(self, image: bytearray, relocations: Sequence[Relocation], places: Places) -> None:
        for r in relocations:
            here = places.base + r.place
            if r.kind == _X86.R_64:
                struct.pack_into("<Q", image, r.place, (places.address(r.symbol) + r.addend) % (1 << 64))
            elif r.kind in self.direct:
                struct.pack_into("<i", image, r.place, places.reach(r.symbol) + r.addend - here)
            elif r.kind in self.through_table:
                struct.pack_into("<i", image, r.place, places.base + places.slots[r.symbol] + r.addend - here)
            elif r.kind == _X86.PC64:
                struct.pack_into("<q", image, r.place, places.address(r.symbol) + r.addend - here)
            else:
                raise RelocationError(f"has a relocation of kind {r.kind}, which is not supported on x86-64")


class _Riscv(IntEnum):
    R_32 = 1
    R_64 = 2
    BRANCH = 16
    JAL = 17
    CALL = 18
    CALL_PLT = 19
    GOT_HI20 = 20
    PCREL_HI20 = 23
    PCREL_LO12_I = 24
    PCREL_LO12_S = 25
    ADD8 = 33
    ADD16 = 34
    ADD32 = 35
    ADD64 = 36
    SUB8 = 37
    SUB16 = 38
    SUB32 = 39
    SUB64 = 40
    ALIGN = 43
    RVC_BRANCH = 44
    RVC_JUMP = 45
    RELAX = 51
    SUB6 = 52
    SET6 = 53
    SET8 = 54
    SET16 = 55
    SET32 = 56
    R_32_PCREL = 57
    PLT32 = 59


#: Jumps: bits of the distance, bytes of the instruction, and its fields as (bit position, width, first bit of the distance).
_JUMPS = {
    _Riscv.BRANCH: (13, 4, ((7, 1, 11), (8, 4, 1), (25, 6, 5), (31, 1, 12))),
    _Riscv.JAL: (21, 4, ((12, 8, 12), (20, 1, 11), (21, 10, 1), (31, 1, 20))),
    _Riscv.RVC_BRANCH: (9, 2, ((2, 1, 5), (3, 2, 1), (5, 2, 6), (10, 2, 3), (12, 1, 8))),
    _Riscv.RVC_JUMP: (12, 2, ((2, 1, 5), (3, 3, 1), (6, 1, 7), (7, 1, 6), (8, 1, 10), (9, 2, 8), (11, 1, 4), (12, 1, 11))),
}
#: Data: what becomes of the field, and its bits.
_DATA = {
    _Riscv.R_32: ("set", 32),
    _Riscv.R_64: ("set", 64),
    _Riscv.ADD8: ("add", 8),
    _Riscv.ADD16: ("add", 16),
    _Riscv.ADD32: ("add", 32),
    _Riscv.ADD64: ("add", 64),
    _Riscv.SUB8: ("sub", 8),
    _Riscv.SUB16: ("sub", 16),
    _Riscv.SUB32: ("sub", 32),
    _Riscv.SUB64: ("sub", 64),
    _Riscv.SUB6: ("sub", 6),
    _Riscv.SET6: ("set", 6),
    _Riscv.SET8: ("set", 8),
    _Riscv.SET16: ("set", 16),
    _Riscv.SET32: ("set", 32),
    _Riscv.R_32_PCREL: ("pc", 32),
    _Riscv.PLT32: ("pc", 32),
}
_CALLS = (_Riscv.CALL, _Riscv.CALL_PLT)
_HIGH = (*_CALLS, _Riscv.GOT_HI20, _Riscv.PCREL_HI20)
_LOW = (_Riscv.PCREL_LO12_I, _Riscv.PCREL_LO12_S)


class _RiscvMachine:
    direct: frozenset[int] = frozenset((_Riscv.JAL, *_CALLS))
    through_table: frozenset[int] = frozenset((_Riscv.GOT_HI20,))
    stub_bytes = 16

    def stub(self, distance: int) -> bytes:
        high, low = _split(distance)
        return struct.pack("<III", 0x00000E17 | high, 0x000E3E03 | (low & 0xFFF) << 20, 0x000E0067)  # auipc t3; ld t3; jr t3

    def apply(self, image: bytearray, relocations: Sequence[Relocation], places: Places) -> None:
        # Lower halves name the place of their upper half, before or behind them.
        distances = {r.place: self._distance(r, places) for r in relocations if r.kind in _HIGH}
        for r in relocations:
            if r.kind in _HIGH:
                _write_high(image, r, distances[r.place])
            elif r.kind in _LOW:
                place = places.offset(r.symbol)
                if place not in distances:
                    raise RelocationError("has the lower half of an address without its upper half")
                _write_low(image, r, distances[place])
            elif r.kind in _JUMPS:
                _write_jump(image, r, places.reach(r.symbol) + r.addend - places.base - r.place)
            elif r.kind in _DATA:
                write_riscv_data(image, r.place, r.kind, places.address(r.symbol) + r.addend, places.base + r.place)
            elif r.kind in (_Riscv.ALIGN, _Riscv.RELAX):
                raise RelocationError("was compiled with linker relaxation; compile it with -relax")
            else:
                raise RelocationError(f"has a relocation of kind {r.kind}, which is not supported on RISC-V")

    @staticmethod
    def _distance(r: Relocation, places: Places) -> int:
        """From an auipc to what it and the instruction of the lower half reach."""
        if r.kind == _Riscv.GOT_HI20:
            return places.slots[r.symbol] + r.addend - r.place
        target = places.reach(r.symbol) if r.kind in _CALLS else places.address(r.symbol)
        return target + r.addend - places.base - r.place


def _split(distance: int) -> tuple[int, int]:
    """The upper part (in place in an instruction) and the signed lower 12 bits of a distance from an auipc."""
    if not -(1 << 31) - 2048 <= distance < (1 << 31) - 2048:
        raise struct.error(f"{distance} does not fit auipc")
    high = distance + 0x800 >> 12 << 12
    return high & 0xFFFFF000, distance - high


def _write_high(image: bytearray, r: Relocation, distance: int) -> None:
    high, low = _split(distance)
    (word,) = struct.unpack_from("<I", image, r.place)
    struct.pack_into("<I", image, r.place, word & 0xFFF | high)
    if r.kind in _CALLS:
        (jump,) = struct.unpack_from("<I", image, r.place + 4)
        struct.pack_into("<I", image, r.place + 4, jump & 0xFFFFF | (low & 0xFFF) << 20)


def _write_low(image: bytearray, r: Relocation, distance: int) -> None:
    low = _split(distance)[1] & 0xFFF
    (word,) = struct.unpack_from("<I", image, r.place)
    word = word & 0xFFFFF | low << 20 if r.kind == _Riscv.PCREL_LO12_I else word & 0x01FFF07F | low >> 5 << 25 | (low & 31) << 7
    struct.pack_into("<I", image, r.place, word)


def _write_jump(image: bytearray, r: Relocation, distance: int) -> None:
    bits, size, fields = _JUMPS[_Riscv(r.kind)]
    if not -(1 << bits - 1) <= distance < 1 << bits - 1 or distance % 2:
        raise RelocationError(f"jumps {distance} bytes where {bits} bits are encoded")
    word = int.from_bytes(image[r.place : r.place + size], "little")
    for position, width, bit in fields:
        mask = (1 << width) - 1
        word = word & ~(mask << position) | (distance >> bit & mask) << position
    image[r.place : r.place + size] = word.to_bytes(size, "little")


def is_riscv_data(kind: int) -> bool:
    """Whether a relocation of this kind is about a number rather than an instruction."""
    return kind in _DATA


def write_riscv_data(image: bytearray, place: int, kind: int, value: int, here: int) -> None:
    """Set, add to, or subtract from the number at `place`, whose address is `here`. ULEB128 pairs are not among the kinds."""
    operation, bits = _DATA[_Riscv(kind)]
    size, mask = (bits + 7) // 8, (1 << bits) - 1
    old = int.from_bytes(image[place : place + size], "little")
    value = {"set": value, "add": old + value, "sub": old - value, "pc": value - here}[operation]
    image[place : place + size] = (old & ~mask | value & mask).to_bytes(size, "little")


#: By `ElfObject.machine`.
MACHINES: Mapping[str, Machine] = {"x86_64": _X86Machine(), "riscv64": _RiscvMachine()}
