"""What `triton-spacemit tune` measures: operators on shapes, and the configurations that may be the best."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from triton_spacemit.ops.convolution import blocks as convolution_blocks
from triton_spacemit.ops.convolution import layouts
from triton_spacemit.ops.convolution.forward import add_up
from triton_spacemit.ops.products import blocks as product_blocks
from triton_spacemit.ops.products.matrices import bmm, mm
from triton_spacemit.ops.sizes import power_of_two
from triton_spacemit.ops.tuning.tables import Config, size_class

_WHOLE_K = 1024  # steps of k that a program may take at once


@dataclass(frozen=True)
class Problem:
    """sizes, words: of the class of shapes. heuristic: what is chosen where nothing is tuned, by the number of threads. call: the operator
    on tensors of that class. forget: let choices be made anew.
    """

    operator: str
    dtype: torch.dtype
    sizes: dict[str, int]
    words: str
    candidates: tuple[Config, ...]
    heuristic: Callable[[int], Config]
    call: Callable[[], Any]
    forget: Callable[[], None]

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def product_candidates(m: int, n: int, k: int, laid_out: bool, sides: tuple[int, ...]) -> Iterator[Config]:
    """By all paths, in blocks of `sides` rows and columns. laid_out: B is used where it lies, so that sharing it saves nothing."""
    steps = size_class(k)
    blocks = {(min(rows, size_class(m)), min(columns, size_class(n))) for rows, columns in itertools.product(sides, sides)}
    for rows, columns in sorted(blocks, reverse=True):
        shape = {"BLOCK_M": rows, "BLOCK_N": columns}
        if k <= _WHOLE_K:
            yield {"PATH": "EVEN_K", **shape, "BLOCK_K": steps, "PART_M": 1, "PART_N": 1}
        if k > 64:
            yield {"PATH": "SPLIT_K", **shape, "BLOCK_K": min(steps, 256) // (1 if steps > 256 else 2), "PART_M": 1, "PART_N": 1}
        if k <= _WHOLE_K and not laid_out and m > rows:
            tall = {"BLOCK_M": min(size_class(m), 4096), "BLOCK_N": columns, "BLOCK_K": steps, "PART_M": rows}
            yield {"PATH": "SPLIT_M", **tall, "PART_N": 1}
            if columns > 32:
                yield {"PATH": "SPLIT_N", **tall, "PART_N": columns // 2}


def product(batch: int, m: int, n: int, k: int, lies: str, dtype: torch.dtype, sides: tuple[int, ...]) -> Problem:
    """mm, or bmm of a batch. lies: `n` or `t` for each operand, as `layout` has them."""

    def tensor(rows: int, columns: int, how: str) -> torch.Tensor:
        shape = (rows, columns) if batch == 1 else (batch, rows, columns)
        made = torch.randn(shape if how == "n" else (*shape[:-2], columns, rows)).to(dtype)
        return made if how == "n" else made.mT

    a, b = tensor(m, k, lies[0]), tensor(k, n, lies[1])
    candidates = tuple(product_candidates(m, n, k, lies[1] == "n", sides))
    sizes = {"b": batch, "m": m, "n": n, "k": k}
    name, function = ("mm", mm) if batch == 1 else ("bmm", bmm)

    def heuristic(threads: int) -> Config:
        return product_blocks.heuristic(batch, m, n, k, lies[1] == "n", threads)

    return Problem(name, dtype, sizes, lies, candidates, heuristic, lambda: function(a, b), product_blocks.choose.cache_clear)


def convolution(batch: int, channels: int, size: int, results: int, kernel: int, dtype: torch.dtype) -> Problem:
    """Of images that keep their size."""
    correlation = layouts.forward((1, size, size), (1, kernel, kernel), (1, 1, 1), (0, kernel // 2, kernel // 2), (1, 1, 1))
    k = channels * kernel**2
    image, weight = torch.randn(batch, channels, correlation.channel).to(dtype), torch.randn(1, results, k).to(dtype)
    out = correlation.result(image, batch, results)
    candidates = {
        (min(rows, size_class(results)), min(pixels, size_class(correlation.count)), min(steps, power_of_two(k)))
        for rows, pixels, steps in itertools.product((256, 128, 64), (512, 128, 64), (256, 64))
    }
    return Problem(
        "convolution",
        dtype,
        {"b": batch, "m": results, "k": k, "q": correlation.count},
        "",
        tuple(dict(zip(("BLOCK_M", "BLOCK_N", "BLOCK_K"), blocks, strict=True)) for blocks in sorted(candidates)),
        lambda threads: convolution_blocks.correlation_heuristic(batch, results, k, correlation.count, threads),
        lambda: add_up(image, weight, correlation, None, out),
        convolution_blocks.correlation_blocks.cache_clear,
    )


def problems(emulated: bool, quick: bool) -> Iterator[Callable[[], Problem]]:
    """For this machine, or for an emulated chip, whose launches take seconds. quick: one of each type and layout."""
    f32, f16, bf16 = torch.float32, torch.float16, torch.bfloat16
    if emulated:
        shapes = [(1, 64, 64, 64), (1, 256, 64, 64), (2, 64, 64, 64)]
        for dtype, lies, (batch, m, n, k) in itertools.product((f32, f16), ("nn", "nt"), shapes[: 1 if quick else None]):
            yield partial(product, batch, m, n, k, lies, dtype, (128, 64))
        yield partial(convolution, 1, 16, 14, 16, 3, f32)
        return
    shapes = [(1, 128, 128, 128), (1, 512, 512, 512), (1, 1024, 1024, 1024), (1, 32, 1024, 1024), (1, 64, 64, 4096), (1, 2048, 64, 64)]
    shapes += [(1, 4096, 512, 512), (1, 4096, 128, 512), (1, 512, 2048, 512), (16, 128, 128, 64), (16, 128, 64, 128), (8, 256, 256, 64)]
    for dtype, lies, (batch, m, n, k) in itertools.product((f32, bf16), ("nn", "nt", "tn"), shapes[: 1 if quick else None]):
        yield partial(product, batch, m, n, k, lies, dtype, (256, 128, 64))
    images = [(1, 64, 56, 64, 3), (4, 128, 28, 128, 3), (1, 256, 14, 256, 3), (1, 512, 7, 512, 3), (4, 64, 56, 256, 1), (8, 16, 32, 16, 3)]
    for image in images[: 1 if quick else None]:
        yield partial(convolution, *image, f32)
