"""The fleet over time: latency and unknown inputs, in points, from a bounded number of windows a point.

A fleet of 10,000 devices closes some 14 million windows a day. A point therefore rests on the first `SAMPLE` windows of
its time, which is a fair sample of the devices and costs the same for any fleet; a closed point is read once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.server.page.views.spans import Span
from edgeml.server.tables import WINDOWS

SAMPLE: Final = 1000
KEPT_S: Final = 600.0  # a closed point is read again after so long, since a device's outbox may bring old windows
OPEN_POINTS: Final = 2  # the newest points still grow
MOST_POINTS_KEPT: Final = 2000


@dataclass(frozen=True)
class TargetPoint:
    """What one target's devices did in one point of time.

    Args:
        answers, unknown: Inputs answered, and how many of them were unlike the reference.
        p99_us: The mean of the windows' 99th percentiles, `None` where nothing was answered.
    """

    target: str
    answers: int
    unknown: int
    p99_us: float | None


@dataclass(frozen=True)
class Point:
    """One point of time, with the targets that had windows in it."""

    at: float
    targets: tuple[TargetPoint, ...]

    @property
    def unknown_share(self) -> float | None:
        """The share of inputs that were unknown, 0 to 1."""
        answers = sum(t.answers for t in self.targets)
        return sum(t.unknown for t in self.targets) / answers if answers else None

    def p99_us(self, target: str) -> float | None:
        """The p99 of one target."""
        return next((t.p99_us for t in self.targets if t.target == target), None)


_sampled: Final = (
    sa.select(WINDOWS.c.target, WINDOWS.c.answers, WINDOWS.c.unknown, WINDOWS.c.p99_us)
    .where(WINDOWS.c.ended_at >= sa.bindparam("begin"), WINDOWS.c.ended_at < sa.bindparam("end"))
    .order_by(WINDOWS.c.ended_at)
    .limit(SAMPLE)
    .subquery()
)
_POINT: Final = sa.select(
    _sampled.c.target,
    sa.func.sum(_sampled.c.answers),
    sa.func.sum(_sampled.c.unknown),
    sa.func.avg(_sampled.c.p99_us),
).group_by(_sampled.c.target)


class Timeline:
    """Reads points and keeps those that are closed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, float], tuple[float, Point]] = {}

    def points(self, connection: sa.Connection, span: Span, now: float) -> list[Point]:
        """Return the span's points, oldest first; one without windows has no targets."""
        starts = [span.begin(now) + i * span.width_s for i in range(span.points)]
        open_from = starts[-OPEN_POINTS]
        return [self._point(connection, span.width_s, at, closed=at < open_from) for at in starts]

    def _point(self, connection: sa.Connection, width_s: int, at: float, *, closed: bool) -> Point:
        read_at, kept = self._kept.get((width_s, at), (0.0, None))
        if kept is not None and time.monotonic() - read_at < KEPT_S:
            return kept
        rows = connection.execute(_POINT, {"begin": at, "end": at + width_s})
        point = Point(at, tuple(TargetPoint(t, int(a), int(u), p99) for t, a, u, p99 in rows))
        if closed:
            if len(self._kept) >= MOST_POINTS_KEPT:
                self._kept.clear()
            self._kept[width_s, at] = (time.monotonic(), point)
        return point
