"""Convolutions as products of pixels, whose channels are neighbours in memory, and of weights.

Pixels of a padded image follow each other, all channels of one behind those of the one before. What a tap multiplies for the outputs of a
row are then the rows of a matrix, `step` pixels apart, whose columns are the channels; so are they for all outputs, if these are counted
with the pixels that the padding adds to a row. For a stride, rows of the image are apart by their residues; columns are skipped by `step`.
A product reads its first operand in place, where `layouts.py` has it copy a second one that is as large as image times taps.
"""

import functools
import itertools
from dataclasses import dataclass

import torch

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.convolution import layouts
from triton_spacemit.ops.convolution.blocks import pixel_blocks, pixels_gradient_blocks, shares
from triton_spacemit.ops.convolution.layouts import Sizes, count_of
from triton_spacemit.ops.convolution.pixel_kernels import correlate_pixels, lay_out_rows, pixels_weight_gradient
from triton_spacemit.ops.dtypes import sum_type
from triton_spacemit.ops.launching import Kernel, constant
from triton_spacemit.ops.sizes import power_of_four, power_of_two

_LAY_OUT, _CORRELATE, _WEIGHTS = Kernel(lay_out_rows), Kernel(correlate_pixels), Kernel(pixels_weight_gradient)

_LEAST_PIXELS = 512  # of all images, for which laying out the weights is worth it
_LEAST_PIXELS_LAST = 32  # where the other way lays out images, too
_FEW_CHANNELS = 32  # so many that a run is all taps of a row: their weights are laid out in that order
_LEAST_CHANNELS = 16  # that fill a vector


def is_worth(count: int, channels: int, results: int, taps: int, last: bool) -> bool:
    """Whether to go this way with images of `count` pixels. last: their channels are last, or the result's are to be."""
    if results < _LEAST_CHANNELS:
        return False
    return count >= _LEAST_PIXELS_LAST if last else count >= _LEAST_PIXELS and channels >= _LEAST_CHANNELS and taps > 1


@dataclass(frozen=True, eq=False)
class Rows:
    """How an image of `sizes` is laid out, in rows of pixels, and what is added up.

    low: zeros in front of each dimension. step: the stride; rows lie together by their residues, `phases` being those that taps are of, and
    outputs of a row are step[2] pixels apart. high: rows of one index of the depth. row: pixels of a row. lines: rows of a phase. outputs:
    sizes of the result, of which output (d, h, w) is number `(d * high + h) * row / step[2] + w`, and the last one `count` - 1.
    taps: where the pixels of each tap begin, in the order of the weights. across: taps that lie one behind the other.
    """

    sizes: Sizes
    low: Sizes
    step: Sizes
    phases: tuple[tuple[int, int], ...]
    high: int
    row: int
    lines: int
    outputs: Sizes
    taps: tuple[int, ...]
    across: int

    @functools.cached_property
    def count(self) -> int:
        return sum((size - 1) * distance for size, distance in zip(self.outputs, self.distances, strict=True)) + 1

    @functools.cached_property
    def distances(self) -> Sizes:
        """Between outputs along each dimension."""
        wide = self.row // self.step[2]
        return self.high * wide, wide, 1

    @functools.cached_property
    def plain(self) -> bool:
        """Whether an image without gaps is laid out already."""
        return self.low == (0, 0, 0) and self.step == (1, 1, 1) and (self.high, self.row) == self.sizes[1:]

    @functools.cached_property
    def dense(self) -> bool:
        return self.count == count_of(self.outputs)

    def lay_out(self, image: torch.Tensor) -> torch.Tensor:
        """An image of the shape (N, C, D, H, W) as (N, elements)."""
        n, c, depth, height, width = image.shape
        first = image.stride(4) == 1 and c > 1
        if not first and (image.stride(4) != c or c > 1 and image.stride(1) != 1):
            image = copies.contiguous(image, torch.channels_last_3d)
        image_n, image_c, image_d, image_h, _ = image.stride()
        if not first and self.plain and (image_h, image_d, image_n) == (width * c, height * width * c, depth * height * width * c):
            return image.permute(0, 2, 3, 4, 1).reshape(n, -1)
        lines, row = len(self.phases) * self.lines, self.row * c
        result = layouts.room("image", image, n * lines * row).view(n, lines * row)
        programs, each = shares(n * lines)
        _LAY_OUT(
            (programs,), image, result, self._first, len(self.phases), n * lines, each, self.lines, self.high, depth, height, width, c,
            *self.low[:2], self.low[2] * c, row, image_n, image_c, image_d, image_h, STEP_D=self.step[0], STEP_H=self.step[1],
            LAST=not first, BLOCK=min(power_of_four(width * c), 4096), BLOCK_W=min(max(power_of_two(width), 16), 64), BLOCK_C=16,
        )  # fmt: skip
        return result

    @functools.cached_property
    def _first(self) -> torch.Tensor:
        return constant(torch.tensor(self.phases, dtype=torch.int32))


