"""Packed bytes: every one where the documentation puts it, GGML's values, and the raw blocks again."""

import gguf
import numpy as np
import pytest
import torch
from gguf_files import HALVES, raw_blocks

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import FORMATS, values_of
from triton_spacemit.ops.quantised.packed import Packed, pack
from triton_spacemit.ops.quantised.packings import PACKINGS

EXACT = [(name, packing.name) for name, row in PACKINGS.items() for packing in row.values() if packing.exact]
ROUNDED = [(name, packing.name) for name, row in PACKINGS.items() for packing in row.values() if not packing.exact]


def dequantised(name: str, raw: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return gguf.dequantize(raw, gguf.GGMLQuantizationType[name])


def as_documented(packed: Packed, name: str, n: int, k: int) -> np.float32:
    """One weight, read from the packed bytes by the text in `packings.py` and nothing else."""
    widths = {"Q2_K": (256, 16, 2), "Q3_K": (256, 16, 1), "Q4_K": (256, 32, 2), "Q5_K": (256, 32, 2), "Q6_K": (256, 16, 1)}
    block, group, factors = widths.get(name, (32, 32, 0))
    minima = name in ("Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K")
    column, step, part = n % 16, k % group, k % block // group
    memory = packed.bytes.numpy()[n // 16, k // block].tobytes()

    def half(place: int) -> np.float32:
        return np.frombuffer(memory, np.float16, 1, place)[0].astype(np.float32)

    head = 64 if minima else 32
    nibbles = name.startswith("Q4") or packed.packing.name in ("q2_k_exact_x16", "q3_k_exact_x16")
    size = 16 * factors + 16 * group // (2 if nibbles else 1)
    start = head + part * size
    scale = half(2 * column)
    if factors:
        factor = memory[start + column]
        scale = scale * np.float32(factor - 256 if name in ("Q3_K", "Q6_K") and factor > 127 else factor)
    integers = start + 16 * factors
    if nibbles:
        byte = memory[integers + step // 16 * 128 + 8 * column + step % 8]
        integer = (byte >> 4 if step % 16 >= 8 else byte & 15) - {"Q4_0": 8, "Q3_K": 4}.get(name, 0)
    else:
        byte = memory[integers + step // 8 * 128 + 8 * column + step % 8]
        integer = byte - 256 if byte > 127 else byte
    weight = scale * np.float32(integer)
    if minima:
        minimum = half(32 + 2 * column)
        weight = weight - minimum * np.float32(memory[start + 16 + column]) if factors else weight + minimum
    return weight


@pytest.mark.parametrize(("name", "packing"), EXACT)
def test_every_byte_is_where_the_documentation_says(name, packing):
    raw = raw_blocks(name, 19, 512)
    packed = pack(torch.from_numpy(raw), name, (19, 512), packing)
    assert packed.packing.name == packing
    with np.errstate(all="ignore"):
        weights = np.array([[as_documented(packed, name, n, k) for k in range(512)] for n in range(32)])
    np.testing.assert_array_equal(weights[:19], dequantised(name, raw))
    assert not weights[19:].any()  # what fills up the last 16


@pytest.mark.parametrize("shape", [(1, 256), (16, 512), (33, 768), (3, 17, 256)], ids=str)
@pytest.mark.parametrize(("name", "packing"), EXACT)
def test_raw_blocks_come_back(name, packing, shape, monkeypatch):
    monkeypatch.setattr("triton_spacemit.ops.quantised.packed._AT_ONCE", 20 * 768)  # several pieces
    raw = torch.from_numpy(raw_blocks(name, shape[0] * shape[1] if len(shape) == 3 else shape[0], shape[-1], seed=1))
    packed = pack(raw, name, shape, packing)
    assert torch.equal(packed.unpack().flatten(), raw.flatten())
    weights = packed.dequantise()
    assert tuple(weights.shape) == shape
    np.testing.assert_array_equal(weights.numpy(), dequantised(name, raw.numpy()).reshape(shape))
    np.testing.assert_array_equal(quantised.dequantise(raw, name).numpy(), dequantised(name, raw.numpy()))


@pytest.mark.parametrize("name", FORMATS)
def test_float64_is_exact(name):
    raw = torch.from_numpy(raw_blocks(name, 4, 512, seed=2, plain=True))
    exact = pack(raw, name, (4, 512)).dequantise(torch.float64)
    rounded = torch.from_numpy(dequantised(name, raw.numpy()))
    # GGML rounds the product, which is exact, and the sum with the minimum: half a unit in the last place of the sum
    assert torch.equal(exact.float(), rounded)


def test_the_table_of_formats_is_ggmls():
    for name, form in FORMATS.items():
        kind = gguf.GGMLQuantizationType(form.number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (form.weights, form.size))


def test_q4_0_is_ggmls_block():
    """A block by hand: `make_block_q4_0x16` interleaves 16 blocks so that byte j of a column has the steps j and j + 8 of each half."""
    raw = np.zeros((16, 18), np.uint8)
    raw[5, :2] = (0x34, 0x12)
    raw[5, 2:] = [low | high << 4 for low, high in zip(range(16), reversed(range(16)), strict=True)]
    memory = pack(torch.from_numpy(raw), "Q4_0", (16, 32)).bytes.numpy().tobytes()
    assert len(memory) == 288
    assert memory[10:12] == b"\x34\x12"
    assert list(memory[32 + 40 : 32 + 48]) == [j | (j + 8) << 4 for j in range(8)]
    assert list(memory[160 + 40 : 160 + 48]) == [(15 - j) | (7 - j) << 4 for j in range(8)]
    assert not any(memory[32:72])
    assert not any(memory[80:200])


@pytest.mark.parametrize(("name", "packing"), ROUNDED)
def test_zero_points_are_rounded_as_ggml_does(name, packing):
    raw = raw_blocks(name, 16, 512, seed=3, plain=True)
    raw[3, HALVES[name][0] : HALVES[name][0] + 2] = 0  # a scale of 0: the minimum over it is infinite, or NaN
    packed = pack(torch.from_numpy(raw), name, (16, 512), packing)
    assert packed.bytes.shape == (1, 16, 304)
    form = FORMATS[name]
    values = values_of(form, form.read(torch.from_numpy(raw).unflatten(-1, (-1, form.size))))
    scales, minima = (each.half().flatten(1).numpy() for each in (values.scales, values.minima))
    integers = values.integers.reshape(16, 16, 32).numpy()
    expected = np.empty((16, 16, 32), np.float32)
    memory = packed.bytes.numpy()[0]
    for n in range(16):
        for block in range(16):
            scale, minimum = np.float32(scales[n, block]), np.float32(minima[n, block])
            with np.errstate(all="ignore"):
                point = -np.rint(minimum / scale)  # nearbyintf
            point = min(15, max(0, 0 if np.isnan(point) else point))  # std::max(0.0f, NaN) is 0
            assert memory[block, 32 + n] == point
            assert memory[block, 2 * n : 2 * n + 2].view(np.float16)[0] == scale
            expected[n, block] = scale * (integers[n, block] - point)
    np.testing.assert_array_equal(packed.dequantise().numpy(), expected.reshape(16, 512))
    with pytest.raises(FormatError, match=f"packed as {packing}: its minima were rounded"):
        packed.unpack()
