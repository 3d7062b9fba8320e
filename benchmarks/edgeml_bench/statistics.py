"""Estimates with their intervals, all 95 % unless told otherwise; numpy and the standard library only.

`quantiles`          of latencies
`ratio_interval`     of B over A, from pairs that were measured side by side
`wilson_interval`    of a share
`paired_difference`  of two shares that rest on the same samples
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

CONFIDENCE: Final = 0.95
LEAST_PAIRS: Final = 6  # with 5, even the widest signed-rank interval holds 93.75 % only
_BISECTIONS: Final = 60  # halves an interval of length 2 to below a double's precision


class Estimate(msgspec.Struct, frozen=True):
    """A figure with the ends of its interval, in the figure's own unit; low <= value <= high."""

    value: float
    low: float
    high: float


def quantiles(values: npt.ArrayLike, shares: Sequence[float]) -> list[float]:
    """Return the quantiles of `values` (any shape, not empty) at `shares` (0 to 1), in the values' unit.

    Source: Hyndman and Fan 1996, definition 8, which is median-unbiased whatever the distribution.

    Example:
        >>> quantiles([1.0, 2.0, 3.0], [0.5])
        [2.0]
    """
    found = np.quantile(np.asarray(values, np.float64), shares, method="median_unbiased")
    return [float(q) for q in found]


def location_interval(values: npt.ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the Hodges-Lehmann centre of `values` (one axis, `LEAST_PAIRS` or more) and its signed-rank interval.

    The centre is the median of all pairwise means. The interval is exact for any symmetric distribution, and unlike a
    t-interval it stays narrow when a value is spoilt: on a shared machine some always are.

    Raises:
        ValueError: There are too few values for the confidence, or one is not finite.

    Source: Hodges and Lehmann 1963; Hollander, Wolfe and Chicken 2014, section 3.3.
    """
    points = np.asarray(values, np.float64)
    if not np.isfinite(points).all():
        raise ValueError("a value is not finite")
    rank = _signed_rank_cut(len(points), confidence)
    first, second = np.triu_indices(len(points))
    walsh = np.sort((points[first] + points[second]) / 2)
    return Estimate(float(np.median(walsh)), float(walsh[rank]), float(walsh[-1 - rank]))


def ratio_interval(a: npt.ArrayLike, b: npt.ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the ratio of B over A from pairs measured side by side: `a[i]` and `b[i]`, above 0, in one unit.

    The pair is what varies (each is a load of its own), so pairs are what is counted, not the inferences within them.

    Raises:
        ValueError: The lengths differ, a value is not above 0, or there are fewer than `LEAST_PAIRS`.
    """
    below, above = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if below.shape != above.shape:
        raise ValueError(f"no pairs: {len(below)} and {len(above)} values")
    if not ((below > 0).all() and (above > 0).all()):
        raise ValueError("a value is not above 0")
    logs = location_interval(np.log(above) - np.log(below), confidence=confidence)
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))


def wilson_interval(hits: int, of: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the share `hits` of `of` (at least 1), 0 to 1, with Wilson's score interval.

    Raises:
        ValueError: `hits` is not within 0 to `of`, or `of` is 0.

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001.
    """
    if not 0 <= hits <= of or of == 0:
        raise ValueError(f"{hits} of {of} is no share")
    z, share = _z(confidence), hits / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    # At 0 and at `of` the bound is the share itself; rounding must not push it past.
    return Estimate(share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share))


def paired_difference(only_first: int, only_second: int, of: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Return the first share minus the second, -1 to 1, where both rest on the same `of` samples.

    Args:
        only_first: Samples that only the first got right.
        only_second: Samples that only the second got right.
        of: All samples, also those on which both agree; at least 1.
        confidence: Of the interval.

    Raises:
        ValueError: The counts are negative or more than `of`.

    Source: Tango 1998, the score interval for paired proportions; recommended by Fagerland, Lydersen and Laake 2014.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > of or of == 0:
        raise ValueError(f"{only_first} and {only_second} of {of} are no counts")
    z, value = _z(confidence), (only_first - only_second) / of

    def end(outward: float) -> float:
        inside, outside = value, outward
        for _ in range(_BISECTIONS):
            middle = (inside + outside) / 2
            if abs(_tango_score(only_first, only_second, of, middle)) <= z:
                inside = middle
            else:
                outside = middle
        return inside

    return Estimate(value, end(-1.0), end(1.0))


def _tango_score(b: int, c: int, n: int, difference: float) -> float:
    """Return the standard score of b - c if the true difference were `difference` (Tango 1998, equation 5)."""
    slope = -b - c + (2 * n - b + c) * difference
    root = math.sqrt(max(slope * slope + 8 * n * c * difference * (1 - difference), 0.0))
    nuisance = (root - slope) / (4 * n)
    variance = n * (2 * nuisance + difference * (1 - difference))
    off = b - c - n * difference
    return off / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, off) if off else 0.0


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


@functools.lru_cache
def _signed_rank_cut(count: int, confidence: float) -> int:
    """Return how many of the sorted pairwise means lie outside the interval at each end."""
    ways = np.ones(1)  # ways[w]: how many of the 2**count choices of signs give the rank sum w
    for rank in range(1, count + 1):
        grown = np.zeros(len(ways) + rank)
        grown[: len(ways)] += ways
        grown[rank:] += ways
        ways = grown
    tail = np.cumsum(ways) / 2.0**count
    inside = int(np.searchsorted(tail, (1 - confidence) / 2, side="right"))
    if inside == 0:
        raise ValueError(f"{count} values are too few for {confidence:.0%}")
    return inside - 1
