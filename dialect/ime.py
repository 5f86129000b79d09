"""SpacemiT's integer matrix instructions as data: words, tiles, element types and rules.

`smt.vmadot vd, vs1, vs2` adds to a tile C the product of tiles A and B: C[i][j] += the sum over k of A[i][k] * B[j][k], in 32 bits that
wrap around. vs1 holds A row by row, vs2 holds B column by column, and the pair vd, vd + 1 holds C row by row. A sliding form
(`smt.vmadot1`, `2`, `3`) takes A from so many rows further down in the pair vs1, vs1 + 1. Of two elements of 4 bits in a byte, the first
one is in the lower half. The suffix names what is unsigned: `u` A and B, `us` A alone, `su` B alone.

The first generation (X60, A60, X100, with vectors of 256 bits) multiplies bytes; the second one (A100, 1024 bits) also elements of 4 bits.

Where this is from:
- the words: LLVM's RISCVInstrInfoXSpacemiT.td and its tests xsmtvdot-valid.s and xsmtvdotii-valid.s, which agree with chapter 8 of
  "SpacemiT AI Matrix Extension Instruction Set (Zvvm_spacemit Profile)", version 0.6;
- tiles and layouts: sections 2.5 and 2.7 there; elements and what is computed: 4.2, 5.1.3 and 5.2.3;
- no mask, an even vd, no overlap, LMUL 1: sections 2.3, 5.1.4 and 5.2.4;
- SEW 8 and a full vl: the programmer's model in "SpacemiT Integrated Matrix Extension", where they choose the tile. It has smaller tiles
  for a smaller vl, of which version 0.6 says nothing, and nothing is said of vstart: what is not described for a core is refused;
- any SEW on the second generation: SpacemiT's own kernels for it (ggml-org/ggml, src/ggml-cpu/spacemit/ime2_kernels.cpp, August 2026).
  That for Q2_K executes `vmadotsu .., i8` at SEW 8 in its inner loop and at SEW 32 behind it, always with LMUL 1 and all elements, and
  takes both results apart in the same way; so do others with 4 bits. It is right only if the instruction's word alone says what the
  elements are. Those for the first generation keep to SEW 8, as does all code of this backend.

The sparse forms (`smt.vmadot.sp`) are not here, since their description contradicts itself about A's extent; nor are those with scales
(`smt.vmadot.hp`), whose rounding is not described. Of floats there is `vfwmadot`, 8 x 8 x 8 of float16 or bfloat16 into float32 (`vfwmadot
v2, v4, v6` is 9e62412b). What it would take to carry it out, within a bound or at all: whether products are rounded before they are added
up, in which order and how often sums are rounded, what becomes of subnormal numbers and NaN, and what tells float16 from bfloat16.

`make docs` writes `backend/runtime/ime_table.h` from here, for the runtime that emulates the instructions.
"""

from dataclasses import dataclass

_CUSTOM_1 = 0b0101011
_MATRIX, _SLIDING, _UNMASKED = 1 << 31, 1 << 26, 1 << 25
_ELEMENTS = {4: 0b10 << 29, 8: 0b11 << 29}
_VD, _VS1, _VS2 = 7, 15, 20  # the lowest bits of the operands
_SUFFIXES = {"": (True, True), "u": (False, False), "us": (False, True), "su": (True, False)}


@dataclass(frozen=True)
class Tile:
    """C has `m` rows and `n` columns, and each of its elements gains `k` products."""

    m: int
    n: int
    k: int


#: By the length of a vector register and the bits of an element.
TILES = {(256, 8): Tile(4, 4, 8), (1024, 8): Tile(8, 8, 16), (1024, 4): Tile(8, 8, 32)}

#: The first generation whose instructions look at LMUL and vl, but at no SEW.
ANY_SEW = 2

#: What an instruction needs, by the name of its rule in C; a chip reports the first one that is broken.
RULES = {
    "UNIT": "a chip that has it",
    "UNMASKED": "bit 25 set, since it takes no mask",
    "EVEN": "an even vd",
    "OVERLAP": "sources outside of the pair at vd",
    "VTYPE": "a valid vtype",
    "SEW": "SEW 8",
    "LMUL": "LMUL 1",
    "VL": "a vl of all elements of a register",
    "VSTART": "vstart 0",
}


@dataclass(frozen=True)
class MatrixInstruction:
    """A row of the table. generation: the first one that has it. bits: of an element. left, right: whether A and B are signed."""

    mnemonic: str
    generation: int
    bits: int
    left: bool
    right: bool
    slide: int

    @property
    def match(self) -> int:
        """Its word with vd, vs1 and vs2 zero."""
        slide = _SLIDING | (self.slide - 1) << 14 if self.slide else 0
        return _MATRIX | _ELEMENTS[self.bits] | _UNMASKED | slide | self.left << 13 | self.right << 12 | _CUSTOM_1

    @property
    def mask(self) -> int:
        """The bits that make it this instruction. A sliding form has no room for the lowest bit of vs1, which is even."""
        return 0xFE00707F | bool(self.slide) << _VS1

    def tile(self, vlen: int) -> Tile:
        """Its tile on a core with registers of `vlen` bits. Raises KeyError where no core with them has it."""
        return TILES[vlen, self.bits]

    def text(self, vd: int, vs1: int, vs2: int) -> str:
        """As assembly has it."""
        return f"{self.mnemonic} v{vd}, v{vs1}, v{vs2}{', i4' if self.bits == 4 else ''}"

    def broken_rule(self, vd: int, vs1: int, vs2: int) -> str:
        """Which of `RULES` these registers break, if any."""
        if vd % 2:
            return "EVEN"
        return "OVERLAP" if vd in (vs1 & ~1, vs2 & ~1) else ""


