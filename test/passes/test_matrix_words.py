"""Matrix instructions in objects and assembly: each carrier's word becomes one, and nothing else changes."""

import struct

import pytest

from triton_spacemit.dialect import ime
from triton_spacemit.dialect.chips import CHIPS
from triton_spacemit.passes import codegen, matrix_words

SIGNS = {0: "smt.vmadotu", 1: "smt.vmadotus", 2: "smt.vmadotsu", 3: "smt.vmadot"}
BYTES, SUMS = "<vscale x 8 x i8>", "<vscale x 8 x i16>"
CARRIER = f"@{matrix_words.CARRIER}.nxv8i16.i64.nxv8i8.nxv8i8.i64"


def kernel(body: str) -> str:
    declaration = f"declare {SUMS} {CARRIER}(i64, {SUMS}, {BYTES}, {BYTES}, i64)"
    return f"{declaration}\ndefine void @f(ptr %a, ptr %b, ptr %c) {{\n{body}\nret void\n}}"


def products(signs: list[int]) -> str:
    """A chain of products of the same factors."""
    lines = [f"%a0 = load {BYTES}, ptr %a", f"%b0 = load {BYTES}, ptr %b", f"%s0 = load {SUMS}, ptr %c"]
    for number, sign in enumerate(signs):
        lines.append(f"%s{number + 1} = call {SUMS} {CARRIER}(i64 {sign}, {SUMS} %s{number}, {BYTES} %b0, {BYTES} %a0, i64 -1)")
    return kernel("\n".join([*lines, f"store {SUMS} %s{len(signs)}, ptr %c"]))


def words(binary: bytes) -> list[ime.Decoded]:
    """The matrix instructions of an object, found at every place that an instruction may begin."""
    found = [
        ime.decode(word)
        for start in (0, 2)
        for (word,) in struct.iter_unpack("<I", binary[start : len(binary) - (len(binary) - start) % 4])
    ]
    return [decoded for decoded in found if decoded is not None]


@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_every_sign(chip: str) -> None:
    text = products([0, 1, 2, 3, 3])
    found = words(codegen.compile_object(text, CHIPS[chip]))
    assert sorted(decoded.instruction.mnemonic for decoded in found) == sorted([*SIGNS.values(), "smt.vmadot"])
    code = codegen.assembly(text, CHIPS[chip])
    lines = [line.split(None, 1) for line in code.splitlines() if "smt." in line]
    assert [name for name, _ in lines] == [SIGNS[sign] for sign in (0, 1, 2, 3, 3)]
    assert "sf.vc" not in code
    assert {f"{name} {operands}" for name, operands in lines} == {str(decoded) for decoded in found}


def test_only_the_carrier_changes() -> None:
    text = products([3])
    plain = codegen._Module(text, CHIPS["x60"])
    with codegen._lock:
        before = plain.machine().emit_object(plain.optimised())
    after = codegen.compile_object(text, CHIPS["x60"])
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    assert len(before) == len(after)
    assert changed
    assert changed[-1] - changed[0] < 4


def carried(vd: int, vs1: int, vs2: int) -> bytes:
    """An object with one carrier of these registers, as no register allocator would choose them."""
    binary = bytearray(codegen.compile_object(kernel(""), CHIPS["x60"]))
    start, _ = next(matrix_words._code(bytes(binary)))
    struct.pack_into("<I", binary, start, 0xFC00005B | vd << 7 | vs1 << 15 | vs2 << 20)
    return bytes(binary)


@pytest.mark.parametrize(
    ("registers", "rule"),
    [
        ((3, 4, 6), "needs an even vd"),
        ((4, 5, 6), "needs sources outside of the pair at vd"),
        ((4, 6, 4), "needs sources outside of the pair"),
    ],
)
def test_broken_rules(registers: tuple[int, int, int], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        matrix_words.in_object(carried(*registers))
    vd, vs1, vs2 = registers
    with pytest.raises(ValueError, match=rule):
        matrix_words.in_assembly(f"\tsf.vc.v.vvw\t3, v{vd}, v{vs2}, v{vs1}\n")
