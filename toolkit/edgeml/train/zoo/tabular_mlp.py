"""A multilayer perceptron over the columns of a table: two hidden layers with batch normalization and dropout.

Source: Gorishniy et al. 2021, arXiv:2106.11959, whose plain MLP holds its own against more elaborate networks.
"""

from __future__ import annotations

from torch import nn

from edgeml.train.zoo import Network

HIDDEN = (128, 64)


def build(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the network for rows of `shape` (columns,)."""
    layers: list[nn.Module] = []
    taken = shape[0]
    for given in HIDDEN:
        layers += [nn.Linear(taken, given), nn.BatchNorm1d(given), nn.ReLU(), nn.Dropout(0.1)]
        taken = given
    return nn.Sequential(*layers, nn.Linear(taken, classes))


NETWORK = Network("rows of (columns,)", lambda s: len(s) == 1, build)
