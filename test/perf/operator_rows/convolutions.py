"""Convolutions and pooling, and their gradients."""

from collections.abc import Callable
from typing import Any

import torch
from perf.operator_rows.row import Row

Size = tuple[int, ...]


def _convolution(
    image: Size,
    weight: Size,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> tuple[Row, Row]:
    """The convolution, and its gradients by image and weights."""
    terms = weight[1] * weight[2] * weight[3]
    shape = f"{'x'.join(map(str, image))} k{weight[2]} to {weight[0]}"
    shape += (f" s{stride}" if stride > 1 else "") + (" each" if groups > 1 else "")
    shape += " channels last" if memory_format is torch.channels_last else ""
    options = [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups

    def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.convolution(x, w, None, *options)

    def backward(dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor) -> Any:
        return torch.ops.aten.convolution_backward(dy, x, w, None, *options, [True, True, False])

    def make() -> tuple[torch.Tensor, ...]:
        return torch.randn(image).contiguous(memory_format=memory_format), torch.randn(weight)

    def make_gradient() -> tuple[torch.Tensor, ...]:
        x, w = make()
        return torch.randn_like(forward(x, w)), x, w

    return (
        Row("convolution", shape, forward, make, tolerance=2**-23 * terms),
        Row("convolution", f"{shape} backward", backward, make_gradient, tolerance=2**-23 * max(terms, image[0] * image[2] * image[3])),
    )


def _pool(operator: str, shape: str, call: Callable[..., Any], *arguments: Any) -> Row:
    return Row(operator, shape, lambda x: call(x, *arguments), lambda: (torch.randn(8, 64, 56, 56),), tolerance=1e-6)


ROWS = [
    *_convolution((1, 64, 56, 56), (64, 64, 3, 3), padding=1),
    *_convolution((4, 128, 28, 28), (128, 128, 3, 3), padding=1),
    *_convolution((4, 128, 28, 28), (128, 128, 3, 3), padding=1, memory_format=torch.channels_last),
    *_convolution((1, 256, 14, 14), (256, 256, 3, 3), padding=1),
    *_convolution((1, 512, 7, 7), (512, 512, 3, 3), padding=1),
    *_convolution((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    *_convolution((4, 64, 56, 56), (128, 64, 3, 3), stride=2, padding=1),
    *_convolution((4, 64, 56, 56), (256, 64, 1, 1)),
    *_convolution((4, 64, 56, 56), (128, 64, 1, 1), stride=2),
    *_convolution((4, 96, 56, 56), (96, 1, 3, 3), padding=1, groups=96),
    _pool("max_pool2d", "8x64x56x56 k3 s2", torch.max_pool2d, 3, 2, 1),
    _pool("avg_pool2d", "8x64x56x56 k2", torch.nn.functional.avg_pool2d, 2),
]
