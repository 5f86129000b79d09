"""Memory that is written while something still reads it: where a buffer is shared, gathered from, or the caller's own at two places.

Each kernel is the nearest one to an update in place that is legal, in which it is not. Numbers are small integers, so results are exact.
"""

import pytest
import torch
import triton
import triton.language as tl


def integers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).float()


@triton.jit
def gather_repeatedly(x, index, out, n, N: tl.constexpr):
    i = tl.arange(0, N)
    v, j = tl.load(x + i), tl.load(index + i)
    for _ in range(n):
        v = tl.gather(v, j, 0)
    tl.store(out + i, v)


def test_carried_block_gathered_from_itself(target):
    n = 1024
    x, index, out = torch.arange(n, dtype=torch.int32), ((torch.arange(n) + n - 1) % n).int(), torch.zeros(n, dtype=torch.int32)
    gather_repeatedly[(1,)](x, index, out, 3, N=n)
    assert torch.equal(out, torch.roll(x, 3))


@triton.jit
def reshaped_before_product(a, b, out, n, M: tl.constexpr):
    i, f = tl.arange(0, M), tl.arange(0, M * M)
    o = i[:, None] * M + i[None, :]
    x, y = tl.load(a + o), tl.load(b + o)
    acc = x + 0.0
    for k in range(n):
        before = tl.reshape(acc, (M * M,))
        acc = tl.dot(x + k, y)
        tl.store(out + k * M * M + f, before)


def test_reshape_of_what_a_product_replaces(target):
    m = 16
    a, b, out = integers(m, m), integers(m, m, seed=1), torch.zeros(2, m, m)
    reshaped_before_product[(1,)](a, b, out, 2, M=m)
    assert torch.equal(out, torch.stack([a, a @ b]))


@triton.jit
def reshaped_in_a_region(y, out, n, c, M: tl.constexpr):
    i, f = tl.arange(0, M), tl.arange(0, M * M)
    outer = tl.cumsum(tl.load(y + f), 0)
    for k in range(n):
        if k < c:
            r = tl.reshape(outer, (M, M))
            for _ in range(c):
                r = r * 2 + 1
            tl.store(out + k * M * M + i[:, None] * M + i[None, :], r)


def test_block_from_outside_updated_in_a_region(target):
    m = 16
    y, out = integers(m * m), torch.zeros(3, m, m)
    reshaped_in_a_region[(1,)](y, out, 3, 3, M=m)
    want = y.cumsum(0).reshape(m, m)
    for _ in range(3):
        want = want * 2 + 1
    assert all(torch.equal(turn, want) for turn in out)


@triton.jit
def two_names_carried(x, out, n, M: tl.constexpr):
    i, f = tl.arange(0, M), tl.arange(0, M * M)
    flat = tl.cumsum(tl.load(x + f), 0)
    square = tl.reshape(flat, (M, M))
    for _ in range(n):
        flat = flat + 1
        square = square * 2
    tl.store(out + f, flat)
    tl.store(out + M * M + i[:, None] * M + i[None, :], square)


def test_one_buffer_under_two_names_in_one_loop(target):
    m = 8
    x, out = integers(m * m), torch.zeros(2, m * m)
    two_names_carried[(1,)](x, out, 3, M=m)
    flat = x.cumsum(0)
    assert torch.equal(out, torch.stack([flat + 3, flat * 8]))


@triton.jit
def masked_by_transpose(x, y, M: tl.constexpr):
    i = tl.arange(0, M)
    o = i[:, None] * M + i[None, :]
    tl.store(y + o, 7, mask=tl.trans(tl.load(x + o)) > 0)


@pytest.mark.parametrize("m", [4, 32])
def test_mask_of_the_memory_that_is_stored_to(target, m):
    x = integers(m, m).int()
    got = x.clone()
    masked_by_transpose[(1,)](got, got, M=m)
    assert torch.equal(got, torch.where(x.T > 0, 7, x))


@triton.jit
def add_one(x, y, s, t, n, M: tl.constexpr, N: tl.constexpr):
    rows, columns = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    o = rows * s + columns * t
    tl.store(y + o, tl.load(x + o, columns < n) + 1, columns < n)


@triton.jit
def add_one_in_place(x, s, t, n, M: tl.constexpr, N: tl.constexpr):
    rows, columns = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    o = rows * s + columns * t
    tl.store(x + o, tl.load(x + o, columns < n) + 1, columns < n)


STRIDES = [(0, 1, 64), (1, 1, 64), (63, 1, 64), (64, 1, 64), (48, 1, 48), (1, 4, 64), (3, 4, 64), (-1, 0, 64)]  # and valid columns


@pytest.mark.parametrize(("s", "t", "n"), STRIDES)
@pytest.mark.parametrize("arguments", [1, 2])
def test_lanes_that_may_share_an_element(target, s, t, n, arguments):
    """Each element becomes one more, however many lanes go to it: all are loaded before any is stored."""
    m, columns = 4, 64
    rows, cols = torch.arange(m)[:, None], torch.arange(n)[None, :]
    touched = (rows * s + cols * t).flatten()
    start = max(0, -int(touched.min()))
    x = torch.arange(start + int(touched.max()) + 1, dtype=torch.int32)
    want = x.clone()
    want[touched + start] += 1
    view = x[start:]
    if arguments == 2:
        add_one[(1,)](view, view, s, t, n, M=m, N=columns)
    else:
        add_one_in_place[(1,)](view, s, t, n, M=m, N=columns)
    assert torch.equal(x, want)


