"""One row times packed weights on the matrix unit: GGML's result bit for bit where it has one, within the stated bound in every format."""

import importlib

import numpy as np
import pytest
import torch
from quantised_weights import random_weights
from targets import cache, cache_folder

from triton_spacemit.backend import set_device
from triton_spacemit.backend.devices.counting import count
from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops.quantised import decode as module
from triton_spacemit.ops.quantised.activations import Activations, Order, quantise
from triton_spacemit.ops.quantised.decode import multiply_row, spread, takes
from triton_spacemit.ops.quantised.packed import Packed
from triton_spacemit.ops.quantised.packings import PACKINGS, Packing, get_packing, unpack_rows

__all__ = ["cache", "cache_folder"]
operators = importlib.import_module("triton_spacemit.ops.quantised.linear")  # the package has a function of that name
pytestmark = pytest.mark.qemu
ALL = [(name, packing.name) for name, row in PACKINGS.items() for packing in row.values()]


@pytest.fixture(autouse=True)
def x60() -> None:
    set_device("qemu", "x60")
    knobs.threads = 1


def row(steps: int, seed: int = 0) -> Activations:
    x = torch.randn(1, steps, generator=torch.Generator().manual_seed(seed))
    x[0, 32:64] = 0
    return quantise(x)


def decode(activations: Activations, packed: Packed, bias: torch.Tensor | None = None) -> torch.Tensor:
    out = torch.full((packed.shape[0],), 7.0)
    multiply_row(activations, packed.bytes, packed.packing, bias, out)
    return out


