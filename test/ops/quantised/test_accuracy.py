"""Products with quantised weights, of data that is easy and that is hard to quantise, within the bound of their two roundings."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from targets import TARGETS, cache, cache_folder, choose

from triton_spacemit.ops import quantised
from triton_spacemit.ops.quantised.activations import quantise
from triton_spacemit.ops.quantised.formats import FORMATS
from triton_spacemit.ops.quantised.packings import get_packing

__all__ = ["cache", "cache_folder"]
N, K = 16, 256


def _data() -> Any:
    """The kinds of data that GGML's kernels and ours are compared with."""
    path = Path(__file__).parents[3] / "third_party" / "ggml" / "data.py"
    spec = importlib.util.spec_from_file_location("ggml_data", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DATA = _data()


@pytest.mark.parametrize("kind", DATA.ACTIVATIONS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("request_", TARGETS[:2])
def test_two_roundings(request_, name: str, kind: str) -> None:
    """Activations are off by half a step at most; what is then exact is added up in float32, group by group: each addition rounds once,
    and the scales, their product and a minimum's once each. Minima are of the other sign than what they are added to: both count."""
    choose(*request_)
    packing = get_packing(name)
    for weights, make in DATA.WEIGHTS.items():
        raw = make(name, (N, K))
        packed, matrix = quantised.pack(raw, name, (N, K)), quantised.dequantise(raw, name, torch.float64)
        parts = quantised.dequantise(raw, name, torch.float64).abs()
        if packing.minima == "float16":
            parts = 3 * parts + 20 * _steps(matrix, packing.group)
        for rows in (1, 5):
            x = DATA.ACTIVATIONS[kind](rows, K)
            activations = quantise(x)
            rounded = activations.dequantise()
            steps = activations.scales.double().repeat_interleave(32, 1)
            additions = (2 * K // packing.group + 8) * 2.0**-24 * (rounded.abs() @ parts.T) + 2.0**-126
            off = (steps * (0.5 + 2.0**-14)) @ matrix.abs().T
            out = quantised.linear(x, packed).double()
            assert ((out - rounded @ matrix.T).abs() <= additions).all(), (weights, rows)
            assert ((out - x.double() @ matrix.T).abs() <= off + additions).all(), (weights, rows)


def _steps(matrix: torch.Tensor, group: int) -> torch.Tensor:
    """For each weight, the largest difference of two in its group: no step between neighbouring integers is larger."""
    groups = matrix.unflatten(1, (-1, group))
    return (groups.amax(2) - groups.amin(2)).repeat_interleave(group, 1)
