"""The code of register tiles for in-order cores: loads stand between multiplications, and the loop over k leaves the stack alone."""

import re

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.chips import CHIPS
from triton_spacemit.passes import codegen

BLOCK = 64


@triton.jit
def product_kernel(a, b, c, n, SUMS: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    at = i[:, None] * n + i[None, :]
    tl.store(c + at, tl.dot(tl.load(a + at), tl.load(b + at), out_dtype=SUMS))


# chip, type of the operands, type of the sums, the instruction that multiplies
TILES = [
    ("x60", torch.float32, torch.float32, "vfmacc.vf"),
    ("x60", torch.float16, torch.float16, "vfwmacc.vf"),
    ("x60", torch.float16, torch.float32, "vfwmacc.vf"),
    ("x60", torch.bfloat16, torch.float32, "vfmacc.vf"),
    ("x60", torch.int8, torch.int32, "vwmacc.vx"),
    ("a100", torch.float32, torch.float32, "vfmacc.vf"),
    ("a100", torch.float16, torch.float16, "vfwmacc.vf"),
    ("a100", torch.bfloat16, torch.float32, "vfwmaccbf16.vf"),
    ("a100", torch.int8, torch.int32, "vwmacc.vx"),
]
LOAD = re.compile(r"fl[hwd]|l[bhwd]u?|vle\d+\.v|vl\dr(e\d+)?\.v")


def loops(assembly: str) -> list[list[tuple[str, str]]]:
    """The instructions, with their operands, of each loop that is one block, from its label to the branch back to it."""
    found = []
    for label, body in re.findall(r"^(\.LBB\w+):\n(.*?)(?=^\.LBB|\Z)", assembly, re.MULTILINE | re.DOTALL):
        lines = [line.strip().split("\t") for line in body.splitlines() if re.match(r"\t[a-z]", line)]
        ends = [i for i, line in enumerate(lines) if line[0].startswith("b") and line[-1].endswith(label)]
        if ends:
            found.append([(line[0], line[-1]) for line in lines[: ends[0] + 1]])
    return found


def test_every_in_order_tile_is_here() -> None:
    """A multiply-add that some chip has is in the list above, or its operands are not made by `tl.dot`."""
    tested = {instruction.partition(".")[0] for _, _, _, instruction in TILES}
    chips = [chip.without_ime() for chip in CHIPS.values() if chip.in_order]
    known = {tile.instruction.removeprefix("llvm.riscv.") for chip in chips for tile in chip.matrix}
    assert known - tested <= {"vmacc"}  # int32 times int32


def code_of(assembly: str, instruction: str) -> tuple[str, int]:
    """The loop with most multiplications: each as M, each load of an operand as L; how often it uses the stack."""
    loop = max(loops(assembly), key=lambda body: sum(name == instruction for name, _ in body))
    stack = [at for _, at in loop if "(sp)" in at]
    return "".join("M" if name == instruction else "L" if LOAD.fullmatch(name) and at not in stack else "" for name, at in loop), len(stack)


def is_in_order(code: str) -> bool:
    """Behind the first multiplication, at most the last two words of A of a step are loaded one behind the other; and no multiplications
    follow each other but those of the last step, for which nothing is to be loaded."""
    code = code.lstrip("L")
    return "LLL" not in code and "MM" not in code.rstrip("M") and len(code) - len(code.rstrip("M")) >= 4


@pytest.mark.parametrize(("chip", "factor", "sums", "instruction"), TILES)
def test_loads_stand_between_multiplications(cache: None, chip: str, factor: torch.dtype, sums: torch.dtype, instruction: str) -> None:
    with knobs.scope():
        set_device("null", chip)
        operand, result = torch.zeros(BLOCK, BLOCK, dtype=factor), torch.zeros(BLOCK, BLOCK, dtype=sums)
        type_ = getattr(tl, str(sums).partition(".")[2])
        kernel = product_kernel[(1,)](operand, operand, result, BLOCK, SUMS=type_, BLOCK=BLOCK, allow_ime=False)
    code, stack = code_of(kernel.asm["asm"], instruction)
    assert code.count("M") >= 4 * 16  # a tile of at least four rows, in steps of k that are unrolled
    assert is_in_order(code)
    # Thirteen rows' pointers and as many integers of A leave no register for the loop's counter.
    assert stack <= (2 if (chip, factor) == ("a100", torch.int8) else 0)
    # What is asked of LLVM makes the difference.
    moved, _ = code_of(codegen.assembly(kernel.asm["llir"].replace('"xsmt-scheduled"', "")), instruction)
    assert not is_in_order(moved)


def test_loads_stand_between_matrix_instructions(cache: None) -> None:
    """B of the next step is loaded behind the first of the 8 of a step, and A of the next two behind the fifth of every second step."""
    with knobs.scope():
        set_device("null", "x60")
        operand, result = torch.zeros(256, 256, dtype=torch.int8), torch.zeros(256, 256, dtype=torch.int32)
        kernel = product_kernel[(1,)](operand, operand, result, 256, SUMS=tl.int32, BLOCK=256)
    code, stack = code_of(kernel.asm["asm"], "smt.vmadot")
    assert code == "LL" + 7 * ("MLMMMMMMM" + "MLMMMMLMMM") + "MLMMMMMMM" + "MMMMMMMM"
    assert stack == 0
    moved, _ = code_of(codegen.assembly(kernel.asm["llir"].replace('"xsmt-scheduled"', "")), "smt.vmadot")
    assert moved != code
