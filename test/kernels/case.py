"""What a kernel is tested, shown and measured with: its wrapper, a reference in torch, inputs, and a bound on the error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One kernel.

    run: the wrapper, `run(*inputs)`. reference: the same function of the same inputs in float64 or exact integers. inputs: makes them,
    `inputs(dtype=..., size=..., seed=...)`. bound: `bound(*inputs)`, the largest allowed |run - reference|, as a number or a tensor
    of the result's shape; 0 for exact ones.
    """

    name: str
    run: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: Callable[..., tuple[Any, ...]]
    bound: Callable[..., Any]


def random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    """Reproducible values: normal ones for floats, the whole range for integers of 8 bits, else -1000..1000 (0..1000 unsigned)."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).to(dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    low, high = (torch.iinfo(dtype).min, torch.iinfo(dtype).max + 1) if dtype.itemsize == 1 else (-1000, 1001)
    return torch.randint(max(low, torch.iinfo(dtype).min), high, shape, generator=generator).to(dtype)


def epsilon(dtype: torch.dtype) -> float:
    """Half the distance from 1 to the next number: the relative error of one rounding; 0 for integers."""
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point else 0.0


def rounding(expected: torch.Tensor, dtype: torch.dtype, ulps: float = 1.0) -> torch.Tensor:
    """The error of `ulps` roundings of `expected` to `dtype`, and never less than as many steps of the smallest subnormal number."""
    if not dtype.is_floating_point:
        return torch.zeros_like(expected, dtype=torch.float64)
    smallest = torch.finfo(dtype).tiny * torch.finfo(dtype).eps
    return ulps * torch.clamp(expected.double().abs() * epsilon(dtype), min=smallest)


def exact(*_: Any) -> float:
    """The bound of a kernel that computes nothing, or only integers."""
    return 0.0


def error_ratio(actual: Any, expected: Any, bound: Any) -> float:
    """The largest |actual - expected| / bound over all elements: at most 1 where the result is right; inf for a wrong NaN or infinity."""
    if isinstance(actual, tuple | list):
        bounds = bound if isinstance(bound, tuple | list) else [bound] * len(actual)
        return max(error_ratio(*parts) for parts in zip(actual, expected, bounds, strict=True))
    if actual.shape != expected.shape:
        raise AssertionError(f"the result has the shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    if not (actual.dtype.is_floating_point or expected.dtype.is_floating_point):
        return 0.0 if torch.equal(actual.to(expected.dtype), expected) else float("inf")
    actual, expected = actual.double(), expected.double()
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    error = torch.where(same, 0.0, (actual - expected).abs())
    ratio = torch.where(error == 0, 0.0, error / torch.as_tensor(bound, dtype=torch.float64))
    return float(torch.nan_to_num(ratio, nan=float("inf"), posinf=float("inf")).max()) if ratio.numel() else 0.0
