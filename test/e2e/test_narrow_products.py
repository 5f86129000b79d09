"""Products of bytes and of bfloat16, which some chips multiply several at a time, whatever the sizes, layouts and values."""

import pytest
import torch
import triton
import triton.language as tl

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.chips import get_chip

BLOCK = 32


@triton.jit
def product_kernel(a, b, c, m, n, k, stride_am, stride_ak, stride_bk, stride_bn, ALONE: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK, BLOCK), tl.int32 if a.dtype.element_ty == tl.int8 else tl.float32)
    for start in range(0, k, BLOCK):
        steps = start + tl.arange(0, BLOCK)
        left = tl.load(a + (rows % m)[:, None] * stride_am + steps[None, :] * stride_ak, steps[None, :] < k, other=0)
        right = tl.load(b + steps[:, None] * stride_bk + (columns % n)[None, :] * stride_bn, steps[:, None] < k, other=0)
        if ALONE:
            total += tl.dot(left, right + right)
        else:
            total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total, (rows[:, None] < m) & (columns[None, :] < n))


SIZES = [(32, 32, 32), (33, 47, 65), (5, 70, 31)]


def run(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, alone: bool) -> triton.compiler.CompiledKernel:
    (m, k), n = a.shape, b.shape[1]
    grid = (triton.cdiv(m, BLOCK), triton.cdiv(n, BLOCK))
    return product_kernel[grid](a, b, c, m, n, k, *a.stride(), *b.stride(), ALONE=alone, BLOCK=BLOCK)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", SIZES)
def test_bytes(target: str, sizes: tuple[int, int, int], transposed: tuple[bool, bool], alone: bool) -> None:
    m, n, k = sizes
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, across: bool) -> torch.Tensor:
        # The extremes most of all: 128 above the least byte does not fit into a signed one.
        values = torch.tensor([-128, 127, -1, 0, 1, 77], dtype=torch.int8)
        shape = (columns, rows) if across else (rows, columns)
        made = values[torch.randint(0, len(values), shape, generator=generator)]
        return made.t() if across else made

    a, b = matrix(m, k, transposed[0]), matrix(k, n, transposed[1])
    c = torch.full((m, n), 7, dtype=torch.int32)
    run(a, b, c, alone)
    right = (b + b if alone else b).to(torch.int32)  # bytes wrap around
    assert torch.equal(c, a.to(torch.int32) @ right)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("sizes", SIZES)
def test_bfloat16(target: str, sizes: tuple[int, int, int], transposed: tuple[bool, bool], alone: bool) -> None:
    m, n, k = sizes
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, columns: int, across: bool) -> torch.Tensor:
        """A part of a matrix whose other elements are NaN, which zeros do not multiply away."""
        shape = (columns, rows) if across else (rows, columns)
        whole = torch.full((shape[0] + 1, shape[1] + 3), float("nan"), dtype=torch.bfloat16)
        made = whole[: shape[0], : shape[1]]
        made.copy_(torch.randn(shape, generator=generator))
        return made.t() if across else made

    a, b = matrix(m, k, transposed[0]), matrix(k, n, transposed[1])
    c = torch.full((m, n), 7.0)
    run(a, b, c, alone)
    right = (b + b if alone else b).double()
    # Products are exact in float32; each of the k sums, in any order, rounds at most twice.
    bound = 2 * k * 2**-24 * (a.double().abs() @ right.abs())
    assert bool(((c.double() - a.double() @ right).abs() <= bound).all())


@pytest.mark.parametrize(("chip", "instruction"), [("host", "vdpbf16ps"), ("a100", "vfwmaccbf16.vf")])
def test_instruction(cache: None, chip: str, instruction: str) -> None:
    if chip == "host" and not any(tile.left == "bf16" for tile in get_chip("host").matrix):
        pytest.skip("this machine has no AVX-512 BF16")
    with knobs.scope():
        set_device(*("host", None) if chip == "host" else ("null", chip))
        a = torch.zeros(BLOCK, BLOCK, dtype=torch.bfloat16)
        kernel = run(a, a, torch.zeros(BLOCK, BLOCK), False)
    assert instruction in kernel.asm["asm"]
