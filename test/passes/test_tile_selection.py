"""Which tile a product gets, and what speaks against the others: by types, sizes and cost, without any code."""

from dataclasses import replace

import pytest

from triton_spacemit.dialect.chips import CHIPS, Chip, MatrixTile, get_chip
from triton_spacemit.passes.loops.micro_tile import Request
from triton_spacemit.passes.loops.selection import FORMS, Candidate, candidates, chosen, described

X86 = Chip(
    name="avx512",
    triple="x86_64-unknown-linux-gnu",
    cpu="sapphirerapids",
    features="",
    vlen=512,
    vector_registers=32,
    matrix=(
        MatrixTile("unsigned-grouped-vectors", 1, 16, 4, "i8", "i8", "i32", "quads"),
        MatrixTile("grouped-vectors", 1, 16, 2, "bf16", "bf16", "f32", "pairs"),
    ),
    costs=replace(CHIPS["x60"].costs, tile_group=2),
)
FLOATS = Request(64, 64, 64, "f32", "f32", "f32", "f32", 64, 64)
BYTES = Request(64, 64, 64, "i8", "i8", "i32", "i32", 64, 64)


def choice(chip: Chip, request: Request) -> Candidate:
    return chosen(candidates(chip, request))


@pytest.mark.parametrize(
    ("chip", "types", "instruction", "factor"),
    [
        ("x60", "f32 f32 f32 f32", "vfmacc", "f32"),
        ("x60", "f16 f16 f32 f32", "vfwmacc", "f16"),
        ("x60", "f16 f16 f32 f16", "vfwmacc", "f16"),
        ("x60", "f16 f16 f16 f16", "vfmacc", "f16"),
        ("x60", "bf16 bf16 f32 f32", "vfmacc", "f32"),  # held as float32
        ("a100", "bf16 bf16 f32 f32", "vfwmaccbf16", "bf16"),
        ("a100", "i32 i32 i32 i32", "vmacc", "i32"),
        ("a100", "f64 f64 f64 f64", "vfmacc", "f64"),
        ("a100", "f8E5M2 f8E4M3FN f32 f32", "vfmacc", "f32"),
    ],
)
def test_by_types(chip: str, types: str, instruction: str, factor: str) -> None:
    left, right, sums, stored = types.split()
    row = choice(CHIPS[chip], replace(FLOATS, left=left, right=right, sums=sums, stored=stored)).row
    assert (row.instruction, row.left, row.sums) == (f"llvm.riscv.{instruction}", factor, sums)


@pytest.mark.parametrize("chip", ["x60", "x100", "a100"])
def test_matrix_instructions(chip: str) -> None:
    """Bytes of either sign have an instruction each; without them they are held as int16."""
    units = {"x60": (4, 4, 8), "x100": (4, 4, 8), "a100": (8, 8, 16)}[chip]
    for left, right, name in (("i8", "i8", ""), ("ui8", "ui8", "u"), ("ui8", "i8", "us"), ("i8", "ui8", "su")):
        request = replace(BYTES, left=left, right=right)
        found = choice(CHIPS[chip], request)
        assert (found.row.instruction, found.row.m, found.row.n, found.row.k) == (f"smt.vmadot{name}", *units)
        assert (found.rows, found.columns) == (2 * units[0], 4 * units[1])
        without = choice(CHIPS[chip].without_ime(), request).row
        assert (without.instruction, without.left) == ("llvm.riscv.vwmacc", "i16")


@pytest.mark.parametrize(
    ("request_", "tile"),
    [
        (BYTES, (8, 16)),
        (replace(BYTES, rows=12), (4, 16)),
        (replace(BYTES, columns=24), (8, 8)),
        (replace(BYTES, most_rows=7, most_columns=9), (4, 8)),
        (replace(BYTES, rows=2), None),
        (replace(BYTES, columns=18), None),
        (replace(BYTES, inner=4), None),
        (replace(BYTES, most_columns=3), None),
        (replace(BYTES, batched=True), None),
        (replace(BYTES, stored="i64"), None),
    ],
)
def test_matrix_tiles(request_: Request, tile: tuple[int, int] | None) -> None:
    """Register tiles divide the block and keep to the hints; what no instruction's tile divides gets vectors."""
    found = choice(CHIPS["x60"], request_)
    assert (found.row.form == "ime") == (tile is not None)
    assert tile in (None, (found.rows, found.columns))


def test_matrix_tiles_of_other_registers() -> None:
    """A tile of registers of 256 bits is none of longer ones."""
    found = candidates(replace(CHIPS["x60"], vlen=512), BYTES)
    (refusal,) = [candidate.refusal for candidate in found if candidate.row.instruction == "smt.vmadot"]
    assert refusal == "cores with registers of 512 bits have no such tile"


@pytest.mark.parametrize(
    ("chip", "request_", "refusal"),
    [
        (X86, replace(BYTES, columns=8, most_columns=8), "at least 16 rows, columns and steps of k"),
        (X86, replace(BYTES, inner=8), "at least 16 rows, columns and steps of k"),
        (X86, replace(BYTES, most_columns=8), "at least 16 rows, columns and steps of k"),
        (X86, replace(BYTES, batched=True), "takes no batches"),
        (X86, replace(BYTES, right="i16"), "its right operand is i8, not i16"),
        (X86, replace(BYTES, sums="i64", stored="i64"), "it adds up i32, not i64"),
        (CHIPS["x60"], replace(FLOATS, columns=2, most_columns=2), "2 columns do not fill a vector register by half"),
        (CHIPS["x60"], replace(FLOATS, stored="bf16"), "it stores no bf16"),
    ],
)
def test_refused(chip: Chip, request_: Request, refusal: str) -> None:
    """The nearest request that the chip's first row is not legal for gets LLVM's vectors."""
    found = candidates(chip, request_)
    assert refusal in found[0].refusal
    assert chosen(found).row.form == "vectors"
    assert chosen(found).rows * chosen(found).columns > 0


@pytest.mark.parametrize("name", [*CHIPS, "host"])
def test_every_row_has_a_form(name: str) -> None:
    assert {row.form for row in get_chip(name).matrix} <= set(FORMS)


def test_by_cost() -> None:
    """Among what is legal, the cheapest: what makes an instruction slow makes it lose."""
    assert choice(X86, BYTES).row.instruction == "quads"
    slow = replace(X86, matrix=(replace(X86.matrix[0], cost=20.0),))
    assert choice(slow, BYTES).row.form == "vectors"
    assert not candidates(slow, BYTES)[0].refusal


def test_two_tiles_of_one_depth() -> None:
    """Rows are told apart by their types, not by how many steps of k they take."""
    other = MatrixTile("grouped-vectors", 1, 16, 2, "f16", "f16", "f32", "half pairs")
    chip = replace(X86, matrix=(*X86.matrix, other))
    halves, brains = (replace(FLOATS, left=type_, right=type_) for type_ in ("f16", "bf16"))
    assert [choice(chip, request).row.instruction for request in (halves, brains)] == ["half pairs", "pairs"]


def test_described() -> None:
    text = described(candidates(X86, BYTES))
    assert text.startswith("quads of i8, ")
    assert "; not pairs of bf16: it adds up f32, not i32" in text
    assert "; vectors of i32, " in text


def test_hints_limit_the_register_tile() -> None:
    tile = choice(CHIPS["x60"], replace(FLOATS, most_rows=2, most_columns=9))
    assert (tile.rows, tile.columns) == (2, 8)
    whole = choice(CHIPS["x60"], replace(FLOATS, exact=True))
    assert 64 % whole.rows == 0
