"""Lines of source of a kernel's code, from the DWARF line table in its object."""

import io
import struct
from collections.abc import Iterator
from typing import Any

from triton_spacemit.backend.elf import RELA, ElfObject
from triton_spacemit.backend.relocations import is_riscv_data, write_riscv_data


def line_of(elf: ElfObject, offset: int) -> str | None:
    """`file:line` of the code at `offset` in the object's section .text, if it has a line table that says so."""
    best: tuple[int, str] | None = None
    try:
        from elftools.elf.elffile import ELFFile

        riscv = elf.machine == "riscv64"
        binary = _with_debug_relocated(elf) if riscv else elf.binary
        dwarf = ELFFile(io.BytesIO(binary)).get_dwarf_info(relocate_dwarf_sections=not riscv)
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            files, first = program.header["file_entry"], 1 if program.header["version"] < 5 else 0
            for start, end, file, line in _rows(program):
                if start <= offset < end and (best is None or start >= best[0]) and line:
                    name = files[file - first].name
                    best = start, f"{name.decode() if isinstance(name, bytes) else name}:{line}"
    except Exception:  # a broken table, of which any part may be anything, or an interpreter that ends, must not hide the fault
        return None
    return best[1] if best else None


def _with_debug_relocated(elf: ElfObject) -> bytes:
    """The RISC-V object with the relocations of its debug sections applied, for sections at address 0, which pyelftools does not do."""
    binary, symbols = bytearray(elf.binary), elf.symbols()
    for section in elf.sections:
        target = elf.sections[section.info] if section.kind == RELA else None
        if target is None or not target.name.startswith(".debug"):
            continue
        for offset, info, addend in struct.iter_unpack("<QQq", elf.bytes(section.offset, section.size)):
            if is_riscv_data(info & 0xFFFFFFFF):
                write_riscv_data(binary, target.offset + offset, info & 0xFFFFFFFF, symbols[info >> 32].value + addend, offset)
    return bytes(binary)


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
