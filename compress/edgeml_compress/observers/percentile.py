"""The range that holds all but the outermost hundredth of a percent of the values on each side."""

from __future__ import annotations

from typing import Final

from edgeml_compress.calibration import Seen
from edgeml_compress.observers import Range

OUTSIDE_SHARE: Final = 1e-4  # on each side


def percentile(seen: Seen, bits: int) -> Range:
    """Return the quantiles at 0.01 % and 99.99 %, within the extremes.

    Source: Wu et al. 2020, arXiv:2004.09602, section 3.2.
    """
    del bits
    low, high = (seen.counts.quantile(share) for share in (OUTSIDE_SHARE, 1 - OUTSIDE_SHARE))
    # Within a bin a quantile is interpolated, so it may lie beyond the only value in it.
    return Range(min(max(low, seen.low), seen.high), max(min(high, seen.high), seen.low))


OBSERVER = percentile
