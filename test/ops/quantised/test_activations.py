"""Rows of floats as bytes: exactly the scales, bytes and sums of the definition, which NumPy computes in float32."""

import numpy as np
import pytest
import torch
from targets import TARGETS, cache, cache_folder, choose

from triton_spacemit.ops.quantised.activations import Activations, Order, quantise

__all__ = ["cache", "cache_folder"]


@pytest.fixture(params=TARGETS)
def target(request):
    choose(*request.param)


def expected(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Bytes [M, K] and scales [M, K / 32]; of blocks that are not finite, anything."""
    blocks = x.float().numpy().reshape(len(x), -1, 32)
    scale = np.abs(blocks).max(2) * (np.float32(1) / np.float32(127))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.minimum(np.float32(1) / scale, np.finfo(np.float32).max)
        return np.rint(blocks * inverse[:, :, None]).astype(np.int8).reshape(len(x), -1), scale


def by_rows(a: Activations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, scales and sums in the order of the definition, with the rows that fill up a tile."""
    values, scales, sums = a.values, a.scales, a.sums
    if a.order is Order.TILES:
        values = values.transpose(1, 2).reshape(len(values) * 4, -1)
        scales, sums = (part.transpose(1, 2).reshape(len(part) * 4, -1) for part in (scales, sums))
    return values.numpy(), scales.numpy(), sums.numpy()


def check(x: torch.Tensor, order: Order) -> None:
    rows = -(-len(x) // order) * order
    padded = torch.cat([x.float(), torch.zeros(rows - len(x), x.shape[1])])
    values, scales = expected(padded)
    found = by_rows(quantise(x, order))
    np.testing.assert_array_equal(found[0], values)
    np.testing.assert_array_equal(found[1].view(np.int32), scales.view(np.int32))
    np.testing.assert_array_equal(found[2], values.reshape(rows, -1, 32).astype(np.int32).sum(2))


def numbers(rows: int, columns: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Normally distributed; each block has a magnitude of its own, over the whole range of the type, and some are zero."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns // 32, 32, generator=generator)
    low, high = (-24, 14) if dtype == torch.float16 else (-149, 125)
    power = torch.randint(low, high, (rows, columns // 32, 1), generator=generator).float()
    x = x * 2.0 ** (power / 2).floor() * 2.0 ** (power / 2).ceil()
    x[torch.rand(rows, columns // 32, generator=generator) < 0.1] = 0
    return x.reshape(rows, columns).to(dtype)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_numbers(target, order, dtype):
    for rows, columns in ((1, 32), (1, 4096), (2, 96), (4, 2048), (7, 160), (9, 2080)):
        check(numbers(rows, columns, dtype, seed=rows), order)


@pytest.mark.parametrize("order", Order)
def test_halves_go_to_even_numbers(target, order):
    """Every half between -127 and 127, where the scale is a power of two."""
    halves = torch.arange(-127, 127) + 0.5
    x = torch.cat([halves, halves.flip(0), torch.zeros(4)]).reshape(-1, 32)
    x[:, 0] = 127
    check(torch.cat([x, x * 2.0**100, x * 2.0**-100]), order)


@pytest.mark.parametrize("order", Order)
def test_scales_without_a_reciprocal(target, order):
    """Zeros of either sign, which stay zeros, and numbers so small that the reciprocal of their scale is infinite."""
    x = torch.zeros(6, 32)
    x[1] = -0.0
    x[2, 5] = 2.0**-149
    x[3] = 127 * 2.0**-129
    x[4] = torch.arange(32) * 2.0**-128
    x[5] = torch.arange(32) * 2.0**-127
    values, scales, _ = by_rows(quantise(x, order))
    assert not values[:3].any()
    assert np.isfinite(scales).all()
    check(x, order)


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("number", [float("inf"), -float("inf"), float("nan"), -float("nan")])
def test_what_is_no_finite_number_makes_its_scale_nan(target, order, number):
    x = numbers(4, 128)
    x[2, 40] = number
    a = quantise(x, order)
    _, scales, _ = by_rows(a)
    wrong = np.zeros((4, 4), dtype=bool)
    wrong[2, 1] = True
    np.testing.assert_array_equal(np.isnan(scales), wrong)
    values, finite = expected(x)
    np.testing.assert_array_equal(scales[~wrong], finite[~wrong])
    np.testing.assert_array_equal(by_rows(a)[0].reshape(4, 4, 32)[~wrong], values.reshape(4, 4, 32)[~wrong])


@pytest.mark.parametrize("order", Order)
def test_strides(target, order):
    x = numbers(12, 256)
    for view in (x[:, 64:192], x[::3], x.t().contiguous().t(), x[:1].expand(5, 256), x[:, 1:].as_strided((12, 64), (3, 1))):
        check(view, order)
    batch = quantise(x.reshape(3, 4, 256), order)
    assert torch.equal(batch.values, quantise(x, order).values)


@pytest.mark.parametrize("order", Order)
def test_nothing(target, order):
    for shape in ((0, 64), (3, 0), (0, 0)):
        a = quantise(torch.zeros(shape), order)
        assert (a.rows, a.columns, a.values.numel()) == (*shape, 0)
    assert quantise(torch.zeros(4, 32), order, sums=False).sums is None


def test_dequantised(target):
    x = numbers(5, 64).clamp(-1e30, 1e30)
    for order in Order:
        difference = (quantise(x, order).dequantise() - x.double()).abs().reshape(5, 2, 32)
        assert (difference <= x.double().abs().reshape(5, 2, 32).amax(2, True) / 127 * (0.5 + 2**-16) + 2.0**-121).all()


def test_what_is_refused(target):
    with pytest.raises(TypeError, match=r"float32, float16 or bfloat16 tensors on the CPU, not torch\.float64"):
        quantise(torch.zeros(1, 32, dtype=torch.float64))
    with pytest.raises(TypeError, match="on meta"):
        quantise(torch.zeros(1, 32, device="meta"))
    with pytest.raises(ValueError, match=r"multiple of 32 long; the shape is \(2, 33\)"):
        quantise(torch.zeros(2, 33))
    with pytest.raises(ValueError, match=r"the shape is \(\)"):
        quantise(torch.zeros(()))
    check(numbers(1, 32), Order.ROWS)


def test_the_operator(target):
    for order in Order:
        torch.library.opcheck(torch.ops.triton_spacemit.quantise_rows, (numbers(3, 64).clamp(-1e9, 1e9), int(order), True))
