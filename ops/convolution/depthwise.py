"""Convolutions of flat images whose channels are by themselves, with a stride of 1: a program has some planes, and copies each with its
padding into a room of its own, where the next loops find it in the first cache. Rows there are `pitch` elements apart (`layouts.py`).
"""

import torch
import triton
import triton.language as tl

from triton_spacemit.ops import copies
from triton_spacemit.ops.convolution import layouts
from triton_spacemit.ops.convolution.blocks import ROOM_BLOCK, room_blocks, shares
from triton_spacemit.ops.convolution.kernels import clear_room, copy_rows
from triton_spacemit.ops.convolution.layouts import Correlation
from triton_spacemit.ops.dtypes import sum_type
from triton_spacemit.ops.launching import Kernel

_MOST_TAPS = 121  # that a kernel has code for


@triton.jit
def _correlate(
    x, w, out, bias, rooms, starts, planes, planes_each, channels, multiplier, height, width, rows, columns, first_pixel, pitch, length,
    MIRRORED: tl.constexpr, SUM: tl.constexpr, TAPS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`out[plane, i, j] = bias[channel] + sum over taps of w[channel, tap] * room[starts[tap] + i * pitch + j]`, MIRRORED."""
    room = rooms + tl.program_id(0).to(tl.int64) * length
    clear_room(room, length, BLOCK)
    begin = tl.program_id(0).to(tl.int64) * planes_each
    for plane in range(begin, tl.minimum(begin + planes_each, planes)):
        channel = plane % channels
        copy_rows(x + plane // multiplier * height * width, room + first_pixel, height, width, width, pitch, 1, BLOCK_H, BLOCK_W)
        for first in range(0, rows, BLOCK_H):
            i = first + tl.arange(0, BLOCK_H)
            for start in range(0, columns, BLOCK_W):
                j = start + tl.arange(0, BLOCK_W)
                inside = (i < rows)[:, None] & (j < columns)[None, :]
                sums = tl.zeros((BLOCK_H, BLOCK_W), SUM)
                if bias is not None:
                    sums += tl.load(bias + channel).to(SUM)
                for tap in tl.static_range(TAPS):
                    pixels = tl.load(room + tl.load(starts + tap) + i[:, None] * pitch + j[None, :], inside, 0).to(SUM)
                    factor = w + channel * TAPS + (TAPS - 1 - tap if MIRRORED else tap)
                    sums += pixels * tl.load(factor).to(SUM)
                place = out + plane * rows * columns + i[:, None] * columns + j[None, :]
                tl.store(place, sums.to(out.dtype.element_ty), inside)


@triton.jit
def _weight_gradient(
    dy, x, out, rooms, starts, images, channels, channels_each, multiplier, height, width, rows, columns, first_pixel, pitch, length, count,
    SUM: tl.constexpr, TAPS: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """`out[channel, tap] = sum over images and q of dy[channel, q] * x[channel // multiplier, starts[tap] + q]`, both as in a room."""
    room = rooms + tl.program_id(0).to(tl.int64) * (2 * length)
    dy_room = room + length
    clear_room(room, 2 * length, BLOCK)
    begin = tl.program_id(0).to(tl.int64) * channels_each
    for channel in range(begin, tl.minimum(begin + channels_each, channels)):
        sums = ()
        for _ in tl.static_range(TAPS):
            sums = sums + (tl.cast(0, SUM),)  # type: ignore[assignment]
        for image in range(0, images):
            plane = image * channels + channel
            copy_rows(x + plane // multiplier * height * width, room + first_pixel, height, width, width, pitch, 1, BLOCK_H, BLOCK_W)
            copy_rows(dy + plane * rows * columns, dy_room, rows, columns, columns, pitch, 1, BLOCK_H, BLOCK_W)
            for first in range(0, count, BLOCK):
                q = first + tl.arange(0, BLOCK)
                g = tl.load(dy_room + q, q < count, 0).to(SUM)
                new = ()
                for tap in tl.static_range(TAPS):
                    pixels = tl.load(room + tl.load(starts + tap) + q, q < count, 0).to(SUM)
                    new = new + (sums[tap] + tl.sum(g * pixels, 0),)  # type: ignore[assignment]
                sums = new
        for tap in tl.static_range(TAPS):
            tl.store(out + channel * TAPS + tap, sums[tap].to(out.dtype.element_ty))


_CORRELATE, _WEIGHTS = Kernel(_correlate, BLOCK=ROOM_BLOCK), Kernel(_weight_gradient, BLOCK=ROOM_BLOCK)


def is_depthwise(image: torch.Tensor, weight: torch.Tensor, groups: int, correlation: Correlation) -> bool:
    """Whether it is computed here: images (N, C, 1, H, W) and weights (channels, 1, 1, H, W) with a stride of 1."""
    flat = image.shape[2] == weight.shape[2] == correlation.outputs[0] == 1
    alone = groups == image.shape[1] > 1 and weight.shape[1] == 1
    return flat and alone and correlation.stride == (1, 1, 1) and 0 < len(correlation.taps) <= _MOST_TAPS


def _sizes(correlation: Correlation, image: torch.Tensor) -> tuple[int, ...]:
    """height, width, rows, columns, first_pixel, pitch, length of the kernels. A room ends with a line of the caches."""
    _, pitch, _ = correlation.pitch
    _, low_h, low_w = correlation.low
    length = -(-correlation.plane // 64) * 64
    return (*image.shape[3:], *correlation.outputs[1:], low_h * pitch + low_w, pitch, length)


def correlated(
    image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, correlation: Correlation, mirrored: bool = False
) -> torch.Tensor:
    """The convolution of (N, C, 1, H, W) by weights (channels, 1, 1, H, W), or by these with their last tap first."""
    channels, sizes = weight.shape[0], _sizes(correlation, image)
    result = image.new_empty(image.shape[0], channels, *correlation.outputs)
    planes = image.shape[0] * channels
    programs, each = shares(planes)
    rooms = layouts.room("image", image, programs * sizes[-1])
    _CORRELATE(
        (programs,), copies.contiguous(image), copies.contiguous(weight), result, bias, rooms, layouts.starts(correlation, 1),
        planes, each, channels, channels // image.shape[1], *sizes,
        MIRRORED=mirrored, SUM=sum_type(image.dtype), TAPS=len(correlation.taps), **room_blocks(*correlation.outputs[1:]),
    )  # fmt: skip
    return result


def weight_gradient(dy: torch.Tensor, image: torch.Tensor, weight: torch.Tensor, correlation: Correlation) -> torch.Tensor:
    """By the weights of such a convolution, from that of its outputs."""
    channels, sizes = weight.shape[0], _sizes(correlation, image)
    out = weight.new_empty(weight.shape)
    programs, each = shares(channels)
    rooms = layouts.room("image", image, 2 * programs * sizes[-1])
    _WEIGHTS(
        (programs,), copies.contiguous(dy), copies.contiguous(image), out, rooms, layouts.starts(correlation, 1),
        image.shape[0], channels, each, channels // image.shape[1], *sizes, correlation.count,
        SUM=sum_type(image.dtype), TAPS=len(correlation.taps), **room_blocks(*correlation.outputs[1:]),
    )  # fmt: skip
    return out
