"""How a device is: healthy, degraded, silent or never seen, and why.

One slow window says little of a device that shares its processor: latency counts when most of its last windows were over
the budget, errors by their share in all of them.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from edgeml.figures import milliseconds, number, percent
from edgeml.gates.canary_healthy import MOST_ERRORS
from edgeml.project import Project
from edgeml.server.alarms import Alarm, close_alarm, open_alarm
from edgeml.server.rollout import silent_after_s
from edgeml.server.tables import ALARMS, DEVICES, REPORTS, WINDOWS

RECENT: Final = 5  # windows of a device that its state rests on
LEAST_SLOW: Final = 3  # windows before latency counts
MARGIN_S: Final = 5.0  # a batch bears the time of its arrival and is seen only after its commit
TELLING: Final = ("started", "switched", "refused", "rolled_back", "postponed")
"""Events that say how the last update went."""
NOT_TAKEN: Final[Mapping[str, str]] = {
    "refused": "was refused",
    "rolled_back": "did not stand its trial",
    "postponed": "could not be fetched or stored yet",
}


class State(StrEnum):
    """How a device is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    SILENT = "silent"
    NEVER_SEEN = "never_seen"


@dataclass
class Recent:
    """A device's last windows with an answer or an error, under the release that it runs now."""

    release: str = ""
    answers: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    errors: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))
    p99_us: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, release: str, answers: int, errors: int, p99_us: float | None) -> None:
        """Take in a window; another release starts anew."""
        if release != self.release:
            self.release = release
            for kept in (self.answers, self.errors, self.p99_us):
                kept.clear()
        self.answers.append(answers)
        self.errors.append(errors)
        if p99_us is not None:
            self.p99_us.append(p99_us)

    @property
    def typical_p99_us(self) -> float | None:
        """The median of the windows' p99, `None` while they are too few."""
        return statistics.median(self.p99_us) if len(self.p99_us) >= LEAST_SLOW else None


@dataclass(frozen=True)
class Vitals:
    """What is known of a device.

    Args:
        device, release: Its name, what it runs.
        last_seen: Seconds since 1970, `None` when it never was.
        answers, errors: Of its last windows.
        p99_us: Typical of them, `None` while they are too few.
        event, offered: Of the newest report that says how an update went; empty where there is none.
        budget_us: Its target's latency budget.
    """

    device: str
    release: str | None
    last_seen: float | None
    answers: int = 0
    errors: int = 0
    p99_us: float | None = None
    event: str = ""
    offered: str = ""
    budget_us: float | None = None


def state_of(vitals: Vitals, silent_after: float, now: float) -> tuple[State, str]:
    """Return how a device is, and why it is not healthy, one sentence.

    Example:
        >>> state_of(Vitals("d", "r1", last_seen=100.0), silent_after=60.0, now=200.0)[0].value
        'silent'
    """
    if vitals.last_seen is None:
        return State.NEVER_SEEN, "it has not connected yet"
    if now - vitals.last_seen > silent_after:
        return State.SILENT, f"no message for more than {number(silent_after, 0, 's')}"
    if vitals.event in NOT_TAKEN and vitals.offered != vitals.release:
        return State.DEGRADED, f"{vitals.offered} {NOT_TAKEN[vitals.event]}; {vitals.release} goes on"
    if vitals.p99_us is not None and vitals.budget_us is not None and vitals.p99_us > vitals.budget_us:
        return State.DEGRADED, f"p99 {milliseconds(vitals.p99_us)}, budget {milliseconds(vitals.budget_us)}"
    asked = vitals.answers + vitals.errors
    if asked and vitals.errors / asked > MOST_ERRORS:
        return State.DEGRADED, f"{vitals.errors:,} of {asked:,} inputs refused, limit {percent(MOST_ERRORS, 0)}"
    return State.HEALTHY, ""


