"""Alarms, worst first. Open ones of one kind on many devices are one entry, so that a thousand silent devices are a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.server.page.icons import Status
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import ago, capital, clock, counted, duration, full_stop, joined
from edgeml.server.tables import ALARMS

MANY: Final[dict[str, str]] = {
    "silent": "are silent",
    "degraded": "are degraded",
    "rollback": "went back to the release before",
    "unknown": "see too many unknown inputs",
    "drift": "see inputs that have drifted",
    "rejected": "send what cannot be read",
}
PAGE: Final = 50


@dataclass(frozen=True)
class Alarm:
    """One entry of a list of alarms.

    Args:
        status: The shape: `bad`, `warn` or `silent`.
        title: What is wrong, with its figure.
        detail: How much, the limit, since when.
        mend: What to do.
        devices: How many devices it is about, 0 for the fleet.
        device: The device, where it is one.
        kind: The store's word for it.
    """

    status: Status
    title: str
    detail: str
    mend: str
    devices: int
    device: str
    kind: str


@dataclass(frozen=True)
class OpenAlarms:
    """What needs someone.

    Args:
        entries: The worst, at most as many as were asked for.
        total: How many entries there are.
        devices: How many devices have an alarm.
        last: When all is well: a sentence on the last alarm that closed, else why there is none.
    """

    entries: tuple[Alarm, ...]
    total: int
    devices: int
    last: str


_WORST_FIRST: Final = (
    sa.case((ALARMS.c.severity == "bad", 0), else_=1),
    sa.case((ALARMS.c.kind == "silent", 1), else_=0),
)


def read_open(connection: sa.Connection, scene: Scene, most: int) -> OpenAlarms:
    """Return the open alarms, those of one kind on several devices as one entry."""
    is_open = ALARMS.c.closed_at.is_(None)
    grouped = (
        sa.select(
            ALARMS.c.kind,
            ALARMS.c.severity,
            sa.func.count().label("alarms"),
            sa.func.count(ALARMS.c.device).label("devices"),
            sa.func.min(ALARMS.c.opened_at).label("since"),
            sa.func.min(ALARMS.c.id).label("first"),
        )
        .where(is_open)
        .group_by(ALARMS.c.kind, ALARMS.c.severity, ALARMS.c.device.is_(None))
    ).subquery()
    first = ALARMS.alias("first")
    query = sa.select(grouped, first).join(first, first.c.id == grouped.c.first)
    rows = connection.execute(query).mappings().all()
    found = sorted(rows, key=lambda r: (r["severity"] != "bad", r["kind"] == "silent", r["since"]))
    entries = [_entry(connection, row, scene.now) for row in found[:most]]
    devices = connection.scalar(sa.select(sa.func.count(ALARMS.c.device.distinct())).where(is_open)) or 0
    return OpenAlarms(tuple(entries), len(rows), devices, "" if rows else _last_closed(connection, scene.now))


def read_all(connection: sa.Connection, scene: Scene, page: int) -> tuple[tuple[Alarm, ...], int]:
    """Return one page (from 1) of all alarms, open ones first, then newest first; and how many there are."""
    query = sa.select(ALARMS).order_by(ALARMS.c.closed_at.is_not(None), *_WORST_FIRST, ALARMS.c.opened_at.desc())
    rows = connection.execute(query.limit(PAGE).offset((page - 1) * PAGE)).mappings().all()
    total = connection.scalar(sa.select(sa.func.count()).select_from(ALARMS)) or 0
    return tuple(_one(row, scene.now) for row in rows), total


def of_device(connection: sa.Connection, device: str, since: float) -> list[sa.RowMapping]:
    """Return the rows of a device's own alarms, and the fleet's, that were open at some time since `since`, oldest first."""
    mine = sa.or_(ALARMS.c.device == device, ALARMS.c.device.is_(None))
    lasted = sa.or_(ALARMS.c.closed_at.is_(None), ALARMS.c.closed_at >= since)
    query = sa.select(ALARMS).where(mine, lasted).order_by(ALARMS.c.opened_at.desc()).limit(20)
    return list(connection.execute(query).mappings().all())[::-1]


def status_of(severity: str, kind: str) -> Status:
    """Return an alarm's shape."""
    if severity == "bad":
        return "bad"
    return "silent" if kind == "silent" else "warn"


def _entry(connection: sa.Connection, row: sa.RowMapping, now: float) -> Alarm:
    if row["alarms"] == 1:
        return _one(row, now)
    if not row["devices"]:  # several of one kind for the fleet: the oldest speaks
        return _one(row, now)
    kind = MANY.get(row["kind"], f"have an alarm: {row['kind']}")
    chosen = sa.select(ALARMS.c.device).where(
        ALARMS.c.closed_at.is_(None),
        ALARMS.c.kind == row["kind"],
        ALARMS.c.severity == row["severity"],
        ALARMS.c.device.is_not(None),
    )
    names = list(connection.scalars(chosen.order_by(ALARMS.c.device).limit(3)))
    more = row["devices"] - len(names)
    listed = joined([*names, f"{more:,} more"]) if more else joined(names)
    return Alarm(
        status_of(row["severity"], row["kind"]),
        f"{counted(row['devices'], 'device')} {kind}",
        f"Since {clock(row['since'], now)}: {listed}",
        full_stop(row["mend"]),
        row["devices"],
        "",
        row["kind"],
    )


def _one(row: sa.RowMapping, now: float) -> Alarm:
    since = f"since {clock(row['opened_at'], now)}"
    if row["closed_at"] is not None:
        lasted = duration(row["closed_at"] - row["opened_at"])
        since = f"{clock(row['opened_at'], now)} to {clock(row['closed_at'], now)}, {lasted}"
    place = "" if row["device"] and row["device"] in row["title"] else row["device"] or "fleet"
    detail = capital(", ".join(part for part in (row["detail"].rstrip(".").strip(), since, place) if part))
    closed = row["closed_at"] is not None
    return Alarm(
        "ok" if closed else status_of(row["severity"], row["kind"]),
        row["title"],
        detail,
        "" if closed else full_stop(row["mend"]),
        int(row["device"] is not None),
        row["device"] or "",
        row["kind"],
    )


def _last_closed(connection: sa.Connection, now: float) -> str:
    query = sa.select(ALARMS).where(ALARMS.c.closed_at.is_not(None)).order_by(ALARMS.c.closed_at.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    if row is None:
        return "There was none so far."
    lasted = duration(row["closed_at"] - row["opened_at"])
    return f"Last one closed {ago(row['closed_at'], now)}: {row['title']}, for {lasted}."
