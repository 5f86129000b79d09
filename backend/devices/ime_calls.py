"""Calls in the place of a kernel's matrix instructions, for QEMU, which has none and makes a signal of each.

Each instruction becomes a jump to code of its own behind the kernel's image. That code stores the registers that the instruction works on,
calls the guest's emulator (backend/runtime/ime_call.c), loads the sums again and jumps back. Where a rule is broken it runs the
instruction itself, which is the same illegal one at another address.
"""

import struct
from collections.abc import Iterator

from triton_spacemit.dialect import ime

_SP, _RA, _T0, _ZERO = 2, 1, 5, 0
_FRAME = 64  # t0, ra, vstart; then the registers
_JUMP_REACH = 1 << 20
_VSTART = 8


def with_calls(image: bytearray, code_end: int, vlen: int, function: int) -> tuple[bytes, dict[int, int]]:
    """Change the matrix instructions in the first `code_end` bytes of `image`.

    Gives the code that has to lie behind the image, and for each illegal instruction in that, by its offset from the image's start, the
    offset of the one that it stands for. function: the address of the guest's `ime_call`. An instruction too far from that code stays.
    """
    behind, sites = bytearray(), {}
    for site in _instructions(image, code_end):
        (word,) = struct.unpack_from("<I", image, site)
        decoded = ime.decode(word)
        start = len(image) + len(behind)
        if decoded is None or start + 256 - site >= _JUMP_REACH:
            continue
        code, illegal = _call(decoded, word, vlen // 8, start, site + 4, function)
        struct.pack_into("<I", image, site, _jal(start - site))
        sites[start + illegal] = site
        behind += code
    return bytes(behind), sites


def _instructions(image: bytearray, end: int) -> Iterator[int]:
    """Where instructions of 32 bits begin."""
    place = 0
    while place + 4 <= end:
        if image[place] & 3 == 3:
            yield place
            place += 4
        else:
            place += 2


def _call(decoded: ime.Decoded, word: int, vlenb: int, start: int, resume: int, function: int) -> tuple[bytes, int]:
    """The code at `start` for one instruction, behind which is `resume`, and where in it the instruction itself is."""
    frame = _FRAME + 5 * vlenb
    pair = bool(decoded.instruction.slide)
    before = [
        _addi(_SP, _SP, -frame),
        _sd(_T0, 0),
        _sd(_RA, 8),
        _csr(_T0, _ZERO),
        _sd(_T0, 16),
        _csr(_ZERO, _ZERO, write=True),
        _addi(_T0, _SP, _FRAME),
        _whole(decoded.vd, 2, store=True),
        _addi(_T0, _T0, 2 * vlenb),
        _whole(decoded.vs1, 2 if pair else 1, store=True),
        _addi(_T0, _T0, 2 * vlenb),
        _whole(decoded.vs2, 1, store=True),
        0x00000297,  # auipc t0, 0
    ]
    after = [_addi(_T0, _SP, _FRAME), _whole(decoded.vd, 2, store=False), _ld(_T0, 0), _ld(_RA, 8), _addi(_SP, _SP, frame)]
    broken = [_ld(_T0, 16), _csr(_ZERO, _T0, write=True), _ld(_T0, 0), _ld(_RA, 8), _addi(_SP, _SP, frame), word]
    back = len(before) + 4 + len(after)  # words in front of the jump back
    illegal = back + len(broken)
    size = illegal + 2 + (illegal & 1)  # with the jump behind it, and whole 8 bytes
    data = 4 * (size - (len(before) - 1))  # from auipc
    code = [
        *before,
        _addi(_T0, _T0, data),
        0x0002B083,  # ld ra, 0(t0)
        0x000080E7,  # jalr ra
        _bnez_t0(4 * (len(after) + 2)),
        *after,
        _jal(resume - start - 4 * back),
        *broken,
    ]
    code.append(_jal(resume - start - 4 * len(code)))
    code += [0] * (size - len(code))
    return struct.pack(f"<{size}IQQ", *code, function, word), 4 * illegal


def _addi(target: int, source: int, number: int) -> int:
    return (number & 0xFFF) << 20 | source << 15 | target << 7 | 0x13


def _sd(register: int, offset: int) -> int:
    """To the frame."""
    return offset >> 5 << 25 | register << 20 | _SP << 15 | 3 << 12 | (offset & 31) << 7 | 0x23


def _ld(register: int, offset: int) -> int:
    """From the frame."""
    return offset << 20 | _SP << 15 | 3 << 12 | register << 7 | 0x03


def _csr(target: int, source: int, write: bool = False) -> int:
    """`csrr target, vstart`, or `csrw vstart, source`."""
    return _VSTART << 20 | source << 15 | (1 if write else 2) << 12 | target << 7 | 0x73


def _whole(register: int, count: int, store: bool) -> int:
    """`vs1r.v`, `vs2r.v`, `vl2re8.v` at t0."""
    return (count - 1) << 29 | 1 << 25 | 8 << 20 | _T0 << 15 | register << 7 | (0x27 if store else 0x07)


def _jal(distance: int) -> int:
    """A jump that keeps no address."""
    bits = distance & 0x1FFFFF
    return bits >> 20 << 31 | (bits >> 1 & 0x3FF) << 21 | (bits >> 11 & 1) << 20 | (bits >> 12 & 0xFF) << 12 | 0x6F


def _bnez_t0(distance: int) -> int:
    return (distance >> 5 & 0x3F) << 25 | _T0 << 15 | 1 << 12 | (distance >> 1 & 15) << 8 | 0x63
