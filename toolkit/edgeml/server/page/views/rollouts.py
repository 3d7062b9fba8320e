"""Rollouts: the stages of a release over the fleet, with the gates of the present stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast

import msgspec
import sqlalchemy as sa

from edgeml.figures import DASH
from edgeml.server.page.icons import Status
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import clock, counted, duration, full_stop
from edgeml.server.tables import DEVICES, RELEASES, ROLLOUTS

RUNNING: Final = ("canary", "fleet", "paused")
PAGE: Final = 50
Mark = Literal["ok", "warn", "bad", "run", "wait", "unsure"]


class Gate(msgspec.Struct, frozen=True):
    """A gate of the present stage: what is judged, its figure and what it is held against."""

    name: str
    value: str = DASH
    limit: str = ""
    status: Mark = "wait"

    @property
    def words(self) -> str:
        """The gate in a phrase: "p99 17.9 ms, limit 20 ms"."""
        if not self.limit or self.limit.startswith("all"):  # the value says "5 of 5"
            return f"{self.name} {self.value}"
        return f"{self.name} {self.value}{' ' if self.limit.startswith('of ') else ', '}{self.limit}"


@dataclass(frozen=True)
class Stage:
    """A stage: its devices, how many of them run the release already, and where it stands."""

    name: str
    devices: int
    done: int
    note: str

    @property
    def share(self) -> float:
        """How much of the stage is done, 0 to 1."""
        return self.done / self.devices if self.devices else 0.0


@dataclass(frozen=True)
class Rollout:
    """A release on its way over the fleet, or the last one that arrived.

    Args:
        status: The shape of where it stands.
        title: "Rollout of r42".
        note: "from r41, stage 1 of 2".
        running, paused: What can be done about it.
        at: The present stage, 0 or 1.
        stages, gates: As they stand.
        reason: Why it paused or stopped; empty while all is well.
        canaries: The devices that try it first; the first few by name.
    """

    id: int
    release: str
    previous: str
    status: Status
    title: str
    note: str
    running: bool
    paused: bool
    at: int
    stages: tuple[Stage, ...]
    gates: tuple[Gate, ...]
    reason: str
    canaries: tuple[str, ...]
    devices_on: int
    model: str
    release_notes: str


def read_current(connection: sa.Connection, scene: Scene) -> Rollout | None:
    """Return the rollout that runs, else the newest, else nothing."""
    running = ROLLOUTS.c.stage.in_(RUNNING)
    query = sa.select(ROLLOUTS).order_by(
        sa.case((running, 0), else_=1), ROLLOUTS.c.started_at.desc(), ROLLOUTS.c.id.desc()
    )
    row = connection.execute(query.limit(1)).mappings().first()
    return None if row is None else _rollout(connection, row, scene.now)


def read_page(connection: sa.Connection, scene: Scene, page: int) -> tuple[tuple[Rollout, ...], int]:
    """Return one page (from 1) of all rollouts, newest first, and how many there are."""
    query = sa.select(ROLLOUTS).order_by(ROLLOUTS.c.started_at.desc(), ROLLOUTS.c.id.desc())
    rows = connection.execute(query.limit(PAGE).offset((page - 1) * PAGE)).mappings().all()
    total = connection.scalar(sa.select(sa.func.count()).select_from(ROLLOUTS)) or 0
    return tuple(_rollout(connection, row, scene.now) for row in rows), total


def _rollout(connection: sa.Connection, row: sa.RowMapping, now: float) -> Rollout:
    release, canaries = row["release"], tuple(row["canaries"])
    on = sa.func.count().filter(DEVICES.c.release == release)
    query = sa.select(sa.func.count(), on, sa.func.count().filter(DEVICES.c.desired == release))
    devices, running_it, _ = connection.execute(query.select_from(DEVICES)).one()
    canaries_on = (
        connection.scalar(
            sa.select(sa.func.count()).where(DEVICES.c.device.in_(canaries[:500]), DEVICES.c.release == release)
        )
        or 0
    )
    about = connection.execute(sa.select(RELEASES).where(RELEASES.c.name == release)).mappings().first()
    stage = (row["resumes"] or "canary") if row["stage"] == "paused" else row["stage"]
    stages = [Stage("Fleet", devices, running_it if stage != "canary" else 0, _fleet_note(row, stage, now))]
    if canaries:  # the first release has none: nothing runs that it could break
        stages.insert(0, Stage("Canary", len(canaries), canaries_on, _canary_note(row, stage, now)))
    at = len(stages) - 1 if stage in ("fleet", "done") else 0
    return Rollout(
        row["id"],
        release,
        row["previous"] or "",
        _status(row["stage"]),
        f"Rollout of {release}",
        _note(row, f"stage {at + 1} of {len(stages)}", now),
        row["stage"] in RUNNING,
        row["stage"] == "paused",
        at,
        tuple(stages),
        tuple(msgspec.convert(row["gates"], list[Gate], strict=False)),
        full_stop(row["reason"] or ""),
        canaries,
        running_it,
        "" if about is None else about["model"],
        "" if about is None else about["notes"],
    )


def _status(stage: str) -> Status:
    by_stage: dict[str, str] = {"canary": "run", "fleet": "run", "done": "ok", "aborted": "bad", "paused": "wait"}
    return cast(Status, by_stage.get(stage, "unsure"))


def _note(row: sa.RowMapping, place: str, now: float) -> str:
    origin = f"from {row['previous']}" if row["previous"] else "the first"
    when = clock(row["stage_at"], now)
    where = {
        "done": f"done {when}",
        "aborted": f"stopped {when}",
        "paused": f"paused at {place}, {when}",
    }.get(row["stage"], place)
    return f"{origin}, {where}"


def _canary_note(row: sa.RowMapping, stage: str, now: float) -> str:
    if stage == "canary":
        return f"for {duration(now - row['started_at'])}"
    return f"stopped {clock(row['stage_at'], now)}" if stage == "aborted" else "passed"


def _fleet_note(row: sa.RowMapping, stage: str, now: float) -> str:
    if stage == "canary":
        return "when the gates hold"
    if stage == "fleet":
        return f"for {duration(now - row['stage_at'])}"
    return "not reached" if stage == "aborted" else f"done {clock(row['stage_at'], now)}"


def devices_in_words(stage: Stage) -> str:
    """Return a stage's devices: "5 devices", or "3 of 5 devices" while some still switch."""
    if 0 < stage.done < stage.devices:
        return f"{stage.done:,} of {counted(stage.devices, 'device')}"
    return counted(stage.devices, "device")
