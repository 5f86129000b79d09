"""Reductions beyond the samples of PyTorch: strides, NaN, ties, lengths, and how exact sums are."""

import math

import pytest
import torch

from triton_spacemit import ops

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture
def left():
    """Fails where PyTorch answered."""
    before = ops.left_to_pytorch()
    yield
    assert ops.left_to_pytorch() == before


def both(names, call, *args):
    """What PyTorch and we make of a call."""
    expected = call(*args)
    with ops.enabled(*names):
        return call(*args), expected


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dim", [(0,), (1,), (2,), (0, 2), (0, 1), (1, 3), (0, 2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (0, 2, 3, 1)])
def test_any_dimensions_of_any_strides(dim, order):
    x = torch.randn(5, 6, 7, 9, dtype=torch.float64).permute(order)[:, 1:, ::2]
    ours, expected = both(["sum"], lambda: x.sum(dim))
    torch.testing.assert_close(ours, expected)
    ours, expected = both(["var"], lambda: x.var(dim, keepdim=True))
    torch.testing.assert_close(ours, expected)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("shape", [(3, 70_001), (70_001, 3), (100_000,), (2, 40_000, 2), (50, 3, 700)])
def test_results_that_several_programs_share(shape, launches):
    from triton_spacemit.backend.knobs import knobs

    x = torch.randn(shape, dtype=torch.float64)
    dim = max(range(len(shape)), key=shape.__getitem__)
    with knobs.scope():
        knobs.threads = 4
        for names, call in (
            (["sum"], lambda: x.sum(dim)),
            (["var_mean"], lambda: torch.var_mean(x, dim)),
            (["argmax"], lambda: x.argmax(dim)),
            (["min"], lambda: x.min(dim)),
            (["logsumexp"], lambda: x.logsumexp(dim)),
            (["any"], lambda: (x > 4).any(dim)),
        ):
            ours, expected = both(names, call)
            torch.testing.assert_close(tuple(ours) if isinstance(ours, tuple) else ours, expected)
    assert ("_merge" in launches) == (shape != (50, 3, 700))


def test_sums_of_many_numbers_are_as_exact_as_pytorchs():
    x = torch.rand(10_000_000) + 0.5
    exact = x.double().sum()
    ours, eager = both(["sum"], lambda: x.sum())
    error, theirs = ((result.double() - exact).abs() / exact for result in (ours, eager))
    # A block adds 64 numbers in each lane, half a unit in the last place each at most; the result is rounded once more.
    assert error <= 33 * 2**-24
    assert error <= max(theirs, 2**-24)


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("length", [1, 7, 200, 5000])
@pytest.mark.parametrize("dim", [0, 1])
def test_nan_is_beyond_all_numbers_and_the_first_of_equals_wins(dtype, length, dim):
    infinity, nan = math.inf, math.nan
    values = torch.tensor([1.0, -1.0, 0.0, -0.0, infinity, -infinity, nan, -nan])
    generator = torch.Generator().manual_seed(0)
    rows = [values[torch.randint(0, limit, (length,), generator=generator)] for limit in (8, 8, 6, 6, 4, 2, 1)]
    rows += [torch.full((length,), value) for value in (infinity, -infinity, nan)]
    x = torch.stack(rows, 1 - dim).to(dtype)
    for name in ("max", "min"):
        ours, expected = both([name], lambda name=name: getattr(torch, name)(x, dim))
        assert torch.equal(ours.indices, expected.indices)
        torch.testing.assert_close(ours.values, expected.values, rtol=0, atol=0, equal_nan=True)
        ours, expected = both([f"arg{name}"], lambda name=name: getattr(torch, f"arg{name}")(x, dim))
        assert torch.equal(ours, expected)
        ours, expected = both([f"a{name}"], lambda name=name: getattr(torch, f"a{name}")(x, dim))
        torch.testing.assert_close(ours, expected, rtol=0, atol=0, equal_nan=True)
    ours, expected = both(["logsumexp"], lambda: x.logsumexp(dim))
    torch.testing.assert_close(ours, expected, equal_nan=True)


@pytest.mark.usefixtures("left")
def test_places_in_all_of_a_tensor_follow_its_dimensions():
    x = torch.randn(6, 5, 4).permute(2, 0, 1)
    for name in ("argmax", "argmin"):
        ours, expected = both([name], lambda name=name: getattr(x, name)())
        assert ours == expected


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.int64])
def test_logarithms_of_sums_of_exponentials_of_integers(dtype):
    for x in (torch.tensor([[0, 0, 0], [1, 0, 1]]), torch.full((2, 3), -128)):
        ours, expected = both(["logsumexp"], lambda x=x: x.to(dtype).logsumexp(1))
        torch.testing.assert_close(ours, expected)


@pytest.mark.usefixtures("left")
def test_truth_values_as_results():
    x = torch.tensor([[0.5, 2.0], [0.0, 3.0], [0.0, 0.0]])
    for name in ("sum", "prod"):
        ours, expected = both([name], lambda name=name: getattr(torch, name)(x, 1, dtype=torch.bool))
        assert torch.equal(ours, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("left")
def test_more_than_two_to_the_31_elements():
    x = torch.ones(1, dtype=torch.int8).expand(2**31 + 5)
    with ops.enabled("sum", "count_nonzero", "argmax"):
        assert x.sum() == 2**31 + 5
        assert x.count_nonzero() == 2**31 + 5
        assert x.argmax() == 0
    assert x[None].expand(3, -1).argmin(1).tolist() == [0, 0, 0]


@pytest.mark.usefixtures("left")
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_the_ends_of_integers(dtype):
    info = torch.iinfo(dtype)
    x = torch.tensor([[info.min, info.min], [info.max, info.min], [info.max, info.max]], dtype=dtype)
    for dim in (0, 1):
        for name in ("amax", "amin", "argmax", "argmin", "sum", "prod"):
            ours, expected = both([name], lambda name=name, dim=dim: getattr(torch, name)(x, dim))
            assert ours.dtype == expected.dtype
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_global_average_pool(dtype, memory_format):
    images = torch.randn(3, 5, 7, 9, dtype=dtype).to(memory_format=memory_format).requires_grad_()
    before = ops.left_to_pytorch().get("_adaptive_avg_pool2d", 0)
    pool = torch.ops.aten._adaptive_avg_pool2d

    def gradient():
        (result,) = torch.autograd.grad(pool(images, (1, 1)).square().sum(), images)
        return result

    with ops.enabled("global_avg_pool"):
        assert ops.left_to_pytorch().get("_adaptive_avg_pool2d", 0) == before
        ours, other, ours_gradient = pool(images, (1, 1)), pool(images, (2, 3)), gradient()
    assert ops.left_to_pytorch()["_adaptive_avg_pool2d"] == before + 1
    torch.testing.assert_close(ours, pool(images, (1, 1)), check_stride=True)
    torch.testing.assert_close(other, pool(images, (2, 3)), check_stride=True)
    torch.testing.assert_close(ours_gradient, gradient())
