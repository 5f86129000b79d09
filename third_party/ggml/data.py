"""Data for comparisons: random weights in GGML's formats, and activations, of kinds that are easy and that are hard to quantise."""

import dataclasses
import functools
from collections.abc import Callable

import torch

from triton_spacemit.ops.quantised.formats import get_format


def random_weights(name: str, shape: tuple[int, int], seed: int = 0, straddles: bool = True) -> torch.Tensor:
    """Raw blocks of random weights (N, K) of some hundredths; with minima, around zero as those of models are, or all above it."""
    form, generator = get_format(name), torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (shape[0], shape[1] // form.weights, form.size), dtype=torch.uint8, generator=generator)
    parts = form.read(raw)
    scale = (torch.rand(parts.scale.shape, generator=generator) * 0.004 + 0.001) / (1 if parts.scales is None else 32)
    minimum = None
    if parts.minimum is not None:
        middle = torch.rand(parts.scale.shape, generator=generator) * 6 + 5
        minimum = (scale * middle * (-1 if parts.minima is None else 1) if straddles else scale * 3).half()
        if parts.minima is not None and straddles:
            parts = dataclasses.replace(parts, minima=parts.scales)
    return form.write(dataclasses.replace(parts, scale=scale.half(), minimum=minimum)).flatten(1)


def _generator(rows: int, columns: int) -> torch.Generator:
    return torch.Generator().manual_seed(rows * 65_537 + columns)


def normal(rows: int, columns: int) -> torch.Tensor:
    """Normally distributed numbers."""
    return torch.randn(rows, columns, generator=_generator(rows, columns))


def outliers(rows: int, columns: int) -> torch.Tensor:
    """In every block of 32, one number that is 100 times as large as the others."""
    x = normal(rows, columns)
    x[:, 7::32] *= 100
    return x


def cancelling(rows: int, columns: int) -> torch.Tensor:
    """Neighbours that are nearly each other's opposite: sums are a hundredth of what they are sums of."""
    x = normal(rows, columns)
    x[:, 1::2] = -x[:, ::2] * (1 + 0.01 * x[:, 1::2])
    return x


def sparse(rows: int, columns: int) -> torch.Tensor:
    """One of ten numbers is not zero, and no number of every second block is."""
    x = normal(rows, columns)
    x *= torch.rand(rows, columns, generator=_generator(columns, rows)) < 0.1
    x.view(rows, -1, 32)[:, ::2] = 0
    return x


def wide(rows: int, columns: int) -> torch.Tensor:
    """Blocks of magnitudes from 2^-40 to 2^40."""
    power = torch.randint(-40, 41, (rows, columns // 32, 1), generator=_generator(columns, rows))
    return (normal(rows, columns).view(rows, -1, 32) * 2.0**power).flatten(1)


def integers(rows: int, columns: int) -> torch.Tensor:
    """Whole numbers, which 8 bits hold: what is left are the weights' errors."""
    x = normal(rows, columns).mul(40).round().clamp(-127, 127)
    x[:, ::32] = 127
    return x


ACTIVATIONS: dict[str, Callable[[int, int], torch.Tensor]] = {
    "normal": normal,
    "outliers": outliers,
    "cancelling": cancelling,
    "sparse": sparse,
    "wide": wide,
    "tiny": lambda rows, columns: normal(rows, columns) * 2.0**-100,
    "huge": lambda rows, columns: normal(rows, columns) * 2.0**100,
    "integers": integers,
}
WEIGHTS = {"around zero": random_weights, "above zero": functools.partial(random_weights, straddles=False)}
