"""Is ours better, not worse, or worse than a peer's? Pure, from flags and medians of loads.

Accuracy   The paired difference ours - peer with its 95 % interval, and McNemar's exact test. Its p is corrected by Holm
           over all comparisons of the table: of many networks and peers, some look different by chance.
Latency    The ratio ours / peer from pairs of loads of one race, with its 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_bench.accuracy import paired_drop
from edgeml_bench.comparison import Verdict as Pace
from edgeml_bench.comparison import judge
from edgeml_bench.statistics import Estimate, ratio_interval

Flags = npt.NDArray[np.bool_]

SIGNIFICANT: Final = 0.05
LEAST_POINTS: Final = -1.0  # an interval that stays above it says: not worse
MOST_SLOWER: Final = 1.02  # a ratio whose interval begins above it says: slower


class Word(str, Enum):
    """Ours against a peer."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    INSUFFICIENT = "insufficient"  # the split is too small to tell


@dataclass(frozen=True)
class Difference:
    """Ours minus a peer's accuracy on the same samples.

    Args:
        points: A point is 0.01; above 0 ours is better.
        low, high: The 95 % interval.
        p: McNemar's, exact, two-sided, not corrected.
    """

    points: float
    low: float
    high: float
    p: float


def difference(ours: Flags, peer: Flags) -> Difference:
    """Return ours minus the peer's accuracy.

    Args:
        ours: Whether ours was right, (samples,).
        peer: Whether the peer's was, in the same order.

    Raises:
        ValueError: The two rest on different numbers of samples, or on none.
    """
    found = paired_drop(ours, peer)  # what the second lost against the first
    return Difference(found.points, found.low, found.high, mcnemar(ours, peer))


def mcnemar(first: Flags, second: Flags) -> float:
    """Return the exact two-sided p of McNemar's test, 0 to 1: 1 where both are right on the same samples.

    Source: McNemar 1947; the exact form is the sign test on the samples that only one got right.

    Example:
        >>> mcnemar(np.array([True] * 8 + [False]), np.array([False] * 8 + [True]))
        0.0390625
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    of, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(of, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**of))


def holm(values: Sequence[float]) -> list[float]:
    """Return p values corrected for being many, in the same order, each at most 1.

    Source: Holm 1979; it holds whatever the dependence between the tests.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    corrected, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected


def accuracy_word(found: Difference, corrected_p: float) -> Word:
    """Return the verdict on accuracy: a significant difference first, then what the interval can show."""
    if found.high < LEAST_POINTS or (corrected_p < SIGNIFICANT and found.points < 0):
        return Word.WORSE
    if corrected_p < SIGNIFICANT:
        return Word.BETTER
    return Word.NOT_WORSE if found.low > LEAST_POINTS else Word.INSUFFICIENT


def latency_ratio(ours_us: Sequence[float], peer_us: Sequence[float]) -> Estimate:
    """Return ours over the peer's latency from paired medians of loads; below 1 ours is faster.

    Raises:
        ValueError: There are too few pairs.
    """
    return ratio_interval(peer_us, ours_us)


def latency_word(ratio: Estimate) -> Word:
    """Return the verdict on latency: worse when more than 2 % slower for sure, better as `edgeml bench compare` says faster."""
    if ratio.low > MOST_SLOWER:
        return Word.WORSE
    return Word.BETTER if judge(ratio) is Pace.FASTER else Word.NOT_WORSE
