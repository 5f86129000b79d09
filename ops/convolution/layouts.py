"""How an image lies in memory so that a convolution is a product of the weights and of rows that are parts of the image.

Rows of the image follow each other `pitch` elements apart, with zeros between them that are the padding of both. The pixels that a tap
multiplies for all outputs, counted with that same pitch, are then neighbours in memory: `out[q]` is a sum of `weight[tap] * image[q +
offset[tap]]`. Between the last output of a row and the first of the next there are results that nobody needs. For a stride s the image is
taken apart into s x s images of every s-th pixel, of which each tap has one.

Convolutions in one and two dimensions are those of a depth (and height) of 1.
"""

import functools
import itertools
import threading
from dataclasses import dataclass

import torch

from triton_spacemit.ops import copies
from triton_spacemit.ops.convolution.blocks import ROOM_BLOCK, room_blocks, shares
from triton_spacemit.ops.convolution.kernels import lay_out
from triton_spacemit.ops.launching import Kernel, constant, is_noting

_LAY_OUT = Kernel(lay_out, BLOCK=ROOM_BLOCK)

Sizes = tuple[int, int, int]


class _Rooms(threading.local):
    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], torch.Tensor] = {}


_rooms = _Rooms()
_MOST_KEPT = 1 << 24  # elements


def room(purpose: str, like: torch.Tensor, elements: int) -> torch.Tensor:
    """Memory for so many elements, which this thread keeps for its next convolution: fresh memory takes the system as long as filling it.

    What was there for the same purpose is overwritten. A plan has memory of its own.
    """
    if elements > _MOST_KEPT or is_noting():
        return like.new_empty(elements)
    kept = _rooms.kept.get((purpose, like.dtype))
    if kept is None or kept.numel() < elements:
        kept = _rooms.kept[purpose, like.dtype] = like.new_empty(elements)
    return kept[:elements]


def three(values: tuple[int, ...] | list[int], dims: int, missing: int) -> Sizes:
    """A value for each dimension, of one for all or one for each of the last `dims`."""
    values = tuple(values)
    if len(values) == 1:
        values = values * dims
    return (missing,) * (3 - len(values)) + values  # type: ignore[return-value]


def output_sizes(sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Sizes:
    """Of a convolution; 0 or less where the kernel is larger than the padded image."""
    each = zip(sizes, kernel, stride, padding, dilation, strict=True)
    return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in each)  # type: ignore[return-value]


def count_of(sizes: Sizes) -> int:
    return sizes[0] * sizes[1] * sizes[2]


@dataclass(frozen=True, eq=False)
class Correlation:
    """Sums of taps over images in this layout.

    sizes: of the image. low: zeros in front of each dimension. stride: of the pixels of an image that the image is taken apart into.
    phases: where those that taps are of begin. pitch: elements from one index of a dimension to the next. plane: elements of one such
    image. outputs: sizes of the result, whose elements lie `pitch` apart too and end at `count`. taps: numbers of those that there are.
    offsets: of each. plain: an image without gaps is in this layout already.
    """

    sizes: Sizes
    low: Sizes
    stride: Sizes
    phases: tuple[Sizes, ...]
    pitch: Sizes
    plane: int
    outputs: Sizes
    count: int
    taps: tuple[int, ...]
    offsets: tuple[int, ...]
    plain: bool

    @functools.cached_property
    def dense(self) -> bool:
        """Whether the results lie without gaps."""
        _, rows, columns = self.outputs
        return self.count == self.outputs[0] * rows * columns

    @property
    def out_plane(self) -> int:
        """Elements of a channel of the result."""
        return self.count if self.dense else self.outputs[0] * self.pitch[0]

    @property
    def channel(self) -> int:
        """Elements of a channel of the image."""
        return self.plane * len(self.phases)

    def lay_out(self, image: torch.Tensor) -> torch.Tensor:
        """An image of the shape (N, C, D, H, W) as (N, C, elements) in this layout; where it is that already, itself."""
        n, c = image.shape[:2]
        if self.plain:
            return copies.contiguous(image).view(n, c, -1)
        image = image if image.stride(4) == 1 and self.stride == (1, 1, 1) else copies.contiguous(image)
        result = room("image", image, n * c * self.channel).view(n, c, self.channel)
        _fill(image, result, _parts(self, image.stride()[2:4]), self.pitch, self.stride)
        return result

    def apart(self, dy: torch.Tensor) -> torch.Tensor:
        """A gradient of outputs (N, C, D, H, W) as the results lie, with zeros between them: (N, C, elements)."""
        n, c = dy.shape[:2]
        if self.dense:
            return copies.contiguous(dy).view(n, c, -1)
        dy = dy if dy.stride(4) == 1 else copies.contiguous(dy)
        result = room("outputs", dy, n * c * self.out_plane).view(n, c, self.out_plane)
        _fill(dy, result, _whole(self.outputs), self.pitch, (1, 1, 1))
        return result

    def result(self, like: torch.Tensor, n: int, channels: int) -> torch.Tensor:
        """Room for the result: (N, C, out_plane). Where it has gaps it is this thread's, for as long as no other is asked for."""
        if self.dense:
            return like.new_empty(n, channels, self.out_plane)
        return room("result", like, n * channels * self.out_plane).view(n, channels, self.out_plane)

    def pixels(self, result: torch.Tensor) -> torch.Tensor:
        """A result as (N, C, D, H, W), without what nobody needs."""
        n, channels, plane = result.shape
        if self.dense:
            return result.view(n, channels, *self.outputs)
        return result.as_strided((n, channels, *self.outputs), (channels * plane, plane, *self.pitch))


