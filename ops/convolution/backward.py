"""Gradients of convolutions.

That by the image is a correlation of the outputs' gradient with mirrored weights, one for each residue of pixels by the stride. That by
the weights multiplies the outputs' gradient and the pixels that each tap is of. A transposed convolution is the gradient
of a convolution, so that image and outputs' gradient change places.
"""

from typing import Any

import torch

from triton_spacemit.backend.knobs import knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.convolution import depthwise, layouts, pixels
from triton_spacemit.ops.convolution.blocks import gradient_blocks
from triton_spacemit.ops.convolution.depthwise import is_depthwise
from triton_spacemit.ops.convolution.forward import (
    Arguments,
    arguments_of,
    correlated,
    gradient_of_image,
    result_format,
    spread,
)
from triton_spacemit.ops.convolution.kernels import channels_weight_gradient, weight_gradient
from triton_spacemit.ops.convolution.layouts import count_of
from triton_spacemit.ops.dtypes import sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.reductions.sums import sum_

_WEIGHTS, _CHANNELS_WEIGHTS = Kernel(weight_gradient), Kernel(channels_weight_gradient)


def gradient_of_weight(
    dy: torch.Tensor, image: torch.Tensor, weight: torch.Tensor, arguments: Arguments, groups: int, last: bool
) -> torch.Tensor:
    """Of a convolution of `image` (N, C, D, H, W) whose outputs have the gradient `dy`; in the weights' shape, with D, H and W.

    last: the channels of both are last.
    """
    sizes, kernel = tuple(image.shape[2:]), tuple(weight.shape[2:])
    distances = arguments.stride, arguments.padding, arguments.dilation
    if groups == 1 and pixels.is_worth(image.shape[0] * count_of(sizes), weight.shape[0], weight.shape[1], count_of(kernel), last):
        found = pixels.gradient_of_weight(dy, image, pixels.forward(sizes, kernel, *distances))
        return found.view(weight.shape[0], *kernel, weight.shape[1]).permute(0, 4, 1, 2, 3)
    correlation = layouts.forward(sizes, kernel, *distances)
    if is_depthwise(image, weight, groups, correlation):
        return depthwise.weight_gradient(dy, image, weight, correlation)
    y, x = correlation.apart(dy), correlation.lay_out(image)
    out = weight.new_empty(weight.shape)
    n, m, channels, taps, count = image.shape[0], weight.shape[0] // groups, weight.shape[1], len(correlation.taps), correlation.count
    sums = sum_type(weight.dtype)
    starts = layouts.starts(correlation, channels)
    (y_n, y_i, _), (x_n, x_c, _) = y.stride(), x.stride()
    if channels == 1:
        multiplier = weight.shape[0] // image.shape[1]
        _CHANNELS_WEIGHTS((taps, weight.shape[0]), y, x, out, starts, n, count, multiplier, y_n, y_i, x_n, x_c, taps, SUM=sums, BLOCK=1024)
        return out
    k = channels * taps
    blocks = gradient_blocks(n, m, k, count, knobs.num_threads)
    grid = (-(-m // blocks["BLOCK_M"]), -(-k // blocks["BLOCK_N"]), groups)
    _WEIGHTS(grid, y, x, out, starts, n, m, k, count, y_n, y_i * m, y_i, x_n, x_c * channels, m * k, k, SUM=sums, **blocks)
    return out


def _image_gradient(dy: torch.Tensor, weight: torch.Tensor, arguments: Arguments, groups: int, last: bool) -> torch.Tensor:
    """By the image, (N, C, D, H, W)."""
    distances = arguments.stride, arguments.padding, arguments.dilation
    if arguments.transposed:  # of what is beyond the image, nothing was made
        return correlated(dy, weight, None, groups, *distances, last)[(..., *(slice(size) for size in arguments.sizes))]
    return gradient_of_image(dy, weight, None, groups, arguments.sizes, *distances, last)


def _with_beyond(image: torch.Tensor, arguments: Arguments) -> torch.Tensor:
    """The image of a transposed convolution, and behind it zeros, which are what outputs padded by whole strides are of."""
    beyond = [extra // step for extra, step in zip(arguments.extra, arguments.stride, strict=True)]
    return torch.nn.functional.pad(image, [n for size in reversed(beyond) for n in (0, size)]) if any(beyond) else image


def convolution_backward(
    dy: torch.Tensor, image: torch.Tensor, weight: torch.Tensor, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Any,
) -> Any:  # fmt: skip
    """The gradients by image, weights and bias that `output_mask` asks for."""
    arguments = arguments_of(image, weight, None, stride, padding, dilation, transposed, output_padding, groups)
    if arguments is None or dy.shape != arguments.shape or dy.dtype is not image.dtype or not dy.is_cpu:
        return NotImplemented
    layout = result_format(image, weight)
    by_image, by_weight, by_bias = (None if not wanted else True for wanted in output_mask)
    y, x, w = spread(dy), spread(image), spread(weight)
    last = layout is not torch.contiguous_format
    found: list[torch.Tensor | None] = [None, None, None]
    if by_image:
        dx = _image_gradient(y, w, arguments, groups, last) if dy.numel() else torch.zeros_like(x)
        found[0] = copies.contiguous(dx.reshape(image.shape), layout)
    if by_weight:
        if dy.numel() == 0:
            dw = torch.zeros_like(w)
        else:
            outputs, inputs = (_with_beyond(x, arguments), y) if transposed else (y, x)
            dw = gradient_of_weight(outputs, inputs, w, arguments, groups, last)
        found[1] = copies.contiguous(dw.reshape(weight.shape), layout)
    if by_bias:
        found[2] = sum_(dy, (0, *range(2, dy.dim())))
    return tuple(found)


def slow_conv2d_backward(
    dy: torch.Tensor, image: torch.Tensor, weight: torch.Tensor, kernel_size: Any, stride: Any, padding: Any, output_mask: Any
) -> Any:
    """`convolution_backward` of a flat convolution without dilation."""
    if tuple(weight.shape[2:]) != tuple(kernel_size):
        return NotImplemented
    return convolution_backward(dy, image, weight, None, stride, padding, (1, 1), False, (0, 0), 1, output_mask)
