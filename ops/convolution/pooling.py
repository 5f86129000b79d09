"""Maxima and means of windows of flat images, and their gradients: max_pool2d_with_indices and avg_pool2d.

A program makes a block of the outputs of one channel, window element by window element. Gradients go the other way: a program makes a
block of the image's gradient, from the few windows that each pixel is in.
"""

import functools
from typing import Any

import torch
import triton
import triton.language as tl

from triton_spacemit.backend.knobs import active_target
from triton_spacemit.ops.convolution.blocks import image_blocks
from triton_spacemit.ops.convolution.forward import Shape
from triton_spacemit.ops.dtypes import FLOATS, sum_type
from triton_spacemit.ops.launching import Kernel
from triton_spacemit.ops.operands import computed, into, memory_format, out_form


@triton.jit
def _place(base, channels, n_stride, c_stride):
    """The first element of this program's image and channel."""
    image, channel = (tl.program_id(2) // channels).to(tl.int64), (tl.program_id(2) % channels).to(tl.int64)
    return base + image * n_stride + channel * c_stride


@triton.jit
def _maxima(
    x, out, indices, channels, height, width, rows, columns, x_n, x_c, x_h, x_w, out_n, out_c, out_h, out_w,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, PAD_H: tl.constexpr,
    PAD_W: tl.constexpr, DILATION_H: tl.constexpr, DILATION_W: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Of elements that are equal the first one counts, of those that are NaN the last one."""
    x, out, indices = _place(x, channels, x_n, x_c), _place(out, channels, out_n, out_c), _place(indices, channels, out_n, out_c)
    i = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    j = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    first_h, first_w = i * STRIDE_H - PAD_H, j * STRIDE_W - PAD_W
    # the first element of a window that lies in the image, where none is greater than -inf
    start_h = first_h + tl.where(first_h < 0, (-first_h + DILATION_H - 1) // DILATION_H * DILATION_H, 0)
    start_w = first_w + tl.where(first_w < 0, (-first_w + DILATION_W - 1) // DILATION_W * DILATION_W, 0)
    best = tl.full((BLOCK_H, BLOCK_W), float("-inf"), x.dtype.element_ty)
    place = start_h[:, None] * width + start_w[None, :]
    for a in tl.static_range(KERNEL_H):
        for b in tl.static_range(KERNEL_W):
            h, w = first_h + a * DILATION_H, first_w + b * DILATION_W
            inside = ((h >= 0) & (h < height))[:, None] & ((w >= 0) & (w < width))[None, :]
            value = tl.load(x + h.to(tl.int64)[:, None] * x_h + w.to(tl.int64)[None, :] * x_w, inside, float("-inf"))
            better = (value > best) | (value != value)
            best = tl.where(better, value, best)
            place = tl.where(better, h[:, None] * width + w[None, :], place)
    at = i.to(tl.int64)[:, None] * out_h + j.to(tl.int64)[None, :] * out_w
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    tl.store(out + at, best, inside)
    tl.store(indices + at, place.to(tl.int64), inside)


@triton.jit
def _maxima_gradient(
    dy, indices, out, channels, height, width, rows, columns, dy_n, dy_c, dy_h, dy_w, i_n, i_c, i_h, i_w, out_n, out_c, out_h, out_w,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, PAD_H: tl.constexpr,
    PAD_W: tl.constexpr, DILATION_H: tl.constexpr, DILATION_W: tl.constexpr, SUM: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """height, width: of the image. rows, columns: of the outputs."""
    dy, indices, out = _place(dy, channels, dy_n, dy_c), _place(indices, channels, i_n, i_c), _place(out, channels, out_n, out_c)
    h = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    w = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    pixel = h[:, None] * width + w[None, :]
    sums = tl.zeros((BLOCK_H, BLOCK_W), SUM)
    for a in tl.static_range(((KERNEL_H - 1) * DILATION_H) // STRIDE_H + 1):
        for b in tl.static_range(((KERNEL_W - 1) * DILATION_W) // STRIDE_W + 1):
            i, j = (h + PAD_H) // STRIDE_H - a, (w + PAD_W) // STRIDE_W - b
            inside = ((i >= 0) & (i < rows))[:, None] & ((j >= 0) & (j < columns))[None, :]
            i, j = i.to(tl.int64)[:, None], j.to(tl.int64)[None, :]
            chosen = tl.load(indices + i * i_h + j * i_w, inside, -1) == pixel
            sums += tl.where(chosen, tl.load(dy + i * dy_h + j * dy_w, inside, 0).to(SUM), 0)
    at = h.to(tl.int64)[:, None] * out_h + w.to(tl.int64)[None, :] * out_w
    tl.store(out + at, sums.to(out.dtype.element_ty), (h < height)[:, None] & (w < width)[None, :])


@triton.jit
def _parts(start, KERNEL: tl.constexpr, PAD: tl.constexpr, size, PADDED: tl.constexpr):
    """How many elements windows that begin at `start` have along a dimension: in the image, or in the padded one."""
    if PADDED:
        return tl.minimum(start + KERNEL, size + PAD) - start
    return tl.minimum(start + KERNEL, size) - tl.maximum(start, 0)


@triton.jit
def _means(
    x, out, channels, height, width, rows, columns, x_n, x_c, x_h, x_w, out_n, out_c, out_h, out_w, divisor,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, PAD_H: tl.constexpr,
    PAD_W: tl.constexpr, PADDED: tl.constexpr, SUM: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """divisor: of sums; 0 for the number of their elements, which padding counts among where PADDED says so."""
    x, out = _place(x, channels, x_n, x_c), _place(out, channels, out_n, out_c)
    i = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    j = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    first_h, first_w = i * STRIDE_H - PAD_H, j * STRIDE_W - PAD_W
    sums = tl.zeros((BLOCK_H, BLOCK_W), SUM)
    for a in tl.static_range(KERNEL_H):
        for b in tl.static_range(KERNEL_W):
            h, w = first_h + a, first_w + b
            inside = ((h >= 0) & (h < height))[:, None] & ((w >= 0) & (w < width))[None, :]
            sums += tl.load(x + h.to(tl.int64)[:, None] * x_h + w.to(tl.int64)[None, :] * x_w, inside, 0).to(SUM)
    if divisor != 0:
        sums = sums / divisor
    else:
        parts = _parts(first_h, KERNEL_H, PAD_H, height, PADDED)[:, None] * _parts(first_w, KERNEL_W, PAD_W, width, PADDED)[None, :]
        sums = sums / parts.to(SUM)
    at = i.to(tl.int64)[:, None] * out_h + j.to(tl.int64)[None, :] * out_w
    tl.store(out + at, sums.to(out.dtype.element_ty), (i < rows)[:, None] & (j < columns)[None, :])


@triton.jit
def _means_gradient(
    dy, out, channels, height, width, rows, columns, dy_n, dy_c, dy_h, dy_w, out_n, out_c, out_h, out_w, divisor,
    KERNEL_H: tl.constexpr, KERNEL_W: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, PAD_H: tl.constexpr,
    PAD_W: tl.constexpr, PADDED: tl.constexpr, SUM: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """height, width: of the image. rows, columns: of the outputs."""
    dy, out = _place(dy, channels, dy_n, dy_c), _place(out, channels, out_n, out_c)
    h = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    w = tl.program_id(1) * BLOCK_W + tl.arange(0, BLOCK_W)
    sums = tl.zeros((BLOCK_H, BLOCK_W), SUM)
    for a in tl.static_range((KERNEL_H - 1) // STRIDE_H + 1):
        for b in tl.static_range((KERNEL_W - 1) // STRIDE_W + 1):
            i, j = (h + PAD_H) // STRIDE_H - a, (w + PAD_W) // STRIDE_W - b
            first_h, first_w = i * STRIDE_H - PAD_H, j * STRIDE_W - PAD_W
            has_h = (i >= 0) & (i < rows) & (h < first_h + KERNEL_H)
            has_w = (j >= 0) & (j < columns) & (w < first_w + KERNEL_W)
            has = has_h[:, None] & has_w[None, :]
            part = tl.load(dy + i.to(tl.int64)[:, None] * dy_h + j.to(tl.int64)[None, :] * dy_w, has, 0).to(SUM)
            if divisor != 0:
                sums += part / divisor
            else:
                parts = _parts(first_h, KERNEL_H, PAD_H, height, PADDED)[:, None] * _parts(first_w, KERNEL_W, PAD_W, width, PADDED)[None, :]
                sums += tl.where(has, part / parts.to(SUM), 0)
    at = h.to(tl.int64)[:, None] * out_h + w.to(tl.int64)[None, :] * out_w
    tl.store(out + at, sums.to(out.dtype.element_ty), (h < height)[:, None] & (w < width)[None, :])


_MAXIMA, _MAXIMA_GRADIENT, _MEANS, _MEANS_GRADIENT = Kernel(_maxima), Kernel(_maxima_gradient), Kernel(_means), Kernel(_means_gradient)


class Windows:
    """The windows of a pooling, from the image's shape and PyTorch's arguments. `mistake`: PyTorch has to refuse them."""

    def __init__(self, image: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool) -> None:
        self.mistake = True
        if len(image) not in (3, 4) or min(image[-3:], default=0) <= 0:
            return
        if any(len(values) not in (1, 2) for values in (kernel, padding, dilation)) or len(stride) > 2:
            return
        kernel, padding, dilation, stride = (self._two(values) for values in (kernel, padding, dilation, stride or kernel))
        if min(kernel + stride + dilation) <= 0 or any(not 0 <= p <= k // 2 for p, k in zip(padding, kernel, strict=True)):
            return
        each = zip(image[-2:], kernel, stride, padding, dilation, strict=True)
        self.outputs = tuple(self._count(*values, ceil_mode) for values in each)
        self.shape = (*image[:-2], *self.outputs)
        self.constants = dict(zip(("KERNEL_H", "KERNEL_W"), kernel, strict=True))
        self.constants |= dict(zip(("STRIDE_H", "STRIDE_W", "PAD_H", "PAD_W"), stride + padding, strict=True))
        self.dilation = dict(zip(("DILATION_H", "DILATION_W"), dilation, strict=True))
        self.mistake = min(self.outputs) <= 0

    @staticmethod
    def _two(values: Any) -> tuple[int, ...]:
        return tuple(values) * (2 // len(values))

    @staticmethod
    def _count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
        """Of windows; the last one begins in the image or the padding in front of it."""
        count = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
        return count - 1 if ceil_mode and (count - 1) * stride >= size + padding else count


@functools.lru_cache(1024)
def _known_windows(*arguments: Any) -> Windows:
    return Windows(*arguments)


def _windows(image: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Windows:
    return _known_windows(image.shape, tuple(kernel), tuple(stride), tuple(padding), tuple(dilation), ceil_mode)


def _batch(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dim() == 4 else tensor.unsqueeze(0)


def _grid(blocks: dict[str, int], rows: int, columns: int, planes: int) -> tuple[int, int, int]:
    return -(-rows // blocks["BLOCK_H"]), -(-columns // blocks["BLOCK_W"]), planes


def _like(image: torch.Tensor, shape: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    """A new tensor of the image's memory format."""
    return torch.empty(shape, dtype=dtype or image.dtype, memory_format=memory_format(image))


def max_pool2d_with_indices(
    image: torch.Tensor, kernel_size: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil_mode: bool = False
) -> Any:
    """The greatest element of each window, and its number in its channel."""
    stride, padding, dilation = (each if isinstance(each, (tuple, list)) else (each,) for each in (stride, padding, dilation))
    windows = _windows(image, kernel_size, stride, padding, dilation, ceil_mode)
    if windows.mistake or not computed(FLOATS, image):
        return NotImplemented
    out, indices = _like(image, windows.shape), _like(image, windows.shape, torch.int64)
    if out.numel():
        x, y = _batch(image), _batch(out)
        (n, channels, height, width), (rows, columns) = x.shape, windows.outputs
        blocks = image_blocks(active_target()[1], rows, columns)
        grid = _grid(blocks, rows, columns, n * channels)
        sizes = (channels, height, width, rows, columns)
        _MAXIMA(grid, x, y, _batch(indices), *sizes, *x.stride(), *y.stride(), **windows.constants, **windows.dilation, **blocks)
    return out, indices


def max_pool2d_with_indices_backward(
    dy: torch.Tensor, image: torch.Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    indices: torch.Tensor,
) -> Any:  # fmt: skip
    """Each pixel gets the gradients of the windows whose greatest element it is."""
    windows = _windows(image, kernel_size, stride, padding, dilation, ceil_mode)
    if windows.mistake or not computed(FLOATS, dy, image) or dy.dtype is not image.dtype or indices.dtype is not torch.int64:
        return NotImplemented
    if dy.shape != windows.shape or indices.shape != windows.shape:
        return NotImplemented
    out = _like(image, image.shape)
    if out.numel():
        y, x, places = _batch(dy), _batch(out), _batch(indices)
        n, channels, height, width = x.shape
        blocks = image_blocks(active_target()[1], height, width)
        _MAXIMA_GRADIENT(
            _grid(blocks, height, width, n * channels), y, places, x, channels, height, width, *windows.outputs,
            *y.stride(), *places.stride(), *x.stride(), SUM=sum_type(dy.dtype), **windows.constants, **windows.dilation, **blocks,
        )  # fmt: skip
    return out


def avg_pool2d(
    image: torch.Tensor, kernel_size: Any, stride: Any = (), padding: Any = (0,), ceil_mode: bool = False, count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window."""
    stride, padding = (each if isinstance(each, (tuple, list)) else (each,) for each in (stride, padding))
    windows = _windows(image, kernel_size, stride, padding, (1,), ceil_mode)
    if windows.mistake or divisor_override == 0 or not computed(FLOATS, image):
        return NotImplemented
    out = _like(image, windows.shape)
    if out.numel():
        x, y = _batch(image), _batch(out)
        (n, channels, height, width), (rows, columns) = x.shape, windows.outputs
        blocks = image_blocks(active_target()[1], rows, columns)
        _MEANS(
            _grid(blocks, rows, columns, n * channels), x, y, channels, height, width, rows, columns, *x.stride(), *y.stride(),
            divisor_override or 0, PADDED=count_include_pad, SUM=sum_type(image.dtype), **windows.constants, **blocks,
        )  # fmt: skip
    return out


def avg_pool2d_backward(
    dy: torch.Tensor, image: torch.Tensor, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> Any:  # fmt: skip
    """Each pixel gets its part of the gradients of the windows it is in."""
    windows = _windows(image, kernel_size, stride, padding, (1,), ceil_mode)
    if windows.mistake or divisor_override == 0 or not computed(FLOATS, dy, image) or dy.dtype is not image.dtype:
        return NotImplemented
    if dy.shape != windows.shape:
        return NotImplemented
    out = _like(image, image.shape)
    if out.numel():
        y, x = _batch(dy), _batch(out)
        n, channels, height, width = x.shape
        blocks = image_blocks(active_target()[1], height, width)
        _MEANS_GRADIENT(
            _grid(blocks, height, width, n * channels), y, x, channels, height, width, *windows.outputs, *y.stride(), *x.stride(),
            divisor_override or 0, PADDED=count_include_pad, SUM=sum_type(dy.dtype), **windows.constants, **blocks,
        )  # fmt: skip
    return out


def max_pool2d_with_indices_out(
    image: torch.Tensor, kernel_size: Any, stride: Any = (), padding: Any = (0,), dilation: Any = (1,), ceil_mode: bool = False, *,
    out: torch.Tensor, indices: torch.Tensor,
) -> Any:  # fmt: skip
    found = max_pool2d_with_indices(image, kernel_size, stride, padding, dilation, ceil_mode)
    if found is NotImplemented or out.dtype is not image.dtype or indices.dtype is not torch.int64:
        return NotImplemented
    return into(out, found[0]), into(indices, found[1])


max_pool2d_with_indices_backward_out = out_form(max_pool2d_with_indices_backward, "grad_input")


avg_pool2d_out = out_form(avg_pool2d)


avg_pool2d_backward_out = out_form(avg_pool2d_backward, "grad_input")
