"""MobileNetV2 for small images: inverted residuals, narrowed, the first strides left out, and a head of 128 channels.

Source: Sandler et al. 2018, arXiv:1801.04381: its table 2 at about a third of the width; images of 32 x 32 end as 4 x 4.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeml.train.zoo import Network

STEM = 16
STAGES = (
    (1, 8, 1, 1),
    (6, 16, 2, 2),
    (6, 24, 2, 2),
    (6, 32, 2, 2),
)  # expansion, channels, blocks, first block's stride
HEAD = 128


class InvertedResidual(nn.Module):
    """A 1 x 1 convolution that widens, a depthwise 3 x 3, a 1 x 1 that narrows; the input is carried where its shape stays."""

    def __init__(self, taken: int, given: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        wide = taken * expansion
        widening = _convolution(taken, wide, 1) if expansion > 1 else []
        depthwise = _convolution(wide, wide, 3, stride=stride, groups=wide)
        narrowing = [nn.Conv2d(wide, given, 1, bias=False), nn.BatchNorm2d(given)]
        self.body = nn.Sequential(*widening, *depthwise, *narrowing)
        self.carries = stride == 1 and taken == given

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, given, height / stride, width / stride)."""
        mapped: torch.Tensor = self.body(x)
        return x + mapped if self.carries else mapped


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for images of `shape` (channels, height, width)."""
    layers: list[nn.Module] = _convolution(shape[0], STEM, 3)
    taken = STEM
    for expansion, given, blocks, stride in STAGES:
        for block in range(blocks):
            step = stride if block == 0 else 1
            layers.append(InvertedResidual(taken, given, expansion=expansion, stride=step))
            taken = given
    layers += _convolution(taken, HEAD, 1)
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
    return nn.Sequential(*layers, *pooled, nn.Linear(HEAD, classes))


def _convolution(taken: int, given: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(taken, given, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(given), nn.ReLU6()]


NETWORK = Network(
    "images of (channels, height, width), 8 x 8 pixels or more", lambda s: len(s) == 3 and min(s[1:]) >= 8, build
)
