"""The model in the field: its inputs against their reference, drift over time, the classes it answers, and its accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import sqlalchemy as sa

from edgeml.figures import number, percent
from edgeml.server.judge import CLASSES, CONFIDENCE, DISTANCE
from edgeml.server.page.icons import Status
from edgeml.server.page.views.accuracy import Labelled, newest_labelled, read_labelled
from edgeml.server.page.views.classes import Classes, compare_classes
from edgeml.server.page.views.histograms import Panel, panel
from edgeml.server.page.views.overview import Waiting
from edgeml.server.page.views.rollouts import read_current
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.spans import Span, find_span, fitting
from edgeml.server.page.words import capital, clock, counted, joined
from edgeml.server.tables import ALARMS, DEVICES, JUDGEMENTS, RELEASES, WINDOWS
from edgeml_agent.messages import Window
from edgeml_targets.contract.bundle import Manifest
from edgeml_targets.contract.histogram import Histogram, merge
from edgeml_targets.contract.reference import Reference

MOST_WINDOWS: Final = 300  # of those judged, the newest, whose histograms are drawn
MOST_PANELS: Final = 8
MOST_JUDGEMENTS: Final = 400
Effects = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Judged:
    """One judgement: when, and of each feature the effect and its limit."""

    at: float
    quiet: bool
    effects: Effects


@dataclass(frozen=True)
class Drift:
    """Effects over time.

    Args:
        judged: Oldest first.
        over: The features that are over their limit now, worst first.
        limit: What the worst is held against.
        worst_quiet: The largest effect among quiet judgements, `None` without one.
        alarm_at: When the open alarm was raised.
    """

    judged: tuple[Judged, ...]
    over: tuple[str, ...]
    limit: float
    worst_quiet: float | None
    alarm_at: float | None


@dataclass(frozen=True)
class Model:
    """All that the page shows.

    Args:
        status, heading, lead: The verdict.
        release: Which one is shown; `releases` could be.
        answers, judged_at: What the newest judgement rests on, in words.
        panels: Histograms in order of effect; `more` are left out.
        why: Why there are no histograms.
        waiting: How far the first judgement is.
        classes, drift, accuracy: The other cards; `floor` is what accuracy is held against.
        measured: The newest accuracy, which may lie before the span.
    """

    status: Status
    heading: str
    lead: str
    release: str
    releases: tuple[str, ...]
    judged_on: str
    panels: tuple[Panel, ...]
    more: int
    why: str
    waiting: Waiting | None
    classes: Classes | None
    span: Span
    drift: Drift | None
    accuracy: tuple[Labelled, ...]
    measured: Labelled | None
    floor: float | None
    begin: float
    end: float


@dataclass(frozen=True)
class NoModel:
    """Nothing was released yet, or not the release that was asked for."""

    asked: str
    releases: tuple[str, ...]


def read_model_view(connection: sa.Connection, scene: Scene, release: str | None) -> Model | NoModel:
    """Read the page of one release, by default the one that most devices run."""
    releases = tuple(connection.scalars(sa.select(RELEASES.c.name).order_by(RELEASES.c.created_at.desc()).limit(20)))
    shown = release or most_run(connection) or (releases[0] if releases else "")
    about = connection.execute(sa.select(RELEASES).where(RELEASES.c.name == shown)).mappings().first()
    if about is None:
        return NoModel(release or "", releases)
    newest = _newest_judgement(connection, shown)
    first = connection.scalar(
        sa.select(WINDOWS.c.ended_at).where(WINDOWS.c.release == shown).order_by(WINDOWS.c.arrival).limit(1)
    )
    measured = newest_labelled(connection, shown)
    if first is not None and measured is not None:
        first = min(first, measured.at)
    span = find_span(None, first, scene.now) if first is not None else fitting(60)
    begin = span.begin(scene.now)
    manifests = scene.bundles.manifests(connection, shown)
    windows = _judged_windows(connection, shown, newest)
    effects: Effects = newest["effects"] if newest is not None else {}
    accuracy = tuple(m for m in read_labelled(connection, since=begin) if m.release == shown)
    drift = _drift(connection, shown, begin, effects)
    panels = _panels(windows, manifests, effects)
    return Model(
        *_verdict(connection, scene, about, newest, drift, measured),
        shown,
        releases,
        _judged_on(newest, windows, scene.now),
        panels[:MOST_PANELS],
        max(len(panels) - MOST_PANELS, 0),
        _why_none(windows, manifests, shown),
        _waiting(windows, scene) if newest is None else None,
        compare_classes(windows, manifests, effects.get(CLASSES)),
        span,
        drift,
        accuracy,
        measured,
        scene.accuracy_floor,
        begin,
        begin + span.seconds,
    )


def most_run(connection: sa.Connection) -> str | None:
    """Return the release that most devices run, `None` while none was heard of."""
    query = sa.select(DEVICES.c.release).where(DEVICES.c.release.is_not(None)).group_by(DEVICES.c.release)
    return connection.scalar(query.order_by(sa.func.count().desc(), DEVICES.c.release.desc()).limit(1))


def _pooled(release: str) -> sa.ColumnElement[bool]:
    return sa.and_(JUDGEMENTS.c.release == release, JUDGEMENTS.c.device.is_(None), JUDGEMENTS.c.effect.is_not(None))


def _newest_judgement(connection: sa.Connection, release: str) -> sa.RowMapping | None:
    query = sa.select(JUDGEMENTS).where(_pooled(release)).order_by(JUDGEMENTS.c.at.desc(), JUDGEMENTS.c.id.desc())
    return connection.execute(query.limit(1)).mappings().first()


def _judged_windows(connection: sa.Connection, release: str, newest: sa.RowMapping | None) -> list[Window]:
    """Return the windows that the newest judgement judged, the newest 300 at most; without one, what there is."""
    query = sa.select(WINDOWS.c.content).where(WINDOWS.c.release == release, WINDOWS.c.answers > 0)
    most = MOST_WINDOWS
    if newest is not None:
        query = query.where(WINDOWS.c.arrival <= newest["through"])
        most = min(most, max(newest["windows"], 1))
    contents = connection.scalars(query.order_by(WINDOWS.c.arrival.desc()).limit(most))
    return [msgspec.msgpack.decode(content, type=Window) for content in contents]


def _drift(connection: sa.Connection, release: str, begin: float, effects: Effects) -> Drift | None:
    query = sa.select(JUDGEMENTS).where(_pooled(release), JUDGEMENTS.c.at >= begin).order_by(JUDGEMENTS.c.at.desc())
    rows = connection.execute(query.limit(MOST_JUDGEMENTS)).mappings().all()
    if not rows or not effects:
        return None
    ranked = sorted(effects, key=lambda name: -_ratio(effects[name]))
    alarm = sa.and_(ALARMS.c.kind == "drift", ALARMS.c.closed_at.is_(None), ALARMS.c.device.is_(None))
    quiet = [max(e for e, _ in r["effects"].values()) for r in rows if r["verdict"] == "quiet" and r["effects"]]
    return Drift(
        tuple(Judged(r["at"], r["verdict"] == "quiet", r["effects"]) for r in reversed(rows)),
        tuple(name for name in ranked if _ratio(effects[name]) > 1),
        effects[ranked[0]][1],
        max(quiet) if quiet else None,
        connection.scalar(sa.select(sa.func.min(ALARMS.c.opened_at)).where(alarm)),
    )


def _panels(windows: Sequence[Window], manifests: Mapping[str, Manifest], effects: Effects) -> tuple[Panel, ...]:
    """Return a panel a feature, the largest effect over its limit first."""
    fitting = [w for w in windows if w.target in manifests]
    if not fitting:
        return ()
    references = [manifests[t].reference for t in sorted({w.target for w in fitting})]
    names = [*references[0].features, CONFIDENCE, DISTANCE]
    found = []
    for name in sorted(names, key=lambda n: -_ratio(effects.get(n, (0.0, 1.0)))):
        reference = _merged([_of_reference(r, name) for r in references])
        now = _merged([_of_window(w, name) for w in fitting])
        found.append(panel(name, reference, now, effects.get(name)))
    return tuple(found)


def _merged(parts: Sequence[Histogram]) -> Histogram:
    merged = parts[0]
    for part in parts[1:]:
        merged = merge(merged, part)
    return merged


def _of_reference(reference: Reference, name: str) -> Histogram:
    if name in (CONFIDENCE, DISTANCE):
        return reference.confidence if name == CONFIDENCE else reference.distance
    return reference.features.get(name, Histogram())


def _of_window(window: Window, name: str) -> Histogram:
    if name in (CONFIDENCE, DISTANCE):
        return window.confidence if name == CONFIDENCE else window.distance
    return window.features.get(name, Histogram())


def _ratio(effect: Sequence[float]) -> float:
    return effect[0] / effect[1]


def _why_none(windows: Sequence[Window], manifests: Mapping[str, Manifest], release: str) -> str:
    if not windows:
        return f"No device answered with {release} yet."
    if not any(w.target in manifests for w in windows):
        return f"The bundles of {release} are not in fleet/bundles, so there is no reference to compare with."
    return ""


def _waiting(windows: Sequence[Window], scene: Scene) -> Waiting:
    needed = scene.project.fleet.drift_samples
    return Waiting(min(sum(w.answers for w in windows), needed), needed)


def _judged_on(newest: sa.RowMapping | None, windows: Sequence[Window], now: float) -> str:
    if newest is None:
        answers = sum(w.answers for w in windows)
        return f"{counted(answers, 'answer')}, not judged yet" if windows else ""
    return f"{newest['answers']:,} answers judged at {clock(newest['at'], now)}"


def _verdict(
    connection: sa.Connection,
    scene: Scene,
    about: sa.RowMapping,
    newest: sa.RowMapping | None,
    drift: Drift | None,
    measured: Labelled | None,
) -> tuple[Status, str, str]:
    release, floor = about["name"], scene.accuracy_floor
    below = measured is not None and floor is not None and measured.share < floor
    over = drift.over if drift is not None else ()
    unknown = newest is not None and newest["unknown_share"] > newest["unknown_limit"]
    if over:
        listed = joined([*over[:3], f"{len(over) - 3} more"] if len(over) > 3 else over)
        head = f"{capital(listed)} {'have' if len(over) > 1 else 'has'} drifted"
    elif unknown and newest is not None:
        head = f"{percent(newest['unknown_share'], 0)} of the inputs are unknown, limit {percent(newest['unknown_limit'], 0)}"
    elif newest is not None:
        head = "Inputs look as they did on the validation split"
    else:
        head = "Too few answers to judge yet"
    if below:
        head += "; accuracy is below its floor" if over or unknown else ", but accuracy is below its floor"
    devices = connection.scalar(sa.select(sa.func.count()).where(DEVICES.c.release == release)) or 0
    lead = [f"Model {about['model']}, release {release}, runs on {counted(devices, 'device')}."]
    if measured is not None:
        held = f", floor {percent(floor)}" if floor is not None else ""
        lead.append(
            f"Of {counted(measured.labelled, 'labelled answer')} {percent(measured.share)} were right ({number(100 * measured.low, 1)} to {number(100 * measured.high, 1)}){held}."
        )
    rollout = read_current(connection, scene)
    if rollout is not None and rollout.running and rollout.release != release:
        lead.append(f"The challenger {rollout.release} is on its way, {rollout.note}.")
    status: Status = "bad" if below else "warn" if over or unknown else "unsure" if newest is None else "ok"
    return status, head, " ".join(lead)
