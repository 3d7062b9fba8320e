"""What the policy or a person decided: the chain that led to where the fleet stands, and every decision with its evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import sqlalchemy as sa

from edgeml import ledger
from edgeml.project import Project
from edgeml.server.page.icons import Status
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import clock, clock_s, full_stop
from edgeml.server.tables import DECISIONS

LINKS: Final = 4  # of the chain
RECENT: Final = 60  # decisions among which the chain is looked for
PAGE: Final = 50
_LINK_OF: Final[dict[str, int]] = {"drift": 0, "retrain": 1, "challenger": 2, "canary": 3, "rollout": 3, "rollback": 3}


@dataclass(frozen=True)
class Step:
    """One link of the chain: a decision with the figures it rests on."""

    status: Status
    time: str
    kind: str
    title: str
    figure: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One decision of the list, with what its gate recorded in the ledger.

    Args:
        gate: Requirement, threshold, value and reason of the ledger's record, where the decision has one.
    """

    key: str
    status: Status
    time: str
    title: str
    figure: str
    reason: str
    by: str
    evidence: str
    gate: tuple[tuple[str, str], ...]


def read_chain(connection: sa.Connection, scene: Scene) -> tuple[Step, ...]:
    """Return the newest chain, oldest first: what set it off, and the newest decision of each link since."""
    query = sa.select(DECISIONS).order_by(DECISIONS.c.at.desc(), DECISIONS.c.id.desc()).limit(RECENT)
    rows = connection.execute(query).mappings().all()
    chain = newest_chain(rows)
    return tuple(_step(row, scene.now, passed=row is not chain[-1]) for row in chain)


def newest_chain(newest_first: Sequence[sa.RowMapping]) -> list[sa.RowMapping]:
    """Return the newest decision of each link, back to the one that set the chain off; oldest first.

    Walking back in time, a chain ends where a link comes that stands later in the chain than one already found: it
    belongs to the chain before. A decision of another kind stands alone.
    """
    found: dict[int, sa.RowMapping] = {}
    for row in newest_first:
        link = _LINK_OF.get(row["kind"])
        if link is None:
            if not found:
                return [row]
            continue
        if found and link > min(found):
            break
        found.setdefault(link, row)
        if link == 0 and len(found) > 1:
            break
    return [found[link] for link in sorted(found)]


def read_page(connection: sa.Connection, scene: Scene, page: int) -> tuple[tuple[Entry, ...], int]:
    """Return one page (from 1) of all decisions, newest first, and how many there are."""
    query = sa.select(DECISIONS).order_by(DECISIONS.c.at.desc(), DECISIONS.c.id.desc())
    rows = connection.execute(query.limit(PAGE).offset((page - 1) * PAGE)).mappings().all()
    total = connection.scalar(sa.select(sa.func.count()).select_from(DECISIONS)) or 0
    records = _records(scene.project, {row["evidence"] for row in rows if row["evidence"]})
    return tuple(_entry(row, scene.now, records) for row in rows), total


def _step(row: sa.RowMapping, now: float, *, passed: bool) -> Step:
    """Describe a link; one that ran and was followed by the next is done."""
    done = passed and row["status"] == "run"
    return Step(
        "ok" if done else cast(Status, row["status"]),
        clock(row["at"], now),
        row["kind"],
        "Retrained" if done and row["kind"] == "retrain" else row["title"],
        row["figure"],
        full_stop(row["reason"]),
    )


def _entry(row: sa.RowMapping, now: float, records: dict[str, ledger.Record]) -> Entry:
    record = records.get(row["evidence"] or "")
    gate = (
        ()
        if record is None
        else (
            ("Gate", f"{record.gate} ({re.sub('_', ' ', record.phase)})"),
            ("Requirement", record.requirement),
            ("Risk", record.risk),
            ("Threshold", record.threshold),
            ("Value", record.value),
            ("Verdict", f"{record.verdict}: {record.reason}"),
            ("Recorded", f"number {record.number} in the ledger, by {record.by}"),
        )
    )
    return Entry(
        f"decision-{row['id']}",
        cast(Status, row["status"]),
        clock_s(row["at"], now),
        row["title"],
        row["figure"],
        full_stop(row["reason"]),
        row["by"],
        row["evidence"] or "",
        gate,
    )


def _records(project: Project, wanted: set[str]) -> dict[str, ledger.Record]:
    """Return the ledger's records whose evidence is asked for."""
    path: Path = project.ledger
    return {r.evidence: r for r in ledger.read(path) if r.evidence in wanted} if wanted else {}
