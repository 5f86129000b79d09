"""Weights rounded to blocks: the bytes of GGML's reference."""

import gguf
import numpy as np
import pytest
import torch

from triton_spacemit.ops.quantised.errors import FormatError
from triton_spacemit.ops.quantised.formats import FORMATS, dequantise
from triton_spacemit.ops.quantised.rounding import ROUNDED, quantise


def cases() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((64, 256)).astype(np.float32)
    return {
        "normal": normal,
        "small": normal * np.float32(1e-6),
        "large": normal * np.float32(1e4),
        "beyond float16": normal * np.float32(1e6),
        "positive": np.abs(normal) + 1,
        "halves": np.round(normal * 8) / 8,
        "equal": np.full((2, 64), -0.3, np.float32),
        "zeros": np.zeros((2, 64), np.float32),
        "negative zeros": -np.zeros((2, 64), np.float32),
        "largest of both signs": np.tile(np.array([1, -1, 1, -1, 0.5, -0.5, 0.25, 0], np.float32), (2, 16)),
        "below one half": np.tile(np.array([127, 0.49999997, -0.49999997, 0.5, -0.5, 1.5, 2.5, -2.5], np.float32), (1, 8)),
    }


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("name", ROUNDED)
def test_bytes_are_those_of_ggml(name, case):
    weights = cases()[case]
    with np.errstate(over="ignore"):
        expected = gguf.quantize(weights, gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(quantise(torch.from_numpy(weights), name).numpy(), expected)


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_rounded_to_float32_first(name, dtype):
    weights = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert torch.equal(quantise(weights, name), quantise(weights.float(), name))


@pytest.mark.parametrize("name", ROUNDED)
def test_the_error_is_half_a_step(name):
    """Of the range's width over the number of steps; Q4_0 and Q5_0 lose up to a whole step at the end that their integers lack."""
    form = FORMATS[name]
    weights = torch.randn(50, 256, generator=torch.Generator().manual_seed(2))
    blocks = weights.unflatten(-1, (-1, 32))
    if name == "Q8_0":
        step, steps = blocks.abs().amax(-1, keepdim=True) / 127, 0.5
    elif form.least:
        step, steps = blocks.abs().amax(-1, keepdim=True) / -form.least, 1.0
    else:
        step, steps = (blocks.amax(-1, keepdim=True) - blocks.amin(-1, keepdim=True)) / form.most, 0.5
    error = (dequantise(quantise(weights, name), name).unflatten(-1, (-1, 32)) - blocks).abs()
    half = 2.0**-11 * blocks.abs().amax(-1, keepdim=True) * 2  # scale and minimum are rounded to float16
    assert (error <= steps * step + half).all()


def test_scales_without_an_inverse():
    """The inverse of a scale below 2 ** -128 is infinite; the scale is 0 in float16, and so are the weights."""
    tiny = torch.full((1, 32), 1e-44)
    for name in ROUNDED:
        assert not dequantise(quantise(tiny, name), name).any()


def test_what_cannot_be_rounded():
    weights = torch.randn(2, 64)
    with pytest.raises(FormatError, match="weights cannot be rounded to Q4_K; they can be to Q4_0, Q4_1, Q5_0, Q5_1, Q8_0"):
        quantise(weights, "Q4_K")
    with pytest.raises(FormatError, match="no such format of weights: 'Q4'"):
        quantise(weights, "Q4")
    with pytest.raises(FormatError, match="a row of 33 is not whole blocks"):
        quantise(torch.randn(2, 33), "Q4_0")
    with pytest.raises(FormatError, match=r"floating-point weights are wanted, not \(2, 64\) of torch.int64"):
        quantise(weights.long(), "Q4_0")
    for value in (float("nan"), float("inf")):
        weights[1, 5] = value
        with pytest.raises(FormatError, match="infinite or no numbers"):
            quantise(weights, "Q8_0")
