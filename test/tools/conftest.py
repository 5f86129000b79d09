"""A kernel whose page the tests look at, in a cache of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from triton import knobs

PROGRAM = '''"""Kernels to be inspected."""

import triton
import triton.language as tl


@triton.jit
def scaled(x):
    return x * 2 + 1


@triton.jit
def softmax(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * n + i, mask=i < n, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    e = scaled(e)
    tl.store(out_ptr + row * n + i, e / tl.sum(e, axis=0), mask=i < n)


@triton.jit
def product(a_ptr, b_ptr, c_ptr, k, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    index = i[:, None] * BLOCK + i[None, :]
    total = tl.zeros((BLOCK, BLOCK), tl.float32)
    for turn in range(0, k):
        a = tl.load(a_ptr + turn * BLOCK * BLOCK + index)
        b = tl.load(b_ptr + turn * BLOCK * BLOCK + index)
        total = tl.dot(a, b, total)
    tl.store(c_ptr + index, total)


@triton.jit
def broken(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK), missing)
'''


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file with the kernels; while it lives, Triton's cache is an empty folder beside it."""
    folder = tmp_path_factory.mktemp("inspected")
    path = folder / "program.py"
    path.write_text(PROGRAM)
    with knobs.cache.scope():
        knobs.cache.dir = str(folder / "cache")
        yield path
