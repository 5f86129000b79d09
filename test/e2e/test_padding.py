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
