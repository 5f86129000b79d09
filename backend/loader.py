"""Loading kernel objects: a relocatable ELF object becomes a memory image for one base address.

Objects are position independent and not relaxed. What is not understood in one is an `ObjectError`, never executed. The image has three
page-aligned parts, so that no page is both writable and executable: code (with stubs for calls out of the image), read-only data (with a
table of addresses for the stubs and for accesses through a global offset table), writable data.
"""

import platform
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from triton_spacemit.backend.elf import ALLOC, EXECUTE, NOBITS, RELA, WRITE, ElfObject, Section, Symbol

PAGE = 4096
_LARGEST_IMAGE = 1 << 28
_IGNORED = (".eh_frame", ".note", ".riscv.attributes")
# A jump to the address in a slot of the table: x86-64 `jmp *slot(%rip)`, RISC-V `auipc t3; ld t3; jr t3`.
_STUB_BYTES = {"x86_64": 8, "riscv64": 16}


@dataclass(frozen=True)
class _Relocation:
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


_Address = Callable[[Symbol], int]


def _part(section: Section) -> int:
    """0 code, 1 read-only data, 2 writable data."""
    if section.flags & EXECUTE:
        return 0
    return 2 if section.flags & WRITE and not section.name.startswith(".data.rel.ro") else 1


