"""Rows shorter than their block: what the block is filled with counts as before, where a reduction ends at the row's end."""

import pytest
import torch
import triton
import triton.language as tl

INFINITE, NAN = float("inf"), float("nan")


@triton.jit
def reductions_kernel(x_ptr, out_ptr, columns, other, ZERO: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    x = tl.load(x_ptr + offsets, mask, other=0.0 if ZERO else -float("inf"))
    y = tl.load(x_ptr + offsets, mask, other=other)  # not known to the compiler
    tl.store(out_ptr, tl.sum(x, 0))
    tl.store(out_ptr + 1, tl.max(x, 0))
    tl.store(out_ptr + 2, tl.min(x, 0))
    tl.store(out_ptr + 3, tl.sum(y, 0))
    tl.store(out_ptr + 4, tl.sum(tl.where(mask, x * x + 1, 0.0), 0))
    tl.store(out_ptr + 5, tl.argmax(x, 0).to(tl.float32))
    tl.store(out_ptr + 6, tl.sum((offsets >= 3).to(tl.int32), 0).to(tl.float32))
    tl.store(out_ptr + 7, tl.sum(tl.where(offsets < columns - 5, x, 0.0), 0))


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("columns", [0, 1, 5, 31, 32, 100, 512, 700, 1024, 2000])
def test_reductions(target: str, columns: int, zero: bool) -> None:
    x = torch.randint(-9, 10, (columns,), generator=torch.Generator().manual_seed(columns)).float()
    for row in (x, -x.abs() - 1, torch.full((columns,), -INFINITE), torch.full((columns,), NAN), torch.full((columns,), -0.0)):
        out = torch.empty(8)
        reductions_kernel[(1,)](row, out, columns, 0.5, ZERO=zero, BLOCK=1024)
        taken = row[:1024]
        padded = torch.cat([taken, torch.full((1024 - len(taken),), 0.0 if zero else -INFINITE)])
        numbers = padded[~padded.isnan()]
        expected = [padded.sum(), *((numbers.max(), numbers.min()) if len(numbers) else (NAN, NAN))]
        expected += [taken.sum() + 0.5 * (1024 - len(taken)), (taken.square() + 1).sum()]
        torch.testing.assert_close(out[:5], torch.tensor([float(v) for v in expected]), rtol=0, atol=0, equal_nan=True)
        if len(numbers) == 1024:
            assert out[5].item() == padded.numpy().argmax()
        assert out[6].item() == 1021
        left = taken[: max(columns - 5, 0)]
        torch.testing.assert_close(out[7], left.sum(), rtol=0, atol=0, equal_nan=True)


@triton.jit
def one_kernel(x_ptr, out_ptr, columns, SUM: tl.constexpr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < columns, other=0.0 if SUM else -float("inf"))
    tl.store(out_ptr, tl.sum(x, 0) if SUM else tl.max(x, 0))


@pytest.mark.parametrize("columns", [0, 1, 100, 1024])
def test_nothing_but_padding_counts(target: str, columns: int) -> None:
    """A sum of nothing is 0 and not -0, a maximum of nothing or of NaN -inf and not NaN, where a block has room behind the row."""
    out = torch.empty(1)
    one_kernel[(1,)](torch.full((columns,), -0.0), out, columns, SUM=True, BLOCK=1024)
    assert out.item() == 0
    assert columns == 1024 or not out.signbit().item()
    one_kernel[(1,)](torch.full((columns,), NAN), out, columns, SUM=False, BLOCK=1024)
    assert out.isnan().item() if columns == 1024 else out.item() == -INFINITE


@triton.jit
def stored_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """Exponentials that the loop of their sum stores are wanted behind the row's end as well."""
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < columns, other=-float("inf"))
    e = tl.exp(x - tl.max(x, 0))
    total = tl.sum(e, 0)
    tl.store(out_ptr + offsets, e / total)
    tl.store(out_ptr + BLOCK, tl.sum(e * e + 1, 0))


@pytest.mark.parametrize("columns", [1, 40, 777, 1024])
def test_stored_values(target: str, columns: int) -> None:
    x = torch.randn(columns, generator=torch.Generator().manual_seed(columns))
    stored_kernel[(1,)](torch.full((1024,), 7.0), torch.empty(1025), 1024, BLOCK=1024)  # leaves numbers in the program's memory
    out = torch.full((1025,), NAN)
    stored_kernel[(1,)](x, out, columns, BLOCK=1024)
    e = (x.double() - x.max()).exp()
    torch.testing.assert_close(out[:columns].double(), e / e.sum(), rtol=1e-6, atol=0)
    assert not out[columns:1024].any()
    torch.testing.assert_close(out[1024].double(), e.square().sum() + 1024, rtol=1e-6, atol=0)


