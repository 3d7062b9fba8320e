"""The range with the smallest mean squared error, of rounding inside and of saturation outside."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_compress.calibration import Seen
from edgeml_compress.observers import Range

TRIED: Final = tuple(np.linspace(0.2, 1.0, 81).tolist())  # shares of the full range, on each side
ROUNDS: Final = 2  # one side after the other; the second round moves an end by a step at most

Floats = npt.NDArray[np.float64]


def mse(seen: Seen, bits: int) -> Range:
    """Return the range, a part of the full one, whose quantization to `bits` loses the least mean squared error.

    Source: Sung et al. 2015, arXiv:1511.06488, here with each end found by itself.
    """
    edges = seen.counts.edges
    centres, shares = (edges[:-1] + edges[1:]) / 2, np.asarray(seen.counts.counts) / seen.counts.total
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    best = Range(low, high)
    for _ in range(ROUNDS):
        highs = [Range(best.low, high * share) for share in TRIED] if high > 0 else [best]
        best = min(highs, key=lambda tried: _error(tried, centres, shares, bits))
        lows = [Range(low * share, best.high) for share in TRIED] if low < 0 else [best]
        best = min(lows, key=lambda tried: _error(tried, centres, shares, bits))
    return best


def _error(tried: Range, centres: Floats, shares: Floats, bits: int) -> float:
    """Return the mean squared error of values at `centres` that are rounded to the grid of a range."""
    step = max((tried.high - tried.low) / ((1 << bits) - 1), float(np.finfo(np.float32).tiny))
    rounded = np.rint(np.clip(centres, tried.low, tried.high) / step) * step
    return float((rounded - centres) ** 2 @ shares)


OBSERVER = mse