class Health:
    """Keeps the states of all devices as windows arrive.

    Args:
        project: Its budgets and window length apply.
        connection: Where the last windows of each device are read once; after that, only what is new.
    """

    def __init__(self, project: Project, connection: sa.Connection) -> None:
        self._project = project
        self._recent: dict[str, Recent] = {}
        newest = connection.scalar(sa.select(sa.func.max(WINDOWS.c.arrival))) or 0
        devices = connection.scalar(sa.select(sa.func.count()).select_from(DEVICES)) or 0
        self._through = max(newest - RECENT * devices, 0)
        self._looked_at = 0.0

    def look(self, connection: sa.Connection, now: float) -> int:
        """Write the state of every device that was heard since the last look, or has fallen silent; open and close alarms.

        Returns:
            How many changed.
        """
        self._take(connection)
        silent_after = silent_after_s(self._project.fleet)
        changed = []
        for row in _heard_or_silent(connection, self._looked_at, now - silent_after):
            state, why = state_of(self._vitals(row), silent_after, now)
            if (state, why) != (row.state, row.reason):
                changed.append({"about": row.device, "state": state, "reason": why})
        if changed:
            one = sa.update(DEVICES).where(DEVICES.c.device == sa.bindparam("about"))
            connection.execute(one, changed)
            _alarm(connection, changed, now)
        self._looked_at = now - MARGIN_S
        return len(changed)

    def _take(self, connection: sa.Connection) -> None:
        columns = [WINDOWS.c[name] for name in ("arrival", "device", "release", "answers", "errors", "p99_us")]
        fresh = sa.select(*columns).where(WINDOWS.c.arrival > self._through, WINDOWS.c.answers + WINDOWS.c.errors > 0)
        for row in connection.execute(fresh.order_by(WINDOWS.c.arrival)):
            self._recent.setdefault(row.device, Recent()).add(row.release, row.answers, row.errors, row.p99_us)
            self._through = row.arrival

    def _vitals(self, row: sa.Row[tuple[object, ...]]) -> Vitals:
        recent = self._recent.get(row.device, Recent())
        budget = self._project.budgets.get(row.target)
        limit_ms = budget.latency_ms if budget else None
        event, _, offered = (row.told or "").partition(" ")
        return Vitals(
            device=row.device,
            release=row.release,
            last_seen=row.last_seen,
            answers=sum(recent.answers),
            errors=sum(recent.errors),
            p99_us=recent.typical_p99_us,
            event=event,
            offered=offered,
            budget_us=limit_ms * 1000 if limit_ms else None,
        )


def _alarm(connection: sa.Connection, changed: Sequence[Mapping[str, str]], now: float) -> None:
    """Open an alarm for each device that has become silent or degraded, and close those that no longer hold."""
    about_devices = sa.and_(ALARMS.c.kind.in_((State.SILENT, State.DEGRADED)), ALARMS.c.closed_at.is_(None))
    open_now = {(row.device, row.kind) for row in connection.execute(sa.select(ALARMS).where(about_devices))}
    for row in changed:
        device, state, why = row["about"], row["state"], row["reason"]
        for kind in (State.SILENT, State.DEGRADED):
            if state != kind and (device, kind) in open_now:
                close_alarm(connection, kind, device, now)
        if state == State.SILENT:
            alarm = Alarm("silent", "warn", f"{device} is silent", why, "Check its power and network.", device)
            open_alarm(connection, alarm, now)
        elif state == State.DEGRADED:
            mend = f"Look at it: edgeml fleet telemetry {device}"
            open_alarm(connection, Alarm("degraded", "warn", f"{device} is degraded", why, mend, device), now)


def _heard_or_silent(
    connection: sa.Connection, since: float, heard_since: float
) -> Sequence[sa.Row[tuple[object, ...]]]:
    """Return the devices whose state may have changed, each with how its last update went."""
    told = sa.and_(REPORTS.c.device == DEVICES.c.device, REPORTS.c.event.in_(TELLING))
    report = sa.select(REPORTS.c.event + " " + REPORTS.c.offered).where(told).order_by(REPORTS.c.at.desc()).limit(1)
    fell_silent = sa.and_(DEVICES.c.last_seen < heard_since, DEVICES.c.state != State.SILENT)
    query = sa.select(DEVICES, report.scalar_subquery().label("told"))
    return connection.execute(query.where(sa.or_(DEVICES.c.last_seen >= since, fell_silent))).all()
