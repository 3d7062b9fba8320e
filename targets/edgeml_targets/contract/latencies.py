"""Durations, counted in bins of equal ratio: one hiccup of 100 ms must not blur what 200 microseconds look like.

It is the one mergeable histogram, over the logarithm.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.histogram import Histogram, coarsen, histogram, merge

LATENCY_BINS: Final = 64
_FINEST_EXPONENT: Final = -4  # a sixteenth of an octave: bins 4.4 % wide over a factor of 15, 9 % over a factor of 230
_LEAST_US: Final = 2.0**-10


class Latencies(msgspec.Struct, frozen=True):
    """How long something took, each time.

    Args:
        log2: A histogram of log2 of the microseconds, in at most `LATENCY_BINS` bins, none finer than a sixteenth.
    """

    log2: Histogram = Histogram()

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return self.log2.total

    def quantile(self, share: float) -> float:
        """Return the duration in microseconds below which `share` (0 to 1) of them lie; NaN when there are none.

        It is off by a bin's width at most: 4.4 % where the longest is within 15 times the shortest, 9 % within 230 times.
        """
        return float(2.0 ** self.log2.quantile(share))


def latencies(values_us: npt.ArrayLike) -> Latencies:
    """Count durations in microseconds, finite and 0 or more, of any shape.

    Raises:
        ValueError: A value is not finite.

    Example:
        >>> 95 < latencies([100.0] * 99 + [50_000.0]).quantile(0.5) < 105
        True
    """
    values = np.maximum(np.asarray(values_us, np.float64), _LEAST_US)
    return Latencies(_at_most_so_fine(histogram(np.log2(values), bins=LATENCY_BINS)))


def merge_latencies(left: Latencies, right: Latencies) -> Latencies:
    """Return what one count over both sides' durations would be, exactly."""
    return Latencies(merge(left.log2, right.log2, bins=LATENCY_BINS))


def _at_most_so_fine(found: Histogram) -> Histogram:
    return coarsen(found, max(found.exponent, _FINEST_EXPONENT))
