"""The instructions of 32 bits that compressed ones stand for, so that all else has one form to read.

Source: "C" Standard Extension for Compressed Instructions in the RISC-V Unprivileged ISA manual, RV64 with D.
"""

_ZERO, _RA, _SP = 0, 1, 2
_OP_IMM, _OP_IMM_32, _OP, _OP_32, _LUI = 0x13, 0x1B, 0x33, 0x3B, 0x37
_LOAD, _LOAD_FP, _STORE, _STORE_FP = 0x03, 0x07, 0x23, 0x27
_BRANCH, _JALR, _JAL = 0x63, 0x67, 0x6F
EBREAK = 0x00100073


def i_type(opcode: int, function: int, target: int, source: int, number: int) -> int:
    """An instruction with a number of 12 bits."""
    return (number & 0xFFF) << 20 | source << 15 | function << 12 | target << 7 | opcode


def s_type(opcode: int, function: int, base: int, source: int, number: int) -> int:
    """A store of `source` at `base` plus a number of 12 bits."""
    return (number >> 5 & 0x7F) << 25 | source << 20 | base << 15 | function << 12 | (number & 31) << 7 | opcode


def r_type(opcode: int, function: int, target: int, left: int, right: int, more: int = 0) -> int:
    """An operation on two registers."""
    return more << 25 | right << 20 | left << 15 | function << 12 | target << 7 | opcode


def branch(function: int, left: int, right: int, distance: int) -> int:
    """A branch by up to 4 KiB."""
    bits = distance & 0x1FFF
    low = (bits >> 1 & 15) << 8 | (bits >> 11 & 1) << 7
    return (bits >> 12) << 31 | (bits >> 5 & 0x3F) << 25 | right << 20 | left << 15 | function << 12 | low | _BRANCH


def jal(target: int, distance: int) -> int:
    """A jump by up to 1 MiB that keeps its return address in `target`."""
    bits = distance & 0x1FFFFF
    return bits >> 20 << 31 | (bits >> 1 & 0x3FF) << 21 | (bits >> 11 & 1) << 20 | (bits >> 12 & 0xFF) << 12 | target << 7 | _JAL


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 & 1 else value


def _bits(word: int, *places: tuple[int, int, int]) -> int:
    """The number made of fields: each is its highest and lowest bit in the word, and where its lowest goes."""
    return sum((word >> low & (1 << high - low + 1) - 1) << place for high, low, place in places)


def expand(word: int) -> int:
    """The instruction of 32 bits that the compressed one `word` stands for. Raises ValueError for one that is reserved."""
    function, quadrant = word >> 13 & 7, word & 3
    expanded = (_quadrant_0, _quadrant_1, _quadrant_2)[quadrant](word, function)
    if expanded is None:
        raise ValueError(f"the compressed instruction {word:#06x} is reserved")
    return expanded


def _quadrant_0(word: int, function: int) -> int | None:
    target, base = (word >> 2 & 7) + 8, (word >> 7 & 7) + 8
    if function == 0:
        number = _bits(word, (12, 11, 4), (10, 7, 6), (6, 6, 2), (5, 5, 3))
        return i_type(_OP_IMM, 0, target, _SP, number) if number else None
    by_4 = _bits(word, (12, 10, 3), (6, 6, 2), (5, 5, 6))
    by_8 = _bits(word, (12, 10, 3), (6, 5, 6))
    return {
        1: i_type(_LOAD_FP, 3, target, base, by_8),
        2: i_type(_LOAD, 2, target, base, by_4),
        3: i_type(_LOAD, 3, target, base, by_8),
        5: s_type(_STORE_FP, 3, base, target, by_8),
        6: s_type(_STORE, 2, base, target, by_4),
        7: s_type(_STORE, 3, base, target, by_8),
    }.get(function)


def _quadrant_1(word: int, function: int) -> int | None:
    target, small = word >> 7 & 31, (word >> 7 & 7) + 8
    number = _signed(_bits(word, (12, 12, 5), (6, 2, 0)), 6)
    if function == 0:
        return i_type(_OP_IMM, 0, target, target, number)
    if function == 1:
        return i_type(_OP_IMM_32, 0, target, target, number) if target else None
    if function == 2:
        return i_type(_OP_IMM, 0, target, _ZERO, number)
    if function == 3 and target == _SP:
        step = _signed(_bits(word, (12, 12, 9), (6, 6, 4), (5, 5, 6), (4, 3, 7), (2, 2, 5)), 10)
        return i_type(_OP_IMM, 0, _SP, _SP, step) if step else None
    if function == 3:
        return (number & 0xFFFFF) << 12 | target << 7 | _LUI if number else None
    if function == 4:
        return _arithmetic(word, small, number)
    if function == 5:
        places = (12, 12, 11), (11, 11, 4), (10, 9, 8), (8, 8, 10), (7, 7, 6), (6, 6, 7), (5, 3, 1), (2, 2, 5)
        return jal(_ZERO, _signed(_bits(word, *places), 12))
    distance = _signed(_bits(word, (12, 12, 8), (11, 10, 3), (6, 5, 6), (4, 3, 1), (2, 2, 5)), 9)
    return branch(function - 6, small, _ZERO, distance)


def _arithmetic(word: int, target: int, number: int) -> int | None:
    kind, source = word >> 10 & 3, (word >> 2 & 7) + 8
    if kind < 2:
        return i_type(_OP_IMM, 5, target, target, number & 63 | (0x400 if kind else 0))
    if kind == 2:
        return i_type(_OP_IMM, 7, target, target, number)
    rows = {0: (_OP, 0, 32), 1: (_OP, 4, 0), 2: (_OP, 6, 0), 3: (_OP, 7, 0), 4: (_OP_32, 0, 32), 5: (_OP_32, 0, 0)}
    row = rows.get((word >> 12 & 1) << 2 | word >> 5 & 3)
    return None if row is None else r_type(row[0], row[1], target, target, source, row[2])


def _quadrant_2(word: int, function: int) -> int | None:
    target, source = word >> 7 & 31, word >> 2 & 31
    if function == 0:
        return i_type(_OP_IMM, 1, target, target, _bits(word, (12, 12, 5), (6, 2, 0)))
    if function == 4:
        keeps = word >> 12 & 1
        if source:
            return r_type(_OP, 0, target, target if keeps else _ZERO, source)
        if not target:
            return EBREAK if keeps else None
        return i_type(_JALR, 0, _RA if keeps else _ZERO, target, 0)
    load_4 = _bits(word, (12, 12, 5), (6, 4, 2), (3, 2, 6))
    load_8 = _bits(word, (12, 12, 5), (6, 5, 3), (4, 2, 6))
    store_4, store_8 = _bits(word, (12, 9, 2), (8, 7, 6)), _bits(word, (12, 10, 3), (9, 7, 6))
    return {
        1: i_type(_LOAD_FP, 3, target, _SP, load_8),
        2: i_type(_LOAD, 2, target, _SP, load_4) if target else None,
        3: i_type(_LOAD, 3, target, _SP, load_8) if target else None,
        5: s_type(_STORE_FP, 3, _SP, source, store_8),
        6: s_type(_STORE, 2, _SP, source, store_4),
        7: s_type(_STORE, 3, _SP, source, store_8),
    }.get(function)
