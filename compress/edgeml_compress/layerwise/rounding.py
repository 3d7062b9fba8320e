"""Roundings that are learned: how far each number is rounded up, pulled by degrees to not at all or by a whole step.

Source: Nagel et al. 2020, arXiv:2004.10568, equations 22 to 24, with Adam (Kingma and Ba 2015, arXiv:1412.6980).
"""

from __future__ import annotations

import math
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

LOW: Final = -0.1
HIGH: Final = 1.1
"""The sigmoid is stretched from one to the other, so that it reaches 0 and 1."""
RATE: Final = 0.01
KEPT_MEAN: Final = 0.9  # Adam's, of the gradient and of its square
KEPT_SQUARE: Final = 0.999
FREE: Final = 0.2  # of all steps: before, nothing pulls to 0 and 1
SHARPEST: Final = 2.0  # the pull's exponent falls from blunt to sharp
BLUNTEST: Final = 20.0


class Rounding:
    """How far each number of a weight is rounded up, 0 to 1 of a step, while that is learned."""

    def __init__(self, logit: Array) -> None:
        self._logit, self._mean, self._square = logit, np.zeros_like(logit), np.zeros_like(logit)
        self._steps = 0

    @classmethod
    def begin(cls, shares: Array) -> Rounding:
        """Begin with each number where it lies between two points of the grid, 0 to 1."""
        held = np.clip(shares, 0.01, 0.99)
        return cls(-np.log((HIGH - LOW) / (held - LOW) - 1).astype(np.float32))

    def up(self) -> Array:
        """Return how far each number is rounded up."""
        found = np.empty_like(self._logit)
        _stretch(self._logit.reshape(-1), found.reshape(-1))
        return found

    def step(self, gradient: Array, done: float, pull: float) -> None:
        """Take a step against `gradient`, the loss's by what `up` gave.

        Args:
            gradient: Of the weight's shape.
            done: Which share of all steps lies behind, 0 to 1.
            pull: Weight of the pull to 0 and 1.
        """
        self._steps += 1
        power = SHARPEST + (BLUNTEST - SHARPEST) * 0.5 * (1 + math.cos(math.pi * (done - FREE) / (1 - FREE)))
        sizes = (1 - KEPT_MEAN**self._steps, 1 - KEPT_SQUARE**self._steps)
        state = (self._logit.reshape(-1), self._mean.reshape(-1), self._square.reshape(-1))  # views
        _descend(state, gradient.reshape(-1), sizes, power, pull if done >= FREE else 0.0)


@numba.njit(cache=True)
def _stretch(logit: Array, found: Array) -> None:
    for i in range(logit.size):
        wide = (HIGH - LOW) / (1 + math.exp(-logit[i])) + LOW
        found[i] = min(max(wide, 0.0), 1.0)


@numba.njit(cache=True)
def _descend(
    state: tuple[Array, Array, Array], gradient: Array, sizes: tuple[float, float], power: float, pull: float
) -> None:
    logit, mean, square = state
    for i in range(logit.size):
        sigmoid = 1 / (1 + math.exp(-logit[i]))
        wide = sigmoid * (HIGH - LOW) + LOW
        slope = sigmoid * (1 - sigmoid) * (HIGH - LOW) if 0.0 < wide < 1.0 else 0.0
        middle = 2 * min(max(wide, 0.0), 1.0) - 1
        pulled = -pull * 2 * power * abs(middle) ** (power - 1)
        whole = (gradient[i] + (pulled if middle >= 0 else -pulled)) * slope
        mean[i] += (1 - KEPT_MEAN) * (whole - mean[i])
        square[i] += (1 - KEPT_SQUARE) * (whole * whole - square[i])
        logit[i] -= RATE * (mean[i] / sizes[0]) / (math.sqrt(square[i] / sizes[1]) + 1e-8)