@triton.jit
def difference_kernel(x_ptr, y_ptr, out_ptr, columns, number, BLOCK: tl.constexpr):
    """What is taken off -inf may be -inf or NaN too: of each element, or one number for all."""
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < columns, other=-float("inf"))
    tl.store(out_ptr, tl.sum(tl.exp(x - tl.load(y_ptr + offsets)), 0))
    tl.store(out_ptr + 1, tl.sum(tl.exp(x - number), 0))
    e = tl.exp(x - tl.max(x, 0))
    tl.store(out_ptr + 2, tl.sum(e, 0))
    tl.store(out_ptr + 3 + offsets, e)


@pytest.mark.parametrize("number", [0.0, INFINITE, -INFINITE, NAN])
@pytest.mark.parametrize("columns", [0, 3, 100, 128, 1024])
@pytest.mark.parametrize("filled", [0.0, -INFINITE, INFINITE, NAN])
def test_differences(target: str, columns: int, number: float, filled: float) -> None:
    x, y, out = torch.full((1024,), filled), torch.zeros(1024), torch.full((1027,), 7.0)
    y[1000] = number
    difference_kernel[(1,)](x, y, out, columns, number, BLOCK=1024)
    padded = torch.where(torch.arange(1024) < columns, x, -INFINITE)
    numbers = padded[~padded.isnan()]
    e = (padded - (numbers.max() if len(numbers) else NAN)).exp()
    expected = torch.cat([torch.stack([(padded - y).exp().sum(), (padded - number).exp().sum(), e.sum()]), e])
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=0, equal_nan=True)