@functools.lru_cache(1024)
def _parts(correlation: Correlation, strides: tuple[int, int]) -> torch.Tensor:
    """The pixels of each phase of an image with these distances between planes of the depth and between rows, for `lay_out`."""
    found = []
    for number, phase in enumerate(correlation.phases):
        # pixel i of a dimension lies at i + low, which is phase + stride * index
        each = list(zip(correlation.sizes, phase, correlation.low, correlation.stride, correlation.pitch, strict=True))
        first = [(at - low) % step for _, at, low, step, _ in each]
        to = sum((start + low) // step * pitch for start, (_, _, low, step, pitch) in zip(first, each, strict=True))
        counts = [max(0, -(-(size - start) // step)) for start, (size, _, _, step, _) in zip(first, each, strict=True)]
        source = sum(start * distance for start, distance in zip(first, (*strides, 1), strict=True))
        found.append([source, number * correlation.plane + to, *counts])
    return constant(torch.tensor(found, dtype=torch.int64))


@functools.lru_cache(1024)
def _whole(sizes: Sizes) -> torch.Tensor:
    return constant(torch.tensor([[0, 0, *sizes]], dtype=torch.int64))


def _fill(image: torch.Tensor, result: torch.Tensor, parts: torch.Tensor, pitch: Sizes, stride: Sizes) -> None:
    """`result`, (N, C, elements), gets zeros and the pixels of `image`, (N, C, D, H, W), whose columns are neighbours in memory."""
    if not result.numel():
        return
    n, c, depth, height, width = image.shape
    image_n, image_c, image_d, image_h, _ = image.stride()
    programs, each = shares(n * c)
    size = depth * height * width
    own = None if stride == (1, 1, 1) else room("channels", image, programs * size)
    steps = image_n, image_c, image_d * stride[0], image_h * stride[1]
    _LAY_OUT(
        (programs,), image, result, own, size, parts, len(parts), n * c, each, c, *steps, *pitch[:2], result.shape[2],
        STEP=stride[2], **room_blocks(-(-height // stride[1]), -(-width // stride[2])),
    )  # fmt: skip


def _pitches(extents: list[int]) -> Sizes:
    return extents[1] * extents[2], extents[2], 1


@functools.lru_cache(1024)
def forward(sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Correlation:
    """Of a convolution."""
    outputs = output_sizes(sizes, kernel, stride, padding, dilation)
    extents = [max(-(-(size + p) // s), out) for size, p, s, out in zip(sizes, padding, stride, outputs, strict=True)]
    pitch = _pitches(extents)
    taps = list(itertools.product(*map(range, kernel)))
    places = [[k * d for k, d in zip(tap, dilation, strict=True)] for tap in taps]
    behind = [sum(place // s * distance for place, s, distance in zip(at, stride, pitch, strict=True)) for at in places]
    plain = stride == (1, 1, 1) and padding == (0, 0, 0)
    plane = sizes[0] * sizes[1] * sizes[2] if plain else extents[0] * pitch[0] + max(behind)
    each = [tuple(place % s for place, s in zip(at, stride, strict=True)) for at in places]
    phases = list(dict.fromkeys(each))
    offsets = [phases.index(phase) * plane + offset for phase, offset in zip(each, behind, strict=True)]
    count = sum((out - 1) * distance for out, distance in zip(outputs, pitch, strict=True)) + 1
    layout = (sizes, padding, stride, tuple(phases), pitch, plane, outputs, count)
    return Correlation(*layout, tuple(range(len(taps))), tuple(offsets), plain)  # type: ignore[arg-type]


@functools.lru_cache(1024)
def starts(correlation: Correlation, channels: int, taps_first: bool = False) -> torch.Tensor:
    """Where the pixels of each channel and tap begin in an image that is laid out: (channels, taps), or (taps, channels), in one row."""
    offsets = torch.tensor(correlation.offsets, dtype=torch.int64)
    places = torch.arange(channels, dtype=torch.int64).mul_(correlation.channel)[:, None] + offsets
    return constant((places.T if taps_first else places).reshape(-1))


@dataclass(frozen=True, eq=False)
class Residue:
    """Pixels `first[i] + step * j` of the gradient of an image, which are pixels `skipped[i] + j` of a correlation's result."""

    correlation: Correlation
    first: Sizes
    skipped: Sizes


@functools.lru_cache(1024)
def backward(outputs: Sizes, sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> tuple[Residue, ...]:
    """The gradient of a convolution's image of the given `sizes`, from that of its outputs: one correlation for each residue of pixels
    by the stride, as output o and tap k are of pixel `stride * o + dilation * k - padding`. All have one layout.
    """
    low = [(k - 1) * d // s for k, d, s in zip(kernel, dilation, stride, strict=True)]
    least = [p // s for p, s in zip(padding, stride, strict=True)]
    most = [(size - 1 + p) // s for size, p, s in zip(sizes, padding, stride, strict=True)]
    extents = [max(out + zeros, last + 1) for out, zeros, last in zip(outputs, low, most, strict=True)]
    pitch = _pitches(extents)
    furthest = sum((first + zeros) * distance for first, zeros, distance in zip(least, low, pitch, strict=True))
    plane = extents[0] * pitch[0] + furthest
    wanted: Sizes = tuple(last - first + 1 for first, last in zip(least, most, strict=True))  # type: ignore[assignment]
    count = sum((size - 1) * distance for size, distance in zip(wanted, pitch, strict=True)) + 1
    plain = not any(low) and furthest == 0 and tuple(extents) == outputs
    found = []
    for residue in itertools.product(*map(range, stride)):
        taps, offsets = [], []
        for number, tap in enumerate(itertools.product(*map(range, kernel))):
            places = [k * d for k, d in zip(tap, dilation, strict=True)]
            if all(place % s == r for place, s, r in zip(places, stride, residue, strict=True)):
                taps.append(number)
                offsets.append(furthest - sum(p // s * distance for p, s, distance in zip(places, stride, pitch, strict=True)))
        skipped = [int(r < p % s) for r, p, s in zip(residue, padding, stride, strict=True)]  # that one would be in the padding
        first = [(at + skip) * s + r - p for at, skip, s, r, p in zip(least, skipped, stride, residue, padding, strict=True)]
        layout = (outputs, tuple(low), (1, 1, 1), ((0, 0, 0),), pitch, plane, wanted, count)
        correlation = Correlation(*layout, tuple(taps), tuple(offsets), plain)  # type: ignore[arg-type]
        found.append(Residue(correlation, tuple(first), tuple(skipped)))  # type: ignore[arg-type]
    return tuple(found)
