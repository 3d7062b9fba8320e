"""Watch releases: take what arrived since the last judgement, let `judge` look at it, write down what it says, alarm.

A span is everything that arrived since the one before, as soon as it holds `fleet.drift_samples` answers and a window's
length has passed. Two views are judged: all devices that run a release, pooled, which finds that the world has moved;
and, more rarely, each device by itself, which finds a dirty lens that the pool would dilute.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from edgeml import ledger, lifecycle
from edgeml.figures import number, percent
from edgeml.gates.no_drift import DriftEvidence
from edgeml.ledger import Record
from edgeml.project import Project
from edgeml.server.alarms import Alarm, close_alarm, open_alarm, open_since
from edgeml.server.decisions import POLICY, Decision, decide
from edgeml.server.judge import CLASSES, MOST_HISTORY, UNKNOWN, Effect, Judgement, References, alarming, judge
from edgeml.server.releases import manifests
from edgeml.server.rollout import current_release
from edgeml.server.store import Store
from edgeml.server.tables import DEVICES, JUDGEMENTS, WINDOWS
from edgeml_agent.messages import Window
from edgeml_targets.contract.errors import EdgemlError

MOST_WINDOWS: Final = 2_000  # of a span; more wait for the next
DEVICE_EVERY_WINDOWS: Final = 20  # a device's own view is judged as rarely as this
DEVICE_FACTOR: Final = 2  # and on so many times the answers
LEAST_DEVICES: Final = 2  # one device alone is the fleet


@dataclass(frozen=True)
class View:
    """What is judged together: a release on all devices, or on one."""

    release: str
    device: str | None = None


@dataclass(frozen=True)
class Span:
    """The windows of a view that arrived after the one numbered `after`."""

    view: View
    after: int


class Watch:
    """Judges what arrives.

    Args:
        project: Its thresholds apply, its ledger is written.
        store: Where windows are and judgements go.
    """

    def __init__(self, project: Project, store: Store) -> None:
        self._project, self._store = project, store
        self._references: dict[str, References] = {}
        self._unreadable: dict[str, EdgemlError] = {}
        # A canary's spans are judged before it is the fleet's release: the first verdict is the first since then.
        self._recorded = {r.subject for r in ledger.read(project.ledger) if r.gate == "no_drift"}
        with store.reading() as connection:
            newest = connection.scalar(sa.select(sa.func.max(WINDOWS.c.arrival)))
        self._devices_through, self._devices_at = int(newest or 0), time.time()

    def look(self, now: float) -> list[Judgement]:
        """Judge every view that has a span; return the judgements."""
        with self._store.reading() as connection:
            current = current_release(connection)
            running = set(
                connection.scalars(sa.select(DEVICES.c.release).where(DEVICES.c.release.is_not(None)).distinct())
            )
            self._unreadable = {release: e for release, e in self._unreadable.items() if release in running}
            spans = [span for release in sorted(running) if (span := self._fleet_span(connection, release, now))]
        if current is not None and now - self._devices_at >= DEVICE_EVERY_WINDOWS * self._project.fleet.window_s:
            spans += self._device_spans(current, now)
        self._tell_unreadable(now)
        judged = [self._judge(span, current, now) for span in spans]
        return [found for found in judged if found is not None]

    def _fleet_span(self, connection: sa.Connection, release: str, now: float) -> Span | None:
        view = View(release)
        newest = sa.select(JUDGEMENTS.c.through, JUDGEMENTS.c.at).where(_mine(view)).order_by(JUDGEMENTS.c.id.desc())
        row = connection.execute(newest.limit(1)).first()
        if row is not None and now - row.at < self._project.fleet.window_s:
            return None
        span = Span(view, row.through if row else 0)
        answers = connection.scalar(sa.select(sa.func.sum(WINDOWS.c.answers)).where(*_inside(span)))
        enough = int(answers or 0) >= self._project.fleet.drift_samples
        return span if enough and self._references_of(release) else None

    def _device_spans(self, release: str, now: float) -> list[Span]:
        """Return the spans of devices with enough answers since the last such look; what is too little is let go."""
        after = self._devices_through
        since = sa.and_(WINDOWS.c.arrival > after, WINDOWS.c.release == release, WINDOWS.c.answers > 0)
        busy = sa.select(WINDOWS.c.device, sa.func.sum(WINDOWS.c.answers).label("answers")).where(since)
        with self._store.reading() as connection:
            rows = connection.execute(busy.group_by(WINDOWS.c.device)).all()
            newest = connection.scalar(sa.select(sa.func.max(WINDOWS.c.arrival)))
        self._devices_through, self._devices_at = int(newest or after), now
        if len(rows) < LEAST_DEVICES or not self._references_of(release):
            return []
        enough = DEVICE_FACTOR * self._project.fleet.drift_samples
        return [Span(View(release, row.device), after) for row in rows if row.answers >= enough]

    def _judge(self, span: Span, current: str | None, now: float) -> Judgement | None:
        view, fleet = span.view, self._project.fleet
        with self._store.reading() as connection:
            through, windows = _take(connection, span)
            history = _quiet_history(connection, view)
        try:
            found = judge(windows, self._references_of(view.release), history, fleet)
        except ValueError:  # counted against another bundle: nothing that could be compared
            found = Judgement(windows=0, answers=0, effects={}, unknown_share=0.0, unknown_limit=fleet.unknown_limit)
        with self._store.writing() as connection:
            _write(connection, view, found, through, now)
            if not found.effects:
                return None
            last_hits = _last_hits(connection, view, fleet.drift_hits)
            if view.release == current:
                self._tell(connection, view, found, last_hits, now)
        return found

    def _tell(
        self,
        connection: sa.Connection,
        view: View,
        found: Judgement,
        last_hits: Sequence[frozenset[str]],
        now: float,
    ) -> None:
        """Open or close the view's alarm, and let the gate `no_drift` record where the verdict changed."""
        moved = alarming(last_hits, self._project.fleet.drift_hits)
        quiet = len(last_hits) == self._project.fleet.drift_hits and not any(last_hits)
        since = open_since(connection, "drift", view.device)
        if view.device is not None:
            if moved and open_since(connection, "drift") is None:
                open_alarm(connection, _device_alarm(view.device, found, moved), now)
            elif quiet:
                close_alarm(connection, "drift", view.device, now)
            return
        if moved:
            if open_alarm(connection, _fleet_alarm(found, moved, self._project), now):
                record = self._record(view.release, found, moved)
                title, figure = _title(found, moved), _figure(found, moved)
                decide(
                    connection, Decision("drift", "warn", title, figure, record.reason, evidence=record.evidence), now
                )
        elif quiet and since is not None:
            close_alarm(connection, "drift", None, now)
            record = self._record(view.release, found, moved)
            title = "Inputs look like the reference again"
            figure = _figure(found, frozenset({found.worst}))
            decide(connection, Decision("drift", "ok", title, figure, record.reason, evidence=record.evidence), now)
        elif not found.hits and view.release not in self._recorded:
            self._record(view.release, found, moved)

    def _record(self, release: str, found: Judgement, moved: frozenset[str]) -> Record:
        feature = _worst_of(found, moved - {UNKNOWN})
        evidence = DriftEvidence(
            release=release,
            windows=found.windows,
            answers=found.answers,
            feature=feature,
            effect=found.effects[feature].effect,
            limit=found.effects[feature].limit,
            unknown_share=found.unknown_share,
        )
        self._recorded.add(release)
        return lifecycle.record(self._project, "no_drift", evidence, subject=release, by=POLICY)

    def _references_of(self, release: str) -> References:
        """Return the references of a release, read once; none for a release that this server did not sign.

        None, too, while a bundle cannot be read: it is tried again at every look, and `_tell_unreadable` says so.
        """
        if release not in self._references:
            try:
                found = manifests(self._project, self._store, release)
            except EdgemlError as error:
                self._unreadable[release] = error
                return {}
            self._unreadable.pop(release, None)
            self._references[release] = {target: manifest.reference for target, manifest in found.items()}
        return self._references[release]

    def _tell_unreadable(self, now: float) -> None:
        """Open an alarm while a release that runs cannot be judged: a watch that is off must not look like a quiet one."""
        with self._store.reading() as connection:
            is_open = open_since(connection, "reference") is not None
        if not self._unreadable and not is_open:
            return
        with self._store.writing() as connection:
            if not self._unreadable:
                close_alarm(connection, "reference", None, now)
                return
            release, error = next(iter(self._unreadable.items()))
            title = f"Drift of {release} is not watched"
            mend = "Restore the file from a copy, or release anew with edgeml fleet release."
            open_alarm(connection, Alarm("reference", "bad", title, f"{error.where}: {error.what}", mend), now)


