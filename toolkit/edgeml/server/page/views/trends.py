"""Four small lines: accuracy, drift, latency and unknown inputs, each with its value, what it is held against, and a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.figures import DASH, number, percent
from edgeml.server.page.icons import Status
from edgeml.server.page.views.accuracy import Labelled, read_labelled
from edgeml.server.page.views.scene import NEAR_LIMIT, Scene
from edgeml.server.page.views.spans import Span
from edgeml.server.page.views.sparkline import Frame, Line, sparkline
from edgeml.server.page.views.timeline import Point, Timeline
from edgeml.server.tables import JUDGEMENTS

MOST_JUDGEMENTS: Final = 600
JOINED_POINTS: Final = 6  # points farther apart are not joined by a line
_NOTHING: Final = Line("", None, None, True)


@dataclass(frozen=True)
class Trend:
    """One small line.

    Args:
        name: What is measured.
        value, unit: The newest figure; a dash where there is none.
        status, word: The verdict, or why there is no figure.
        limit: What it is held against, in words; empty where the project states nothing.
        line: Its geometry.
    """

    name: str
    value: str
    unit: str
    status: Status
    word: str
    limit: str
    line: Line


@dataclass(frozen=True)
class Judged:
    """One judgement's largest effect and its limit."""

    at: float
    feature: str
    effect: float
    limit: float


def read_trends(connection: sa.Connection, scene: Scene, timeline: Timeline, span: Span) -> tuple[Trend, ...]:
    """Return accuracy, drift, latency and unknown inputs over a span."""
    points = timeline.points(connection, span, scene.now)
    since = span.begin(scene.now)
    return (
        accuracy_trend(read_labelled(connection, since=since), scene, span),
        drift_trend(read_judged(connection, since=since), scene, span),
        latency_trend(points, scene, span),
        unknown_trend(points, scene, span),
    )


def accuracy_trend(labelled: Sequence[Labelled], scene: Scene, span: Span) -> Trend:
    """Return the labelled accuracy against the project's floor."""
    floor, name = scene.accuracy_floor, "Labelled accuracy"
    limit = "" if floor is None else f"floor {percent(floor)}"
    if not labelled:
        return Trend(name, DASH, "", "never", "no labels in this time", limit, _NOTHING)
    newest = labelled[-1]
    status: Status = "info" if floor is None else "ok" if newest.share >= floor else "bad"
    word = {"ok": "above floor", "bad": "below floor"}.get(status, "no floor stated")
    word = f"{word}, {number(100 * newest.low, 1)} to {number(100 * newest.high, 1)}"
    frame = Frame(span.begin(scene.now), scene.now, gap_s=span.seconds, limit=floor, zoomed=True)
    line = sparkline([(m.at, m.share) for m in labelled], frame)
    return Trend(name, number(100 * newest.share, 1), "%", status, word, limit, line)


def drift_trend(judged: Sequence[Judged], scene: Scene, span: Span) -> Trend:
    """Return the largest effect of each judgement against the newest limit."""
    if not judged:
        return Trend("Drift", DASH, "", "unsure", "nothing judged in this time", "", _NOTHING)
    newest = judged[-1]
    over = newest.effect > newest.limit
    frame = Frame(span.begin(scene.now), scene.now, gap_s=span.seconds, limit=newest.limit)
    return Trend(
        f"Drift, {newest.feature}",
        number(newest.effect, 2),
        "PSI",
        "warn" if over else "ok",
        "over threshold" if over else "within threshold",
        f"threshold {number(newest.limit, 2)}",
        sparkline([(j.at, j.effect) for j in judged], frame),
    )


def latency_trend(points: Sequence[Point], scene: Scene, span: Span) -> Trend:
    """Return the p99 of the target that is nearest to its budget, or the slowest where no budget is stated."""
    newest = next((p for p in reversed(points) if any(t.p99_us is not None for t in p.targets)), None)
    if newest is None:
        return Trend("p99, worst target", DASH, "", "never", "no answers in this time", "", _NOTHING)
    p99_of = {t.target: t.p99_us for t in newest.targets if t.p99_us is not None}
    budget_of = {target: scene.latency_budget_us(target) for target in p99_of}
    worst = max(p99_of, key=lambda target: (p99_of[target] / (budget_of[target] or 1e12), p99_of[target]))
    p99_us, budget_us = p99_of[worst], budget_of[worst]
    name = f"p99, {scene.hardware(worst).title}"
    value = in_ms(p99_us)
    limit_ms = None if budget_us is None else budget_us / 1000
    frame = Frame(span.begin(scene.now), scene.now, gap_s=JOINED_POINTS * span.width_s, limit=limit_ms)
    line = sparkline([(p.at, us / 1000) for p in points if (us := p.p99_us(worst)) is not None], frame)
    if budget_us is None:
        return Trend(name, value, "ms", "info", "no budget stated", "", line)
    status: Status = "warn" if p99_us >= NEAR_LIMIT * budget_us else "ok"
    word = f"{percent(p99_us / budget_us, 0)} of its budget"
    return Trend(name, value, "ms", status, word, f"budget {budget_in_ms(budget_us)}", line)


def unknown_trend(points: Sequence[Point], scene: Scene, span: Span) -> Trend:
    """Return the share of unknown inputs against the project's limit."""
    most, name = scene.project.fleet.unknown_limit, "Unknown inputs"
    limit = f"limit {percent(most, 0)}"
    series = [(p.at, share) for p in points if (share := p.unknown_share) is not None]
    if not series:
        return Trend(name, DASH, "", "never", "no answers in this time", limit, _NOTHING)
    share = series[-1][1]
    status: Status = "warn" if share >= NEAR_LIMIT * most else "ok"
    word = "over limit" if share > most else "near its limit" if status == "warn" else "within limit"
    frame = Frame(span.begin(scene.now), scene.now, gap_s=JOINED_POINTS * span.width_s, limit=most)
    return Trend(name, number(100 * share, 1), "%", status, word, limit, sparkline(series, frame))


def read_judged(connection: sa.Connection, *, since: float) -> list[Judged]:
    """Return the judgements of the pooled fleet that had an effect, oldest first, the newest 600 at most."""
    c = JUDGEMENTS.c
    query = sa.select(c.at, c.feature, c.effect, c.limit).where(
        c.at >= since, c.device.is_(None), c.effect.is_not(None), c.limit.is_not(None)
    )
    return [Judged(*row) for row in connection.execute(query.order_by(c.at.desc()).limit(MOST_JUDGEMENTS)).all()][::-1]


def in_ms(latency_us: float) -> str:
    """Return a latency in milliseconds with three digits or so, without its unit."""
    return number(latency_us / 1000, 1 if latency_us >= 1000 else 2 if latency_us >= 100 else 3)


def budget_in_ms(budget_us: float) -> str:
    """Return a latency budget: "20 ms", "2.5 ms"."""
    return number(budget_us / 1000, 0 if budget_us % 1000 == 0 else 1, "ms")
