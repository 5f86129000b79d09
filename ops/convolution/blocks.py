"""The choice of blocks for convolutions and pooling."""

import functools

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.dialect.chips import get_chip
from triton_spacemit.ops.sizes import power_of_two
from triton_spacemit.ops.tuning.tables import Config, loader, shape_class


@functools.lru_cache(4096)
def correlation_blocks(chip: str, dtype: str, images: int, m: int, k: int, count: int, threads: int) -> Config:
    """For `correlate`: images and groups, channels of the output, channels and taps of the input, pixels."""
    tuned = loader(chip).find("convolution", shape_class(dtype, {"b": images, "m": m, "k": k, "q": count}, threads))
    return tuned or correlation_heuristic(images, m, k, count, threads)


def correlation_heuristic(images: int, m: int, k: int, count: int, threads: int) -> Config:
    """A choice by sizes."""
    rows = min(power_of_two(m), 256)
    pixels = min(power_of_two(count), 256 if min(rows, k) <= 64 else 128)
    while images * -(-m // rows) * -(-count // pixels) < 2 * threads and max(rows, pixels) > 32:
        if rows > pixels:
            rows //= 2
        else:
            pixels //= 2
    return {"BLOCK_M": rows, "BLOCK_N": pixels, "BLOCK_K": min(power_of_two(k), 256)}


def gradient_blocks(images: int, m: int, k: int, count: int, threads: int) -> Config:
    """For `weight_gradient`: images, channels of the output, channels and taps of the input, pixels.

    What is laid out anew is the smaller one of dy and x with all taps; but sums of few pixels cost less than storing them across. Each
    program lays out all of it for itself: as many programs as threads are enough, where all threads have as many.
    """
    across = k > m and images * count >= 512
    most_m, most_k, pixels = (128, 256, 128) if across else (256, 64, 256)
    rows, columns = min(power_of_two(m), most_m), min(power_of_two(k), most_k)
    while (programs := -(-m // rows) * -(-k // columns)) < 2 * threads and programs % threads and max(rows, columns) > 32:
        if rows > columns:
            rows //= 2
        else:
            columns //= 2
    return {"ACROSS": across, "BLOCK_M": rows, "BLOCK_N": columns, "BLOCK_K": min(power_of_two(count), pixels)}


@functools.lru_cache(4096)
def pixel_blocks(images: int, m: int, length: int, count: int, threads: int) -> Config:
    """For `correlate_pixels`: images, channels of the output, elements of a run, pixels."""
    pixels, columns = min(power_of_two(count), 512), min(power_of_two(m), 32)
    while images * -(-count // pixels) * -(-m // columns) < 4 * threads and pixels > 128:
        pixels //= 2
    return {"BLOCK_M": pixels, "BLOCK_N": columns, "BLOCK_K": min(power_of_two(length), 128)}


@functools.lru_cache(4096)
def pixels_gradient_blocks(m: int, runs: int, length: int, columns: int, threads: int) -> Config:
    """For `pixels_weight_gradient`: channels of the output, runs and their elements, outputs in a row."""
    rows, across = min(power_of_two(m), 256), min(power_of_two(length), 256)
    while -(-m // rows) * runs * -(-length // across) < 2 * threads and max(rows, across) > 32:
        if rows > across:
            rows //= 2
        else:
            across //= 2
    return {"BLOCK_M": rows, "BLOCK_N": across, "BLOCK_K": min(power_of_two(columns), 128)}


@functools.lru_cache(4096)
def image_blocks(chip: str, rows: int, columns: int) -> dict[str, int]:
    """Rows and columns of outputs in a block of one channel: about 16 vectors of float32."""
    width = min(power_of_two(columns), 256)
    return {"BLOCK_H": max(1, min(power_of_two(rows), 16 * get_chip(chip).lanes(32) // width)), "BLOCK_W": width}


ROOM_BLOCK = 4096  # elements of the blocks that rooms for images are filled in


def room_blocks(height: int, width: int) -> dict[str, int]:
    """Rows and columns of a plane that are copied at once."""
    columns = min(power_of_two(width), 256)
    return {"BLOCK_H": min(power_of_two(height), ROOM_BLOCK // columns), "BLOCK_W": columns}


def shares(planes: int) -> tuple[int, int]:
    """Over how many programs so many planes are spread, and how many each has."""
    each = -(-planes // min(planes, 4 * knobs.num_threads))
    return -(-planes // each), each
