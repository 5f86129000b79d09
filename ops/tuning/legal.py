"""Micro-tiles that SpacemiT's matrix units take, and the correction of configurations with others."""

import warnings
from collections.abc import Mapping
from typing import Any

from triton_spacemit.dialect.chips import Chip

MicroTile = tuple[int, int, int]
MICRO = ("MICRO_M", "MICRO_N", "MICRO_K")

_PRODUCTS = ("mm", "bmm", "addmm", "attention")
_X60: dict[str, MicroTile] = {"float32": (8, 32, 32), "float16": (16, 32, 8)}
_A60: dict[str, MicroTile] = {"float32": (8, 32, 32), "float16": (8, 16, 16)}
_A200M: dict[str, MicroTile] = {"float32": (8, 32, 32), "float16": (32, 32, 2)}

#: SpacemiT's id of a core, an operator and a dtype to the micro-tile: its rows, columns and steps.
LEGAL_CONFIGS: dict[str, dict[str, dict[str, MicroTile]]] = {
    arch_id: dict.fromkeys(_PRODUCTS, tiles)
    for arch_id, tiles in {"0x503C": _X60, "0xA03C": _A60, "0xA064": _X60, "0xF000": _A200M}.items()
}


def legal_tile(chip: Chip, operator: str, dtype: str) -> MicroTile | None:
    """The micro-tile for an operator and a dtype (another dtype has that of float32); None where the chip or the operator has none."""
    for arch_id in chip.arch_ids:
        tiles = LEGAL_CONFIGS.get(arch_id, {}).get(operator)
        if tiles is not None:
            return tiles.get(dtype, tiles["float32"])
    return None


def pre_hook(config: Mapping[str, Any], chip: Chip, operator: str, dtype: str) -> dict[str, Any]:
    """`config` as it is launched: an illegal micro-tile is replaced by the legal one, and a warning names both."""
    legal = legal_tile(chip, operator, dtype)
    if legal is None:
        return {**config, **dict.fromkeys(MICRO, 0)}
    chosen = tuple(config.get(name, size) for name, size in zip(MICRO, legal, strict=True))
    if chosen != legal:
        warnings.warn(
            f"{operator} of {dtype} on {chip.name} ({', '.join(chip.arch_ids)}): the micro-tile {_written(chosen)} is not legal; "
            f"{_written(legal)} is used",
            RuntimeWarning,
            stacklevel=2,
        )
    return {**config, **dict(zip(MICRO, legal, strict=True))}


def _written(tile: tuple[int, ...]) -> str:
    return " x ".join(map(str, tile))
