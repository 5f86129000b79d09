"""Activations straight to panels: the bytes that are made of quantised tiles, in few instructions."""

import pytest
import torch
from targets import EMULATED, TARGETS, cache, cache_folder, choose

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.packings import get_packing
from triton_spacemit.ops.quantised.panels import make_panels, panels_of

__all__ = ["cache", "cache_folder"]

#: By what the rows of each begin with: an offset, scaled sums of either sign, nothing.
FORMATS = ("Q4_0", "Q4_1", "Q4_K", "Q8_0")


def numbers(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator) * 10 ** torch.randint(-3, 4, shape, generator=generator)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("request_", TARGETS)
def test_the_same_bytes(request_, name) -> None:
    """Whole panels and one that is not, and parts of the blocks; blocks of zeros, and rows of any strides."""
    choose(*request_)
    packing = get_packing(name)
    for rows, columns in ((4, 256), (1, 32), (7, 4096), (5, 4608), (11, 544)):
        x = numbers(rows, columns)
        x[0, :32] = 0
        expected = make_panels(quantise(x, Order.TILES), packing, 4)
        assert torch.equal(panels_of(x, packing, 4), expected)
        assert torch.equal(panels_of(x.t().contiguous().t(), packing, 4), expected)
    x = numbers(6, 512)[:, 128:].half()
    assert torch.equal(panels_of(x, packing, 4), make_panels(quantise(x, Order.TILES), packing, 4))


@pytest.mark.parametrize("name", ["Q2_K", "Q4_0"])
@pytest.mark.parametrize("rows", [4, 8])
def test_others_are_made_of_tiles(rows, name) -> None:
    """Panels of more rows, and with several begins."""
    set_device("host")
    packing, x = get_packing(name), numbers(9, 256)
    assert torch.equal(panels_of(x, packing, rows), make_panels(quantise(x, Order.TILES), packing, rows))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("request_", EMULATED[:1])
def test_instructions(request_, name) -> None:
    choose(*request_)
    knobs.threads = 1
    packing, x = get_packing(name), numbers(16, 2048)
    panels_of(x, packing, 4)
    assert count(lambda: panels_of(x, packing, 4)).instructions <= 0.85 * x.numel()
