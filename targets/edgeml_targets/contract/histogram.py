"""One mergeable histogram: it serves calibration, a device's windows and the server's judging.

Bins are 2**exponent wide and aligned at multiples of their width, so a coarser histogram is an exact sum of a finer one.
The exponent is a function of the lowest and highest value alone; therefore merging is exact, commutative and associative:
two histograms give what one over all values gives, in whatever order they meet.

A *frozen* histogram keeps the bins of a reference and counts what falls outside in its outermost bins: one outlier then
cannot coarsen what a window says.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

LOWEST_EXPONENT: Final = -149  # the smallest float32 above 0
HIGHEST_EXPONENT: Final = 900  # edges of what arrives over the wire stay finite
INDEX_BITS: Final = 40  # a bin's index stays below 2**40: finer than float32 can tell apart, and safe in an int64


class Histogram(msgspec.Struct, frozen=True):
    """Counts of values in aligned bins.

    Args:
        exponent: A bin is 2**exponent wide, in the values' own unit.
        first: `counts[0]` is of the values from first * 2**exponent up.
        counts: How many values fell into each bin; empty when there was none.
    """

    exponent: Annotated[int, msgspec.Meta(ge=LOWEST_EXPONENT, le=HIGHEST_EXPONENT)] = LOWEST_EXPONENT
    first: Annotated[int, msgspec.Meta(ge=-(1 << INDEX_BITS + 1), le=1 << INDEX_BITS + 1)] = 0
    counts: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """The bins' edges, one more than there are bins."""
        return np.ldexp(np.arange(self.first, self.first + len(self.counts) + 1, dtype=np.float64), self.exponent)

    def quantile(self, share: float) -> float:
        """Return the value below which `share` (0 to 1) of the values lie, interpolated within its bin; NaN when nothing was counted."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        if below[-1] == 0:  # a frozen histogram has bins before it has values
            return math.nan
        return float(np.interp(share * below[-1], below, self.edges))

    @property
    def mean(self) -> float:
        """Return the mean of the bins' centres by their counts; NaN when empty."""
        if not self.total:
            return math.nan
        edges = self.edges
        return float(np.average((edges[:-1] + edges[1:]) / 2, weights=self.counts))


def exponent_for(low: float, high: float, bins: int) -> int:
    """Return the smallest exponent with which `low` to `high` touch no more than `bins` bins."""
    largest = max(abs(low), abs(high))
    # Zeros alone have the finest bins: coarser ones could not be merged with those of the smallest values.
    finest = max(LOWEST_EXPONENT, math.frexp(largest)[1] - INDEX_BITS) if largest else LOWEST_EXPONENT
    spread = high - low
    exponent = max(finest, math.frexp(spread / bins)[1] - 1) if spread > 0 else finest
    while math.floor(math.ldexp(high, -exponent)) - math.floor(math.ldexp(low, -exponent)) >= bins:
        exponent += 1
    return exponent


