"""Reading relocatable ELF objects for x86-64 and RISC-V.

They come from LLVM and from a file cache, so nothing in them is trusted: every offset is checked.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triton_spacemit.backend.errors import DeviceError
from triton_spacemit.dialect.artifact import NOTE_SECTION, Artifact, ArtifactError

ALLOC, WRITE, EXECUTE = 2, 1, 4  # flags of sections
RELA, NOBITS, SYMTAB = 4, 8, 2  # kinds of sections
_RELOCATABLE = 1
_MACHINES = {62: "x86_64", 243: "riscv64"}


class ObjectError(DeviceError):
    """A kernel's object is damaged, or is not one that is understood here."""


@dataclass
class Section:
    """One row of the section table."""

    name: str
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    place: int = -1  # offset in the image, for sections that are loaded


@dataclass(frozen=True)
class Symbol:
    """One row of the symbol table."""

    name: str
    section: int
    value: int


class ElfObject:
    """The object of the kernel `name`: its machine, sections and symbols. Raises ObjectError where it is no such object."""

    def __init__(self, binary: bytes, name: str) -> None:
        self.binary, self.name = binary, name
        self.sections: list[Section] = []
        with self.checked():
            self._read_sections()

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Around what reads the object: an offset, index or name that points nowhere is an ObjectError."""
        try:
            yield
        except (struct.error, IndexError, ValueError) as error:
            raise self.error(f"is damaged ({error})") from None

    def error(self, message: str) -> ObjectError:
        return ObjectError(f"the object of kernel {self.name!r} {message}")

    def bytes(self, offset: int, size: int) -> bytes:
        """A part of the file."""
        if offset + size > len(self.binary):
            raise self.error(f"is truncated: it has {len(self.binary)} bytes and needs {offset + size}")
        return self.binary[offset : offset + size]

    def _read_sections(self) -> None:
        header = self.bytes(0, 64)
        if header[:6] != b"\x7fELF\x02\x01":
            raise self.error("is no 64-bit little-endian ELF file")
        kind, machine = struct.unpack_from("<HH", header, 16)
        if kind != _RELOCATABLE or machine not in _MACHINES:
            raise self.error(f"has ELF type {kind} for machine {machine}; a relocatable object for x86-64 or RISC-V is needed")
        self.machine = _MACHINES[machine]
        (table,) = struct.unpack_from("<Q", header, 40)
        entry_size, count, names = struct.unpack_from("<HHH", header, 58)
        if entry_size != 64 or not count:
            raise self.error("has no section table")
        rows = [struct.unpack("<IIQQQQIIQQ", self.bytes(table + 64 * i, 64)) for i in range(count)]
        strings = self.bytes(rows[names][4], rows[names][5])
        for name, kind, flags, _, offset, size, link, info, alignment, _ in rows:
            if kind != NOBITS:
                self.bytes(offset, size)
            self.sections.append(Section(_string(strings, name), kind, flags, offset, size, link, info, max(alignment, 1)))

    def symbols(self) -> list[Symbol]:
        """The symbol table."""
        table = next((s for s in self.sections if s.kind == SYMTAB), None)
        if table is None:
            raise self.error("has no symbol table")
        strings = self.sections[table.link]
        text = self.bytes(strings.offset, strings.size)
        rows = struct.iter_unpack("<IBBHQQ", self.bytes(table.offset, table.size))
        return [Symbol(_string(text, name), section, value) for name, _, _, section, value, _ in rows]

    def artifact(self) -> Artifact:
        """The kernel, as the object's note describes it."""
        section = next((s for s in self.sections if s.name == NOTE_SECTION), None)
        if section is None:
            raise self.error(f"does not say what kernel it is: it has no section {NOTE_SECTION}")
        try:
            artifact = Artifact.from_note(self.bytes(section.offset, section.size), self.binary)
        except ArtifactError as error:
            raise self.error(f"does not say what kernel it is: {error}") from None
        if artifact.name != self.name:
            raise self.error(f"is that of kernel {artifact.name!r}")
        return artifact


def _string(table: bytes, offset: int) -> str:
    return table[offset : table.index(0, offset)].decode()
