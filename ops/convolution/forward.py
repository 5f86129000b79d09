"""Convolutions: products of the weights and of parts of images; of single channels by a kernel of their own."""

import functools
from typing import Any, TypeAlias

import torch

from triton_spacemit.backend.knobs import active_target, knobs
from triton_spacemit.ops import copies
from triton_spacemit.ops.convolution import depthwise, layouts, pixels
from triton_spacemit.ops.convolution.blocks import correlation_blocks
from triton_spacemit.ops.convolution.depthwise import is_depthwise
from triton_spacemit.ops.convolution.kernels import correlate, correlate_channels
from triton_spacemit.ops.convolution.layouts import Correlation, Sizes, count_of, three
from triton_spacemit.ops.dtypes import FLOATS, sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, memory_format
from triton_spacemit.ops.sizes import power_of_two

Shape: TypeAlias = tuple[int, ...]
NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in FLOATS}

_MOST_TAPS = 121  # that a kernel has code for
_DEPTHWISE_BLOCK = 4096

_CORRELATE, _CHANNELS = Kernel(correlate), Kernel(correlate_channels)


class Arguments:
    """A convolution's arguments as those of three dimensions, from shapes. `mistake`: PyTorch has to refuse them."""

    def __init__(
        self, image: Shape, weight: Shape, bias: Shape | None, stride: Shape, padding: Shape, dilation: Shape, transposed: bool,
        output_padding: Shape, groups: int,
    ) -> None:  # fmt: skip
        self.mistake = True
        dims = len(image) - 2
        if dims not in (1, 2, 3) or len(weight) != len(image) or any(len(v) not in (1, dims) for v in (stride, padding, dilation)):
            return
        self.dims, self.groups, self.transposed = dims, groups, transposed
        self.stride, self.padding, self.dilation = three(stride, dims, 1), three(padding, dims, 0), three(dilation, dims, 1)
        self.extra = three(output_padding, dims, 0) if transposed else (0, 0, 0)
        self.sizes, self.kernel = three(image[2:], dims, 1), three(weight[2:], dims, 1)
        n, c = image[:2]
        if groups <= 0 or min(self.stride + self.dilation + self.kernel) <= 0 or min(self.padding) < 0:
            return
        if transposed:
            self.channels = weight[1] * groups
            each = zip(self.sizes, self.kernel, self.stride, self.padding, self.dilation, self.extra, strict=True)
            self.outputs: Sizes = tuple((size - 1) * s - 2 * p + d * (k - 1) + e + 1 for size, k, s, p, d, e in each)
            fits = weight[0] == c and c % groups == 0
            fits &= all(0 <= e < max(s, d) for e, s, d in zip(self.extra, self.stride, self.dilation, strict=True))
        else:
            self.channels = weight[0]
            self.outputs = layouts.output_sizes(self.sizes, self.kernel, self.stride, self.padding, self.dilation)
            fits = weight[1] * groups == c and self.channels % groups == 0
        fits &= bias is None or bias == (self.channels,)
        fits &= c > 0 and self.channels > 0
        self.shape = (n, self.channels, *self.outputs[3 - dims :])
        self.mistake = not fits or min(self.outputs) <= 0


@functools.lru_cache(1024)
def _arguments(*arguments: Any) -> Arguments:
    return Arguments(*arguments)


