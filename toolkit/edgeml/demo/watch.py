"""What the demo reads from the fleet's store while the server works."""

from __future__ import annotations

import sqlalchemy as sa

from edgeml.demo.result import AgentState
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DECISIONS, DEVICES, JUDGEMENTS, ROLLOUTS
from edgeml_targets.contract.errors import EdgemlError

DRIFT = ("drift", "unknown")


def quiet_windows(store: Store, release: str) -> int:
    """Return how many windows of a release were judged over the whole fleet, and found quiet."""
    fleet = JUDGEMENTS.c.device.is_(None)  # a device's own view holds windows that the fleet's held before
    wanted = fleet & (JUDGEMENTS.c.release == release) & (JUDGEMENTS.c.verdict == "quiet")
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.sum(JUDGEMENTS.c.windows)).where(wanted)) or 0


def drift_alarms(store: Store, until: float) -> int:
    """Return how many drift alarms were opened before a time."""
    wanted = ALARMS.c.kind.in_(DRIFT) & (ALARMS.c.opened_at < until)
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).where(wanted)) or 0


def first_drift_alarm(store: Store, since: float) -> float | None:
    """Return when the first drift alarm after a time was opened."""
    wanted = ALARMS.c.kind.in_(DRIFT) & (ALARMS.c.opened_at >= since)
    with store.reading() as connection:
        found: float | None = connection.scalar(sa.select(sa.func.min(ALARMS.c.opened_at)).where(wanted))
    return found


def rolled_out(store: Store, before: str) -> str | None:
    """Return the newest release once its rollout over the whole fleet is done, and it is not `before`.

    Raises:
        EdgemlError: The rollout was aborted, or a retrain did not pass its gates.
    """
    with store.reading() as connection:
        newest = connection.execute(sa.select(ROLLOUTS).order_by(ROLLOUTS.c.id.desc()).limit(1)).mappings().first()
        bad = sa.select(DECISIONS).where(DECISIONS.c.status == "bad").order_by(DECISIONS.c.id.desc()).limit(1)
        stopped = connection.execute(bad).mappings().first()
        running = set(connection.scalars(sa.select(DEVICES.c.release)))
    if stopped is not None:
        raise EdgemlError(
            f"{stopped['title']}: {stopped['reason']}", where="the fleet", mend="see edgeml fleet decisions"
        )
    if newest is None or newest["release"] == before or newest["stage"] != "done":
        return None
    return str(newest["release"]) if running == {newest["release"]} else None


def rollout_stage(store: Store) -> str:
    """Return the stage of the newest rollout and its release, for people."""
    with store.reading() as connection:
        newest = connection.execute(sa.select(ROLLOUTS).order_by(ROLLOUTS.c.id.desc()).limit(1)).mappings().first()
    return f"{newest['release']}: {newest['stage']}" if newest is not None else "no rollout yet"


def agents(store: Store) -> tuple[AgentState, ...]:
    """Return the agents and the releases that they last said they run."""
    with store.reading() as connection:
        rows = connection.execute(sa.select(DEVICES).order_by(DEVICES.c.device)).mappings().all()
    return tuple(AgentState(row["device"], row["target"], row["release"]) for row in rows)
