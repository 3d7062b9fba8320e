"""The decisions page: one page of all decisions."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from edgeml.server.page.views.decisions import PAGE, Entry, read_page
from edgeml.server.page.views.pages import Page
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import counted, full_stop


@dataclass(frozen=True)
class Decisions:
    """All that the page shows."""

    heading: str
    lead: str
    entries: tuple[Entry, ...]
    page: Page


def read_decisions(connection: sa.Connection, scene: Scene, number: int) -> Decisions:
    """Read one page of decisions, newest first."""
    entries, total = read_page(connection, scene, number)
    heading, lead = _verdict(entries, total, number)
    return Decisions(heading, lead, entries, Page(number, PAGE, total, lambda n: f"/decisions?page={n}"))


def _verdict(entries: tuple[Entry, ...], total: int, number: int) -> tuple[str, str]:
    if not total:
        return "No decision yet", "What the policy or a person decides is kept here with the figures it rests on."
    lead = "Newest first, times in UTC. Each opens to the evidence that its gate left in the ledger."
    if number > 1 or not entries:
        return counted(total, "decision"), lead
    newest = entries[0]
    return f"{counted(total, 'decision')}, the last: {newest.title}", full_stop(
        f"At {newest.time}, by {newest.by}"
    ) + f" {lead}"