def histogram(values: npt.ArrayLike, *, bins: int = 2048) -> Histogram:
    """Return the histogram of finite `values`, of any shape, in at most `bins` bins.

    Raises:
        ValueError: A value is not finite.

    Example:
        >>> histogram([0.0, 1.0, 2.5], bins=4)
        Histogram(exponent=0, first=0, counts=(1, 1, 1))
    """
    flat = np.asarray(values, np.float64).ravel()
    if flat.size == 0:
        return Histogram()
    low, high = float(flat.min()), float(flat.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("a value is not finite")
    exponent = exponent_for(low, high, bins)
    first = math.floor(math.ldexp(low, -exponent))
    return Histogram(
        exponent, first, _counts(flat, exponent, first, math.floor(math.ldexp(high, -exponent)) - first + 1)
    )


class Counter:
    """A histogram in the making: values are added in parts of any size, memory stays that of `bins` counts.

    Example:
        >>> counter = Counter(bins=4)
        >>> counter.add([0.0, 1.0])
        >>> counter.add([2.5])
        >>> counter.histogram() == histogram([0.0, 1.0, 2.5], bins=4)
        True
    """

    def __init__(self, *, bins: int = 2048) -> None:
        self._bins = bins
        self._low, self._high = math.inf, -math.inf
        self._exponent, self._first = LOWEST_EXPONENT, 0
        self._counts = np.zeros(bins, np.int64)

    def add(self, values: npt.ArrayLike) -> None:
        """Count `values`, of any shape.

        Raises:
            ValueError: A value is not finite; then none of them is counted.
        """
        flat = np.asarray(values).ravel()
        if flat.size == 0:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("a value is not finite")
        if low < self._low or high > self._high:
            self._widen(min(low, self._low), max(high, self._high))
        self._counts += _bincount(flat, self._exponent, self._first, self._bins)

    def histogram(self) -> Histogram:
        """Return what was counted so far."""
        if self._low > self._high:
            return Histogram()
        last = math.floor(math.ldexp(self._high, -self._exponent))
        return Histogram(self._exponent, self._first, tuple(self._counts[: last - self._first + 1].tolist()))

    def _widen(self, low: float, high: float) -> None:
        """Make the bins reach from `low` to `high`, which hold the old range, and move the counts to where they belong."""
        before, self._low, self._high = self.histogram(), low, high
        self._exponent = exponent_for(low, high, self._bins)
        self._first = math.floor(math.ldexp(low, -self._exponent))
        self._counts[:] = 0
        if before.counts:
            moved = coarsen(before, self._exponent)
            start = moved.first - self._first
            self._counts[start : start + len(moved.counts)] = moved.counts


def coarsen(source: Histogram, exponent: int) -> Histogram:
    """Return `source` in bins of 2**exponent, exactly.

    Raises:
        ValueError: `exponent` is finer than the source's.
    """
    shift = exponent - source.exponent
    if shift < 0:
        raise ValueError("a histogram cannot be made finer")
    if shift == 0 or not source.counts:
        return source
    indexes = (source.first + np.arange(len(source.counts), dtype=np.int64)) >> min(shift, 62)
    counts = np.bincount(indexes - indexes[0], weights=source.counts).astype(np.int64)
    return Histogram(exponent, int(indexes[0]), tuple(counts.tolist()))


def merge(left: Histogram, right: Histogram, *, bins: int = 2048) -> Histogram:
    """Return the histogram of both sides' values, as if one had counted them all.

    Both sides must have been made with the same `bins`.
    """
    if not left.counts or not right.counts:
        return left if left.counts else right
    exponent = max(left.exponent, right.exponent)
    while True:
        a, b = coarsen(left, exponent), coarsen(right, exponent)
        first, last = min(a.first, b.first), max(a.first + len(a.counts), b.first + len(b.counts))
        if last - first <= bins:
            break
        exponent += 1
    counts = np.zeros(last - first, np.int64)
    for side in (a, b):
        counts[side.first - first : side.first - first + len(side.counts)] += np.asarray(side.counts, np.int64)
    return Histogram(exponent, first, tuple(counts.tolist()))


def frozen(reference: Histogram) -> Histogram:
    """Return an empty histogram with the bins of `reference`, to be filled by `count_frozen`."""
    return Histogram(reference.exponent, reference.first, (0,) * len(reference.counts))


def count_frozen(into: Histogram, values: npt.ArrayLike) -> Histogram:
    """Return `into` with `values` counted; what lies outside its bins, or is not finite, falls into the outermost ones."""
    flat = np.asarray(values, np.float64).ravel()
    lowest, highest = (
        math.ldexp(into.first, into.exponent),
        math.ldexp(into.first + len(into.counts) - 0.5, into.exponent),
    )
    inside = np.clip(np.nan_to_num(flat, nan=math.inf), lowest, highest)
    added = _counts(inside, into.exponent, into.first, len(into.counts))
    return Histogram(into.exponent, into.first, tuple(a + b for a, b in zip(into.counts, added, strict=True)))


def _counts(flat: npt.NDArray[np.float64], exponent: int, first: int, length: int) -> tuple[int, ...]:
    return tuple(_bincount(flat, exponent, first, length).tolist())


def _bincount(flat: npt.NDArray[Any], exponent: int, first: int, length: int) -> npt.NDArray[np.int64]:
    # A power of two: as exact as ldexp, and several times faster. In float64: what is denormal in float32 stays exact.
    scaled = flat * np.float64(math.ldexp(1.0, -exponent))
    indexes = np.floor(scaled, out=scaled).astype(np.int64) - first
    return np.bincount(indexes, minlength=length)
