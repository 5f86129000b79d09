"""Integers wrap around as in Triton: in masks, where bounds of the block must not be taken for what wraps, and in casts of offsets."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

N = 256


def wrapped(numbers: np.ndarray, dtype: type = np.int32) -> np.ndarray:
    return numbers.astype(object).__and__(2 ** (8 * np.dtype(dtype).itemsize) - 1).astype(f"u{np.dtype(dtype).itemsize}").astype(dtype)


@triton.jit
def sums_kernel(x_ptr, out_ptr, seed, n, N: tl.constexpr):
    """What is stored below a bound, what is loaded there, a mask as data, and bounds from both sides."""
    i = tl.arange(0, N)
    x = tl.load(x_ptr + i)
    tl.store(out_ptr + i, x, mask=i + seed < n)
    tl.store(out_ptr + N + i, tl.load(x_ptr + i, mask=i + seed < n, other=0))
    tl.store(out_ptr + 2 * N + i, x, mask=(n >= seed - i) & (2 * i + seed > n))
    tl.store(out_ptr + 3 * N + 1 + i, tl.where(i + seed < n, x, 0))
    tl.store(out_ptr + 4 * N + 1, tl.sum(tl.where(i + seed < n, x, 0), 0))
    tl.store(out_ptr + 3 * N, tl.sum(tl.load(x_ptr + i, mask=i + seed < n, other=0), 0))


NEAR = 2**31 - 100
LIMITS = [
    (NEAR, 0),
    (NEAR, NEAR + 50),
    (NEAR, 2**31 - 1),
    (NEAR, -(2**31) + 20),
    (-NEAR, 5),
    (-(2**31), 0),
    (2**31 - N, 2**31 - 1),
    (7, 100),
]


@pytest.mark.parametrize(("seed", "n"), LIMITS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_sums_in_masks(target: str, seed: int, n: int, dtype: type) -> None:
    """In 32 bits, and the same as far from the largest and least numbers of 64."""
    if dtype is np.int64:
        seed, n = (number + np.sign(number) * (2**63 - 2**31) if abs(number) > 2**20 else number for number in (seed, n))
    x, out = torch.arange(1, N + 1, dtype=torch.int32), torch.zeros(4 * N + 2, dtype=torch.int32)
    i = np.arange(N).astype(object)
    sums_kernel[(1,)](x, out, int(seed), int(n), N=N)
    below = wrapped(i + seed, dtype) < n
    between = (n >= wrapped(seed - i, dtype)) & (wrapped(2 * i + seed, dtype) > n)
    kept = np.where(below, x.numpy(), 0)
    expected = np.concatenate([kept, kept, np.where(between, x.numpy(), 0), [kept.sum()], kept, [kept.sum()]])
    np.testing.assert_array_equal(out.numpy(), expected)


@triton.jit
def casts_kernel(out_ptr, n, low, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out_ptr + i, 1, mask=(i - low).to(tl.uint32).to(tl.int64) < n)
    tl.store(out_ptr + N + i, 1, mask=(i.to(tl.int64) * 2654435761).to(tl.int32) > 0)
    tl.store(out_ptr + 2 * N + i, 1, mask=(i + low).to(tl.uint32) < n.to(tl.uint32))
    tl.store(out_ptr + 3 * N + i, 1, mask=(i + low).to(tl.int64) < n)


@pytest.mark.parametrize("n", [100, -3, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("low", [5, -5, 2**31 - 100])
def test_casts_in_masks(target: str, n: int, low: int) -> None:
    """Zero-extension of negative numbers, truncation of large ones, unsigned limits with the highest bit, extension of what has wrapped."""
    out = torch.zeros(4 * N, dtype=torch.int32)
    casts_kernel[(1,)](out, n, low, N=N)
    i, unsigned = np.arange(N).astype(object), 2**32 - 1
    masks = [((i - low) & unsigned) < n, wrapped(i * 2654435761) > 0, ((i + low) & unsigned) < (n & unsigned), wrapped(i + low) < n]
    np.testing.assert_array_equal(out.numpy(), np.concatenate([mask.astype(np.int32) for mask in masks]))


@triton.jit
def addresses_kernel(x_ptr, out_ptr, low, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out_ptr + i, tl.load(x_ptr + (i.to(tl.int64) * 0x100000001 + low).to(tl.int32)))
    last = (i - low).to(tl.uint32)
    tl.store(out_ptr + N + i, tl.load(x_ptr + last, mask=i >= low, other=-1))
    even = ((i * 2).to(tl.int64) * 0x80000001).to(tl.int32)
    tl.store(out_ptr + 2 * N + i, tl.load(x_ptr + even))


def test_casts_in_addresses(target: str) -> None:
    """A truncated product as an offset, and an unsigned one that wraps around where it is masked."""
    x, out = torch.arange(2 * N, dtype=torch.int32), torch.zeros(3 * N, dtype=torch.int32)
    addresses_kernel[(1,)](x, out, 5, N=N)
    i = torch.arange(N)
    expected = torch.cat([i + 5, torch.where(i < 5, -1, i - 5), 2 * i])
    assert torch.equal(out, expected.int())


@triton.jit
def programs_kernel(out_ptr, N: tl.constexpr):
    """A product of the program's number wraps around too: it may be negative."""
    i = tl.arange(0, N)
    place = tl.program_id(0) * (1 << 30) + i
    tl.store(out_ptr + tl.program_id(0) * N + i, 1, mask=(place >= 0) & (place < 0x7FFFFFF0))


