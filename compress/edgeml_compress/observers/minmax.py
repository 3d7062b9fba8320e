"""The full range: nothing is saturated, and one outlier costs every other value its precision."""

from __future__ import annotations

from edgeml_compress.calibration import Seen
from edgeml_compress.observers import Range


def minmax(seen: Seen, bits: int) -> Range:
    """Return the extremes over all samples."""
    del bits
    return Range(seen.low, seen.high)


OBSERVER = minmax
