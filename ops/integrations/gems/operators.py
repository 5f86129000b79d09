"""Operators of FlagGems that are not its own as they stand: those that it gets wrong on every device are corrected here."""

from math import prod
from typing import Any

from triton import cdiv

#: Kernels of `flag_gems.ops.grid_sample` that one program runs for a block of the output.
TILED_SAMPLING = tuple(
    f"grid_sample_{kind}_{padding}_tiled_kernel"
    for kind in ("2d_nearest", "2d_bilinear", "3d_nearest", "3d_trilinear")
    for padding in ("zeros", "border", "reflection")
)


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
