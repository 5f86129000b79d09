"""Random packed weights whose scales are numbers as models have them, and the bound of products with them."""

import dataclasses

import torch

from triton_spacemit.ops.quantised.activations import Activations
from triton_spacemit.ops.quantised.formats import get_format
from triton_spacemit.ops.quantised.packed import Packed, pack


def random_weights(name: str, rows: int, steps: int, packing: str | None = None, seed: int = 0) -> Packed:
    """Weights (rows, steps): any integers and factors, scales from -0.03 to 0.07, minima from -0.3 to 0.7."""
    form, generator = get_format(name), torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (rows, steps // form.weights, form.size), dtype=torch.uint8, generator=generator)
    parts = form.read(raw)
    scale = (torch.rand(parts.scale.shape, generator=generator) * 0.1 - 0.03).half()
    minimum = None if parts.minimum is None else (torch.rand(parts.scale.shape, generator=generator) - 0.3).half()
    return pack(form.write(dataclasses.replace(parts, scale=scale, minimum=minimum)), name, (rows, steps), packing)


def check_product(found: torch.Tensor, activations: Activations, packed: Packed, bias: torch.Tensor | None = None) -> None:
    """Against what the quantised values stand for, in float64: each group adds a rounded product, and its minima another."""
    a, weights = activations.dequantise(), packed.dequantise(torch.float64)
    added = torch.zeros(packed.shape[0]) if bias is None else bias
    magnitudes = a.abs() @ weights.abs().T + added.abs()
    if packed.packing.minima:  # its parts are larger than the weights
        magnitudes = 3 * magnitudes + 16 * a.abs().sum(1, keepdim=True)
    groups = packed.shape[1] // packed.packing.group
    assert ((found - (a @ weights.T + added)).abs() <= (groups + 5) * 2.0**-24 * magnitudes).all()
