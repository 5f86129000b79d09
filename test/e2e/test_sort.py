"""Sorting networks: tl.sort, tl.topk and what else compares and swaps, against PyTorch's sort."""

import pytest
import torch
import triton
import triton.language as tl

DTYPES = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)


@triton.jit
def sort_kernel(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DESCENDING: tl.constexpr):
    at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tl.store(out + at, tl.sort(tl.load(x + at), descending=DESCENDING))


@triton.jit
def topk_kernel(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, COUNT: tl.constexpr, DESCENDING: tl.constexpr):
    rows = tl.arange(0, ROWS)[:, None]
    x_block = tl.load(x + rows * COLUMNS + tl.arange(0, COLUMNS)[None, :])
    tl.store(out + rows * COUNT + tl.arange(0, COUNT)[None, :], tl.topk(x_block, COUNT, descending=DESCENDING))


def _numbers(rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """With many equal ones, both infinities, the least and the greatest number."""
    generator = torch.Generator().manual_seed(columns + rows)
    if dtype.is_floating_point:
        x = torch.randn(rows, columns, generator=generator).to(dtype)
        ends = [float("inf"), -float("inf"), torch.finfo(dtype).max]
    else:
        info = torch.iinfo(dtype)
        x = torch.randint(max(info.min, -1000), min(info.max, 1000), (rows, columns), generator=generator, dtype=dtype)
        ends = [info.min, info.max, info.max - 1]
    x[:, ::3] = x[:, : (columns + 2) // 3].clone()
    x.view(-1)[: min(3, x.numel())] = torch.tensor(ends[: x.numel()], dtype=dtype)
    return x[:, torch.randperm(columns, generator=generator)].contiguous()


def _sorted(x: torch.Tensor, descending: bool) -> torch.Tensor:
    return x.sort(1, descending=descending).values


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sort(target: str, dtype: torch.dtype) -> None:
    """Rows shorter than a vector, of one, of several, and more elements than one row has."""
    for rows, columns, descending in ((1, 2, False), (1, 8, True), (4, 4, False), (1, 64, False), (2, 16, True), (8, 128, True)):
        x = _numbers(rows, columns, dtype)
        out = torch.empty_like(x)
        sort_kernel[(1,)](x, out, ROWS=rows, COLUMNS=columns, DESCENDING=descending)
        assert torch.equal(out, _sorted(x, descending)), (rows, columns, descending)


@pytest.mark.parametrize(
    ("dtype", "columns"),
    [*((torch.float32, columns) for columns in (16, 32, 256, 512, 1024, 2048)), *((dtype, 4096) for dtype in DTYPES)],
    ids=str,
)
def test_long_rows(host: None, dtype: torch.dtype, columns: int) -> None:
    x = _numbers(1, columns, dtype)
    out = torch.empty_like(x)
    sort_kernel[(1,)](x, out, ROWS=1, COLUMNS=columns, DESCENDING=False)
    assert torch.equal(out, _sorted(x, False))


def test_code_does_not_grow(host: None) -> None:
    sizes = []
    for columns in (512, 4096):
        x = _numbers(1, columns, torch.float32)
        sizes.append(len(sort_kernel[(1,)](x, x.clone(), ROWS=1, COLUMNS=columns, DESCENDING=False).asm["o"]))
    assert sizes[1] < 1.1 * sizes[0]


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("descending", [False, True])
def test_topk(target: str, descending: bool, dtype: torch.dtype) -> None:
    for rows, columns, count in ((1, 64, 1), (1, 64, 2), (4, 32, 8), (2, 128, 64), (2, 16, 16)):
        x = _numbers(rows, columns, dtype)
        out = torch.empty(rows, count, dtype=dtype)
        topk_kernel[(1,)](x, out, ROWS=rows, COLUMNS=columns, COUNT=count, DESCENDING=descending)
        assert torch.equal(out, _sorted(x, descending)[:, :count]), (rows, columns, count)


@triton.jit
def loop_kernel(x, out, TURNS: tl.constexpr, SIZE: tl.constexpr):
    """The greatest SIZE elements of TURNS blocks: what is sorted is carried by a loop."""
    i = tl.arange(0, SIZE)
    best = tl.sort(tl.load(x + i))
    for turn in range(1, TURNS):
        block = tl.sort(tl.load(x + turn * SIZE + i), descending=True)
        best = tl.sort(tl.maximum(best, block))
    tl.store(out + i, best)


def test_in_a_loop(target: str) -> None:
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    out = torch.empty(32)
    loop_kernel[(1,)](x, out, TURNS=5, SIZE=32)
    assert torch.equal(out, x.flatten().sort().values[-32:])


@triton.jit
def flip_kernel(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIM: tl.constexpr):
    at = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tl.store(out + at, tl.flip(tl.load(x + at), DIM))


@pytest.mark.parametrize("dim", [0, 1])
def test_flip(target: str, dim: int) -> None:
    x = torch.arange(8 * 32, dtype=torch.int32).reshape(8, 32)
    out = torch.empty_like(x)
    flip_kernel[(1,)](x, out, ROWS=8, COLUMNS=32, DIM=dim)
    assert torch.equal(out, x.flip(dim))
