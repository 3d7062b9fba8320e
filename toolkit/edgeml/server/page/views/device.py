"""One device: what is wrong with it, five measures on one time axis, what it runs, and what it told."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.figures import number
from edgeml.server.page.icons import Status
from edgeml.server.page.views import alarms
from edgeml.server.page.views.measures import Measures, read_measures
from edgeml.server.page.views.overview import STATE_STATUS
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.spans import Span, find_span
from edgeml.server.page.words import ago, capital, clock, clock_s, duration, full_stop
from edgeml.server.tables import DEVICES, REPORTS, WINDOWS

LOG: Final = 8
MOST_NAMES: Final = 500
_LEVELS: Final = {"refused": "warn", "rolled_back": "bad", "postponed": "warn"}
_NOT_TAKEN: Final = ("refused", "rolled_back")


@dataclass(frozen=True)
class Slot:
    """A release as the device has it: runs, waits or kept."""

    status: Status
    release: str
    word: str
    detail: str


@dataclass(frozen=True)
class Told:
    """A line of the log."""

    at: str
    level: str
    text: str


@dataclass(frozen=True)
class Device:
    """All that the page shows.

    Args:
        name, group: The device.
        status, state: The shape and word of its state, with since when.
        heading: Says what is wrong, or that it is healthy.
        lead, todo: Figures, and what a person must do.
        facts: (name, figure).
        slots, log: Releases and reports.
        span, measures: The chart.
    """

    name: str
    group: str
    status: Status
    state: str
    heading: str
    lead: str
    todo: str
    facts: tuple[tuple[str, str], ...]
    slots: tuple[Slot, ...]
    log: tuple[Told, ...]
    span: Span
    measures: Measures


@dataclass(frozen=True)
class NotFound:
    """There is no such device; `nearest` are names that look like it."""

    name: str
    nearest: tuple[str, ...]


def read_device(connection: sa.Connection, scene: Scene, name: str, span_key: str | None) -> Device | NotFound:
    """Read a device's page, or the names nearest to one that is not there."""
    row = connection.execute(sa.select(DEVICES).where(DEVICES.c.device == name)).mappings().first()
    if row is None:
        return NotFound(name, _nearest(connection, name))
    mine = WINDOWS.c.device == name
    first = connection.scalar(sa.select(sa.func.min(WINDOWS.c.ended_at)).where(mine))
    span = find_span(span_key, first if first is not None else scene.now, scene.now)
    newest = (
        connection.execute(sa.select(WINDOWS).where(mine).order_by(WINDOWS.c.ended_at.desc()).limit(1))
        .mappings()
        .first()
    )
    reports = (
        connection.execute(sa.select(REPORTS).where(REPORTS.c.device == name).order_by(REPORTS.c.at.desc()).limit(50))
        .mappings()
        .all()
    )
    known = alarms.of_device(connection, name, span.begin(scene.now))
    heading, lead, todo = _verdict(row, newest, known, scene)
    return Device(
        name,
        row["group"],
        STATE_STATUS.get(row["state"], "unsure"),
        _state_since(row, known, scene.now),
        heading,
        lead,
        todo,
        _facts(connection, row, newest, scene),
        _slots(row, reports, scene.now),
        tuple(_told(r, scene.now) for r in reports[:LOG]),
        span,
        read_measures(connection, scene, name, row["target"], span, known),
    )


def _verdict(
    row: sa.RowMapping, newest: sa.RowMapping | None, known: Sequence[sa.RowMapping], scene: Scene
) -> tuple[str, str, str]:
    name, mine = row["device"], [a for a in known if a["device"] == row["device"] and a["closed_at"] is None]
    figures = _latest_figures(newest, row["target"], scene)
    if row["state"] == "healthy":
        fleet = [a for a in known if a["device"] is None and a["closed_at"] is None]
        about = " ".join(
            full_stop(f"The whole fleet has an alarm: {a['title'][:1].lower()}{a['title'][1:]}") for a in fleet[:1]
        )
        return f"{name} is healthy", " ".join(part for part in (figures, about) if part), ""
    if row["state"] == "never_seen":
        return (
            f"{name} was not seen yet",
            f"Enrolled {ago(row['enrolled_at'], scene.now)}. It shows up with its first message.",
            "Start its agent.",
        )
    state = row["state"].replace("_", " ")
    worst = next((a for a in reversed(mine) if a["severity"] == "bad"), mine[-1] if mine else None)
    title = worst["title"] if worst is not None else ""
    heading = f"{name} is {state}" if name not in title else title
    reason = full_stop(capital(row["reason"]))
    return (
        heading,
        " ".join(part for part in (reason, figures) if part),
        full_stop(worst["mend"]) if worst is not None else "",
    )


