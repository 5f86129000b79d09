"""Blocks that FlagGems' operators compute from sizes, by the keys under which they ask; functions take a launch's arguments by name."""

from collections.abc import Callable
from typing import Any

from triton import cdiv, next_power_of_2
from triton.runtime import driver

Arguments = dict[str, Any]
Heuristics = dict[str, Callable[[Arguments], Any]]
#: Elements of the largest block: they fit a core's first cache as float32.
_BLOCK = 4096
#: A row is loaded as one block up to this length; longer ones in a loop.
_ROW = 16384


def _at_most(limit: int, name: str) -> Callable[[Arguments], int]:
    """The size `name` as a power of two, `limit` at most."""
    return lambda args: min(limit, next_power_of_2(max(args[name], 1)))


def _constant(value: int) -> Callable[[Arguments], int]:
    return lambda args: value


def _divides(block: str, size: str) -> Callable[[Arguments], bool]:
    return lambda args: args[size] % args[block] == 0


def _same(one: str, other: str) -> Callable[[Arguments], bool]:
    return lambda args: args[one] == args[other]


def _small(*sizes: str) -> Callable[[Arguments], bool]:
    """Whether the sizes' product is a number of 32 bits."""

    def fits(args: Arguments) -> bool:
        count = 1
        for size in sizes:
            count *= args[size]
        return count < 1 << 31

    return fits


def _whole_row(args: Arguments) -> bool:
    return args["TILE_N"] >= args["N"]


def _row(args: Arguments) -> int:
    return next_power_of_2(args["N"]) if args["N"] <= _ROW else _BLOCK


def _columns(args: Arguments) -> int:
    """Columns that one program takes of M matrices with K of them: as many as leave a program for every thread."""
    threads = driver.active.utils.get_device_properties("cpu").multi_processor_count
    tile = 1
    while tile * 2 <= min(args["K"], 512) and args["M"] * cdiv(args["K"], tile * 2) >= threads:
        tile *= 2
    return tile


def _rows_of_columns(args: Arguments) -> int:
    """Rows of a block of TILE_K columns; no more than there are."""
    return min(next_power_of_2(args["N"]), max(1, _BLOCK // args["TILE_K"]))


def _batch_rows(args: Arguments) -> int:
    return min(512, next_power_of_2(args["batch_dim"]))


def _even_k(args: Arguments) -> bool:
    return args["K"] % (args["BLOCK_K"] * args["SPLIT_K"]) == 0


_RANDOM: Heuristics = {"BLOCK": _at_most(1024, "N")}
_COLUMNS: Heuristics = {"TILE_K": _columns, "TILE_N": _rows_of_columns, "ONE_TILE_PER_CTA": _whole_row}
_ROWS: Heuristics = {"TILE_N": _row, "ONE_TILE_PER_CTA": _whole_row}
_DIVISIBLE: Heuristics = {f"DIVISIBLE_{size}": _divides(f"TILE_{size}", size) for size in "MNK"}


def _attention(rows: int) -> Heuristics:
    return {"BLOCK_M": _constant(rows), "BLOCK_N": _constant(64), "num_warps": _constant(1), "num_stages": _constant(1)}


HEURISTICS_CONFIGS: dict[str, Heuristics] = {
    "argmax_inner": _ROWS,
    "argmax_non_inner": _COLUMNS,
    "argmin": {"BLOCK_M": _constant(4), "BLOCK_N": _at_most(1024, "N")},
    "baddbmm": _DIVISIBLE,
    "batch_norm": {
        "BLOCK_M": _batch_rows,
        "BLOCK_N": lambda args: min(next_power_of_2(args["spatial_dim"]), max(1, _BLOCK // _batch_rows(args))),
    },
    "bmm": _DIVISIBLE,
    "dropout": _RANDOM,
    "elementwise_generic": {"BLOCK_SIZE": _constant(1024), "num_warps": _constant(1)},
    "exponential_": _RANDOM,
    "gather": {"BLOCK_M": _constant(1), "BLOCK_N": _at_most(1024, "N")},
    "gather_block_quantized": {"BLOCK_SIZE_N": _at_most(1024, "N")},
    "index_select": {
        "BLOCK_M": lambda args: min(4, next_power_of_2(cdiv(256, args["N"]))),
        "BLOCK_N": lambda args: max(16, min(1024, next_power_of_2(args["N"]))),
    },
    "mean_non_inner": _COLUMNS,
    "mha_block_16": _attention(16),
    "mha_block_32": _attention(32),
    "mha_block_64": _attention(64),
    "mha_block_128": _attention(64),
    "mm": {"EVEN_K": _even_k},
    "rand": _RANDOM,
    "randn": _RANDOM,
    "softmax_backward_inner": {"TILE_M": lambda args: max(1, 1024 // args["TILE_N"]), "ONE_TILE_PER_CTA": _whole_row},
    "softmax_backward_non_inner": {"TILE_N": lambda args: max(1, 1024 // args["TILE_K"]), "ONE_TILE_PER_CTA": _whole_row},
    "softmax_inner": _ROWS,
    "softmax_non_inner": _COLUMNS,
    "uniform": _RANDOM,
    "upsample_nearest1d": {"SAME_L": _same("OL", "IL"), "USE_INT32_IDX": _small("N", "C", "OL")},
    "upsample_nearest2d": {"SAME_H": _same("OH", "IH"), "SAME_W": _same("OW", "IW"), "USE_INT32_IDX": _small("N", "C", "OH", "OW")},
    "upsample_nearest3d": {
        "SAME_D": _same("OD", "ID"),
        "SAME_H": _same("OH", "IH"),
        "SAME_W": _same("OW", "IW"),
        "USE_INT32_IDX": _small("N", "C", "OD", "OH", "OW"),
    },
    "var_mean": {"BLOCK_N": lambda args: next_power_of_2(args["BLOCK_NUM"])},
    "vdot": {"BLOCK_SIZE": _at_most(1024, "n_elements")},
}