def arguments_of(
    image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Arguments | None:  # fmt: skip
    """None where PyTorch is to answer."""
    given = (image, weight) if bias is None else (image, weight, bias)
    if not computed(FLOATS, *given) or weight.dtype is not image.dtype or bias is not None and bias.dtype is not image.dtype:
        return None
    shapes = (image.shape, weight.shape, None if bias is None else bias.shape)
    found = _arguments(*shapes, tuple(stride), tuple(padding), tuple(dilation), transposed, tuple(output_padding), groups)
    return None if found.mistake else found


def result_format(image: torch.Tensor, weight: torch.Tensor) -> torch.memory_format:
    """That of a result: channels last where one of the tensors prefers that."""
    found = memory_format(image)
    return memory_format(weight) if found is torch.contiguous_format else found


def spread(tensor: torch.Tensor) -> torch.Tensor:
    """(N, C, ..) as (N, C, D, H, W)."""
    if tensor.dim() == 4:
        return tensor.unsqueeze(2)
    return tensor.reshape(*tensor.shape[:2], *(1,) * (5 - tensor.dim()), *tensor.shape[2:]) if tensor.dim() < 5 else tensor


def add_up(
    laid_out: torch.Tensor,
    weight: torch.Tensor,
    correlation: Correlation,
    bias: torch.Tensor | None,
    result: torch.Tensor,
    taps_first: bool = False,
) -> None:
    """`result` (N, groups x M, elements) from an image that is laid out, (N, channels, elements), and weights (groups, M, channels x taps),
    or taps x channels.

    Of channels by themselves by `correlate_channels`, of others by `correlate`.
    """
    groups, m, k = weight.shape
    (n, channels, channel), count, sums = laid_out.shape, correlation.count, sum_type(weight.dtype)
    out_n, out_i, _ = result.stride()
    x_n = channels * channel
    starts = layouts.starts(correlation, channels // groups, taps_first)
    if groups > 1 and channels == groups and 0 < k <= _MOST_TAPS:
        block = min(power_of_two(count), _DEPTHWISE_BLOCK)
        _CHANNELS(
            (-(-count // block), n * groups * m), laid_out, weight, result, bias, starts, count, groups * m, m, x_n, channel, out_n, out_i,
            BIAS=bias is not None, SUM=sums, TAPS=k, BLOCK=block,
        )  # fmt: skip
        return
    blocks = correlation_blocks(active_target()[1], NAMES[weight.dtype], n * groups, m, k, count, knobs.num_threads)
    grid = (-(-count // blocks["BLOCK_N"]), -(-m // blocks["BLOCK_M"]), n * groups)
    strides = (x_n, channels // groups * channel, m * k, k, out_n, out_i * m, out_i)
    arguments = (laid_out, weight, result, bias, starts, m, k, count, groups, *strides)
    _CORRELATE(grid, *arguments, BIAS=bias is not None, SUM=sums, **blocks)


def correlated(
    image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, groups: int, stride: Sizes, padding: Sizes, dilation: Sizes,
    last: bool,
) -> torch.Tensor:  # fmt: skip
    """The convolution of (N, C, D, H, W) by weights (channels, C / groups, D, H, W). last: its channels are better last."""
    sizes, kernel = tuple(image.shape[2:]), tuple(weight.shape[2:])
    if groups == 1 and pixels.is_worth(image.shape[0] * count_of(sizes), image.shape[1], weight.shape[0], count_of(kernel), last):
        return pixels.correlated(image, weight, bias, pixels.forward(sizes, kernel, stride, padding, dilation), last)
    correlation = layouts.forward(sizes, kernel, stride, padding, dilation)
    if groups > 1 and is_depthwise(image, weight, groups, correlation):
        return depthwise.correlated(image, weight, bias, correlation)
    result = correlation.result(image, image.shape[0], weight.shape[0])
    matrix = copies.contiguous(weight).view(groups, weight.shape[0] // groups, -1)
    add_up(correlation.lay_out(image), matrix, correlation, bias, result)
    return correlation.pixels(result)


def gradient_of_image(
    dy: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    groups: int,
    sizes: Sizes,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    last: bool,
) -> torch.Tensor:
    """Of a convolution with an image of the given sizes, from that of its outputs (N, channels, D, H, W); `bias` is added.

    last: its channels are better last.
    """
    kernel: Sizes = tuple(weight.shape[2:])
    n, m = dy.shape[0], weight.shape[1]
    if groups == 1 and pixels.is_worth(n * count_of(sizes), dy.shape[1], m, count_of(kernel), last):
        return pixels.gradient_of_image(dy, weight, bias, sizes, stride, padding, dilation, last)
    around = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
    if stride == (1, 1, 1) and min(around) >= 0 and m == 1 and groups == weight.shape[0]:
        correlation = layouts.forward(tuple(dy.shape[2:]), kernel, stride, around, dilation)
        if is_depthwise(dy, weight, groups, correlation):
            return depthwise.correlated(dy, weight, bias, correlation, mirrored=True)
    residues = layouts.backward(tuple(dy.shape[2:]), sizes, kernel, stride, padding, dilation)
    laid_out = residues[0].correlation.lay_out(dy)
    mirrored = weight.reshape(groups, -1, m, weight[0, 0].numel()).transpose(1, 2)  # (groups, M, K, taps)
    shape = (n, groups * m, *sizes)
    whole = stride == (1, 1, 1) and residues[0].correlation.dense  # the one correlation's result is the gradient
    holds_zeros = bias is None and not all(residue.correlation.taps for residue in residues)  # at pixels that no output is of
    result = copies.zeros(shape, dy.dtype) if holds_zeros else dy.new_empty(shape)
    for residue in residues:
        correlation = residue.correlation
        if holds_zeros and not correlation.taps:
            continue
        part = result[(..., *(slice(first, None, step) for first, step in zip(residue.first, stride, strict=True)))]
        if part.numel() == 0:
            continue
        taps, (_, _, channels, _) = correlation.taps, mirrored.shape
        matrix = layouts.room("weights", weight, groups * m * channels * len(taps))
        if len(residues) == 1:
            copies.copy(matrix.view(mirrored.shape), mirrored)
        else:
            rows = matrix.view(groups, m, len(taps), channels)
            for place, tap in enumerate(taps):
                copies.copy(rows[:, :, place], mirrored[..., tap])
        found = result.view(n, groups * m, -1) if whole else correlation.result(dy, n, groups * m)
        add_up(laid_out, matrix.view(groups, m, -1), correlation, bias, found, len(residues) > 1)
        if whole:
            return result
        ends = zip(residue.skipped, part.shape[2:], strict=True)
        copies.copy(part, correlation.pixels(found)[(..., *(slice(skipped, skipped + size) for skipped, size in ends))])
    return result


def convolution(
    image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int,
) -> Any:  # fmt: skip
    """Of images (N, C, ..) of one to three dimensions; transposed, the gradient of such a convolution by its image."""
    arguments = arguments_of(image, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    if arguments is None:
        return NotImplemented
    layout = result_format(image, weight)
    if 0 in arguments.shape:
        return image.new_empty(arguments.shape).contiguous(memory_format=layout)
    x, w, last = spread(image), spread(weight), layout is not torch.contiguous_format
    distances = arguments.stride, arguments.padding, arguments.dilation
    if transposed:
        found = gradient_of_image(x, w, bias, groups, arguments.outputs, *distances, last)
    else:
        found = correlated(x, w, bias, groups, *distances, last)
    return copies.contiguous(found.squeeze(2) if image.dim() == 4 else found.reshape(arguments.shape), layout)


def slow_conv2d(
    image: torch.Tensor, weight: torch.Tensor, kernel_size: Any, bias: torch.Tensor | None = None, stride: Any = 1, padding: Any = 0
) -> Any:
    """`convolution` of flat images without dilation and groups."""
    if image.dim() != 4 or weight.dim() != 4 or tuple(weight.shape[2:]) != tuple(kernel_size):
        return NotImplemented
    stride, padding = (values if isinstance(values, (list, tuple)) else (values,) for values in (stride, padding))
    return convolution(image, weight, bias, stride, padding, (1,), False, (0,), 1)
