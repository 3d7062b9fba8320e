"""Alarms: what a person should know of. One open alarm a kind and device; it is told anew while it lasts, not doubled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from edgeml.server.tables import ALARMS

Severity = Literal["bad", "warn"]


@dataclass(frozen=True)
class Alarm:
    """What is wrong and what to do about it.

    Args:
        kind: `drift`, `unknown`, `staleness`, `silent`, `degraded`, `rollback`, `canary`, `retrain`, `rejected`,
            `reference` (a bundle cannot be read, so that drift is not watched).
        severity: Whether answers are wrong or missing (`bad`), or may become so (`warn`).
        title: What, one sentence.
        detail: How much, and its limit.
        mend: What to do.
        device: The one it is about, `None` for the fleet.
    """

    kind: str
    severity: Severity
    title: str
    detail: str
    mend: str
    device: str | None = None


def open_alarm(connection: sa.Connection, alarm: Alarm, now: float) -> bool:
    """Open an alarm, or tell an open one's figures anew under the title that it has; return whether it is a new one."""
    told = {"severity": alarm.severity, "detail": alarm.detail, "mend": alarm.mend}
    found = connection.execute(sa.update(ALARMS).where(_open(alarm.kind, alarm.device)).values(told))
    if found.rowcount:
        return False
    what = {"kind": alarm.kind, "device": alarm.device, "title": alarm.title, "opened_at": now}
    connection.execute(sa.insert(ALARMS).values(what | told))
    return True


def close_alarm(connection: sa.Connection, kind: str, device: str | None, now: float) -> bool:
    """Close an alarm, if it is open; return whether it was."""
    return bool(connection.execute(sa.update(ALARMS).where(_open(kind, device)).values(closed_at=now)).rowcount)


def open_since(connection: sa.Connection, kind: str, device: str | None = None) -> float | None:
    """Return since when an alarm is open, seconds since 1970, or `None`."""
    found: float | None = connection.scalar(sa.select(ALARMS.c.opened_at).where(_open(kind, device)))
    return found


def _open(kind: str, device: str | None) -> sa.ColumnElement[bool]:
    about = ALARMS.c.device.is_(None) if device is None else ALARMS.c.device == device
    return sa.and_(ALARMS.c.kind == kind, ALARMS.c.closed_at.is_(None), about)
