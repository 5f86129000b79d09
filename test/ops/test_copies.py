"""Copies by a kernel of ours where PyTorch's threads would share them."""

from collections.abc import Iterator

import pytest
import torch

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.dtypes import FLOATS, INTEGERS

_SHAPE = (2, 20, 30, 40)  # enough elements for PyTorch to share


@pytest.fixture(params=[1, 2])
def threads(request, host) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _views():
    x = torch.randn(_SHAPE)
    gaps = torch.randn(2, 20, 31, 41)[:, :, :-1, :-1]
    return {
        "in order": x,
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "gaps": gaps,
        "every other": torch.randn(2, 20, 60, 80)[:, :, ::2, 1::2],
        "transposed": torch.randn(40, 30, 20, 2).permute(3, 2, 1, 0),
        "repeated": torch.randn(1, 20, 1, 40).expand(_SHAPE),
        "six dimensions": torch.randn(4, 4, 4, 4, 5, 60)[..., ::2].permute(5, 0, 4, 1, 3, 2),
    }


@pytest.mark.parametrize("name", _views())
def test_values_and_layouts_are_pytorchs(name, threads, launches):
    source = _views()[name]
    for memory_format in (torch.contiguous_format, torch.channels_last):
        if source.dim() == 4:
            ours, theirs = copies.contiguous(source, memory_format), source.contiguous(memory_format=memory_format)
            assert torch.equal(ours, theirs)
            assert ours.stride() == theirs.stride()
    assert torch.equal(copies.clone(source), source)
    out = torch.zeros(source.shape[::-1]).permute(*reversed(range(source.dim())))
    assert copies.copy(out, source) is out
    assert torch.equal(out, source)
    transposed = name in ("channels last", "transposed", "in order", "gaps", "every other", "repeated")  # there, to here, or both
    assert (len(launches) > 0) == (source.dim() == 4 and (threads > 1 or transposed))


@pytest.mark.parametrize("dtype", sorted(FLOATS | INTEGERS | {torch.bool, torch.complex64}, key=str), ids=str)
def test_every_dtype(dtype, threads):
    bits = torch.randint(0, 256, (1 << 18,), dtype=torch.uint8)
    source = bits > 99 if dtype is torch.bool else bits.view(dtype)  # with NaN of any payload, and the smallest numbers
    source = torch.stack((source, source)).T
    expected = source.contiguous()
    assert torch.equal(copies.contiguous(source).view(torch.uint8), expected.view(torch.uint8))


@pytest.mark.parametrize("wanted", sorted(FLOATS, key=str), ids=str)
@pytest.mark.parametrize("given", sorted(FLOATS | {torch.int32}, key=str), ids=str)
def test_conversions(given, wanted, threads):
    source = (torch.randn(1 << 16) * 1000).to(given)
    torch.testing.assert_close(copies.converted(source, wanted), source.to(wanted), rtol=0, atol=0)


def test_what_is_small_or_empty(threads, launches):
    for shape in ((), (0, 5), (3, 4)):
        source = torch.randn(shape)
        assert torch.equal(copies.clone(source), source)
    assert launches == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("shape", [(), (0, 40000), (3, 5), (300, 401)], ids=str)
def test_zeros(shape, dtype, threads, launches):
    """By as many threads as kernels have, however many PyTorch has."""
    for ours in (1, 2):
        with knobs.scope():
            knobs.threads = ours
            _ = [torch.full(shape, 7, dtype=dtype) for _ in range(3)]  # memory that may come back
            found = copies.zeros(shape, dtype)
        assert found.dtype == dtype
        assert torch.equal(found, torch.zeros(shape, dtype=dtype))
    assert bool(launches) == (shape == (300, 401) and dtype is not torch.bool)
