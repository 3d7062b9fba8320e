"""The alarms page: one page of all alarms, the open ones first."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from edgeml.server.page.views.alarms import PAGE, Alarm, read_all
from edgeml.server.page.views.pages import Page
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import counted
from edgeml.server.tables import ALARMS


@dataclass(frozen=True)
class Alarms:
    """All that the page shows."""

    heading: str
    lead: str
    alarms: tuple[Alarm, ...]
    page: Page


def read_alarms(connection: sa.Connection, scene: Scene, number: int) -> Alarms:
    """Read one page of alarms."""
    found, total = read_all(connection, scene, number)
    is_open = ALARMS.c.closed_at.is_(None)
    counts = sa.select(sa.func.count(), sa.func.count().filter(ALARMS.c.severity == "bad")).where(is_open)
    still_open, bad = connection.execute(counts).one()
    closed = total - still_open
    lead = f"{counted(closed, 'closed one')} below. Times in UTC." if closed else "Times in UTC."
    if not still_open:
        heading = "No open alarms"
    else:
        heading = f"{counted(still_open, 'alarm')} {'is' if still_open == 1 else 'are'} open" + (
            f", {bad:,} of them bad" if bad else ""
        )
        lead = f"Worst first. {lead}"
    return Alarms(heading, lead, found, Page(number, PAGE, total, lambda n: f"/alarms?page={n}"))