def exact(activations: Activations, packed: Packed, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """In float64 what the quantised values stand for, and the bound of the error."""
    a, parts = activations.dequantise()[0], packed.dequantise(torch.float64)
    products = parts @ a + (0 if bias is None else bias)
    minima = packed.packing.minima == "float16"
    magnitudes = parts.abs() @ a.abs() + (0 if bias is None else bias.abs())
    if minima:  # its parts are larger than the weights
        magnitudes = 3 * magnitudes + 16 * a.abs().sum()
    groups = packed.shape[1] // packed.packing.group
    return products, (groups + 5) * 2.0**-24 * magnitudes


@pytest.mark.parametrize(("columns", "steps"), [(16, 256), (37, 512), (1, 1280)])
@pytest.mark.parametrize(("name", "packing"), ALL)
def test_bound(name: str, packing: str, columns: int, steps: int) -> None:
    packed = random_weights(name, columns, steps, packing)
    activations = row(steps)
    bias = torch.linspace(-3, 3, columns) if columns > 1 else None
    expected, bound = exact(activations, packed, bias)
    out = decode(activations, packed, bias)
    assert ((out - expected).abs() <= bound).all()


@pytest.mark.parametrize("steps", [128, 160, 192, 224, 288, 1024])
@pytest.mark.parametrize(("name", "packing"), [("Q4_0", "q4_0x16"), ("Q4_1", "q4_1x16"), ("Q8_0", "q8_0x16"), ("Q4_1", "q4_1_exact_x16")])
def test_order(name: str, packing: str, steps: int) -> None:
    """Block by block in ascending order, each added by one fused operation: what GGML's kernel does. Any number of blocks from four on."""
    packed, activations = random_weights(name, 48, steps, packing), row(steps, 1)
    parts = unpack_rows(packed.packing, packed.bytes)
    integers = parts.integers.numpy().astype(np.int64)[:, :, :].reshape(48, -1, 32)
    if packing == "q4_1x16":
        integers = integers - packed.bytes[..., 32:48].movedim(-1, 1).flatten(0, 1).numpy().astype(np.int64)[:, :, None]
    values = activations.values.numpy().astype(np.int64).reshape(-1, 32)
    sums = (integers * values).sum(-1).astype(np.float32)
    scales = activations.scales.numpy().reshape(-1)
    total = np.zeros(48, np.longdouble)  # its product is exact, and its sum is rounded twice once in 2^40 times
    for block, scale in enumerate(scales):
        factor = scale * parts.scale.numpy()[:, block].astype(np.float32)
        total = (sums[:, block].astype(np.longdouble) * factor + total).astype(np.float32).astype(np.longdouble)
        if parts.minimum is not None:
            product = np.float32(scale * np.float32(values[block].sum()))
            minimum = parts.minimum.numpy()[:, block].astype(np.longdouble)
            total = (minimum * product + total).astype(np.float32).astype(np.longdouble)
    assert np.array_equal(decode(activations, packed).numpy(), total.astype(np.float32))


@pytest.mark.parametrize("threads", [2, 5])
def test_threads(threads: int) -> None:
    """However columns are spread over programs, each is the same."""
    packed, activations = random_weights("Q4_0", 16 * 23 - 5, 256), row(256)
    alone = decode(activations, packed)
    knobs.threads = threads
    assert torch.equal(decode(activations, packed), alone)


#: Instructions of the product alone for each `smt.vmadot` of 4 x 4 x 8, of 64 columns, at most.
MOST = {"Q4_0": 2.25, "Q4_1": 2.35, "Q4_K": 2.45, "Q8_0": 2.0, "Q5_0": 2.0, "Q5_1": 2.2, "Q5_K": 2.3}
MOST |= {"Q6_K": 3.0, "Q3_K": 3.45, "Q2_K": 3.45}  # groups of 16, the last two in nibbles, and the last one with minima


@pytest.mark.parametrize("name", MOST)
def test_instructions(name: str) -> None:
    """As many multiplications as there are weights, and few instructions beside them; with no multiplication that a row of zeros adds."""
    packed, activations = random_weights(name, 64, 1024), row(1024)
    decode(activations, packed)
    whole = count(lambda: decode(activations, packed))
    without = count(lambda: spread(activations, packed.packing))
    products = whole.by_mnemonic["smt.vmadot"]
    assert products == 64 * 1024 // 32
    assert (whole.instructions - without.instructions) / products <= MOST[name]


def spread_by_hand(activations: Activations, packing: Packing) -> list[torch.Tensor]:
    """Tiles [turns, 4, GROUP / 8, 4, 8], starts [turns, 4] and factors [turns, 2, 4], group by group."""
    group, count = packing.group, activations.columns // packing.group
    turns, zero = -(-count // 4), -packing.form.least if packing.nibbles else 0
    values = activations.values.view(count, group // 8, 8)
    scales = activations.scales[0].repeat_interleave(32 // group)
    tiles = torch.zeros(turns, 4, group // 8, 4, 8, dtype=torch.int8)
    starts, factors = torch.zeros(turns, 4, dtype=torch.int32), torch.zeros(turns, 2, 4)
    for number in range(count):
        place = number if number < 4 else number + 4 * turns - count
        turn, g = place // 4, place % 4
        total = values[number].int().sum()
        tiles[turn, g, :, g] = values[number]
        starts[turn, g] = -zero * total
        factors[turn, :, g] = torch.stack([scales[number], scales[number] * total])
    return [tiles, starts, factors]


@pytest.mark.parametrize("steps", [128, 160, 224, 288, 544, 2048, 4096 + 256])
@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q6_K"])
def test_spread(name: str, steps: int) -> None:
    """Every group in its place, whatever the number of turns; extreme bytes too."""
    packing = get_packing(name)
    if steps % packing.form.weights == 0:
        activations = row(steps, 3)
        activations.values[0, 64:96] = torch.tensor([-127, 127] * 8 + [127] * 16)
        activations.values[0, 96:112] = -127
        found = spread(activations, packing)
        for one, other in zip((found.tiles, found.starts, found.factors), spread_by_hand(activations, packing), strict=True):
            assert torch.equal(one.view(other.shape), other)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q6_K"])
@pytest.mark.parametrize("steps", [1024, 4096, 11008])
def test_instructions_for_activations(name: str, steps: int) -> None:
    """All that is done to a row before its product, quantising it too, takes at most an instruction for each element."""
    x, packing = torch.randn(1, steps, generator=torch.Generator().manual_seed(0)), get_packing(name)

    def prepare() -> None:
        spread(quantise(x, sums=False), packing)

    prepare()
    assert count(prepare).instructions <= steps


def test_bytes_are_read_once() -> None:
    """What is loaded of weights is their packed bytes: whole registers of integers, and of scales."""
    packed, activations = random_weights("Q4_0", 64, 1024), row(1024)
    decode(activations, packed)
    counts = count(lambda: decode(activations, packed)).by_mnemonic
    loaded = 32 * (8 * counts["vl8re8.v"] + counts["vl1re16.v"])
    assert loaded == packed.nbytes
    assert counts["vl8re32.v"] == counts["vsuxei32.v"] // 4  # sums, out of the first cache


def test_refused() -> None:
    packed, short = random_weights("Q4_0", 16, 256), random_weights("Q4_0", 16, 96)
    with pytest.raises(ValueError, match=r"weights \(1, 8, 288\) of q4_0x16 are not multiplied with a row of 128 into 16"):
        decode(row(128), packed)
    with pytest.raises(ValueError, match="are not multiplied with a row of 96 into 16"):
        decode(row(96), short)
    with pytest.raises(ValueError, match="one row in the order of rows, not 2 in ROWS"):
        decode(quantise(torch.zeros(2, 256)), packed)
    with pytest.raises(ValueError, match="not 1 in TILES"):
        decode(quantise(torch.zeros(1, 256), Order.TILES), packed)


@pytest.mark.parametrize(("chip", "steps", "taken"), [("x60", 128, True), ("x60", 96, False), ("x100", 128, True), ("a100", 256, False)])
def test_where_it_is_taken(chip: str, steps: int, taken: bool) -> None:
    """By tiles of four rows; `linear` takes another path elsewhere, with the same result within the bound."""
    set_device("qemu", chip)
    packed = random_weights("Q4_0", 37, steps)
    assert takes(packed.packing, steps) == taken
    x = torch.randn(1, steps, generator=torch.Generator().manual_seed(2))
    expected, bound = exact(quantise(x), packed, None)
    with pytest.MonkeyPatch.context() as patch:
        rows = []
        patch.setattr(operators, "multiply_row", lambda *args: rows.append(args[0].rows) or multiply_row(*args))
        out = operators.linear(x, packed)[0]
    assert rows == [1] * taken
    assert ((out - expected).abs() <= bound).all()


def test_same_code_for_like_formats() -> None:
    """Q5_0 lies as Q8_0: one kernel serves both."""
    compiled = module._BLOCKS._compiled
    before = len(compiled)
    for name in ("Q8_0", "Q5_0"):
        decode(row(256), random_weights(name, 16, 256))
        assert len(compiled) <= before + 1