def test_program_ids(target: str) -> None:
    out = torch.zeros(8 * N, dtype=torch.int32)
    programs_kernel[(8,)](out, N=N)
    places = wrapped((np.arange(8).astype(object)[:, None] << 30) + np.arange(N).astype(object))
    np.testing.assert_array_equal(out.numpy().reshape(8, N), (places >= 0).astype(np.int32))


@triton.jit
def carried_kernel(out_ptr, begin, turns, n, STEP: tl.constexpr, N: tl.constexpr):
    """Offsets that a loop advances past the largest number."""
    i = tl.arange(0, N)
    place = begin + i
    for turn in range(turns):
        tl.store(out_ptr + turn * N + i, 1, mask=place < n)
        place += STEP


@pytest.mark.parametrize(("begin", "n"), [(2**31 - 3 * N, 0), (2**31 - 3 * N - 7, 2**31 - 2 * N), (0, 3 * N - 9)])
def test_carried_offsets(target: str, begin: int, n: int) -> None:
    out = torch.zeros(6 * N, dtype=torch.int32)
    carried_kernel[(1,)](out, begin, 6, n, STEP=N, N=N)
    places = wrapped(begin + np.arange(6 * N).astype(object))
    np.testing.assert_array_equal(out.numpy(), (places < n).astype(np.int32))


@triton.jit
def rows_kernel(x_ptr, out_ptr, first, rows, columns, M: tl.constexpr, N: tl.constexpr):
    i, j = first + tl.arange(0, M), tl.arange(0, N)
    mask = (i[:, None] < rows) & (j[None, :] < columns)
    place = tl.arange(0, M)[:, None] * N + j[None, :]
    tl.store(out_ptr + place, tl.load(x_ptr + place, mask, other=-1) + 1, mask)


@pytest.mark.parametrize("first", [0, 2**31 - 7, 2**31 - 16])
@pytest.mark.parametrize("rows", [5, 2**31 - 3, -(2**31) + 3])
def test_rows(target: str, first: int, rows: int) -> None:
    """A bound on the outer dimension that is one only where the rows' numbers do not wrap around."""
    x, out = torch.arange(16 * 64, dtype=torch.int32).reshape(16, 64), torch.zeros(16, 64, dtype=torch.int32)
    rows_kernel[(1,)](x, out, first, rows, 50, M=16, N=64)
    mask = torch.from_numpy(wrapped(first + np.arange(16).astype(object)) < rows)[:, None] & (torch.arange(64) < 50)
    assert torch.equal(out, torch.where(mask, x + 1, 0))


@triton.jit
def remainders_kernel(x_ptr, y_ptr, out_ptr, first, rows, N: tl.constexpr):
    """Rows of an operand that lie beside each other only where nothing wraps around, the remainder or the sum."""
    i = tl.arange(0, N)
    places = ((first + i) % rows)[:, None] * N + i[None, :]
    y = tl.load(y_ptr + i[:, None] * N + i[None, :])
    tl.store(out_ptr + i[:, None] * N + i[None, :], tl.dot(tl.load(x_ptr + places), y))


