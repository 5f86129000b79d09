"""SpacemiT's matrix instructions: words against LLVM's assembler, published ones, and what no instruction is."""

import itertools
import random
import re
import struct
from pathlib import Path

import pytest

from triton_spacemit.backend import native
from triton_spacemit.backend.elf import ElfObject
from triton_spacemit.dialect.ime import INSTRUCTIONS, TILES, MatrixInstruction, decode, encode, header

# Of the second generation, in LLVM's xsmtvdotii-valid.s; and of the first, as disassembled from programs that ran on a K1.
PUBLISHED = {
    0xC22FB02B: "smt.vmadot v0, v31, v2, i4",
    0xE22FB02B: "smt.vmadot v0, v31, v2",
    0xE641302B: "smt.vmadot1 v0, v2, v4",
    0xE210312B: "smt.vmadot v2, v0, v1",
    0xE620322B: "smt.vmadot1 v4, v0, v2",
    0xE7043E2B: "smt.vmadot1 v28, v8, v16",
    0xE7047E2B: "smt.vmadot2 v28, v8, v16",
    0xE704BE2B: "smt.vmadot3 v28, v8, v16",
}
# Also in xsmtvdotii-valid.s: sparse, scaled and float products, and data movement.
OTHERS = (0xC88138AB, 0xE88138AB, 0xEA81B82B, 0xD081382B, 0xF081282B, 0xF281482B, 0x9E62412B, 0x9E62512B, 0x625190AB, 0x6652112B)


def registers(row: MatrixInstruction) -> list[tuple[int, int, int]]:
    """Every vd, vs1, vs2 that it takes."""
    triples = itertools.product(range(0, 32, 2), range(0, 32, 2 if row.slide else 1), range(32))
    return [triple for triple in triples if triple[0] not in (triple[1] & ~1, triple[2] & ~1)]


def test_words_are_those_of_the_assembler(tmp_path: Path) -> None:
    chosen = random.Random(0)
    cases = [(row, triple) for row in INSTRUCTIONS if row.generation == 1 for triple in chosen.sample(registers(row), 500)]
    (tmp_path / "a.s").write_text("".join(f"{row.text(*triple)}\n" for row, triple in cases))
    flags = ("-target", "riscv64-linux-musl", "-mcpu=baseline_rv64+v+xsmtvdot", "-c")
    native.build([str(tmp_path / "a.s")], flags, tmp_path / "a.o")
    object_ = ElfObject((tmp_path / "a.o").read_bytes(), "a")
    text = next(section for section in object_.sections if section.name == ".text")
    words = [word for (word,) in struct.iter_unpack("<I", object_.bytes(text.offset, text.size))]
    assert words == [encode(row.mnemonic, *triple) for row, triple in cases]
    assert len(words) == 16 * 500


def test_published_words() -> None:
    assert {word: str(decode(word)) for word in PUBLISHED} == PUBLISHED
    assert [decode(word) for word in OTHERS] == [None] * len(OTHERS)


def test_a_word_is_one_instruction() -> None:
    for row in INSTRUCTIONS:
        for triple in registers(row)[::37]:
            decoded = decode(encode(row.mnemonic, *triple, row.bits))
            assert decoded is not None
            assert (decoded.instruction, decoded.vd, decoded.vs1, decoded.vs2) == (row, *triple)


def test_what_decodes_is_what_encodes() -> None:
    chosen = random.Random(1)
    near = [row.match ^ 1 << bit for row in INSTRUCTIONS for bit in range(32)] + [row.match | 0x1F << 7 for row in INSTRUCTIONS]
    found = 0
    for word in [*near, *(chosen.getrandbits(7) << 25 | chosen.getrandbits(18) << 7 | 0x2B for _ in range(20_000))]:
        if decoded := decode(word):
            row = decoded.instruction
            assert encode(row.mnemonic, decoded.vd, decoded.vs1, decoded.vs2, row.bits) == word
            found += 1
    assert found > 100


@pytest.mark.parametrize(
    ("mnemonic", "operands", "message"),
    [
        ("smt.vmadot", (1, 2, 3), "smt.vmadot v1, v2, v3 needs an even vd"),
        ("smt.vmadot", (2, 3, 4), "smt.vmadot v2, v3, v4 needs sources outside of the pair at vd"),
        ("smt.vmadotu", (4, 0, 4), "needs sources outside"),
        ("smt.vmadot2su", (4, 4, 8), "needs sources outside"),
        ("smt.vmadot1", (4, 3, 8), "smt.vmadot1 v4, v3, v8 needs an even vs1"),
        ("smt.vmadot", (2, 4, 32), "v0 to v31"),
        ("smt.vmadot", (2, 4, -1), "v0 to v31"),
        ("smt.vmadot1", (2, 4, 6, 4), "no matrix instruction 'smt.vmadot1' of elements of 4 bits"),
        ("smt.vmadot4", (2, 4, 6), "no matrix instruction"),
    ],
)
def test_what_is_refused(mnemonic: str, operands: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        encode(mnemonic, *operands)


def test_tiles_fill_their_registers() -> None:
    for (vlen, bits), tile in TILES.items():
        assert tile.m * tile.k * bits == tile.n * tile.k * bits == vlen
        assert tile.m * tile.n * 32 == 2 * vlen


def test_the_header_is_not_stale() -> None:
    path = Path(native.__file__).parent / "runtime/ime_table.h"
    assert path.read_text() == header(), "backend/runtime/ime_table.h is stale: run `make docs`"
