"""DS-CNN: depthwise separable convolutions over a spectrogram, the keyword-spotting network of MLPerf Tiny.

Source: Zhang et al. 2017, arXiv:1711.07128, size S: 64 channels, four separable blocks.
"""

from __future__ import annotations

from torch import nn

from edgeml.train.zoo import Network

CHANNELS = 64
BLOCKS = 4


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for `shape` (channels, time, frequency), or images (channels, height, width)."""
    layers: list[nn.Module] = [*_convolution(shape[0], CHANNELS, (10, 4), stride=2), nn.Dropout(0.2)]
    for _ in range(BLOCKS):
        layers += _convolution(CHANNELS, CHANNELS, (3, 3), groups=CHANNELS)
        layers += _convolution(CHANNELS, CHANNELS, (1, 1))
    return nn.Sequential(*layers, nn.Dropout(0.4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, classes))


def _convolution(
    taken: int, given: int, kernel: tuple[int, int], *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(taken, given, kernel, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(given), nn.ReLU()]


NETWORK = Network(
    "spectrograms of (channels, time, frequency), 8 x 8 or more", lambda s: len(s) == 3 and min(s[1:]) >= 8, build
)
