"""Products on the host that copy B strip by strip (passes/loops/strips.py): every edge of the last strip, tile, turn and chunk."""

import pytest
import torch
from kernels import matmul
from kernels.case import error_ratio, random

from triton_spacemit.backend import set_device
from triton_spacemit.dialect.chips import get_chip

# Blocks are 64 x 64 x 64 and 128 x 64 x 512: several turns in a chunk, and a chunk that is part of a turn.
SIZES = [
    (64, 64, 64),
    (128, 128, 256),
    (64, 33, 65),  # a strip of one column, a turn of one step
    (65, 64, 31),  # one row is not worth a copy
    (31, 97, 300),  # no rows are
    (32, 95, 257),  # just enough are
    (1, 1, 1),
    (200, 70, 513),
]


@pytest.fixture(autouse=True)
def _host() -> None:
    if get_chip("host").costs.strip_rows == 0:
        pytest.skip("this machine's chip copies no strips")
    set_device("host")


@pytest.mark.parametrize("blocks", [(64, 64, 64), (128, 64, 512)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_edges(size: tuple[int, int, int], blocks: tuple[int, int, int]) -> None:
    a, b = matmul.inputs(size=size)
    assert error_ratio(matmul.matmul(a, b, blocks=blocks), matmul.reference(a, b), matmul.bound(a, b)) <= 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_nothing_around_the_operands_counts(size: tuple[int, int, int]) -> None:
    """Operands and result lie in matrices of NaN, which none of them reads or writes."""
    m, n, k = size
    around_a, around_b, around_c = (torch.full((rows + 2, columns + 40), torch.nan) for rows, columns in ((m, k), (k, n), (m, n)))
    a, b, c = around_a[1:-1, 3 : k + 3], around_b[1:-1, 5 : n + 5], around_c[1:-1, 7 : n + 7]
    a.copy_(random(m, k))
    b.copy_(random(k, n, seed=1))
    grid = (-(-m // 64) * -(-n // 64),)
    strides = (*a.stride(), *b.stride(), *c.stride())
    sizes = {"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 64, "GROUP": 4, "ACCUMULATOR": matmul.tl.float32, "EPILOGUE": None}
    matmul.matmul_kernel[grid](a, b, c, m, n, k, *strides, **sizes)
    assert error_ratio(c.clone(), matmul.reference(a, b), matmul.bound(a, b)) <= 1
    assert around_c.isnan().sum() == around_c.numel() - m * n


def test_rows_of_a_power_of_two() -> None:
    """Rows of A, which is copied as well, and of B meet in few sets of the caches."""
    a, b = matmul.inputs(size=(150, 1024, 1024))
    assert error_ratio(matmul.matmul(a, b, blocks=(128, 128, 128)), matmul.reference(a, b), matmul.bound(a, b)) <= 1
