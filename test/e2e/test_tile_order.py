"""The k-loop of a register tile runs in the order it was written in: each step's loads stand between the products of the step before."""

import re

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.passes import codegen


@triton.jit
def product_kernel(a, b, c, n, k, BLOCK: tl.constexpr):
    rows, columns, steps = tl.arange(0, BLOCK), tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), tl.float32)
    for start in range(0, k, BLOCK):
        left = tl.load(a + rows[:, None] * k + (start + steps)[None, :])
        right = tl.load(b + (start + steps)[:, None] * n + columns[None, :])
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total)


MULTIPLY, SCALAR_LOAD = re.compile(r"vfw?macc(bf16)?\."), re.compile(r"fl[hw]\b")


def k_loop(assembly: str) -> list[str]:
    """Instructions of the block with most products."""
    blocks = re.split(r"^\.LBB\S+:", assembly, flags=re.MULTILINE)
    block = max(blocks, key=lambda text: len(MULTIPLY.findall(text)))
    return [line.strip() for line in block.splitlines() if re.match(r"\t[a-z]", line)]


def loads_between_products(instructions: list[str]) -> int:
    """The most scalar loads that stand between two products."""
    products = [i for i, text in enumerate(instructions) if MULTIPLY.match(text)]
    assert len(products) > 50
    parts = (instructions[start:end] for start, end in zip(products, products[1:], strict=False))
    return max(sum(SCALAR_LOAD.match(text) is not None for text in part) for part in parts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("chip", ["x60", "a100"])
def test_loads_stand_between_products(cache: None, chip: str, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and chip == "x60":
        chip = "x100"  # the X60 has no products of bfloat16
    operand, result = torch.zeros(64, 64, dtype=dtype), torch.zeros(64, 64)
    with knobs.scope():
        set_device("null", chip)
        kernel = product_kernel.warmup(operand, operand, result, 256, 256, BLOCK=64, grid=(1,))
    text = kernel.asm["llir"]
    kept = k_loop(kernel.asm["asm"])
    assert loads_between_products(kept) <= 2
    # What is asked of LLVM is what makes the difference.
    moved = k_loop(codegen.assembly(text.replace('"xsmt-scheduled"', "")))
    assert loads_between_products(moved) > 2
    assert sum("(sp)" in line for line in kept) <= sum("(sp)" in line for line in moved)
