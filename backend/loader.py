"""Loading kernel objects: a relocatable ELF object becomes a memory image for one base address.

Objects are position independent and not relaxed. What is not understood in one is an `ObjectError`, never executed. The image has three
page-aligned parts, so that no page is both writable and executable: code (with stubs for calls out of the image), read-only data (with a
table of addresses for the stubs and for accesses through a global offset table), writable data.
"""

import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from triton_spacemit.backend.elf import ALLOC, EXECUTE, NOBITS, RELA, WRITE, ElfObject, Section, Symbol
from triton_spacemit.backend.line_table import line_of
from triton_spacemit.backend.relocations import MACHINES, Places, Relocation, RelocationError

PAGE = 4096
_LARGEST_IMAGE = 1 << 28
_IGNORED = (".eh_frame", ".note", ".riscv.attributes")


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
    _relocations: list[Relocation] = field(default_factory=list)
    _slots: dict[Symbol, int] = field(default_factory=dict)
    _stubs: dict[Symbol, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._elf = ElfObject(self.binary, self.name)
        self.machine = self._elf.machine
        self._target = MACHINES[self.machine]
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
                self._relocations.append(Relocation(target, offset, info & 0xFFFFFFFF, self._symbols[info >> 32], addend))
        self._place(loaded)

    def _place(self, loaded: list[Section]) -> None:
        """Fix where everything lies in the image; external functions get a stub, what is reached through a table a slot."""
        self.externals = list(dict.fromkeys(r.symbol.name for r in self._relocations if r.is_external))
        stubbed = dict.fromkeys(r.symbol for r in self._relocations if r.kind in self._target.direct and r.is_external)
        slotted = dict.fromkeys([*stubbed, *(r.symbol for r in self._relocations if r.kind in self._target.through_table)])
        start = 0
        for part, (extras, size) in enumerate(((stubbed, self._target.stub_bytes), (slotted, 8), ({}, 1))):
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
        places = Places(base, address, self._offset, self._stubs, self._slots)
        try:
            for symbol, stub in self._stubs.items():
                code = self._target.stub(self._slots[symbol] - stub)
                image[stub : stub + len(code)] = code
            self._target.apply(image, self._relocations, places)
        except RelocationError as error:
            raise self._elf.error(str(error)) from None
        except struct.error as error:
            raise self._elf.error(f"has a relocation out of range ({error})") from None
        return image

    def line_of(self, offset: int) -> str | None:
        """`file:line` of the code at `offset` in the image, if the object has a line table."""
        return line_of(self._elf, offset - self.text)


def host_machine() -> str:
    """This machine's architecture, as `KernelObject.machine` names it."""
    return {"AMD64": "x86_64"}.get(platform.machine(), platform.machine())