INSTRUCTIONS = tuple(
    MatrixInstruction(f"smt.vmadot{slide or ''}{suffix}", generation, bits, *signed, slide)
    for generation, bits, slides in ((1, 8, range(4)), (2, 4, range(1)))
    for slide in slides
    for suffix, signed in _SUFFIXES.items()
)


@dataclass(frozen=True)
class Decoded:
    """An instruction and its registers."""

    instruction: MatrixInstruction
    vd: int
    vs1: int
    vs2: int

    def __str__(self) -> str:
        return self.instruction.text(self.vd, self.vs1, self.vs2)


def get_instruction(mnemonic: str, bits: int = 8) -> MatrixInstruction:
    """The row of the table. Raises ValueError where there is none."""
    for row in INSTRUCTIONS:
        if (row.mnemonic, row.bits) == (mnemonic, bits):
            return row
    raise ValueError(f"there is no matrix instruction {mnemonic!r} of elements of {bits} bits")


def encode(mnemonic: str, vd: int, vs1: int, vs2: int, bits: int = 8) -> int:
    """The word of an instruction. Raises ValueError naming the instruction and the rule that its registers break."""
    row = get_instruction(mnemonic, bits)
    if not all(0 <= register < 32 for register in (vd, vs1, vs2)):
        raise ValueError(f"{row.text(vd, vs1, vs2)}: vector registers are v0 to v31")
    if row.slide and vs1 % 2:
        raise ValueError(f"{row.text(vd, vs1, vs2)} needs an even vs1")
    if rule := row.broken_rule(vd, vs1, vs2):
        raise ValueError(f"{row.text(vd, vs1, vs2)} needs {RULES[rule]}")
    return row.match | vd << _VD | vs1 << _VS1 | vs2 << _VS2


def decode(word: int) -> Decoded | None:
    """The instruction with this word, if it is one that `encode` makes."""
    found = _parse(word)
    if found is None or not word & _UNMASKED or found.instruction.broken_rule(found.vd, found.vs1, found.vs2):
        return None
    return found


def explain(word: int, rule: int) -> str:
    """What the emulator says of a word that breaks the rule with this number in C."""
    return f"{_parse(word)} needs {list(RULES.values())[rule - 1]}"


def _parse(word: int) -> Decoded | None:
    """The instruction that the word stands for, whatever rules it breaks."""
    for row in INSTRUCTIONS:
        if (word | _UNMASKED) & row.mask == row.match:
            vs1 = word >> _VS1 & (30 if row.slide else 31)
            return Decoded(row, word >> _VD & 31, vs1, word >> _VS2 & 31)
    return None


_HEADER = """\
// SpacemiT's matrix instructions, written by `make docs` from dialect/ime.py, which says what they do.
#pragma once
#include <stdint.h>

enum {{ {operands} }};  // the lowest bits of the operands
enum {{ IME_VM = {unmasked:#x} }};  // a bit of every word
enum {{ IME_ANY_SEW = {any_sew} }};  // the first generation that looks at no SEW

// What an instruction breaks that cannot be carried out.
enum {{ {rules} }};

// A word is that of a row where its bits in `mask` are `match`. left, right: whether A and B are signed.
typedef struct ImeInstruction {{
  uint32_t match, mask;
  uint8_t generation, bits, left, right, slide;
}} ImeInstruction;

static const ImeInstruction ime_instructions[] = {{
{instructions}
}};

// Tiles by the bytes of a vector register and the bits of an element.
typedef struct ImeTile {{
  uint16_t vlenb, bits, m, n, k;
}} ImeTile;

static const ImeTile ime_tiles[] = {{
{tiles}
}};
"""


def header() -> str:
    """The text of backend/runtime/ime_table.h."""
    return _HEADER.format(
        operands=f"IME_VD = {_VD}, IME_VS1 = {_VS1}, IME_VS2 = {_VS2}",
        unmasked=_UNMASKED,
        any_sew=ANY_SEW,
        rules=", ".join(f"IME_{rule} = {i}" for i, rule in enumerate(RULES, 1)),
        instructions="\n".join(
            f"    {{{row.match:#010x}, {row.mask:#010x}, {row.generation}, {row.bits}, {row.left:d}, {row.right:d}, {row.slide}}},"
            f"  // {row.mnemonic}{', i4' if row.bits == 4 else ''}"
            for row in INSTRUCTIONS
        ),
        tiles="\n".join(f"    {{{vlen // 8}, {bits}, {tile.m}, {tile.n}, {tile.k}}}," for (vlen, bits), tile in TILES.items()),
    )


if __name__ == "__main__":
    print(header(), end="")
