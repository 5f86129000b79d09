"""Many rows times packed weights on tiles of 8 x 8 x 16: `linear` on an emulated A100, beside the same product row by row."""

import pytest
import torch
from quantised_weights import random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised import wide
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.packings import PACKINGS
from triton_spacemit.ops.quantised.panels import make_panels

__all__ = ["cache", "cache_folder"]
pytestmark = pytest.mark.qemu


@pytest.fixture(autouse=True)
def a100() -> None:
    set_device("qemu", "a100")
    knobs.threads = 1


def numbers(rows: int, steps: int) -> torch.Tensor:
    return torch.randn(rows, steps, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize(("rows", "columns", "steps"), [(9, 37, 512), (17, 16, 4608)])
@pytest.mark.parametrize("name", PACKINGS)
def test_bound(name: str, rows: int, columns: int, steps: int) -> None:
    """Odd numbers of groups of 16 columns, and more steps than are unpacked at once."""
    packed, x = random_weights(name, columns, steps), numbers(rows, steps)
    bias = torch.linspace(-3, 3, columns)
    a, weights = quantise(x).dequantise(), packed.dequantise(torch.float64)
    magnitudes = a.abs() @ weights.abs().T + bias.abs()
    if packed.packing.minima:
        magnitudes = 3 * magnitudes + 16 * a.abs().sum(1, keepdim=True)
    found = quantised.linear(x, packed, bias)
    groups = steps // packed.packing.group
    assert ((found - (a @ weights.T + bias)).abs() <= (groups + 5) * 2.0**-24 * magnitudes).all()


@pytest.mark.parametrize("steps", [32, 96, 160, 1056])
@pytest.mark.parametrize("threads", [1, 3])
def test_programs(threads: int, steps: int) -> None:
    """However rows and columns are divided, the bits are the same."""
    packed, x = random_weights("Q4_0", 100, steps), numbers(40, steps)
    whole = quantised.linear(x, packed)
    knobs.threads = threads
    panels, out = make_panels(quantise(x, Order.TILES), packed.packing, 8), torch.full((41, 100), 7.0)
    wide.multiply(panels, packed.bytes, packed.packing, None, out[:40], (2, 3))
    assert torch.equal(out[:40], whole)
    assert (out[40] == 7).all()
    assert torch.equal(quantised.linear(x[9:18], packed), whole[9:18])


#: Instructions of the product alone for each `smt.vmadot` of 8 x 8 x 16, of 64 rows, 64 columns and 1,024 steps, at most.
MOST = {"Q4_0": 4.45, "Q4_1": 5.5, "Q4_K": 6.0, "Q8_0": 3.85, "Q6_K": 6.2}


@pytest.mark.parametrize("name", MOST)
def test_instructions(name: str) -> None:
    packed, out = random_weights(name, 64, 1024), torch.empty(64, 64)
    panels = make_panels(quantise(numbers(64, 1024), Order.TILES), packed.packing, 8)

    def run() -> None:
        wide.multiply(panels, packed.bytes, packed.packing, None, out, (8, 2))

    run()
    counts = count(run)
    assert counts.by_mnemonic["smt.vmadot"] == 64 * 64 * 1024 // 1024
    assert counts.instructions <= MOST[name] * counts.by_mnemonic["smt.vmadot"]
