"""Rows times packed weights on RISC-V's vectors alone: within the bound in every format, and exact where sums of 16 bits are full."""

import dataclasses
import importlib

import pytest
import torch
from quantised_weights import check_product, random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised import Packed, pack, widening
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.formats import get_format
from triton_spacemit.ops.quantised.packings import PACKINGS, get_packing

__all__ = ["cache", "cache_folder"]
pytestmark = pytest.mark.qemu
operators = importlib.import_module("triton_spacemit.ops.quantised.linear")  # the package has a function of that name


@pytest.fixture(autouse=True)
def x60() -> None:
    set_device("qemu", "x60")
    knobs.threads = 1


def product(x: torch.Tensor, packed: Packed, bias: torch.Tensor | None = None) -> torch.Tensor:
    out = torch.full((len(x) + 1, packed.shape[0]), 7.0)
    widening.multiply(quantise(x), packed.bytes, packed.packing, bias, out[:-1])
    assert (out[-1] == 7).all()  # no row behind the last
    return out[:-1]


@pytest.mark.parametrize(("rows", "columns", "steps"), [(1, 37, 256), (5, 130, 1280)])
@pytest.mark.parametrize("name", PACKINGS)
def test_bound(name: str, rows: int, columns: int, steps: int) -> None:
    """One row and several, strips that are not whole, and more steps than are unpacked at once."""
    x = torch.randn(rows, steps, generator=torch.Generator().manual_seed(rows))
    x[0, 32:64] = 0
    packed, bias = random_weights(name, columns, steps), torch.linspace(-3, 3, columns)
    check_product(product(x, packed, bias), quantise(x), packed, bias)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("integer", [0, 8, 15])
@pytest.mark.parametrize("name", ["Q4_0", "Q4_1", "Q4_K", "Q2_K"])
def test_full_sums(name: str, integer: int, rows: int) -> None:
    """32 times the largest byte and the same integer, as it is stored: sums of 16 bits are what they would be in 32."""
    form, packing = get_format(name), get_packing(name)
    raw = torch.zeros(16, 256 // form.weights, form.size, dtype=torch.uint8)
    parts = form.read(raw)
    parts.scale.fill_(1.0)
    stored = min(integer, 3) if name == "Q2_K" else integer
    parts = dataclasses.replace(parts, integers=torch.full_like(parts.integers, stored + form.least))
    if parts.scales is not None:
        parts.scales.fill_(1)
    packed = pack(form.write(parts), name, (16, 256))
    assert packed.packing is packing
    for x in (torch.full((rows, 256), 127.0), torch.full((rows, 256), -127.0)):
        assert torch.equal(product(x, packed), (x.double() @ packed.dequantise(torch.float64).T).float())


def test_the_bits_of_the_matrix_unit() -> None:
    x, packed = torch.randn(5, 1056, generator=torch.Generator().manual_seed(0)), random_weights("Q4_0", 48, 1056)
    whole = quantised.linear(x, packed)
    assert torch.equal(product(x, packed), whole)
    assert torch.equal(product(x[2:3], packed), whole[2:3])


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("rows", [1, 3])
def test_threads(rows: int, threads: int) -> None:
    x, packed = torch.randn(rows, 256, generator=torch.Generator().manual_seed(0)), random_weights("Q4_1", 300, 256)
    alone = product(x, packed)
    knobs.threads = threads
    assert torch.equal(product(x, packed), alone)


@pytest.mark.parametrize("unit", [False, True])
def test_where_it_is_taken(unit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `linear` on a core of RISC-V without a matrix unit, or without leave to use it, and only there."""
    knobs.allow_ime = unit
    rows: list[int] = []
    monkeypatch.setattr(operators.widening, "multiply", lambda a, *rest: rows.append(a.rows) or multiply(a, *rest))
    x, packed = torch.randn(2, 64, generator=torch.Generator().manual_seed(0)), random_weights("Q8_0", 20, 64)
    check_product(quantised.linear(x, packed), quantise(x), packed)
    assert rows == ([] if unit else [2])
    assert not widening.takes(get_packing("Q4_1", "q4_1x16"))


multiply = widening.multiply

#: Weighted instructions for each multiplication of one row and of 64, at most; the vector unit's plain product of bytes takes 0.182.
MOST = {"Q4_0": (0.375, 0.16), "Q4_1": (0.415, 0.225), "Q4_K": (0.435, 0.225), "Q8_0": (0.43, 0.24)}


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("name", MOST)
def test_instructions(name: str, rows: int) -> None:
    packed, x, out = random_weights(name, 64, 512), torch.randn(rows, 512), torch.empty(rows, 64)
    activations = quantise(x)

    def run() -> None:
        widening.multiply(activations, packed.bytes, packed.packing, None, out)

    run()
    counts = count(run)
    assert counts.weighted <= MOST[name][rows > 1] * rows * 64 * 512
    assert not any(mnemonic.startswith("smt.") for mnemonic in counts.by_mnemonic)


def test_refused() -> None:
    packed, out = random_weights("Q4_0", 16, 256), torch.empty(2, 16)
    with pytest.raises(ValueError, match=r"weights \(1, 8, 288\) of q4_0x16 are not multiplied with rows \(2, 128\) in ROWS"):
        widening.multiply(quantise(torch.zeros(2, 128)), packed.bytes, packed.packing, None, out)
    with pytest.raises(ValueError, match="in TILES"):
        widening.multiply(quantise(torch.zeros(2, 256), Order.TILES), packed.bytes, packed.packing, None, out)
