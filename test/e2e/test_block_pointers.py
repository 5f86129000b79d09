"""Block pointers on Triton 3.9: every padding, where they may be used, what is refused, and Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from kernels.block_pointers import MATMUL_BLOCKS, PAD, pad, pad_reference
from kernels.case import error_ratio, random
from kernels.matmul import inputs
from triton.compiler.errors import CompilationError
from triton.language import load, make_block_ptr, store
from triton.language.core import advance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("padding", ["", "zero", "nan", "inf", "neg_inf"])
def test_padding(target, padding, dtype):
    arguments = PAD.inputs(dtype=dtype, padding=padding)
    assert error_ratio(PAD.run(*arguments), PAD.reference(*arguments), 0.0) == 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool], ids=str)
def test_integers_are_padded_with_zero(target, dtype):
    x = random(21, 40, dtype=dtype)
    assert torch.equal(pad(x, "zero"), pad_reference(x, "zero"))


@pytest.mark.parametrize("transposed", ["a", "b"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_product_of_any_layout(target, dtype, transposed):
    a, b = inputs(dtype, (100, 70, 90))
    a, b = (a.T.contiguous().T, b) if transposed == "a" else (a, b.T.contiguous().T)
    assert error_ratio(MATMUL_BLOCKS.run(a, b), MATMUL_BLOCKS.reference(a, b), MATMUL_BLOCKS.bound(a, b)) <= 1


@triton.jit
def bare_names_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    source = make_block_ptr(x_ptr, (n,), (1,), (0,), (BLOCK,), (0,))
    target = tl.make_block_ptr(out_ptr, (n,), (1,), (0,), (BLOCK,), (0,))
    moved = advance(source, (1,))
    both = load(source, boundary_check=(0,)) + moved.advance((1,)).load(boundary_check=(0,))
    store(target, both, boundary_check=(0,))


def test_functions_that_were_imported_by_name(target):
    x, out = torch.arange(10.0), torch.zeros(10)
    bare_names_kernel[(1,)](x, out, 10, BLOCK=16)
    assert out.tolist() == [2, 4, 6, 8, 10, 12, 14, 16, 8, 9]


@triton.jit
def misuse_kernel(x_ptr, MODE: tl.constexpr):
    block = tl.make_block_ptr(x_ptr, (8, 8), (8, 1), (0, 0), (4, 4), (1, 0))
    if MODE == "mask":
        tl.load(block, True)
    elif MODE == "dimension":
        tl.load(block, boundary_check=(2,))
    elif MODE == "padding":
        tl.load(block, boundary_check=(0,), padding_option="one")
    elif MODE == "integer padding":
        tl.load(block, boundary_check=(0,), padding_option="nan")
    elif MODE == "plain pointer":
        tl.load(x_ptr, boundary_check=(0,))
    elif MODE == "offsets":
        block = tl.advance(block, (1,))
    elif MODE == "order":
        tl.make_block_ptr(x_ptr, (8, 8), (8, 1), (0, 0), (4, 4), (1, 1))
    elif MODE == "rank":
        tl.make_block_ptr(x_ptr, (8,), (8, 1), (0, 0), (4, 4), (1, 0))
    elif MODE == "unused":
        tl.advance(block, (1, 1))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("mask", "mask and other cannot be given"),
        ("dimension", "boundary_check must name dimensions of the 2-dimensional block"),
        ("padding", "unknown padding_option 'one'"),
        ("integer padding", "needs a block pointer to floats"),
        ("plain pointer", "are for block pointers"),
        ("offsets", "expected 2 offsets"),
        ("order", "order must be a permutation"),
        ("rank", "shape must have one value"),
        ("unused", "assign the result"),
    ],
)
@pytest.mark.usefixtures("host")
def test_misuse_is_refused_at_its_line(mode, message):
    with pytest.raises(CompilationError, match=message) as caught:
        misuse_kernel[(1,)](torch.zeros(64, dtype=torch.int32), MODE=mode)
    assert "block" in str(caught.value)


def test_interpreter():
    """Triton's interpreter runs them too; in a process of its own, since a kernel is interpreted or compiled from its definition on."""
    code = (
        "from kernels.block_pointers import CASES; from kernels.case import error_ratio\n"
        "for case in CASES:\n"
        "    inputs = case.inputs()\n"
        "    assert error_ratio(case.run(*inputs), case.reference(*inputs), case.bound(*inputs)) <= 1, case.name\n"
    )
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
