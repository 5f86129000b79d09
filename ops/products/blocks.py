"""The choice of a path and of blocks for a product: what was tuned for its class of shapes, else by its sizes and the threads."""

import functools

from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.ops.sizes import power_of_two
from triton_spacemit.ops.tuning.legal import pre_hook
from triton_spacemit.ops.tuning.tables import Config, loader, shape_class

_WHOLE_K = 512  # up to so many steps, operands are used for as long as they stay in the second cache
_LARGEST, _LEAST = 256, 32  # rows and columns of a block
_TALL = 512  # from so many rows on, laying out B once for all is worth the threads' coming together


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)


def heuristic(batch: int, m: int, n: int, k: int, laid_out: bool, threads: int) -> Config:
    """A choice by sizes. laid_out: whether the rows of B are contiguous, so that it is used where it lies."""
    rows, columns = min(power_of_two(m), _LARGEST), min(power_of_two(n), _LARGEST)
    steps = power_of_two(k)
    if not laid_out and m >= _TALL and k <= _WHOLE_K and k * 16 >= steps * 15:
        columns = min(columns, 128)
        config = {"BLOCK_M": min(power_of_two(m), 4096), "BLOCK_N": columns, "BLOCK_K": steps, "PART_M": 128, "PART_N": 1}
        if batch * _cdiv(n, columns) >= threads:
            return {"PATH": "SPLIT_M", **config}
        return {"PATH": "SPLIT_N", **config, "PART_N": max(_LEAST, columns // power_of_two(threads))}
    whole = k <= _WHOLE_K

    def programs() -> int:
        return batch * _cdiv(m, rows) * _cdiv(n, columns)

    # Smaller blocks load more for each multiplication: from 64 on only where a thread would have nothing to do for long.
    while max(rows, columns) > (2 * _LEAST if whole or programs() >= threads else _LEAST) and programs() < 2 * threads:
        if rows >= columns:
            rows //= 2
        else:
            columns //= 2
    return {
        "PATH": "EVEN_K" if whole else "SPLIT_K",
        "BLOCK_M": rows,
        "BLOCK_N": columns,
        "BLOCK_K": steps if whole else _LARGEST,
        "PART_M": 1,
        "PART_N": 1,
    }


def _holds(config: Config, k: int) -> bool:
    """Whether a configuration of a class of shapes is one for this k: all of it, and little more where B is laid out with zeros behind."""
    steps = config["BLOCK_K"]
    return config["PATH"] == "SPLIT_K" or k <= steps and (config["PATH"] == "EVEN_K" or k * 16 >= steps * 15)


def layout(a_k: int, b_j: int) -> str:
    """`n` for each operand whose rows are contiguous, `t` for others."""
    return ("n" if a_k == 1 else "t") + ("n" if b_j == 1 else "t")


@functools.lru_cache(4096)
def choose(operator: str, chip: str, dtype: str, batch: int, m: int, n: int, k: int, lies: str, threads: int) -> tuple[Config, int, int]:
    """The constants of `matrix_product`, and how many programs there are along rows and columns. lies: what `layout` says."""
    shapes = shape_class(dtype, {"b": batch, "m": m, "n": n, "k": k}, threads, lies)
    config = loader(chip).find(operator, shapes)
    if config is None or not _holds(config, k):
        config = heuristic(batch, m, n, k, lies[1] == "n", threads)
    return pre_hook(config, get_chip(chip), operator, dtype), _cdiv(m, config["BLOCK_M"]), _cdiv(n, config["BLOCK_N"])