@triton.jit
def widen(x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(y + i, tl.load(x + i).to(y.dtype.element_ty))


@triton.jit
def widen_cast_pointer(y, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(y + i, tl.load(y.to(tl.pointer_type(tl.int8), bitcast=True) + i).to(tl.int32))


def test_widening_in_place(target):
    n = 1024
    for kernel in (lambda y: widen[(1,)](y.view(torch.int8)[:n], y, N=n), lambda y: widen_cast_pointer[(1,)](y, N=n)):
        y = torch.randint(-(2**31), 2**31 - 1, (n,), generator=torch.Generator().manual_seed(0)).int()
        want = y.view(torch.int8)[:n].clone().int()
        kernel(y)
        assert torch.equal(y, want)


def test_another_type_of_the_same_size_in_place(target):
    n = 256
    y = torch.arange(n, dtype=torch.int32)
    widen[(1,)](y, y.view(torch.float32), N=n)
    assert torch.equal(y.view(torch.float32), torch.arange(n, dtype=torch.float32))


@triton.jit
def several_gathers(x, index, out, n, N: tl.constexpr):
    i = tl.arange(0, N)
    j = tl.load(index + i, i < n, other=0)
    first, second, third = tl.load(x + j, i < n, other=0.0), tl.load(x + (j ^ 1), i < n, other=0.0), tl.load(x + (j ^ 3), i < n, other=0.0)
    tl.store(out + i, first + second * 2 + third * 4, (i < n) & (first + third > 0))


@triton.jit
def gathers_needed_behind(x, index, out, n, N: tl.constexpr):
    i = tl.arange(0, N)
    j = tl.load(index + i)
    first, second, third = tl.load(x + j), tl.load(x + (j ^ 1)), tl.load(x + (j ^ 3))
    tl.store(out + i, first + second * 2 + third * 4)
    tl.store(out + N + i, first - third)


@pytest.mark.parametrize("shift", [0, 1, 17])
@pytest.mark.parametrize("n", [1024, 1000])
def test_several_gathers_of_what_is_stored_to(target: str, n: int, shift: int) -> None:
    """No vector of the store may be written before the last one is read; so it is with a mask that the same loads decide."""
    index = ((torch.arange(1024) * 37 + 5) % 1024).int()
    memory = integers(1024 + 64)
    j = index[:n].long()
    first, second, third = memory[j], memory[j ^ 1], memory[j ^ 3]
    want = memory.clone()
    want[shift : shift + n] = torch.where(first + third > 0, first + second * 2 + third * 4, want[shift : shift + n])
    several_gathers[(1,)](memory, index, memory[shift:], n, N=1024)
    assert torch.equal(memory, want)


@pytest.mark.parametrize("shift", [0, 1])
def test_gathers_that_are_needed_behind_a_store(target: str, shift: int) -> None:
    n = 1024
    index, memory = ((torch.arange(n) * 37 + 5) % n).int(), integers(2 * n + 64)
    j = index.long()
    first, second, third = memory[j], memory[j ^ 1], memory[j ^ 3]
    want = memory.clone()
    want[shift : shift + n] = first + second * 2 + third * 4
    want[shift + n : shift + 2 * n] = first - third
    gathers_needed_behind[(1,)](memory, index, memory[shift:], n, N=n)
    assert torch.equal(memory, want)


@triton.jit
def masked_windows(x, y, first, ROWS: tl.constexpr, N: tl.constexpr):
    rows, columns = tl.arange(0, ROWS), tl.arange(0, N)
    keeps = tl.broadcast_to((columns + 10 < first)[None, :] | (columns > 32)[None, :], (ROWS, N))
    values = tl.load(x + rows[:, None] + columns[None, :], mask=keeps, other=7)
    tl.store(y + columns[:, None] * ROWS + rows[None, :], tl.full((N, ROWS), 1, tl.float32))
    tl.store(x + columns[:, None] * (ROWS + 1) + rows[None, :], tl.trans(values))


@pytest.mark.parametrize("first", [0, 20])
@pytest.mark.parametrize("rows", [2, 8])
def test_masked_rows_that_share_places(target, rows, first):
    """The copy that is read behind the store keeps the rows' distances: what one row's mask leaves out another row reads."""
    n = 64
    x = torch.arange((rows + 1) * n, dtype=torch.int32) + 10
    i, j = torch.arange(rows)[:, None], torch.arange(n)[None, :]
    expected = x.clone()
    y = torch.zeros(rows * n)
    expected[j * (rows + 1) + i] = torch.where((j + 10 < first) | (j > 32), x[i + j], 7)
    masked_windows[(1,)](x, y, first, ROWS=rows, N=n)
    assert torch.equal(x, expected)
    assert torch.equal(y, torch.ones(rows * n))
