"""The fleet as a rollout sees it: what each device runs, and what it said of the release since the rollout began."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from edgeml.server.stage import Member
from edgeml.server.tables import BUNDLES, DEVICES, REPORTS, ROLLOUTS, WINDOWS

REFUSED: Final = "refused"
POSTPONED: Final = "postponed"
FAILED: Final = ("rolled_back", REFUSED)


def members(connection: sa.Connection, release: str, heard_since: float) -> list[Member]:
    """Return all devices as the rollout of `release` sees them; alive are those heard of since then."""
    covered = set(connection.scalars(sa.select(BUNDLES.c.target).where(BUNDLES.c.release == release)))
    words = _last_words(connection, release)
    columns = [DEVICES.c[name] for name in ("device", "target", "release", "last_seen", "desired")]
    return [
        _member(row, words.get(row.device), release, heard_since, covered)
        for row in connection.execute(sa.select(*columns))
    ]


def _member(row: sa.Row[Any], word: sa.Row[Any] | None, release: str, heard_since: float, covered: set[str]) -> Member:
    event = word.event if word is not None and row.release != release else ""
    return Member(
        row.device,
        row.target,
        row.release,
        alive=row.last_seen is not None and row.last_seen >= heard_since,
        failed=event in FAILED,
        covered=row.target in covered,
        told=row.desired,
        refused=event == REFUSED,
        postponed=event == POSTPONED,
        said=word.detail if word is not None and event in FAILED else "",
    )


def _last_words(connection: sa.Connection, release: str) -> dict[str, sa.Row[Any]]:
    """Return each device's newest report against `release` since its last rollout began, unless it ran it after that.

    Arrival counts, not the device's clock: one without a battery begins each day in 1970.
    """
    began = sa.select(sa.func.max(ROLLOUTS.c.started_at)).where(ROLLOUTS.c.release == release).scalar_subquery()
    columns = [REPORTS.c[name] for name in ("device", "event", "detail", "received_at")]
    against = sa.select(*columns).where(
        REPORTS.c.offered == release, REPORTS.c.event.in_((*FAILED, POSTPONED)), REPORTS.c.received_at >= began
    )
    # In the order of their arrival; of one batch, as the device counted them.
    rows = connection.execute(against.order_by(REPORTS.c.received_at, REPORTS.c.at, REPORTS.c.sequence))
    words = {row.device: row for row in rows}
    for table in (WINDOWS, REPORTS) if words else ():
        ran = sa.select(table.c.device, sa.func.max(table.c.received_at).label("at"))
        mine = sa.and_(table.c.release == release, table.c.device.in_(list(words)))
        for row in connection.execute(ran.where(mine).group_by(table.c.device)):
            if row.device in words and row.at > words[row.device].received_at:
                del words[row.device]
    return words
