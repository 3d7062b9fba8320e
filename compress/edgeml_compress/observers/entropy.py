"""The range whose quantized distribution tells the least of itself lost: the smallest Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_compress.calibration import BINS, Seen
from edgeml_compress.observers import Range
from edgeml_targets.contract.histogram import coarsen, exponent_for

TRIED: Final = 512  # thresholds at most, evenly over the bins
Floats = npt.NDArray[np.float64]


def entropy(seen: Seen, bits: int) -> Range:
    """Return the range up to the magnitude whose quantization to `bits` diverges least from what was counted.

    What lies beyond a tried threshold counts with the last bin before it; the levels spread what they hold evenly over the
    bins that are not empty. Values of one sign have all levels, values of both half of them a side. The bin at 0 counts as its
    neighbour does: the zeros that a Relu leaves are on the grid whatever the range, and would else choose it alone.

    Source: Migacz 2017, "8-bit inference with TensorRT", GTC, slides 38 to 43.
    """
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    levels = 1 << (bits - 1 if low < 0 < high else bits)
    counts, edges = _magnitudes(seen)
    if len(counts) <= levels:  # not even a level a bin: nothing is lost
        return Range(low, high)
    tried = np.unique(np.linspace(levels, len(counts), TRIED).astype(np.int64))
    threshold = float(edges[tried[np.argmin(_divergences(counts, tried, levels))]])
    return Range(max(low, -threshold), min(high, threshold))


def _magnitudes(seen: Seen) -> tuple[Floats, Floats]:
    """Return the counts of the magnitudes from 0 up, and their bins' edges: the bins of both signs mirror each other."""
    exponent = exponent_for(min(seen.low, 0.0), max(seen.high, 0.0), BINS)  # the bins reach to 0
    bins = coarsen(seen.counts, max(exponent, seen.counts.exponent))
    first, counts = bins.first, np.asarray(bins.counts, np.float64)
    indexes = np.arange(first, first + len(counts))
    indexes = np.where(indexes < 0, -1 - indexes, indexes)
    folded = np.bincount(indexes, weights=counts).astype(np.float64)
    folded[0] = folded[min(1, len(folded) - 1)]
    return folded, np.ldexp(np.arange(len(folded) + 1, dtype=np.float64), bins.exponent)


def _divergences(counts: Floats, tried: npt.NDArray[np.int64], levels: int) -> Floats:
    """Return for each tried number of bins the divergence of what `levels` levels make of them from what was counted.

    A level's bins have one quantized value, so sums over levels are enough, and those are differences of running sums.
    """
    running = np.concatenate([[0.0], np.cumsum(counts)])
    filled = np.concatenate([[0.0], np.cumsum(counts > 0)])
    information = np.concatenate([[0.0], np.cumsum(counts * _log(counts))])
    ends = tried[:, None] * np.arange(levels + 1) // levels  # of the levels' bins, (tried, levels + 1)
    held = np.diff(running[ends], axis=1)
    spread = _log(held / np.maximum(np.diff(filled[ends], axis=1), 1.0))
    total, beyond = running[-1], running[-1] - running[tried]
    last = counts[tried - 1]
    # Of the last bin's share the part beyond the threshold has to be taken into both logarithms.
    own = information[tried] - last * _log(last) + (last + beyond) * _log(last + beyond) - total * np.log(total)
    quantized = (held * spread).sum(1) + beyond * spread[:, -1] - total * np.log(np.maximum(total - beyond, 1.0))
    unseen = (last == 0) & (beyond > 0)  # the last bin is given what lies beyond, and no level has any of it
    return np.where(unseen, np.inf, (own - quantized) / total)


def _log(values: Floats) -> Floats:
    return np.log(np.where(values > 0, values, 1.0))


OBSERVER = entropy
