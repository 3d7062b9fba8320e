"""How a device is: healthy, degraded, silent or never seen, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from edgeml.figures import milliseconds, number, percent
from edgeml.gates.canary_healthy import MOST_ERRORS
from edgeml.project import Project
from edgeml.server.alarms import Alarm, close_alarm, open_alarm
from edgeml.server.rollout import silent_after_s
from edgeml.server.tables import DEVICES, REPORTS, WINDOWS

TELLING: Final = ("started", "switched", "refused", "rolled_back")
"""Events that say how the last update went."""


class State(StrEnum):
    """How a device is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    SILENT = "silent"
    NEVER_SEEN = "never_seen"


@dataclass(frozen=True)
class Vitals:
    """What is known of a device.

    Args:
        device, release, desired: Its name, what it runs, what it should run.
        last_seen: Seconds since 1970, `None` when it never was.
        answers, errors, p99_us: Of its newest window with an answer or an error; `None` where there is none.
        event, offered: Of the newest report that says how an update went; empty where there is none.
        budget_us: Its target's latency budget.
    """

    device: str
    release: str | None
    desired: str | None
    last_seen: float | None
    answers: int | None = None
    errors: int | None = None
    p99_us: float | None = None
    event: str = ""
    offered: str = ""
    budget_us: float | None = None


def state_of(vitals: Vitals, silent_after: float, now: float) -> tuple[State, str]:
    """Return how a device is, and why it is not healthy, one sentence.

    Example:
        >>> state_of(Vitals("d", "r1", "r1", last_seen=100.0), silent_after=60.0, now=200.0)[0].value
        'silent'
    """
    if vitals.last_seen is None:
        return State.NEVER_SEEN, "it has not connected yet"
    if now - vitals.last_seen > silent_after:
        return State.SILENT, f"no message for more than {number(silent_after, 0, 's')}"
    if vitals.event in ("refused", "rolled_back") and vitals.offered != vitals.release:
        return State.DEGRADED, f"{vitals.offered} did not stand its trial; {vitals.release} goes on"
    if vitals.p99_us is not None and vitals.budget_us is not None and vitals.p99_us > vitals.budget_us:
        return State.DEGRADED, f"p99 {milliseconds(vitals.p99_us)}, budget {milliseconds(vitals.budget_us)}"
    asked = (vitals.answers or 0) + (vitals.errors or 0)
    if asked and (vitals.errors or 0) / asked > MOST_ERRORS:
        return State.DEGRADED, f"{vitals.errors:,} of {asked:,} inputs refused, limit {percent(MOST_ERRORS, 0)}"
    return State.HEALTHY, ""


def update_states(connection: sa.Connection, project: Project, since: float, now: float) -> int:
    """Write the state of every device that was heard since `since`, or has fallen silent; open and close alarms.

    Returns:
        How many changed.
    """
    silent_after = silent_after_s(project.fleet)
    changed = 0
    for vitals, state, reason in _read(connection, project, since, now - silent_after):
        found, why = state_of(vitals, silent_after, now)
        if (found, why) == (state, reason):
            continue
        changed += 1
        mine = DEVICES.c.device == vitals.device
        connection.execute(sa.update(DEVICES).where(mine).values(state=found, reason=why))
        _alarm(connection, vitals.device, found, why, now)
    return changed


def _alarm(connection: sa.Connection, device: str, state: State, why: str, now: float) -> None:
    for kind in (State.SILENT, State.DEGRADED):
        if state is not kind:
            close_alarm(connection, kind, device, now)
    if state is State.SILENT:
        alarm = Alarm("silent", "warn", f"{device} is silent", why, "Check its power and network.", device)
        open_alarm(connection, alarm, now)
    elif state is State.DEGRADED:
        mend = f"Look at it: edgeml fleet telemetry {device}"
        open_alarm(connection, Alarm("degraded", "warn", f"{device} is degraded", why, mend, device), now)


def _read(
    connection: sa.Connection, project: Project, since: float, heard_since: float
) -> Sequence[tuple[Vitals, str, str]]:
    """Return the devices whose state may have changed, each with its newest window and report found by index."""
    worked = sa.and_(WINDOWS.c.device == DEVICES.c.device, WINDOWS.c.answers + WINDOWS.c.errors > 0)
    told = sa.and_(REPORTS.c.device == DEVICES.c.device, REPORTS.c.event.in_(TELLING))
    window = sa.select(WINDOWS.c.arrival).where(worked).order_by(WINDOWS.c.ended_at.desc()).limit(1)
    report = sa.select(REPORTS.c.event + " " + REPORTS.c.offered).where(told).order_by(REPORTS.c.at.desc()).limit(1)
    of_device = sa.select(DEVICES, window.scalar_subquery().label("arrival"), report.scalar_subquery().label("told"))
    fell_silent = sa.and_(DEVICES.c.last_seen < heard_since, DEVICES.c.state != State.SILENT)
    looked_at = of_device.where(sa.or_(DEVICES.c.last_seen >= since, fell_silent)).subquery()
    query = sa.select(looked_at, WINDOWS.c.answers, WINDOWS.c.errors, WINDOWS.c.p99_us).outerjoin(
        WINDOWS, WINDOWS.c.arrival == looked_at.c.arrival
    )
    found = []
    for row in connection.execute(query):
        event, _, offered = (row.told or "").partition(" ")
        budget = project.budgets.get(row.target)
        limit_ms = budget.latency_ms if budget else None
        vitals = Vitals(
            device=row.device,
            release=row.release,
            desired=row.desired,
            last_seen=row.last_seen,
            answers=row.answers,
            errors=row.errors,
            p99_us=row.p99_us,
            event=event,
            offered=offered,
            budget_us=limit_ms * 1000 if limit_ms else None,
        )
        found.append((vitals, row.state, row.reason))
    return found
