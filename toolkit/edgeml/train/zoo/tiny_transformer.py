"""A transformer encoder over time series: a token a step, two layers of four heads, then the mean over time.

Source: Vaswani et al. 2017, arXiv:1706.03762; for series Zerveas et al. 2021, arXiv:2010.02803, whose learned positions these are;
normalization comes first in each layer, Xiong et al. 2020, arXiv:2002.04745, so that it learns without a warm-up.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeml.train.zoo import Network

WIDTH = 64
HEADS = 4
LAYERS = 2
DROPPED = 0.1


class Layer(nn.Module):
    """Self-attention, then a perceptron on each step; the input is carried around both."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_perceptron = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.attended = nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.drop = nn.Dropout(DROPPED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, time, width) of the same."""
        x = x + self.drop(self._attention(self.before_attention(x)))
        carried: torch.Tensor = x + self.drop(self.perceptron(self.before_perceptron(x)))
        return carried

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            linear(x).unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        # Written out: around scaled_dot_product_attention the exporter puts shape arithmetic, 85 nodes for 65 and 102 us for 97.
        weights = torch.softmax(query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5, dim=3)
        heads = weights @ value
        attended: torch.Tensor = self.attended(heads.transpose(1, 2).flatten(2))
        return attended


class Encoder(nn.Module):
    """Steps become tokens, positions are added, layers mix them; a linear layer judges their mean."""

    def __init__(self, channels: int, steps: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(channels, WIDTH)
        self.positions = nn.Parameter(0.02 * torch.randn(steps, WIDTH))
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.normalization = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (batch, classes) of series (batch, channels, time)."""
        tokens = self.embedding(x.transpose(1, 2)) + self.positions
        scores: torch.Tensor = self.head(self.normalization(self.layers(tokens)).mean(1))
        return scores


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for series of `shape` (channels, time); it takes no other length."""
    return Encoder(shape[0], shape[1], classes)


NETWORK = Network("series of (channels, time), 2 steps or more", lambda s: len(s) == 2 and s[1] >= 2, build)
