"""A small ResNet of PyTorch's own modules, and pictures that it can learn to tell apart."""

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions beside a way around them, which has one of its own where sizes change."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out_channels, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(out_channels)
        same = stride == 1 and channels == out_channels
        around = (nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
        self.around = nn.Identity() if same else nn.Sequential(*around)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.around(x))


class ResNet(nn.Module):
    """(batch, 3, height, width) pictures to (batch, classes) scores."""

    def __init__(self, channels: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.Sequential(Block(channels, channels, 1), Block(channels, 2 * channels, 2))
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


def pictures(batch: int, step: int, size: int = 16, classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures of a step, each a wave in its class's direction under noise, and their classes."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(0, classes, (batch,), generator=generator)
    angle = labels * (torch.pi / classes)
    x, y = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    wave = torch.sin(x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None])
    return wave[:, None] + 0.3 * torch.randn(batch, 3, size, size, generator=generator), labels
