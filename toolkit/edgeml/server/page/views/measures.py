"""A device's measures over a span: latency, temperature, memory, predictions and confidence, with its releases and alarms."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.spans import Span
from edgeml.server.tables import WINDOWS
from edgeml_targets.contract.errors import EdgemlError

MOST_ALARM_LANES: Final = 3
MEMORY_LIMIT_SHOWN: Final = 3.0  # a limit farther away than so many times the figure would flatten the line


@dataclass(frozen=True)
class Series:
    """One measure: (time, mean of the windows in the point), oldest first; `None` where nothing was measured."""

    points: tuple[tuple[float, float | None], ...]

    @property
    def newest(self) -> float | None:
        """The newest figure."""
        return next((value for _, value in reversed(self.points) if value is not None), None)

    @property
    def measured(self) -> bool:
        """Whether there is any figure."""
        return self.newest is not None


@dataclass(frozen=True)
class Lane:
    """Something that lasted: a release that ran, or an alarm.

    Args:
        name: For people.
        begin, end: Seconds since 1970, within the span.
        lasts: Whether it still does.
        bad: Of an alarm: whether answers are wrong or missing.
    """

    name: str
    begin: float
    end: float
    lasts: bool
    bad: bool = False


@dataclass(frozen=True)
class Measures:
    """What the device chart draws.

    Args:
        begin, end: The axis.
        p50_ms, p99_ms, temperature_c, memory_mb, per_minute, confidence, confidence_p10: The measures.
        budget_ms, memory_limit_mb: What they are held against, where there is something.
        releases, alarms: The lanes.
    """

    begin: float
    end: float
    p50_ms: Series
    p99_ms: Series
    temperature_c: Series
    memory_mb: Series
    per_minute: Series
    confidence: Series
    confidence_p10: Series
    budget_ms: float | None
    memory_limit_mb: float | None
    releases: tuple[Lane, ...]
    alarms: tuple[Lane, ...]


def read_measures(
    connection: sa.Connection, scene: Scene, device: str, target: str, span: Span, alarms: Sequence[sa.RowMapping]
) -> Measures:
    """Read a device's measures in the points of a span, with the lanes above them.

    Args:
        connection, scene: As every reader's.
        device, target: Whose.
        span: How long, in what points.
        alarms: Rows of alarms that were open in it.
    """
    begin = span.begin(scene.now)
    end = begin + span.seconds
    c = WINDOWS.c
    # Both sides are integers, so that SQLite and PostgreSQL divide alike; a cast may round up by half a second.
    point = sa.cast(c.ended_at - begin, sa.Integer) // sa.literal(span.width_s, sa.Integer)
    query = (
        sa.select(
            point.label("point"),
            sa.func.avg(c.p50_us),
            sa.func.avg(c.p99_us),
            sa.func.avg(c.temperature_c),
            sa.func.avg(c.memory_bytes),
            sa.func.sum(c.answers),
            sa.func.sum(c.ended_at - c.began_at),
            sa.func.avg(c.confidence_p50),
            sa.func.avg(c.confidence_p10),
            sa.func.max(c.release),
        )
        .where(c.device == device, c.ended_at >= begin, c.ended_at < end)
        .group_by("point")  # by its name: PostgreSQL takes the expression with other parameters for another one
        .order_by("point")
    )
    rows = [(begin + (row[0] + 0.5) * span.width_s, *row[1:]) for row in connection.execute(query)]

    def series(column: int, scale: float = 1.0) -> Series:
        return Series(_with_gaps([(r[0], None if r[column] is None else float(r[column]) / scale) for r in rows], span))

    memory, budget_us = series(4, 1e6), scene.latency_budget_us(target)
    per_minute = [(r[0], 60 * float(r[5]) / float(r[6]) if r[6] else None) for r in rows]
    return Measures(
        begin,
        end,
        series(1, 1000),
        series(2, 1000),
        series(3),
        memory,
        Series(_with_gaps(per_minute, span)),
        series(7),
        series(8),
        None if budget_us is None else budget_us / 1000,
        _memory_limit_mb(scene, target, memory),
        _release_lanes([(r[0], r[9]) for r in rows], end),
        _alarm_lanes(alarms, begin, min(end, scene.now)),
    )


def _with_gaps(points: Sequence[tuple[float, float | None]], span: Span) -> tuple[tuple[float, float | None], ...]:
    """Return points with a hole where windows are missing for longer than their usual distance."""
    distances = sorted(b[0] - a[0] for a, b in itertools.pairwise(points))
    usual = max(distances[len(distances) // 2] if distances else span.width_s, span.width_s)
    found: list[tuple[float, float | None]] = []
    for i, point in enumerate(points):
        if i and point[0] - points[i - 1][0] > 4 * usual:
            found.append(((point[0] + points[i - 1][0]) / 2, None))
        found.append(point)
    return tuple(found)


def _memory_limit_mb(scene: Scene, target: str, memory: Series) -> float | None:
    try:
        limit = scene.project.target(target).memory_bytes / 1e6
    except EdgemlError:
        return None
    return limit if memory.newest is not None and limit < MEMORY_LIMIT_SHOWN * memory.newest else None


def _release_lanes(ran: Sequence[tuple[float, str]], end: float) -> tuple[Lane, ...]:
    lanes: list[Lane] = []
    for at, release in ran:
        if lanes and lanes[-1].name == release:
            lanes[-1] = Lane(release, lanes[-1].begin, at, lasts=True)
        else:
            if lanes:
                lanes[-1] = Lane(lanes[-1].name, lanes[-1].begin, at, lasts=False)
            lanes.append(Lane(release, at, at, lasts=True))
    return tuple(Lane(lane.name, lane.begin, end if lane.lasts else lane.end, lane.lasts) for lane in lanes)


def _alarm_lanes(rows: Sequence[sa.RowMapping], begin: float, end: float) -> tuple[Lane, ...]:
    """Return the newest alarms, oldest first; those of the fleet say so."""
    lanes = []
    for row in rows[-MOST_ALARM_LANES:]:
        name = (
            row["title"].removeprefix(f"{row['device']} is ").removeprefix(f"{row['device']} ")
            if row["device"]
            else f"{row['title']} (fleet)"
        )
        closed = row["closed_at"] if row["closed_at"] is not None else end
        lanes.append(
            Lane(
                name, max(row["opened_at"], begin), min(closed, end), row["closed_at"] is None, row["severity"] == "bad"
            )
        )
    return tuple(lanes)
