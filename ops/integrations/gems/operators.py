"""Operators that FlagGems does not run as they stand: this project's own in their place, and corrections of what is wrong on every device.

Own operators take the place of FlagGems' where it registers them with PyTorch (`use_gems`, `enable`, `only_enable`), for every overload of
`triton_spacemit.ops.registry` but those of `SLOWER`; what they do not take (NotImplemented) is FlagGems' operator's. Functions such as
`flag_gems.mm` remain FlagGems'.
"""

import functools
import sys
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from triton import cdiv

from triton_spacemit.ops.library import implementation_of
from triton_spacemit.ops.plans import planned
from triton_spacemit.ops.registry import OPERATORS

#: Own operators that are no faster than FlagGems', on one thread of the host.
SLOWER = ("embedding",)
#: Overloads to where their implementations are.
OWN = {overload: place for row in OPERATORS if row.name not in SLOWER for overload, place in row.overloads.items()}

#: Kernels of `flag_gems.ops.grid_sample` that one program runs for a block of the output.
TILED_SAMPLING = tuple(
    f"grid_sample_{kind}_{padding}_tiled_kernel"
    for kind in ("2d_nearest", "2d_bilinear", "3d_nearest", "3d_trilinear")
    for padding in ("zeros", "border", "reflection")
)


def register_impl(original: Callable[..., None]) -> Callable[..., None]:
    """FlagGems' registration of one overload, with this project's operator before its own."""

    def register(self: Any, key: str, function: Callable[..., Any], *rest: Any) -> None:
        original(self, key, _own_before(OWN[key], function) if key in OWN else function, *rest)

    return register


def _own_before(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
    own: Callable[..., Any] | None = None  # imported when it is first called

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal own
        own = own or planned(implementation_of(place), function)
        return own(*args, **kwargs)

    return call


class CountedByBlocks:
    """A kernel launched with as many programs as its blocks make, whatever the second dimension of the grid asks for.

    The operator counts programs by blocks of its own choice, the tuner chooses the kernel's: with smaller ones pixels are left out.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, int]) -> Any:
        def programs(arguments: dict[str, Any]) -> tuple[int, int]:
            sides = [side for side in "DHW" if f"BLOCK_{side}" in arguments]
            return grid[0], prod(cdiv(arguments[f"{side}_out"], arguments[f"BLOCK_{side}"]) for side in sides)

        return self.kernel[programs]


def where_self_out(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`torch.where` by FlagGems' kernel; its own function looks for an operand that is not on the CPU, and finds none.

    Raises RuntimeError, as PyTorch, for a condition that is not bool and an `out` of another type than the result's.
    """
    module = sys.modules[original.__module__]

    def where(condition: torch.Tensor, self: Any, other: Any, out: torch.Tensor | None = None) -> torch.Tensor:
        dtype = torch.result_type(self, other)
        if condition.dtype != torch.bool:
            raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}")
        if out is not None and out.dtype != dtype:
            raise RuntimeError(f"Expected out type to be {dtype} but got {out.dtype}")
        operands = [condition, *(torch.as_tensor(operand).to(dtype) for operand in (self, other))]
        if out is None:
            out = torch.empty(torch.broadcast_shapes(*(operand.shape for operand in operands)), dtype=dtype)
        module.where_inner.instantiate(max(operand.ndim for operand in operands))
        module.where_inner(*operands, out0=out)
        return out

    return where


def never(*_: Any) -> bool:
    return False
