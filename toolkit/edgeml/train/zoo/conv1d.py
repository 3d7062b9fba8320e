"""A fully convolutional network over time series: three convolutions, then the mean over time.

Source: Wang et al. 2017, arXiv:1611.06455 (FCN), with half its channels.
"""

from __future__ import annotations

from torch import nn

from edgeml.train.zoo import Network

STAGES = ((64, 8), (128, 5), (64, 3))  # channels, kernel


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for series of `shape` (channels, time)."""
    layers: list[nn.Module] = []
    taken = shape[0]
    for given, kernel in STAGES:
        convolution = nn.Conv1d(taken, given, kernel, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm1d(given), nn.ReLU()]
        taken = given
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(taken, classes))


NETWORK = Network("series of (channels, time), 8 steps or more", lambda s: len(s) == 2 and s[1] >= 8, build)
