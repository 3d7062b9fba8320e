"""The devices' table: searched, filtered, sorted worst first and paged by the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import sqlalchemy as sa

from edgeml.server.page.icons import Status
from edgeml.server.page.views.cells import Latency, latency, newest_answers
from edgeml.server.page.views.overview import STATE_STATUS, STATES, read_counts
from edgeml.server.page.views.pages import Page
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import ago, counted
from edgeml.server.tables import DEVICES

ROWS: Final = 100
MOST_OPTIONS: Final = 200
_RANK: Final = sa.case({"degraded": 0, "silent": 1, "never_seen": 2}, value=DEVICES.c.state, else_=3)


@dataclass(frozen=True)
class Asked:
    """What is looked for; it lives in the address."""

    search: str = ""
    state: str = ""
    target: str = ""
    group: str = ""
    release: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Read it from an address's query; what is no number is the first page."""
        texts = {name: query.get(name, "")[:63] for name in ("search", "state", "target", "group", "release")}
        page = query.get("page", "1")
        return cls(page=max(int(page), 1) if page.isascii() and page.isdigit() and len(page) < 9 else 1, **texts)

    @property
    def filtered(self) -> bool:
        """Whether anything is left out."""
        return any((self.search, self.state, self.target, self.group, self.release))

    def address(self, page: int) -> str:
        """Return the address of another page of the same devices."""
        asked = replace(self, page=page)
        query = {k: v for k, v in asked.__dict__.items() if v and (k, v) != ("page", 1)}
        return f"/devices?{urlencode(query)}" if query else "/devices"


@dataclass(frozen=True)
class Row:
    """One device."""

    device: str
    group: str
    status: Status
    state: str
    reason: str
    title: str
    runtime: str
    release: str
    desired: str
    latency: Latency
    last: str


@dataclass(frozen=True)
class Options:
    """What can be chosen in each filter; the most frequent 200 at most."""

    states: tuple[str, ...]
    targets: tuple[str, ...]
    groups: tuple[str, ...]
    releases: tuple[str, ...]


@dataclass(frozen=True)
class Devices:
    """One page of the table."""

    heading: str
    lead: str
    asked: Asked
    rows: tuple[Row, ...]
    page: Page


def read_devices(connection: sa.Connection, scene: Scene, asked: Asked) -> Devices:
    """Read one page of devices."""
    wanted = _wanted(asked)
    total = connection.scalar(sa.select(sa.func.count()).select_from(DEVICES).where(*wanted)) or 0
    asked = replace(asked, page=min(asked.page, max(-(-total // ROWS), 1)))
    query = sa.select(DEVICES).where(*wanted).order_by(_RANK, DEVICES.c.device)
    shown = query.limit(ROWS).offset((asked.page - 1) * ROWS)
    found = connection.execute(shown).mappings().all()
    chosen = shown.with_only_columns(DEVICES.c.device).subquery()
    p99_of = {device: p99_us for device, p99_us, _ in connection.execute(newest_answers(chosen, scene.now))}
    rows = tuple(_row(row, p99_of.get(row["device"]), scene) for row in found)
    heading, lead = _verdict(read_counts(connection), asked, total)
    return Devices(heading, lead, asked, rows, Page(asked.page, ROWS, total, asked.address))


def read_options(connection: sa.Connection, scene: Scene) -> Options:
    """Read what can be chosen."""
    del scene

    def values(column: sa.Column[str]) -> tuple[str, ...]:
        query = sa.select(column).where(column.is_not(None)).group_by(column).order_by(sa.func.count().desc())
        return tuple(sorted(connection.scalars(query.limit(MOST_OPTIONS))))

    return Options(STATES, values(DEVICES.c.target), values(DEVICES.c.group), values(DEVICES.c.release))


def _wanted(asked: Asked) -> list[sa.ColumnElement[bool]]:
    found = []
    if asked.search:
        found.append(DEVICES.c.device.contains(asked.search, autoescape=True))
    for column, value in (
        (DEVICES.c.state, asked.state),
        (DEVICES.c.target, asked.target),
        (DEVICES.c.group, asked.group),
        (DEVICES.c.release, asked.release),
    ):
        if value:
            found.append(column == value)
    return found


def _row(row: sa.RowMapping, p99_us: float | None, scene: Scene) -> Row:
    hardware = scene.hardware(row["target"])
    held = (
        latency(p99_us, scene.latency_budget_us(row["target"]))
        if p99_us is not None
        else Latency("", "", None, "never", "no answers in the last hour")
    )
    return Row(
        row["device"],
        row["group"],
        STATE_STATUS.get(row["state"], "unsure"),
        row["state"].replace("_", " "),
        row["reason"] or "",
        hardware.title,
        hardware.runtime,
        row["release"] or "",
        row["desired"] or "",
        held,
        ago(row["last_seen"], scene.now),
    )


def _verdict(counts: Mapping[str, int], asked: Asked, total: int) -> tuple[str, str]:
    devices = sum(counts.values())
    if not devices:
        return "No device yet", "Prepare one; it shows up here once it is enrolled."
    if asked.filtered:
        verb = "match" if total != 1 else "matches"
        return f"{total:,} of {counted(devices, 'device')} {verb}", "Worst first, then by name."
    unwell = [f"{counts[s]:,} {s.replace('_', ' ')}" for s in STATES[1:] if counts.get(s)]
    if not unwell:
        return (
            f"All {devices:,} devices are healthy" if devices > 1 else "The device is healthy"
        ), "Worst first, then by name."
    healthy = counts.get("healthy", 0)
    return (
        f"{healthy:,} of {counted(devices, 'device')} {'is' if healthy == 1 else 'are'} healthy",
        f"{', '.join(unwell)}. Worst first, then by name.",
    )