def _latest_figures(newest: sa.RowMapping | None, target: str, scene: Scene) -> str:
    if newest is None:
        return "It sent no window yet."
    if newest["p99_us"] is None:
        return f"It sent a window {ago(newest['ended_at'], scene.now)}, without answers: it is idle."
    budget = scene.latency_budget_us(target)
    held = f", budget {number(budget / 1000, 0, 'ms')}" if budget else ""
    return (
        f"Its last window has {newest['answers']:,} answers, p99 {number(newest['p99_us'] / 1000, 1, 'ms')}{held},"
        f" {newest['unknown']:,} of them unknown."
    )


def _state_since(row: sa.RowMapping, known: Sequence[sa.RowMapping], now: float) -> str:
    state = row["state"].replace("_", " ")
    since = [
        a["opened_at"]
        for a in known
        if a["device"] == row["device"] and a["closed_at"] is None and a["kind"] == row["state"]
    ]
    return f"{state} since {clock(min(since), now)}" if since else state


def _facts(
    connection: sa.Connection, row: sa.RowMapping, newest: sa.RowMapping | None, scene: Scene
) -> tuple[tuple[str, str], ...]:
    hardware = scene.hardware(row["target"])
    facts = [("Target", f"{hardware.title}, {hardware.runtime}"), ("Group", row["group"])]
    if newest is None:
        facts.append(("Last window", "none yet"))
    else:
        facts.append(("Last window", f"{ago(newest['ended_at'], scene.now)}, number {newest['sequence']:,}"))
        boot = sa.and_(WINDOWS.c.device == row["device"], WINDOWS.c.boot == newest["boot"])
        began = connection.scalar(sa.select(WINDOWS.c.began_at).where(boot).order_by(WINDOWS.c.sequence).limit(1))
        if began is not None:
            facts.append(("Up since", f"{clock(began, scene.now)} ({duration(scene.now - began)})"))
    facts.append(("Last heard", ago(row["last_seen"], scene.now) if row["last_seen"] is not None else "never"))
    agent = ", ".join(
        part for part in (row["agent"], f"Python {row['python']}" if row["python"] else "", row["machine"]) if part
    )
    facts.append(("Agent", agent or "not told yet"))
    if newest is not None:
        facts.append(("Waiting to send", f"{newest['waiting']:,} messages"))
    return tuple(facts)


def _slots(row: sa.RowMapping, reports: Sequence[sa.RowMapping], now: float) -> tuple[Slot, ...]:
    """Return the releases as the device told of them: what runs, what waits or was not taken, what it would go back to."""
    found, runs, wanted = [], row["release"], row["desired"]
    begun = next((r for r in reports if r["release"] == runs and r["event"] in ("switched", "started")), None)
    if runs and begun is not None:
        detail = f", {begun['detail']}" if begun["detail"] else ""
        found.append(Slot("ok", runs, "runs", f"since {clock(begun['at'], now)}{detail}"))
    elif runs:
        found.append(Slot("ok", runs, "runs", "since before its last reports"))
    tried = next((r for r in reports if r["offered"] == wanted and r["event"] in _NOT_TAKEN), None)
    if wanted and wanted != runs and tried is not None:
        found.append(Slot("bad", wanted, "was not taken", f"{clock(tried['at'], now)}, {tried['detail']}"))
    elif wanted and wanted != runs:
        found.append(Slot("wait", wanted, "waits", "offered, taken with its next connection"))
    before = next((r["release"] for r in reports if r["release"] not in (runs, wanted)), None)
    if before is not None and begun is not None:
        until = f"in the other slot, ran until {clock(begun['at'], now)}"
        found.append(Slot("kept", before, "kept", f"{until}"))
    return tuple(found)


def _told(report: sa.RowMapping, now: float) -> Told:
    release, offered, detail = report["release"], report["offered"], report["detail"]
    words = {
        "started": f"{release} started",
        "switched": f"switched to {release}",
        "refused": f"refused {offered}" if offered else "refused an offer",
        "rolled_back": f"went back to {release}" + (f" from {offered}" if offered else ""),
        "postponed": f"could not take up {offered} yet",
        "stopped": f"{release} stopped",
    }.get(report["event"], report["event"])
    return Told(
        clock_s(report["at"], now), _LEVELS.get(report["event"], "info"), f"{words}: {detail}" if detail else words
    )


def _nearest(connection: sa.Connection, name: str) -> tuple[str, ...]:
    """Return names that look like `name`, from those that begin alike."""
    begins = DEVICES.c.device.startswith(name[:3], autoescape=True)
    query = sa.select(DEVICES.c.device).order_by(sa.case((begins, 0), else_=1), DEVICES.c.device).limit(MOST_NAMES)
    return tuple(difflib.get_close_matches(name, list(connection.scalars(query)), n=3, cutoff=0.5))