@functools.lru_cache(1024)
def forward(sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Rows:
    """Of a convolution."""
    outputs = layouts.output_sizes(sizes, kernel, stride, padding, dilation)
    each = zip(sizes, padding, stride, outputs, strict=True)
    deep, high, wide = (max(-(-(size + p) // s), out) for size, p, s, out in each)
    row = wide * stride[2]
    places = [[k * d for k, d in zip(tap, dilation, strict=True)] for tap in itertools.product(*map(range, kernel))]
    phases = list(dict.fromkeys((d % stride[0], h % stride[1]) for d, h, _ in places))
    behind = [(d // stride[0] * high + h // stride[1]) * row + w for d, h, w in places]
    lines = deep * high + -(-max(behind) // row)
    taps = [phases.index((d % stride[0], h % stride[1])) * lines * row + at for (d, h, _), at in zip(places, behind, strict=True)]
    if stride == (1, 1, 1) and padding == (0, 0, 0):
        lines = deep * high  # no tap of an output lies behind the image
    return Rows(sizes, padding, stride, tuple(phases), high, row, lines, outputs, tuple(taps), kernel[2] if dilation[2] == 1 else 1)


@functools.lru_cache(1024)
def _backward(residue: layouts.Residue) -> Rows:
    """The correlation of a residue of `layouts.backward`, which has a stride of 1."""
    own = residue.correlation
    high, row = own.pitch[0] // own.pitch[1], own.pitch[1]
    return Rows(own.sizes, own.low, (1, 1, 1), ((0, 0),), high, row, -(-own.plane // row), own.outputs, own.offsets, 1)


@functools.lru_cache(1024)
def _starts(rows: Rows, channels: int, across: int, numbers: tuple[int, ...], apart: int) -> torch.Tensor:
    """Where the pixels and the weights of each run of `across` taps begin. numbers: of the taps, whose weights lie `apart`."""
    pairs = [[rows.taps[i] * channels, numbers[i] * apart] for i in range(0, len(numbers), across)]
    return constant(torch.tensor(pairs or [[0, 0]], dtype=torch.int64))


_WHOLE: tuple[Sizes, Sizes, Sizes] = (0, 0, 0), (1, 1, 1), (0, 0, 0)


@functools.lru_cache(1024)
def _places(rows: Rows, first: Sizes, step: Sizes, skipped: Sizes, sizes: Sizes) -> torch.Tensor | None:
    """Of each output its pixel in a result of `sizes`, or -1: outputs from `skipped` on are pixels from `first` on in steps of `step`."""
    if rows.dense and rows.outputs == sizes and (first, step, skipped) == _WHOLE:
        return None
    each = zip(rows.outputs, first, step, skipped, sizes, strict=True)
    at = [(torch.arange(out, dtype=torch.int64) - skip) * s + start for out, start, s, skip, _ in each]
    d, h, w = (place.where((place >= start) & (place < size), -1) for place, start, size in zip(at, first, sizes, strict=True))
    d, h, w = torch.meshgrid(d, h, w, indexing="ij")
    pixels = ((d * sizes[1] + h) * sizes[2] + w).where((d >= 0) & (h >= 0) & (w >= 0), -1)
    found = torch.full((rows.outputs[0] * rows.distances[0],), -1, dtype=torch.int64)
    found.as_strided(rows.outputs, rows.distances).copy_(pixels)
    return constant(found[: rows.count].clone())


def _correlate(
    laid_out: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor, rows: Rows, channels: int,
    starts: torch.Tensor, runs: int, length: int, w_k: int, places: torch.Tensor | None, last: bool,
) -> None:  # fmt: skip
    """`out`: (N, D, H, W, M) in one piece, or (N, M, elements) where channels are not `last`."""
    n, m, count, x_n, (out_n, out_i) = out.shape[0], out.shape[-1 if last else 1], rows.count, laid_out.shape[1], out.stride()[:2]
    if last and rows.plain and rows.outputs == rows.sizes and places is None:  # of all images at once
        n, count = 1, count * n
    blocks = pixel_blocks(n, m, length, count, knobs.num_threads)
    grid = (-(-count // blocks["BLOCK_M"]), n, -(-m // blocks["BLOCK_N"]))  # all pixels for some weights, which stay in the second cache
    arguments = (laid_out, weight, out, bias, starts, places, runs, length, m, count, x_n, rows.step[2] * channels, w_k, out_n, out_i)
    _CORRELATE(grid, *arguments, SUM=sum_type(weight.dtype), ACROSS=not last, **blocks)


def _result(like: torch.Tensor, n: int, channels: int, sizes: Sizes) -> tuple[torch.Tensor, torch.Tensor]:
    """A new tensor (N, C, D, H, W) with its channels last, and the same as (N, D, H, W, C)."""
    made = like.new_empty(n, *sizes, channels)
    return made.permute(0, 4, 1, 2, 3), made


def _first_result(like: torch.Tensor, n: int, channels: int, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """What is needed of a result, (N, C, D, H, W), and room for it, (N, C, elements): new where both are the same, else this thread's."""
    if rows.dense:
        made = like.new_empty(n, channels, *rows.outputs)
        return made, made.view(n, channels, -1)
    plane = rows.outputs[0] * rows.distances[0]
    kept = layouts.room("result", like, n * channels * plane).view(n, channels, plane)
    return kept.as_strided((n, channels, *rows.outputs), (channels * plane, plane, *rows.distances)), kept


def correlated(image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, rows: Rows, last: bool) -> torch.Tensor:
    """The convolution of (N, C, D, H, W) by weights (M, C, D, H, W), with channels `last` or first."""
    m, channels = weight.shape[:2]
    n, taps = image.shape[0], len(rows.taps)
    result, out = _result(image, n, m, rows.outputs) if last else _first_result(image, n, m, rows)
    across = rows.across if channels < _FEW_CHANNELS else 1
    # weights as rows of M: of taps and channels where they lie so, or a run has several taps; else of channels and taps
    by_taps = weight.permute(0, 2, 3, 4, 1)
    if across > 1 or by_taps.is_contiguous():
        source, apart, w_k = by_taps.reshape(m, -1), channels * m, m
    else:
        source, apart, w_k = weight.reshape(m, -1), m, taps * m
    matrix = layouts.room("weights", weight, weight.numel()).view(-1, m)
    copies.copy(matrix, source.T)
    starts = _starts(rows, channels, across, tuple(range(taps)), apart)
    places = _places(rows, *_WHOLE, rows.outputs) if last else None
    _correlate(rows.lay_out(image), matrix, bias, out, rows, channels, starts, taps // across, across * channels, w_k, places, last)
    return result


def gradient_of_image(
    dy: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    sizes: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    last: bool,
) -> torch.Tensor:
    """Of a convolution with an image of the given sizes, from that of its outputs (N, M, D, H, W); `bias` is added.

    Its channels are last where that is asked for, or there is a stride, whose pixels each residue has in rows of their own.
    """
    m, channels, *kernel = weight.shape
    residues = layouts.backward(tuple(dy.shape[2:]), sizes, tuple(kernel), stride, padding, dilation)
    only = _backward(residues[0])
    last = last or stride != (1, 1, 1)
    result, out = _result(dy, dy.shape[0], channels, sizes) if last else _first_result(dy, dy.shape[0], channels, only)
    by_taps = weight.permute(0, 2, 3, 4, 1)
    taps = by_taps[0, ..., 0].numel()
    if by_taps.is_contiguous():
        matrix, apart, w_k = weight, channels, taps * channels
    else:
        matrix, apart, w_k = layouts.room("weights", weight, weight.numel()).view(taps, m, channels), m * channels, channels
        copies.copy(matrix, weight.reshape(m, channels, taps).permute(2, 0, 1))
    laid_out = only.lay_out(dy)
    for residue in residues:
        rows, numbers = _backward(residue), residue.correlation.taps
        if any(first >= size for first, size in zip(residue.first, sizes, strict=True)):
            continue  # no pixel of the image is of this residue
        starts = _starts(rows, m, 1, numbers, apart)
        places = _places(rows, residue.first, stride, residue.skipped, sizes) if last else None
        _correlate(laid_out, matrix, bias, out, rows, m, starts, len(numbers), m, w_k, places, last)
    return result


def gradient_of_weight(dy: torch.Tensor, image: torch.Tensor, rows: Rows) -> torch.Tensor:
    """Of a convolution of `image` (N, C, D, H, W) whose outputs have the gradient `dy`: (M, taps, C)."""
    (n, m), channels, taps = dy.shape[:2], image.shape[1], len(rows.taps)
    y, x = copies.contiguous(dy), rows.lay_out(image)
    across = rows.across if channels < _FEW_CHANNELS else 1
    runs, length = taps // across, across * channels
    starts = _starts(rows, channels, across, tuple(range(taps)), 0)
    out = dy.new_empty(m, taps, channels)
    blocks = pixels_gradient_blocks(m, runs, length, rows.outputs[2], knobs.num_threads)
    grid = (-(-m // blocks["BLOCK_M"]), runs * -(-length // blocks["BLOCK_N"]))
    x_d, x_h, step = (distance * rows.step[2] * channels for distance in rows.distances)
    arguments = (y, x, out, starts, n, *rows.outputs, runs, length, m, x.shape[1], x_d, x_h, step)
    _WEIGHTS(grid, *arguments, SUM=sum_type(dy.dtype), **blocks)
    return out
