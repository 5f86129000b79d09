"""Rows times packed weights on the host's vector unit: bit for bit what one row is on the matrix unit, whatever is beside it."""

import pytest
import torch
from quantised_weights import random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.activations import Order, quantise
from triton_spacemit.ops.quantised.decode import multiply_row
from triton_spacemit.ops.quantised.formats import FORMATS
from triton_spacemit.ops.quantised.packings import get_packing
from triton_spacemit.ops.quantised.vectors import has_vectors, multiply_rows
from triton_spacemit.passes import remarks

__all__ = ["cache", "cache_folder"]


@pytest.fixture(autouse=True)
def host() -> None:
    set_device("host")
    knobs.threads = 1
    if not has_vectors():
        pytest.skip("this machine's vector unit multiplies no bytes (AVX-512 VNNI)")


def rows_of(count: int, steps: int) -> torch.Tensor:
    x = torch.randn(count, steps, generator=torch.Generator().manual_seed(count))
    x[:, 32:64] = 0
    return x


@pytest.mark.qemu
@pytest.mark.parametrize("name", FORMATS)
def test_as_on_the_matrix_unit(name: str) -> None:
    """Bit for bit, whatever rows and columns are beside one."""
    steps = max(FORMATS[name].weights, 224)
    packed, x = random_weights(name, 37, steps), rows_of(19, steps)
    bias = torch.linspace(-3, 3, 37)
    out = torch.full((19, 37), 7.0)
    multiply_rows(quantise(x), packed.bytes, packed.packing, bias, out)
    for count in (1, 2, 3, 5, 8, 9):
        part = torch.full((count, 37), 7.0)
        multiply_rows(quantise(x[:count]), packed.bytes, packed.packing, bias, part)
        assert torch.equal(part, out[:count]), count
    set_device("qemu", "x60")
    for row in (0, 18):
        expected = torch.empty(37)
        multiply_row(quantise(x[row : row + 1]), packed.bytes, packed.packing, bias, expected)
        assert torch.equal(out[row], expected)


@pytest.mark.parametrize("extreme", [-128, 127])
@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_extremes(name: str, extreme: int) -> None:
    """All bytes as large as they can be, of activations and weights: sums of 32 products of 127 * 128."""
    packed = random_weights(name, 16, 64)
    values = packed.bytes.clone()
    values[..., 32:] = extreme & 255 if name == "Q8_0" else 0 if extreme < 0 else 255
    x = torch.full((3, 64), -5.0)
    x[1] = 5
    out = torch.empty(3, 16)
    activations = quantise(x)
    multiply_rows(activations, values, packed.packing, None, out)
    weight = extreme if name == "Q8_0" else -8 if extreme < 0 else 7
    scale = values[..., :32].clone().view(torch.float16).view(2, 16).double().sum(0)
    expected = activations.dequantise()[:, :1] * 32 * weight * scale
    assert torch.allclose(out.double(), expected, rtol=1e-6)


@pytest.mark.parametrize("threads", [2, 3])
def test_linear(threads: int) -> None:
    """What `quantised.linear` gives on the host, of any strides, on threads."""
    packed, x = random_weights("Q4_K", 16 * 9, 512), rows_of(11, 512)
    out = torch.empty(11, 16 * 9)
    multiply_rows(quantise(x), packed.bytes, packed.packing, None, out)
    knobs.threads = threads
    assert torch.equal(quantised.linear(x, packed), out)
    assert torch.equal(quantised.linear(x.t().contiguous().t()[None], packed), out[None])
    assert torch.equal(quantised.linear(x.bfloat16(), packed), quantised.linear(x.bfloat16().float(), packed).bfloat16())


@pytest.mark.parametrize("name", ["Q4_1", "Q6_K"])
def test_loops_in_registers(name: str, tmp_path) -> None:
    """The inner loops are such ones: no buffer of operands or sums is written in them."""
    from triton import knobs as triton_knobs

    packed, heard = random_weights(name, 16, 256), []
    with triton_knobs.cache.scope(), remarks.heard(lambda location, text: heard.append(text)):
        triton_knobs.cache.dir = str(tmp_path)
        from triton_spacemit.ops.quantised import vectors

        for kernel in (vectors._BLOCKS, vectors._SUPER_BLOCKS):
            kernel._compiled.clear()
            kernel.function.device_caches.clear()
        multiply_rows(quantise(rows_of(8, 256)), packed.bytes, packed.packing, None, torch.empty(8, 16))
    assert [text for text in heard if "in registers" in text or "product of" in text] == ["loop in registers"]


def test_refused() -> None:
    packed, x = random_weights("Q4_0", 16, 256), rows_of(2, 256)
    for activations, shape in ((quantise(x), (3, 16)), (quantise(x), (2, 48)), (quantise(x[:, :128]), (2, 16))):
        with pytest.raises(ValueError, match=r"weights \(1, 8, 288\) of q4_0x16 are not multiplied with rows"):
            multiply_rows(activations, packed.bytes, packed.packing, None, torch.empty(shape))
    with pytest.raises(ValueError, match="in TILES into"):
        multiply_rows(quantise(x, Order.TILES), packed.bytes, packed.packing, None, torch.empty(2, 16))
    points = random_weights("Q4_1", 16, 256, "q4_1x16")
    with pytest.raises(ValueError, match="of q4_1x16 are not multiplied"):
        multiply_rows(quantise(x), points.bytes, get_packing("Q4_1", "q4_1x16"), None, torch.empty(2, 16))