def _align(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


@dataclass
class KernelObject:
    """A checked object. `size` bytes at any page-aligned address hold its image; `entry` is the kernel's offset in it.

    Code ends at `code_end`, read-only data at `readonly_end`, both multiples of the page.
    """

    binary: bytes
    name: str
    size: int = 0
    code_end: int = 0
    readonly_end: int = 0
    entry: int = 0
    text: int = 0  # offset of the section .text, to which line tables refer
    externals: list[str] = field(default_factory=list)
    _relocations: list[_Relocation] = field(default_factory=list)
    _slots: dict[Symbol, int] = field(default_factory=dict)
    _stubs: dict[Symbol, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._elf = ElfObject(self.binary, self.name)
        self.machine = self._elf.machine
        with self._elf.checked():
            self._read()

    def _read(self) -> None:
        self._symbols = self._elf.symbols()
        self._read_relocations()
        kernel = next((s for s in self._symbols if s.name == self.name and s.section), None)
        if kernel is None:
            raise self._elf.error("does not define the kernel")
        self.entry = self._offset(kernel)
        section = self._elf.sections[kernel.section]
        if _part(section) or kernel.value >= section.size:
            raise self._elf.error("does not define the kernel in its code")

    def _read_relocations(self) -> None:
        loaded = [s for s in self._elf.sections if s.flags & ALLOC and not s.name.startswith(_IGNORED)]
        for section in self._elf.sections:
            target = self._elf.sections[section.info] if section.kind == RELA else None
            if target is None or target not in loaded:
                continue
            for offset, info, addend in struct.iter_unpack("<QQq", self._elf.bytes(section.offset, section.size)):
                if offset >= target.size:
                    raise self._elf.error(f"relocates a place outside section {target.name}")
                self._relocations.append(_Relocation(target, offset, info & 0xFFFFFFFF, self._symbols[info >> 32], addend))
        self._place(loaded)

    def _place(self, loaded: list[Section]) -> None:
        """Fix where everything lies in the image; external functions get a stub, what is reached through a table a slot."""
        through_table, direct = {"x86_64": ((9, 41, 42), (2, 4)), "riscv64": ((20,), (17, 18, 19))}[self.machine]
        self.externals = list(dict.fromkeys(r.symbol.name for r in self._relocations if r.is_external))
        stubbed = dict.fromkeys(r.symbol for r in self._relocations if r.kind in direct and r.is_external)
        slotted = dict.fromkeys([*stubbed, *(r.symbol for r in self._relocations if r.kind in through_table)])
        start = 0
        for part, (extras, size) in enumerate(((stubbed, _STUB_BYTES[self.machine]), (slotted, 8), ({}, 1))):
            end = start
            for section in loaded:
                if _part(section) == part:
                    if section.alignment > PAGE:
                        raise self._elf.error(f"aligns section {section.name} to {section.alignment} bytes; at most {PAGE} are supported")
                    section.place = _align(end, section.alignment)
                    end = section.place + section.size
            places = {symbol: _align(end, 16) + i * size for i, symbol in enumerate(extras)}
            if places:
                end = _align(end, 16) + len(places) * size
            if part == 0:
                self._stubs, self.code_end = places, _align(end, PAGE)
            elif part == 1:
                self._slots, self.readonly_end = places, _align(end, PAGE)
            start = _align(end, PAGE)
        self.size = start
        if self.size > _LARGEST_IMAGE:
            raise self._elf.error(f"needs {self.size} bytes of memory; at most {_LARGEST_IMAGE} are supported")
        self.text = next((s.place for s in self._elf.sections if s.name == ".text"), 0)

    def _offset(self, symbol: Symbol) -> int:
        if symbol.section >= len(self._elf.sections) or self._elf.sections[symbol.section].place < 0:
            raise self._elf.error(f"refers to {symbol.name or 'a symbol'!r} in a section that is not loaded")
        return self._elf.sections[symbol.section].place + symbol.value

    def link(self, base: int, symbols: Mapping[str, int]) -> bytearray:
        """The image for the page-aligned address `base`; `symbols` has the addresses of what it may call.

        Raises ObjectError naming a function that `symbols` lacks or a relocation that is not supported.
        """
        missing = [name for name in self.externals if name not in symbols]
        if missing:
            raise self._elf.error(f"calls {', '.join(missing)}, which the runtime does not have")
        image = bytearray(self.size)
        for section in self._elf.sections:
            if section.place >= 0 and section.kind != NOBITS:
                image[section.place : section.place + section.size] = self._elf.bytes(section.offset, section.size)

        def address(symbol: Symbol) -> int:
            if not symbol.section:
                return symbols[symbol.name] if symbol.name else 0
            return symbol.value if symbol.section == 0xFFF1 else base + self._offset(symbol)

        for symbol, slot in self._slots.items():
            struct.pack_into("<Q", image, slot, address(symbol))
        for symbol, stub in self._stubs.items():
            self._write_stub(image, stub, self._slots[symbol] - stub)
        apply = self._apply_x86 if self.machine == "x86_64" else self._apply_riscv
        try:
            apply(image, base, address)
        except struct.error as error:
            raise self._elf.error(f"has a relocation out of range ({error})") from None
        return image

    def _write_stub(self, image: bytearray, stub: int, distance: int) -> None:
        if self.machine == "x86_64":
            struct.pack_into("<BBi", image, stub, 0xFF, 0x25, distance - 6)
        else:
            high, low = _split(distance)
            struct.pack_into("<III", image, stub, 0x00000E17 | high, 0x000E3E03 | (low & 0xFFF) << 20, 0x000E0067)

    def _reach(self, relocation: _Relocation, base: int, address: _Address) -> int:
        """The address that a direct call or access goes to: a stub for what is outside the image."""
        stub = self._stubs.get(relocation.symbol)
        return base + stub if stub is not None else address(relocation.symbol)

    def _apply_x86(self, image: bytearray, base: int, address: _Address) -> None:
        for r in self._relocations:
            here = base + r.place
            if r.kind == 1:
                struct.pack_into("<Q", image, r.place, (address(r.symbol) + r.addend) % (1 << 64))
            elif r.kind in (2, 4):
                struct.pack_into("<i", image, r.place, self._reach(r, base, address) + r.addend - here)
            elif r.kind in (9, 41, 42):
                struct.pack_into("<i", image, r.place, base + self._slots[r.symbol] + r.addend - here)
            elif r.kind == 24:
                struct.pack_into("<q", image, r.place, address(r.symbol) + r.addend - here)
            else:
                raise self._elf.error(f"has a relocation of kind {r.kind}, which is not supported on x86-64")

    def _apply_riscv(self, image: bytearray, base: int, address: _Address) -> None:
        highs = {}  # image offset of an auipc -> the distance whose upper part it takes
        for r in self._relocations:
            if r.kind in (18, 19):
                highs[r.place] = self._reach(r, base, address) + r.addend - base - r.place
            elif r.kind == 20:
                highs[r.place] = self._slots[r.symbol] + r.addend - r.place
            elif r.kind == 23:
                highs[r.place] = address(r.symbol) + r.addend - base - r.place
        for r in self._relocations:
            word = struct.unpack_from("<I", image, r.place)[0] if r.place + 4 <= len(image) else 0
            if r.kind in (18, 19, 20, 23):
                high, low = _split(highs[r.place])
                struct.pack_into("<I", image, r.place, word & 0xFFF | high)
                if r.kind in (18, 19):
                    (jump,) = struct.unpack_from("<I", image, r.place + 4)
                    struct.pack_into("<I", image, r.place + 4, jump & 0xFFFFF | (low & 0xFFF) << 20)
            elif r.kind in (24, 25):
                place = self._offset(r.symbol)
                if place not in highs:
                    raise self._elf.error("has the lower half of an address without its upper half")
                low = _split(highs[place])[1] & 0xFFF
                word = word & 0xFFFFF | low << 20 if r.kind == 24 else word & 0x01FFF07F | low >> 5 << 25 | (low & 31) << 7
                struct.pack_into("<I", image, r.place, word)
            elif r.kind in _RISCV_JUMPS:
                self._apply_riscv_jump(image, r, self._reach(r, base, address) + r.addend - base - r.place)
            elif r.kind in _RISCV_DATA:
                _apply_riscv_data(image, r.place, r.kind, address(r.symbol) + r.addend, base + r.place)
            elif r.kind in (43, 51):
                raise self._elf.error("was compiled with linker relaxation; compile it with -relax")
            else:
                raise self._elf.error(f"has a relocation of kind {r.kind}, which is not supported on RISC-V")

    def _apply_riscv_jump(self, image: bytearray, r: _Relocation, distance: int) -> None:
        bits, size = {16: (13, 4), 17: (21, 4), 44: (9, 2), 45: (12, 2)}[r.kind]
        if not -(1 << bits - 1) <= distance < 1 << bits - 1 or distance % 2:
            raise self._elf.error(f"jumps {distance} bytes where {bits} bits are encoded")
        word = int.from_bytes(image[r.place : r.place + size], "little")
        for position, width, bit in _RISCV_JUMPS[r.kind]:
            mask = (1 << width) - 1
            word = word & ~(mask << position) | (distance >> bit & mask) << position
        image[r.place : r.place + size] = word.to_bytes(size, "little")

    def _with_debug_relocated(self) -> bytes:
        """The object with the relocations of its debug sections applied, for sections at address 0; pyelftools lacks RISC-V's."""
        binary = bytearray(self.binary)
        for section in self._elf.sections:
            target = self._elf.sections[section.info] if section.kind == RELA else None
            if target is None or not target.name.startswith(".debug"):
                continue
            for offset, info, addend in struct.iter_unpack("<QQq", self._elf.bytes(section.offset, section.size)):
                if info & 0xFFFFFFFF in _RISCV_DATA:
                    place, symbol = target.offset + offset, self._symbols[info >> 32]
                    _apply_riscv_data(binary, place, info & 0xFFFFFFFF, symbol.value + addend, offset)
        return bytes(binary)

    def line_of(self, offset: int) -> str | None:
        """`file:line` of the code at `offset` in the image, if the object has a line table."""
        best: tuple[int, str] | None = None
        try:
            import io

            from elftools.elf.elffile import ELFFile

            dwarf = ELFFile(io.BytesIO(self._with_debug_relocated())).get_dwarf_info(relocate_dwarf_sections=False)
            for unit in dwarf.iter_CUs():
                program = dwarf.line_program_for_CU(unit)
                if program is None:
                    continue
                files, first = program.header["file_entry"], 1 if program.header["version"] < 5 else 0
                for start, end, file, line in _rows(program):
                    if start <= offset - self.text < end and (best is None or start >= best[0]) and line:
                        name = files[file - first].name
                        best = start, f"{name.decode() if isinstance(name, bytes) else name}:{line}"
        except Exception:  # a broken table, of which any part may be anything, or an interpreter that ends, must not hide the fault
            return None
        return best[1] if best else None


def _rows(program: Any) -> Iterator[tuple[int, int, int, int]]:
    """(first address, end, file, line) of each row of a line table."""
    previous = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if previous is not None:
            yield previous.address, state.address, previous.file, previous.line
        previous = None if state.end_sequence else state


def _apply_riscv_data(image: bytearray, place: int, kind: int, value: int, here: int) -> None:
    operation, bits = _RISCV_DATA[kind]
    size, mask = (bits + 7) // 8, (1 << bits) - 1
    old = int.from_bytes(image[place : place + size], "little")
    value = {"set": value, "add": old + value, "sub": old - value, "pc": value - here}[operation]
    image[place : place + size] = (old & ~mask | value & mask).to_bytes(size, "little")


def _split(distance: int) -> tuple[int, int]:
    """The upper part (in place in an instruction) and the signed lower 12 bits of a distance from an auipc."""
    if not -(1 << 31) - 2048 <= distance < (1 << 31) - 2048:
        raise struct.error(f"{distance} does not fit auipc")
    high = distance + 0x800 >> 12 << 12
    return high & 0xFFFFF000, distance - high


# (bit position in the instruction, width, first bit of the distance)
_RISCV_JUMPS = {
    16: ((7, 1, 11), (8, 4, 1), (25, 6, 5), (31, 1, 12)),
    17: ((12, 8, 12), (20, 1, 11), (21, 10, 1), (31, 1, 20)),
    44: ((2, 1, 5), (3, 2, 1), (5, 2, 6), (10, 2, 3), (12, 1, 8)),
    45: ((2, 1, 5), (3, 3, 1), (6, 1, 7), (7, 1, 6), (8, 1, 10), (9, 2, 8), (11, 1, 4), (12, 1, 11)),
}
# What becomes of the field, and its bits.
_RISCV_DATA = {
    1: ("set", 32),
    2: ("set", 64),
    **{33 + i: ("add", 8 << i) for i in range(4)},
    **{37 + i: ("sub", 8 << i) for i in range(4)},
    52: ("sub", 6),
    53: ("set", 6),
    54: ("set", 8),
    55: ("set", 16),
    56: ("set", 32),
    57: ("pc", 32),
    59: ("pc", 32),
}


def host_machine() -> str:
    """This machine's architecture, as `KernelObject.machine` names it."""
    return {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