@pytest.mark.parametrize("first", [0, 5, 30, 2**31 - 10, 2**31 - 16, -3])
def test_rows_of_products(target: str, first: int) -> None:
    rows, size = 37, 16
    x, y = torch.randn(2 * rows, size, generator=torch.Generator().manual_seed(0)), torch.eye(size)
    out = torch.empty(size, size)
    remainders_kernel[(1,)](x[rows:], y, out, first, rows, N=size)  # a remainder has the sign of its number
    places = np.fmod(wrapped(first + np.arange(size).astype(object)).astype(np.int64), rows)
    assert torch.equal(out, x[rows + torch.from_numpy(places)])


@triton.jit
def counted_kernel(x_ptr, out_ptr, block, columns, COUNT: tl.constexpr, PART: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    """Rows that lie beside each other, or are one, only where `block * M` has not wrapped around to a negative number."""
    rows = (block * M + tl.arange(0, M)) // PART % COUNT
    j = tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + rows[:, None] * N + j, j < columns, other=-1)
    tl.store(out_ptr + tl.arange(0, M)[:, None] * N + j, x)


@pytest.mark.parametrize("block", [0, 3, 2**28 - 1, 2**28, 2**28 + 1, 2**29, -1, -2, -8])
@pytest.mark.parametrize(("count", "part"), [(32, 1), (24, 1), (8, 1), (4, 1), (16, 8), (16, 2), (4, 16)])
def test_rows_at_remainders(target: str, block: int, count: int, part: int) -> None:
    x = torch.arange(2 * 32 * 8, dtype=torch.float32).reshape(-1, 8)
    out = torch.empty(8, 8)
    counted_kernel[(1,)](x[32:], out, block, 7, COUNT=count, PART=part, M=8, N=8)
    numbers = wrapped(8 * block + np.arange(8).astype(object)).astype(np.int64)
    places = np.fmod(np.trunc(numbers / part).astype(np.int64), count)
    assert torch.equal(out[:, :7], x[32 + torch.from_numpy(places)][:, :7])
    assert (out[:, 7] == -1).all()


@triton.jit
def lanes_kernel(x_ptr, out_ptr, block, COUNT: tl.constexpr, N: tl.constexpr):
    """In place, in part: what is loaded at remainders is stored to where it came from."""
    place = (block * N + tl.arange(0, N)) % COUNT
    x, y = tl.load(x_ptr + place), tl.load(out_ptr + place)
    tl.store(x_ptr + place, y)
    tl.store(out_ptr + tl.arange(0, N), x + y)


@pytest.mark.parametrize("block", [0, 1, 3, 2**25 - 1, 2**25, -1, -4])
@pytest.mark.parametrize("count", [64, 256, 192, 96, 32])
def test_elements_at_remainders(target: str, block: int, count: int) -> None:
    size = 64
    x = torch.arange(2 * 256, dtype=torch.int32)
    y = 1000 + torch.arange(2 * 256, dtype=torch.int32)
    out = y.clone()
    expected = x.clone()
    lanes_kernel[(1,)](x[256:], out[256:], block, COUNT=count, N=size)
    places = 256 + torch.from_numpy(np.fmod(wrapped(size * block + np.arange(size).astype(object)).astype(np.int64), count))
    assert torch.equal(out[256 : 256 + size], expected[places] + y[places])
    expected[places] = y[places]
    assert torch.equal(x, expected)


@triton.jit
def smallest(x, i, y, j):
    left = (x > y) | ((x == y) & (i < j))
    return tl.where(left, x, y), tl.where(left, i, j)


@triton.jit
def choices_kernel(x_ptr, out_ptr, seed, N: tl.constexpr):
    i = tl.arange(0, N)
    _, place = tl.reduce((tl.load(x_ptr + i), i + seed), 0, smallest)
    tl.store(out_ptr, place)


@pytest.mark.parametrize(("seed", "place"), [(0, 3), (2**31 - 100, -(2**31)), (2**31 - N, 2**31 - N + 3)])
def test_indices_of_a_choice(target: str, seed: int, place: int) -> None:
    """Of equal elements the one with the least index, which is not the first where indices wrap around."""
    x, out = torch.zeros(N), torch.zeros(1, dtype=torch.int32)
    x[3:] = 1
    choices_kernel[(1,)](x, out, seed, N=N)
    assert out.item() == place
