"""Spans of time that a page can show: how long, in points of what width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

POINTS: Final = 120  # of a span that fits what there is


@dataclass(frozen=True)
class Span:
    """The last `seconds`, in points of `width_s` seconds.

    Args:
        key: What stands in the address; empty for the one that fits what there is.
        title: For a card's head: "Last 24 hours".
        label: For a button: "24 h".
    """

    key: str
    title: str
    label: str
    seconds: int
    width_s: int

    @property
    def points(self) -> int:
        """How many points the span has."""
        return self.seconds // self.width_s

    def begin(self, now: float) -> float:
        """Return when the first point begins: points are aligned at multiples of their width, so that they stay put."""
        return (now // self.width_s + 1) * self.width_s - self.seconds


SPANS: Final = (
    Span("1h", "Last hour", "1 h", 3600, 30),
    Span("6h", "Last 6 hours", "6 h", 6 * 3600, 180),
    Span("24h", "Last 24 hours", "24 h", 24 * 3600, 900),
    Span("7d", "Last 7 days", "7 d", 7 * 24 * 3600, 3600),
)
DAY: Final = SPANS[2]
# Steps of a half or so: a young fleet's lines fill their plots, and the axis changes seldom while it grows.
_FITTING_S: Final = (
    60,
    90,
    120,
    180,
    300,
    480,
    720,
    1200,
    1800,
    2700,
    3600,
    5400,
    7200,
    10800,
    14400,
    21600,
    32400,
    43200,
    64800,
)


def find_span(key: str | None, since: float | None, now: float) -> Span:
    """Return the span that was asked for, else one that just holds everything since `since`, a day at most."""
    asked = next((span for span in SPANS if span.key == key), None)
    if asked is not None:
        return asked
    age = now - since if since is not None else float(DAY.seconds)
    seconds = next((s for s in _FITTING_S if s >= age), None)
    return DAY if seconds is None else fitting(seconds)


def fitting(seconds: int) -> Span:
    """Return the span of so many seconds in about 120 points of whole seconds.

    Example:
        >>> fitting(5400).title, fitting(5400).width_s
        ('Last 90 minutes', 45)
    """
    amount, unit = (
        (seconds, "seconds")
        if seconds < 120
        else (seconds // 60, "minutes")
        if seconds < 7200
        else (seconds // 3600, "hours")
    )
    width_s = max(seconds // POINTS, 1)
    return Span("", f"Last {amount} {unit}", "all", seconds // width_s * width_s, width_s)


def width_in_words(span: Span) -> str:
    """Return the width of a span's points: "5 s", "15 min", "1 h"."""
    if span.width_s < 120:
        return f"{span.width_s}\u00a0s"
    return f"{span.width_s / 60:g}\u00a0min" if span.width_s < 3600 else f"{span.width_s // 3600}\u00a0h"
