"""Spans of time that a page can show: how long, in points of what width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Span:
    """The last `seconds`, in points of `width_s` seconds.

    Args:
        key: What stands in the address.
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
    Span("10m", "Last 10 minutes", "10 min", 600, 5),
    Span("1h", "Last hour", "1 h", 3600, 30),
    Span("6h", "Last 6 hours", "6 h", 6 * 3600, 180),
    Span("24h", "Last 24 hours", "24 h", 24 * 3600, 900),
    Span("7d", "Last 7 days", "7 d", 7 * 24 * 3600, 3600),
)
DAY: Final = SPANS[3]


def find_span(key: str | None, since: float | None, now: float) -> Span:
    """Return the span that was asked for, else the shortest up to a day that holds everything since `since`."""
    asked = next((span for span in SPANS if span.key == key), None)
    if asked is not None:
        return asked
    age = now - since if since is not None else DAY.seconds
    return next((span for span in SPANS if span.seconds >= age and span.seconds <= DAY.seconds), DAY)


def width_in_words(span: Span) -> str:
    """Return the width of a span's points: "5 s", "15 min", "1 h"."""
    if span.width_s < 60:
        return f"{span.width_s}\u00a0s"
    return f"{span.width_s // 60}\u00a0min" if span.width_s < 3600 else f"{span.width_s // 3600}\u00a0h"
