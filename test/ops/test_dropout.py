"""Dropout and Bernoulli numbers: shares, what is kept, seeds, layouts, mistakes."""

import math

import pytest
import torch
from torch.nn import functional

from triton_spacemit import ops
from triton_spacemit.backend.knobs import knobs

_COUNT = 100_003


def _bound(p: float) -> float:
    """Six standard deviations of the share of ones among `_COUNT` numbers."""
    return 6 * math.sqrt(p * (1 - p) / _COUNT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_native_dropout(host, launches, dtype, p):
    x = torch.randn(_COUNT).to(dtype)
    with ops.enabled("dropout"):
        out, mask = torch.native_dropout(x, p, True)
    assert launches
    assert mask.dtype is torch.bool
    assert abs(mask.double().mean().item() - (1 - p)) <= _bound(p)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    torch.testing.assert_close(out, (x.double() * mask * scale).to(dtype))


def test_neighbours_and_parts_do_not_depend_on_each_other(host):
    with ops.enabled("dropout"):
        numbers = torch.empty(1 << 18).bernoulli_(0.5) - 0.5
    for distance in (1, 2, 1024, 2048, 4096, 8192):
        product = (numbers[distance:] * numbers[:-distance]).sum().item() * 4
        assert abs(product) < 6 * math.sqrt(1 << 18)


def test_functional_dropout_is_repeatable_on_any_number_of_threads(host):
    x = torch.randn(_COUNT, requires_grad=True)
    results = []
    with ops.enabled():
        for seed, threads in ((1, 1), (1, 2), (2, 2)):
            knobs.threads = threads
            torch.manual_seed(seed)
            results.append(functional.dropout(x, 0.3))
            results.append(functional.dropout(x, 0.3))
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[4])
    (gradient,) = torch.autograd.grad(results[0].sum(), x)
    assert torch.equal(gradient != 0, results[0] != 0)


def test_gradient(host):
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    with ops.enabled():
        out, mask = torch.native_dropout(x, 0.25, True)
        (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, mask.double() / 0.75)


def test_not_in_training(host):
    x = torch.randn(7, 3)
    with ops.enabled("dropout"):
        out, mask = torch.native_dropout(x, 0.5, False)
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()
    assert mask.all()


def test_what_is_no_number_stays_none(host):
    with ops.enabled("dropout"):
        out, mask = torch.native_dropout(torch.full((1000,), float("nan")), 0.5, True)
    assert out.isnan().all()
    assert not mask.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.int64, torch.bool, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "with gaps", "one", "none"])
def test_layouts(host, dtype, layout):
    base = torch.full((300, 400), 1).to(dtype)
    x = {"contiguous": base, "transposed": base.t(), "with gaps": base[:, ::2], "one": base[:1, :1], "none": base[:0]}[layout]
    before = ops.left_to_pytorch()
    with ops.enabled("dropout"):
        assert x.bernoulli_(0.25) is x
    assert ops.left_to_pytorch() == before
    assert ((x == 0) | (x == 1)).all()
    if x.numel() > 1:
        share = x.double().mean().item()
        assert abs(share - 0.25) < 6 * math.sqrt(0.25 * 0.75 / x.numel())
        assert (x.double().mean(0) > 0).all()
        assert (x.double().mean(1) > 0).all()
    if layout == "with gaps":
        assert (base[:, 1::2] == 1).all()


def test_mistakes_are_pytorchs(host):
    with ops.enabled("dropout"):
        for call in (lambda: torch.empty(3).bernoulli_(1.5), lambda: torch.native_dropout(torch.ones(3), -0.1, True)):
            with pytest.raises(RuntimeError):
                call()


def test_a_given_generator_is_pytorchs(host):
    draw = lambda: torch.empty(100).bernoulli_(0.5, generator=torch.Generator().manual_seed(7))  # noqa: E731
    expected = draw()
    with ops.enabled("dropout"):
        assert torch.equal(draw(), expected)


@pytest.mark.qemu
def test_on_an_emulated_x60(x60):
    with ops.enabled("dropout"):
        out, mask = torch.native_dropout(torch.ones(5000), 0.2, True)
    assert torch.equal(out, mask * 1.25)
    assert abs(mask.double().mean().item() - 0.8) < 6 * math.sqrt(0.16 / 5000)
