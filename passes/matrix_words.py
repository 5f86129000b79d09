"""SpacemiT's matrix instructions in what LLVM generates, which has no intrinsics for them.

Code asks for one by an intrinsic of another instruction (`CARRIER`) with the same operands, a tied destination of two registers and two
sources of one, so that registers are allocated and instructions scheduled as they would be for it; its number says which factors are
signed. Here its word in an object, and its text in assembly, become those of the matrix instruction. Each word is decoded again: one that
breaks a rule of its registers is an error and not code.
"""

import re
import struct
from collections.abc import Iterator

from triton_spacemit.dialect import ime

CARRIER = "llvm.riscv.sf.vc.v.vvw"  #: (signs, sums, B, A, length): 2 where A is signed, plus 1 where B is
FEATURE = "xsfvcp"  #: LLVM's name of the extension that has it

_MNEMONICS = {row.left << 1 | row.right: row.mnemonic for row in ime.INSTRUCTIONS if row.bits == 8 and not row.slide}
_MASK, _MATCH, _NUMBER = 0xF200707F, 0xF000005B, 26  # of `sf.vc.v.vvw`, whose number is in bits 27:26
_TEXT = re.compile(r"^(\s*)sf\.vc\.v\.vvw(\s+)(\d+), v(\d+), v(\d+), v(\d+)$", re.MULTILINE)
_EXECUTABLE, _NOBITS = 4, 8


def in_object(binary: bytes) -> bytes:
    """A relocatable RISC-V ELF object with matrix instructions. Raises ValueError for one that breaks a rule of its registers."""
    image = bytearray(binary)
    for start, end in _code(binary):
        place = start
        while place + 2 <= end:
            (half,) = struct.unpack_from("<H", image, place)
            if half & 3 != 3:  # a compressed instruction
                place += 2
                continue
            (word,) = struct.unpack_from("<I", image, place)
            if word & _MASK == _MATCH:
                struct.pack_into("<I", image, place, _word(word >> _NUMBER & 3, word >> 7 & 31, word >> 20 & 31, word >> 15 & 31))
            place += 4
    return bytes(image)


def in_assembly(text: str) -> str:
    """The same for assembly."""

    def replace(match: re.Match[str]) -> str:
        decoded = ime.decode(_word(*(int(part) for part in match.groups()[2:])))
        name, _, operands = str(decoded).partition(" ")
        return f"{match[1]}{name}{match[2]}{operands}"

    return _TEXT.sub(replace, text)


def _word(signs: int, vd: int, vs2: int, vs1: int) -> int:
    return ime.encode(_MNEMONICS[signs], vd, vs1, vs2)


def _code(binary: bytes) -> Iterator[tuple[int, int]]:
    """Where an ELF object's sections of code begin and end."""
    (table,) = struct.unpack_from("<Q", binary, 40)
    size, count = struct.unpack_from("<HH", binary, 58)
    for number in range(count):
        _, kind, flags, _, offset, length = struct.unpack_from("<IIQQQQ", binary, table + number * size)
        if flags & _EXECUTABLE and kind != _NOBITS:
            yield offset, offset + length