def _inside(span: Span) -> list[sa.ColumnElement[bool]]:
    release, device = span.view.release, span.view.device
    about = [WINDOWS.c.release == release, WINDOWS.c.arrival > span.after, WINDOWS.c.answers > 0]
    return about if device is None else [*about, WINDOWS.c.device == device]


def _take(connection: sa.Connection, span: Span) -> tuple[int, list[Window]]:
    query = sa.select(WINDOWS.c.arrival, WINDOWS.c.content).where(*_inside(span)).order_by(WINDOWS.c.arrival)
    rows = connection.execute(query.limit(MOST_WINDOWS)).all()
    return rows[-1].arrival, [msgspec.msgpack.decode(row.content, type=Window) for row in rows]


def _mine(view: View) -> sa.ColumnElement[bool]:
    device = JUDGEMENTS.c.device
    return sa.and_(
        JUDGEMENTS.c.release == view.release, device.is_(None) if view.device is None else device == view.device
    )


def _quiet_history(connection: sa.Connection, view: View) -> list[Mapping[str, Effect]]:
    quiet = sa.and_(_mine(view), JUDGEMENTS.c.verdict == "quiet")
    rows = connection.scalars(
        sa.select(JUDGEMENTS.c.effects).where(quiet).order_by(JUDGEMENTS.c.id).limit(MOST_HISTORY)
    )
    return [_effects(row) for row in rows]


