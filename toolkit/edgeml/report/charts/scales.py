"""Axes: round ticks, and where a value lies in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` over pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value lies, in pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most so many round values from `low` to `high`, evenly spaced.

    Example:
        >>> ticks(-2.2, 0.4)
        [-2.0, -1.5, -1.0, -0.5, 0.0]
    """
    if not high > low:
        return [low]
    raw = (high - low) / most
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 2.5, 5, 10, 20) if len(_within(low, high, base * m)) <= most)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in _within(low, high, step)]


def _within(low: float, high: float, step: float) -> range:
    """Return which multiples of `step` lie from `low` to `high`; one that is off by rounding alone does."""
    return range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def written(values: list[float]) -> list[str]:
    """Return ticks as people read them, with as many decimals as tell them apart and a true minus.

    Example:
        >>> written([0.0, 2.5, 5.0])
        ['0', '2.5', '5.0']
    """
    decimals = next((d for d in range(7) if all(abs(v - round(v, d)) < 1e-9 for v in values)), 7)
    return ["0" if v == 0 else f"{v:,.{decimals}f}".replace("-", "−") for v in values]