@triton.jit
def rows_kernel(x_ptr, out_ptr, rows, columns, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    i, j = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    place = i[:, None] * BLOCK + j[None, :]
    x = tl.load(x_ptr + place, (i[:, None] < rows) & (j[None, :] < columns), other=-float("inf"))
    e = tl.exp(x - tl.max(x, 1)[:, None])
    tl.store(out_ptr + place, e / tl.sum(e, 1)[:, None])


@pytest.mark.parametrize("columns", [0, 5, 200, 256])
def test_rows_of_infinities(target: str, columns: int) -> None:
    """One row without a number does not change what the others are, and is NaN up to the block's end."""
    x = torch.randn(8, 256, generator=torch.Generator().manual_seed(columns))
    x[2], x[4, :3] = -INFINITE, -INFINITE
    out = torch.empty(8, 256)
    rows_kernel[(1,)](x, out, 7, columns, ROWS=8, BLOCK=256)
    padded = torch.where((torch.arange(8)[:, None] < 7) & (torch.arange(256) < columns), x, -INFINITE)
    torch.testing.assert_close(out, padded.softmax(1), rtol=1e-6, atol=1e-12, equal_nan=True)


@triton.jit
def folded_kernel(x_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    """Numbers behind the row that no type of the program holds."""
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, offsets < columns, other=3e38)
    tl.store(out_ptr, tl.max(x * 10 * 0, 0))
    y = tl.load(x_ptr + offsets, offsets < columns, other=float("nan"))
    tl.store(out_ptr + 1, tl.sum(tl.maximum(y, 0.0), 0))
    z = tl.load(x_ptr + offsets, offsets < columns, other=0).to(tl.int32) + 0x40000000
    tl.store(out_ptr + 2, tl.sum(z + 0x40000000 + 0x40000000 + 0x40000000, 0).to(tl.float32))


def test_folded(target: str) -> None:
    out = torch.empty(3)
    folded_kernel[(1,)](torch.ones(100), out, 100, BLOCK=1024)
    assert out.tolist() == [0, 100, 100]  # of what is NaN, a maximum takes no account


@triton.jit
def tall_kernel(x_ptr, out_ptr, rows, columns, zero: tl.constexpr, low: tl.constexpr, high: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    i, j = tl.arange(0, R)[:, None], tl.program_id(0) * C + tl.arange(0, C)
    mask = (i < rows) & (j < columns)[None, :]
    at = x_ptr + i * columns + j[None, :]
    tl.store(out_ptr + j, tl.sum(tl.load(at, mask, other=zero), 0), j < columns)
    tl.store(out_ptr + columns + j, tl.max(tl.load(at, mask, other=low), 0), j < columns)
    tl.store(out_ptr + 2 * columns + j, tl.min(tl.load(at, mask, other=high), 0), j < columns)
    tl.store(out_ptr + 3 * columns + j, tl.argmax(tl.load(at, mask, other=low), 0).to(tl.float32), j < columns)
    tl.store(out_ptr + 4 * columns + j, tl.sum(tl.exp(tl.load(at, mask, other=low)) * 0 + 1, 0), j < columns)


@pytest.mark.parametrize("fill", [(0.0, -INFINITE, INFINITE), (1.0, 0.0, 0.0)], ids=["neutral", "counts"])
@pytest.mark.parametrize("rows", [0, 1, 7, 63, 64, 100])
def test_few_rows_of_a_tall_block(target: str, rows: int, fill: tuple[float, float, float]) -> None:
    """Reductions down columns end with the rows where what is behind them changes nothing, and else count all of it."""
    columns, height = 21, 64
    whole = torch.randint(-9, 10, (rows, columns), generator=torch.Generator().manual_seed(rows)).float()
    for x in (whole, -whole.abs() - 1, torch.full_like(whole, -INFINITE), torch.full_like(whole, -0.0)):
        out, taken = torch.empty(5, columns), x[:height]
        tall_kernel[(6,)](x, out, rows, columns, *fill, R=height, C=4)
        zeros, lows, highs = (torch.cat([taken, torch.full((height - len(taken), columns), other)]) for other in fill)
        want = [zeros.sum(0), lows.amax(0), highs.amin(0), torch.from_numpy(lows.numpy().argmax(0)).float()]
        want.append(torch.where(lows.exp().isinf(), NAN, 1.0).sum(0))
        assert torch.equal(out, torch.stack(want))
        assert not (out[0] == 0)[out[0].signbit()].any() or rows >= height


@triton.jit
def weight_bias_kernel(dy_ptr, x_ptr, mean_ptr, rstd_ptr, dw_ptr, db_ptr, m, n, R: tl.constexpr, C: tl.constexpr):
    columns = tl.program_id(0) * C + tl.arange(0, C)
    weights, biases = tl.zeros([R, C], tl.float32), tl.zeros([R, C], tl.float32)
    for first in range(0, m, R):
        rows = first + tl.arange(0, R)[:, None]
        mask = (rows < m) & (columns < n)[None, :]
        dy = tl.load(dy_ptr + rows * n + columns[None, :], mask)
        x = tl.load(x_ptr + rows * n + columns[None, :], mask)
        mean, rstd = tl.load(mean_ptr + rows, rows < m), tl.load(rstd_ptr + rows, rows < m)
        weights += dy * tl.where(mask, x - mean, 0.0) * rstd
        biases += dy
    tl.store(dw_ptr + columns, tl.sum(weights, 0), columns < n)
    tl.store(db_ptr + columns, tl.sum(biases, 0), columns < n)


@pytest.mark.parametrize("m", [1, 5, 300])
def test_weights_and_biases_of_a_normalisation(target: str, m: int) -> None:
    """Loads without a default count as zeros behind the rows."""
    n = 37
    generator = torch.Generator().manual_seed(m)
    dy, x, mean, rstd = (torch.randint(-3, 4, shape, generator=generator).float() for shape in ((m, n), (m, n), (m,), (m,)))
    dw, db = torch.empty(n), torch.empty(n)
    weight_bias_kernel[(10,)](dy, x, mean, rstd, dw, db, m, n, R=128, C=4)
    assert torch.equal(dw, (dy * (x - mean[:, None]) * rstd[:, None]).sum(0))
    assert torch.equal(db, dy.sum(0))


@triton.jit
def rows_or_others_kernel(x_ptr, y_ptr, out_ptr, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    i, j = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    places = i * COLUMNS + j
    kept = tl.broadcast_to(i < rows, (ROWS, COLUMNS))
    tl.store(out_ptr + places, tl.load(x_ptr + i + j * 0, mask=kept, other=tl.load(y_ptr + places)))


@pytest.mark.parametrize("rows", [0, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.bfloat16], ids=str)
def test_one_element_of_a_row_or_a_block(target: str, dtype: torch.dtype, rows: int) -> None:
    """A row's lanes read one element under one condition; what stands for them differs lane by lane."""
    x, y = torch.arange(8).to(dtype), torch.arange(-100, 28).to(dtype)
    out = torch.zeros_like(y)
    rows_or_others_kernel[(1,)](x, y, out, rows, ROWS=8, COLUMNS=16)
    expected = torch.cat([x[:rows, None].expand(rows, 16), y.view(8, 16)[rows:]])
    assert torch.equal(out.view(8, 16), expected)