def _last_hits(connection: sa.Connection, view: View, count: int) -> list[frozenset[str]]:
    judged = sa.and_(_mine(view), JUDGEMENTS.c.verdict != "insufficient")
    rows = connection.execute(sa.select(JUDGEMENTS).where(judged).order_by(JUDGEMENTS.c.id.desc()).limit(count))
    return [
        Judgement(
            windows=row.windows,
            answers=row.answers,
            effects=_effects(row.effects),
            unknown_share=row.unknown_share,
            unknown_limit=row.unknown_limit,
        ).hits
        for row in rows
    ]


def _effects(row: Mapping[str, Sequence[float]]) -> dict[str, Effect]:
    return {name: Effect(effect, limit) for name, (effect, limit) in row.items()}


def _write(connection: sa.Connection, view: View, found: Judgement, through: int, now: float) -> None:
    worst = found.effects.get(found.worst) if found.effects else None
    row: dict[str, Any] = {
        "at": now,
        "release": view.release,
        "device": view.device,
        "through": through,
        "windows": found.windows,
        "answers": found.answers,
        "verdict": found.verdict if worst else "insufficient",
        "feature": found.worst if worst else "",
        "effect": worst.effect if worst else None,
        "limit": worst.limit if worst else None,
        "effects": {name: [e.effect, e.limit] for name, e in found.effects.items()},
        "unknown_share": found.unknown_share,
        "unknown_limit": found.unknown_limit,
    }
    connection.execute(sa.insert(JUDGEMENTS).values(row))


def _worst_of(found: Judgement, names: frozenset[str]) -> str:
    return max(names or found.effects, key=lambda name: found.effects[name].ratio)


def _title(found: Judgement, moved: frozenset[str]) -> str:
    if moved == {UNKNOWN}:
        return f"{percent(found.unknown_share, 0)} of the inputs are unknown"
    worst = _worst_of(found, moved - {UNKNOWN})
    return "What is answered has drifted" if worst == CLASSES else f"{worst.capitalize()} has drifted"


def _figure(found: Judgement, moved: frozenset[str]) -> str:
    unknown = f"unknown {percent(found.unknown_share)}, limit {percent(found.unknown_limit, 0)}"
    if moved == {UNKNOWN}:
        return unknown
    name = _worst_of(found, moved - {UNKNOWN})
    effect = found.effects[name]
    return f"{name} {number(effect.effect, 2)} PSI, threshold {number(effect.limit, 2)}; {unknown}"


def _fleet_alarm(found: Judgement, moved: frozenset[str], project: Project) -> Alarm:
    mend = f"Label new samples and hand them in with edgeml data add; {project.fleet.retrain_labels:,} start a retrain."
    detail = f"{_figure(found, moved)}, on {found.answers:,} answers, {project.fleet.drift_hits} spans in a row"
    return Alarm("drift", "bad", _title(found, moved), detail, mend)


def _device_alarm(device: str, found: Judgement, moved: frozenset[str]) -> Alarm:
    detail = f"{_figure(found, moved)}, on {found.answers:,} answers; the fleet is quiet"
    mend = "Look at the device: its sensor, its light, what it is pointed at."
    return Alarm("drift", "warn", f"{device} sees other inputs than the fleet", detail, mend, device)
