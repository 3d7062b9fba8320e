"""The range with the smallest mean squared error, of rounding inside and of saturation outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_compress.calibration import Seen
from edgeml_compress.observers import Range

Floats = npt.NDArray[np.float64]

COARSE: Final[Floats] = np.linspace(
    1.0, 0.05, 20
)  # shares of the full range, on each side; of equals the widest is taken
FINE: Final[Floats] = np.linspace(-0.04, 0.04, 9)  # around the best of them
ROUNDS: Final = 2  # one side after the other; the second round hardly moves an end


def mse(seen: Seen, bits: int) -> Range:
    """Return the range, a part of the full one, whose quantization to `bits` loses the least mean squared error.

    Source: Sung et al. 2015, arXiv:1511.06488, here with each end found by itself.
    """
    counted = np.asarray(seen.counts.counts, np.float64)
    edges, held = seen.counts.edges, counted > 0
    errors = _Errors(((edges[:-1] + edges[1:]) / 2)[held], counted[held], bits)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    best_low, best_high = low, high
    for _ in range(ROUNDS if low < 0 < high else 1):
        best_high = errors.best_high(best_low, high)
        best_low = errors.best_low(low, best_high)
    return Range(best_low, best_high)


class _Errors:
    """What ranges lose of values: `values` (bins,), how often each was counted, and the width of the integers."""

    def __init__(self, values: Floats, counts: Floats, bits: int) -> None:
        self._values, self._counts, self._steps = values, counts, (1 << bits) - 1

    def best_high(self, low: float, high: float) -> float:
        """Return the part of `high` that loses least with the other end at `low`."""
        return high * _best_share(lambda shares: self._of(low, high * shares))

    def best_low(self, low: float, high: float) -> float:
        """Return the part of `low` that loses least with the other end at `high`."""
        return low * _best_share(lambda shares: self._of(low * shares, high))

    def _of(self, low: Floats | float, high: Floats | float) -> Floats:
        """Return the mean squared error of each range; one end is an array, (ranges,), the other one for all."""
        lows, highs = (np.atleast_1d(end)[:, None] for end in (low, high))
        step = np.maximum((highs - lows) / self._steps, float(np.finfo(np.float32).tiny))
        error = np.clip(self._values, lows, highs) / step
        np.rint(error, out=error)
        error *= step
        error -= self._values
        error *= error
        return np.asarray(error @ self._counts / self._counts.sum())


def _best_share(errors: Callable[[Floats], Floats]) -> float:
    coarse = COARSE[np.argmin(errors(COARSE))]
    fine = np.minimum(coarse + FINE, 1.0)
    return float(fine[np.argmin(errors(fine))])


OBSERVER = mse
