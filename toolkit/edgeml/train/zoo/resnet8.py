"""ResNet-8, the image network of MLPerf Tiny: 78 thousand parameters.

Source: Banbury et al. 2021, arXiv:2106.07597 (its reference closes with an average over 8 x 8; this one over whatever is left).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from edgeml.train.zoo import Network


class Block(nn.Module):
    """Two 3 x 3 convolutions around which the input is carried, by a 1 x 1 convolution where its shape changes."""

    def __init__(self, taken: int, given: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(taken, given, 3, stride, 1, bias=False),
            nn.BatchNorm2d(given),
            nn.ReLU(),
            nn.Conv2d(given, given, 3, 1, 1, bias=False),
            nn.BatchNorm2d(given),
        )
        changes = stride != 1 or taken != given
        self.carry = nn.Conv2d(taken, given, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, given, height / stride, width / stride)."""
        return torch.relu(self.body(x) + cast(torch.Tensor, self.carry(x)))


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for images of `shape` (channels, height, width)."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 16, 1),
        Block(16, 32, 2),
        Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


NETWORK = Network(
    "images of (channels, height, width), 8 x 8 pixels or more", lambda s: len(s) == 3 and min(s[1:]) >= 8, build
)
