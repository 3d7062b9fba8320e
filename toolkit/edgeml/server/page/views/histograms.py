"""A histogram against its reference, as SVG paths in a box of 100 by 100: the reference an outline, the present filled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml.figures import DASH, number
from edgeml_targets.contract.histogram import Histogram, coarsen

MOST_BINS: Final = 32
HEADROOM: Final = 1.04
CUT_ABOVE: Final = 3.0  # times the reference's highest: a bar that would flatten the reference is cut there
TAIL: Final = 0.001  # of the mass: left out at either end, and counted in the outermost bins drawn
CAPTIONS: Final = {
    "brightness": "mean of an input",
    "contrast": "standard deviation of an input",
    "sharpness": "log₁₀ RMS of edges",
    "noise": "log₁₀ RMS of second differences",
    "roughness": "log₁₀ of edges over contrast",
    "confidence": "of the class answered, 0 to 1",
    "distance": "Mahalanobis, to what is known",
}


@dataclass(frozen=True)
class Panel:
    """One feature.

    Args:
        name, caption: What it is, and its unit.
        psi: Its effect in words; a dash where it was not judged.
        limit: What the effect is held against.
        over: Whether it is over.
        now, reference: SVG path data.
        ticks: (place from 0 to 100, words) of the axis: two to four round figures.
        cut: Whether a bar is cut at the top.
        told: For those who do not see it.
    """

    name: str
    caption: str
    psi: str
    limit: str
    over: bool
    now: str
    reference: str
    ticks: tuple[tuple[float, str], ...]
    cut: bool
    told: str


def panel(name: str, reference: Histogram, now: Histogram, effect: Sequence[float] | None) -> Panel:
    """Draw what is now over the reference, both as shares, in the same bins."""
    then_shares, now_shares, edges = _aligned(reference, now)
    highest = max(float(then_shares.max(initial=0)), 1e-9)
    top = min(max(float(now_shares.max(initial=0)), highest), CUT_ABOVE * highest) * HEADROOM
    psi = DASH if effect is None else number(effect[0], 2)
    over = effect is not None and effect[0] > effect[1]
    limit = "" if effect is None else number(effect[1], 2)
    where = f"now around {_figure(now.mean)}, reference around {_figure(reference.mean)}"
    return Panel(
        name.capitalize(),
        CAPTIONS.get(name, "as the network is fed"),
        psi,
        limit,
        over,
        _area(np.minimum(now_shares / top, 1.0)),
        _outline(then_shares / top),
        _ticks(float(edges[0]), float(edges[-1])),
        bool(now_shares.max(initial=0) > top),
        f"{name}: effect {psi}{f', threshold {limit}' if limit else ''}; {where}",
    )


def _aligned(
    left: Histogram, right: Histogram
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both sides' shares in the same bins, at most 32, and the bins' edges."""
    filled = [h for h in (left, right) if h.counts]
    if not filled:
        return np.zeros(1), np.zeros(1), np.asarray([0.0, 1.0])
    exponent = max(h.exponent for h in filled)
    while True:
        sides = [coarsen(h, exponent) if h.counts else h for h in (left, right)]
        there = [h for h in sides if h.counts]
        first, last = min(h.first for h in there), max(h.first + len(h.counts) for h in there)
        if last - first <= MOST_BINS:
            break
        exponent += 1
    shares = []
    for side in sides:
        counts = np.zeros(last - first)
        if side.counts:
            counts[side.first - first : side.first - first + len(side.counts)] = side.counts
        shares.append(counts / max(counts.sum(), 1))
    a, b = _middle(shares[0] + shares[1])
    cut = [np.concatenate([[s[: a + 1].sum()], s[a + 1 : b], [s[b:].sum()]]) if b > a else s for s in shares]
    a, b = (a, b) if b > a else (0, last - first - 1)
    return cut[0], cut[1], np.ldexp(np.arange(first + a, first + b + 2, dtype=np.float64), exponent)


def _middle(mass: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Return the first and last bin of the middle: what lies farther out is so little that it would only take room."""
    below = np.cumsum(mass) / max(mass.sum(), 1e-12)
    first, last = (int(i) for i in np.searchsorted(below, [TAIL, 1 - TAIL]))
    return first, min(last, len(mass) - 1)


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return two to four round figures within a range."""
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(
        (100 * (i * step - low) / (high - low), number(i * step + 0.0, decimals)) for i in range(first, last + 1)
    )


def _outline(heights: npt.NDArray[np.float64]) -> str:
    width = 100 / len(heights)
    return "M0 100" + "".join(f"V{100 - 100 * h:.2f}H{(i + 1) * width:.2f}" for i, h in enumerate(heights)) + "V100"


def _area(heights: npt.NDArray[np.float64]) -> str:
    return f"{_outline(heights)}H0Z"


def _figure(value: float) -> str:
    """Return a figure of an axis in three digits."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return number(value, min(digits, 4)).rstrip("0").rstrip(".") if digits else number(value)
