"""Up to four rows times packed weights on tiles of 8 x 8 x 16: within the bound in every format, however rows and columns are divided."""

import pytest
import torch
from quantised_weights import check_product, random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.quantised import pairs
from triton_spacemit.ops.quantised.activations import Activations, Order, quantise
from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.packings import PACKINGS, get_packing

__all__ = ["cache", "cache_folder"]
pytestmark = pytest.mark.qemu


@pytest.fixture(autouse=True)
def a100() -> None:
    set_device("qemu", "a100")
    knobs.threads = 1


def quantised(rows: int, steps: int, seed: int = 0) -> Activations:
    x = torch.randn(rows, steps, generator=torch.Generator().manual_seed(seed))
    x[0, 32:64] = 0
    return quantise(x)


def product(activations: Activations, packed: Packed, bias: torch.Tensor | None = None) -> torch.Tensor:
    out = torch.full((activations.rows + 1, packed.shape[0]), 7.0)
    panels = pairs.panels_of(activations, packed.packing)
    pairs.multiply(panels, activations.rows, packed.bytes, packed.packing, bias, out[:-1])
    assert (out[-1] == 7).all()  # no row behind the last
    return out[:-1]


@pytest.mark.parametrize(("rows", "columns", "steps"), [(1, 37, 512), (3, 33, 256)])
@pytest.mark.parametrize("name", PACKINGS)
def test_bound(name: str, rows: int, columns: int, steps: int) -> None:
    packed, activations = random_weights(name, columns, steps), quantised(rows, steps)
    bias = torch.linspace(-3, 3, columns) if columns > 1 else None
    check_product(product(activations, packed, bias), activations, packed, bias)


@pytest.mark.parametrize("steps", [128, 160, 192, 1056 + 192])
@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q4_1"])
@pytest.mark.parametrize("rows", [1, 4])
def test_any_number_of_groups(name: str, rows: int, steps: int) -> None:
    """Of one row those that the first two turns share are counted once."""
    packed, activations = random_weights(name, 20, steps), quantised(rows, steps, 1)
    check_product(product(activations, packed), activations, packed)


def test_rows_are_what_they_are_alone() -> None:
    """The lines of a tile do not meet, extreme bytes and a scale of NaN included."""
    packed, activations = random_weights("Q4_0", 48, 256), quantised(4, 256)
    activations.values[1, :64] = torch.tensor([-127, 127] * 32)
    activations.scales[2, 3] = torch.nan
    activations.sums.copy_(activations.values.view(4, -1, 32).sum(-1))
    whole = product(activations, packed)
    assert whole[2].isnan().all()
    for start in (0, 2):
        part = Activations(
            Order.ROWS, 2, 256, *(each[start : start + 2] for each in (activations.values, activations.scales, activations.sums))
        )
        assert torch.equal(product(part, packed).nan_to_num(3.0), whole[start : start + 2].nan_to_num(3.0))


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("rows", [1, 3])
def test_threads(rows: int, threads: int) -> None:
    """However columns are spread over programs, each is the same."""
    packed, activations = random_weights("Q4_0", 16 * 23 - 5, 256), quantised(rows, 256)
    alone = product(activations, packed)
    knobs.threads = threads
    assert torch.equal(product(activations, packed), alone)


#: Instructions of the product alone for each `smt.vmadot` of 8 x 8 x 16, of 64 columns and 2,048 steps, at most: of one row and of four.
MOST = {"Q4_0": (3.75, 7.65), "Q4_1": (4.4, 9.9), "Q4_K": (4.75, 10.45), "Q8_0": (3.2, 6.65), "Q5_K": (4.05, 9.2), "Q6_K": (4.8, 10.55)}


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("name", MOST)
def test_instructions(name: str, rows: int) -> None:
    """Each byte of the weights is multiplied once, and activations are laid out in few instructions."""
    packed, activations = random_weights(name, 64, 2048), quantised(rows, 2048)
    panels = pairs.panels_of(activations, packed.packing)
    out = torch.empty(rows, 64)

    def run() -> None:
        pairs.multiply(panels, rows, packed.bytes, packed.packing, None, out)

    run()
    counts = count(run)
    assert counts.by_mnemonic["smt.vmadot"] == 64 * 2048 // 128
    assert counts.instructions <= MOST[name][rows > 1] * 64 * 2048 / 128
    assert count(lambda: pairs.panels_of(activations, packed.packing)).instructions <= 0.6 * rows * 2048


def test_refused() -> None:
    packing = get_packing("Q4_0")
    for activations in (quantised(5, 256), quantised(1, 96)):
        with pytest.raises(ValueError, match=f"up to 4 rows in the order of rows are taken, not {activations.rows} in ROWS"):
            pairs.panels_of(activations, packing)
    with pytest.raises(ValueError, match="not 2 in TILES"):
        pairs.panels_of(quantise(torch.zeros(2, 256), Order.TILES), packing)
    assert not pairs.takes(get_packing("Q4_1", "q4_1x16"), 1, 256)
