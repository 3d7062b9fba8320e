"""The overview: is the fleet well, why not, what was decided, what must a person do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.server.page.icons import Status
from edgeml.server.page.views.accuracy import Labelled, newest_labelled
from edgeml.server.page.views.alarms import OpenAlarms, read_open
from edgeml.server.page.views.cells import Cells, read_cells
from edgeml.server.page.views.decisions import Step, read_chain
from edgeml.server.page.views.rollouts import Rollout, devices_in_words, read_current
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.spans import Span, find_span
from edgeml.server.page.views.timeline import Timeline
from edgeml.server.page.views.trends import Trend, read_trends
from edgeml.server.page.words import capital, clock, clock_s, counted, full_stop, spelled
from edgeml.server.tables import DEVICES, JUDGEMENTS, WINDOWS

SHOWN_ALARMS: Final = 4
TICK_STEPS_S: Final = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800)
STATES: Final = ("healthy", "degraded", "silent", "never_seen")
STATE_STATUS: Final[dict[str, Status]] = {
    "healthy": "ok",
    "degraded": "warn",
    "silent": "silent",
    "never_seen": "never",
}
_FLEET_WORDS: Final = {
    "drift": "the inputs have drifted",
    "unknown": "too many inputs are unknown",
    "staleness": "the model is stale",
    "accuracy": "accuracy is below its floor",
}


@dataclass(frozen=True)
class Verdict:
    """The page's answer in words.

    Args:
        status: Its shape.
        heading: With its figure.
        lead: What happened and what was done about it.
        todo: What a person must do, or where to look; empty when nothing.
    """

    status: Status
    heading: str
    lead: str
    todo: str


@dataclass(frozen=True)
class Counted:
    """How many devices are in a state."""

    state: str
    word: str
    status: Status
    number: int


@dataclass(frozen=True)
class Waiting:
    """How far the first judgement is: so many answers of those it needs."""

    answers: int
    needed: int


@dataclass(frozen=True)
class Overview:
    """All that the overview shows."""

    verdict: Verdict
    counts: tuple[Counted, ...]
    devices: int
    chain: tuple[Step, ...]
    waiting: Waiting | None
    rollout: Rollout | None
    alarms: OpenAlarms
    cells: Cells
    span: Span
    ticks: tuple[tuple[float, str], ...]
    trends: tuple[Trend, ...]


def read_overview(connection: sa.Connection, scene: Scene, timeline: Timeline) -> Overview:
    """Read the overview."""
    counts = read_counts(connection)
    devices = sum(counts.values())
    rollout, chain = read_current(connection, scene), read_chain(connection, scene)
    alarms = read_open(connection, scene, SHOWN_ALARMS)
    since = connection.scalar(sa.select(sa.func.min(WINDOWS.c.ended_at)))
    span = find_span(None, since if since is not None else scene.now, scene.now)
    labelled = newest_labelled(connection, None)
    return Overview(
        verdict(counts, alarms, chain, rollout, _below_floor(labelled, scene)),
        tuple(Counted(s, s.replace("_", " "), STATE_STATUS[s], counts.get(s, 0)) for s in STATES),
        devices,
        chain,
        None if chain else _waiting(connection, scene),
        rollout,
        alarms,
        read_cells(connection, scene, rollout),
        span,
        ticks(span, scene.now, 6),
        read_trends(connection, scene, timeline, span),
    )


def read_counts(connection: sa.Connection) -> dict[str, int]:
    """Return how many devices are in each state."""
    query = sa.select(DEVICES.c.state, sa.func.count()).group_by(DEVICES.c.state)
    return dict(connection.execute(query).all())


def verdict(
    counts: dict[str, int], alarms: OpenAlarms, chain: tuple[Step, ...], rollout: Rollout | None, below_floor: str
) -> Verdict:
    """Return the fleet's verdict: pure, from what was read.

    Args:
        counts: Devices by state.
        alarms: The open ones.
        chain: What was decided last.
        rollout: The one that runs, or the last.
        below_floor: What the newest labelled accuracy says when it is below the floor, else empty.
    """
    devices, healthy = sum(counts.values()), counts.get("healthy", 0)
    if not devices:
        return Verdict("never", "No device yet", "Prepare one; it shows up here with its first window.", "")
    if counts.get("never_seen", 0) == devices:
        told = "It shows" if devices == 1 else "They show"
        are = "is" if devices == 1 else "are"
        return Verdict(
            "never",
            f"{counted(devices, 'device')} {are} enrolled, none was seen yet",
            f"{told} up here with the first window.",
            "",
        )
    fleet = [a for a in alarms.entries if a.devices == 0]
    trouble = (
        _FLEET_WORDS["accuracy"] if below_floor else _fleet_trouble(fleet[0].kind, fleet[0].title) if fleet else ""
    )
    if healthy == devices:
        head = f"All {devices:,} devices are healthy" if devices > 1 else "The device is healthy"
    else:
        head = f"{healthy:,} of {counted(devices, 'device')} {'is' if healthy == 1 else 'are'} healthy"
    lead = " ".join(part for part in (below_floor, *_story(chain, rollout)) if part)
    if not lead:
        lead = full_stop(alarms.entries[0].title) if alarms.entries else "Nothing was decided yet."
    status: Status = "bad" if any(a.status == "bad" for a in alarms.entries) and not fleet else "warn"
    quiet = healthy == devices and not alarms.entries and not below_floor
    return Verdict("ok" if quiet else status, f"{head}, but {trouble}" if trouble else head, lead, _todo(counts))


def ticks(span: Span, now: float, most: int) -> tuple[tuple[float, str], ...]:
    """Return times for an axis below a span: (share of the width from the left, text), at round times of day."""
    step = next(s for s in TICK_STEPS_S if span.seconds / s <= most)
    begin = span.begin(now)
    first = -(-begin // step) * step
    places = [(at, (at - begin) / (now - begin)) for at in (first + i * step for i in range(most + 1)) if at <= now]
    write = clock if step >= 60 else clock_s
    return tuple((x, write(at, at)) for at, x in places if 0.05 <= x <= 0.96)


def _fleet_trouble(kind: str, title: str) -> str:
    return _FLEET_WORDS.get(kind, title[:1].lower() + title[1:])


def _story(chain: tuple[Step, ...], rollout: Rollout | None) -> list[str]:
    """Say what set the chain off and where it stands, a sentence each."""
    told = []
    if chain and chain[0].kind == "drift":
        told.append(full_stop(f"{capital(chain[0].title)} at {chain[0].time} ({chain[0].figure})"))
        if len(chain) > 1 and (rollout is None or not rollout.running):
            told.append(full_stop(f"{capital(chain[-1].title)}, {chain[-1].time}"))
    elif chain:
        told.append(full_stop(f"The last decision, {chain[-1].time}: {chain[-1].title}"))
    if rollout is not None and rollout.running:
        stage = rollout.stages[rollout.at]
        verb = "is paused" if rollout.paused else "is in canary on" if stage.name == "Canary" else "goes to the fleet:"
        run = "" if rollout.paused else f" {devices_in_words(stage)}"
        told.append(f"{rollout.release} {verb}{run}.")
    return told


def _todo(counts: dict[str, int]) -> str:
    needy = counts.get("degraded", 0) + counts.get("silent", 0)
    if not needy:
        return ""
    return f"{capital(spelled(needy))} {'device needs' if needy == 1 else 'devices need'} a person."


def _below_floor(labelled: Labelled | None, scene: Scene) -> str:
    floor = scene.accuracy_floor
    if labelled is None or floor is None or labelled.share >= floor:
        return ""
    return (
        f"Of {counted(labelled.labelled, 'labelled answer')} {100 * labelled.share:.1f}\u00a0% were right"
        f" ({100 * labelled.low:.1f} to {100 * labelled.high:.1f}), floor {100 * floor:.1f}\u00a0%."
    )


def _waiting(connection: sa.Connection, scene: Scene) -> Waiting | None:
    """Return how far the first judgement is, `None` once there was one."""
    if connection.scalar(sa.select(JUDGEMENTS.c.id).where(JUDGEMENTS.c.verdict != "insufficient").limit(1)) is not None:
        return None
    newest = sa.select(WINDOWS.c.answers).order_by(WINDOWS.c.arrival.desc()).limit(1000).subquery()
    answers = connection.scalar(sa.select(sa.func.sum(newest.c.answers))) or 0
    needed = scene.project.fleet.drift_samples
    return Waiting(min(int(answers), needed), needed)
