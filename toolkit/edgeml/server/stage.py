"""The stages of a rollout. Pure: from what the fleet shows to what happens next; no store, no clock.

canary     a few devices are offered the release; the others keep what they run
fleet      the canaries did well: all devices are offered it
done       every device that can run it does, or said why not; the release is the fleet's from now on
aborted    the devices that were offered it go back to the release before
paused     nobody is offered it who was not yet; it goes on, or is aborted, when a person says so
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import msgspec

from edgeml.figures import percent
from edgeml.gates.canary_healthy import MOST_ERRORS, CanaryEvidence
from edgeml.project import Fleet

MOST_FAILED_SHARE: Final = 0.2  # of the fleet: more, and the release is at fault, not the device


class Stage(StrEnum):
    """Where a rollout stands."""

    CANARY = "canary"
    FLEET = "fleet"
    DONE = "done"
    ABORTED = "aborted"
    PAUSED = "paused"


class Event(StrEnum):
    """What moves it."""

    HEALTHY = "healthy"  # the canary gate passed
    SETTLED = "settled"  # every device runs the release or said why not
    FAILED = "failed"  # the canary gate failed, too many devices failed, or a person aborts
    PAUSE = "pause"
    RESUME = "resume"


NEXT: Final[Mapping[tuple[Stage, Event], Stage]] = {
    (Stage.CANARY, Event.HEALTHY): Stage.FLEET,
    (Stage.CANARY, Event.FAILED): Stage.ABORTED,
    (Stage.CANARY, Event.PAUSE): Stage.PAUSED,
    (Stage.FLEET, Event.SETTLED): Stage.DONE,
    (Stage.FLEET, Event.FAILED): Stage.ABORTED,
    (Stage.FLEET, Event.PAUSE): Stage.PAUSED,
    (Stage.PAUSED, Event.FAILED): Stage.ABORTED,
}
ACTIVE: Final = (Stage.CANARY, Stage.FLEET, Stage.PAUSED)


class GateRow(msgspec.Struct, frozen=True):
    """One gate of the present stage for people: its figure, what it is held against, and `ok`, `bad` or `run`."""

    name: str
    value: str
    limit: str
    status: str


@dataclass(frozen=True)
class Member:
    """A device as a rollout sees it.

    Args:
        device, target: Its name and target.
        runs: The release that it last said it runs.
        alive: Whether it was heard of lately.
        failed: Whether it refused the release or went back from it.
        covered: Whether the release has a bundle for its target.
        told: The release that it was told to run.
        refused: Whether it failed by refusing: signature, hash or format; it did not come to a self-test.
        postponed: Whether it could not take the release up yet; it is offered it again.
        said: What it said of the release, where it failed.
    """

    device: str
    target: str
    runs: str | None
    alive: bool
    failed: bool = False
    covered: bool = True
    told: str | None = None
    refused: bool = False
    postponed: bool = False
    said: str = ""


@dataclass(frozen=True)
class Rollout:
    """A rollout.

    Args:
        release: What is rolled out.
        previous: What to go back to, `None` for the first.
        stage: Where it stands.
        canaries: The devices that try it first.
        resumes: The stage that a paused one goes on with.
    """

    release: str
    previous: str | None
    stage: Stage
    canaries: tuple[str, ...] = ()
    resumes: Stage | None = None

    @functools.cached_property
    def tries_first(self) -> frozenset[str]:
        """The canaries, to be looked up among thousands."""
        return frozenset(self.canaries)


def step(rollout: Rollout, event: Event) -> Rollout:
    """Return the rollout after an event.

    Raises:
        ValueError: The event cannot happen in this stage.
    """
    if event is Event.RESUME and rollout.stage is Stage.PAUSED and rollout.resumes is not None:
        return _moved(rollout, rollout.resumes, None)
    following = NEXT.get((rollout.stage, event))
    if following is None:
        raise ValueError(f"{event} cannot follow {rollout.stage}")
    return _moved(rollout, following, rollout.stage if event is Event.PAUSE else None)


def begin(release: str, previous: str | None, members: Sequence[Member], fleet: Fleet) -> Rollout:
    """Return a new rollout: canaries first, unless no device runs anything that a wrong release could break."""
    canaries = choose_canaries(members, fleet.canary_share)
    stage = Stage.CANARY if canaries else Stage.FLEET
    return Rollout(release, previous, stage, canaries)


def choose_canaries(members: Sequence[Member], share: float) -> tuple[str, ...]:
    """Return the devices that try a release first: `share` of those that can, one at least, spread over targets.

    Only a device that runs something and was heard of lately can say whether the release does well. The target with
    the most devices comes first: most depends on it.

    Example:
        >>> fleet = [Member("a", "pi", "r1", True), Member("b", "pi", "r1", True), Member("c", "jetson", "r1", True)]
        >>> choose_canaries(fleet, 0.5), choose_canaries(fleet, 0.0)
        (('a', 'c'), ('a',))
    """
    by_target: dict[str, list[str]] = defaultdict(list)
    for member in sorted(members, key=lambda m: m.device):
        if member.runs and member.alive and member.covered:
            by_target[member.target].append(member.device)
    queues = sorted(by_target.values(), key=lambda devices: (-len(devices), devices[0]))
    turns = [
        devices[turn] for turn in range(max(map(len, queues), default=0)) for devices in queues if turn < len(devices)
    ]
    return tuple(turns[: max(math.ceil(share * len(turns)), 1)])


def desired(rollout: Rollout, member: Member) -> str | None:
    """Return the release that a device should run; `None` where there is none to go back to.

    A device that failed is not offered the release again; it stays with the one before.

    Raises:
        ValueError: The release has no bundle for the device's target: a rollout has no say over it.
    """
    if not member.covered:
        raise ValueError(f"{rollout.release} has no bundle for {member.target}")
    if rollout.stage is Stage.ABORTED or member.failed:
        return rollout.previous
    if rollout.stage is Stage.PAUSED:
        return rollout.release if member.runs == rollout.release else rollout.previous
    if rollout.stage is Stage.CANARY and member.device not in rollout.tries_first:
        return rollout.previous
    return rollout.release


def settled(rollout: Rollout, members: Sequence[Member]) -> bool:
    """Say whether a rollout over the fleet is done.

    A silent device, or one that could not take the release up yet, does not hold it up: it is offered it later.
    """
    return all(m.runs == rollout.release or m.failed or m.postponed or not (m.alive and m.covered) for m in members)


def too_many_failed(members: Sequence[Member]) -> bool:
    """Say whether so many devices failed that the release is at fault."""
    asked = [m for m in members if m.covered and (m.alive or m.failed)]
    return bool(asked) and sum(m.failed for m in asked) > max(1.0, MOST_FAILED_SHARE * len(asked))


def number_of(release: str) -> int:
    """Return a release's number, 12 of `r12`; names rise with it. 0 for a name of another form."""
    return int(release[1:]) if release[1:].isdigit() else 0


def way_back(done: Sequence[str]) -> list[str]:
    """Return the releases that the fleet can go back through, oldest first; the last is the present one.

    Going back to a release leaves all that came after it behind: they were gone back from.

    Args:
        done: The releases that the fleet came to run, in that order.

    Example:
        >>> way_back(["r1", "r2", "r3", "r2"]), way_back(["r1", "r2", "r1", "r3"])
        (['r1', 'r2'], ['r1', 'r3'])
    """
    path: list[str] = []
    for release in done:
        while path and number_of(path[-1]) >= number_of(release):
            path.pop()
        path.append(release)
    return path


def canary_rows(evidence: CanaryEvidence, running: int, fleet: Fleet) -> list[GateRow]:
    """Return the canary stage's gates for people; `running` of the canaries run the release."""
    asked = len(evidence.devices)
    share = evidence.errors / max(evidence.answers + evidence.errors, 1)
    tested = "bad" if not evidence.self_test_passed else "ok" if running == asked else "run"
    rows = [
        GateRow("self-test", f"{running} of {asked}", f"all {asked}", tested),
        GateRow("answers", f"{evidence.answers:,}", f"{fleet.canary_answers:,} needed", _reached(evidence, fleet)),
        GateRow("errors", percent(share), f"limit {percent(MOST_ERRORS)}", _kept(share <= MOST_ERRORS)),
        GateRow(
            "unknown",
            percent(evidence.unknown_share),
            f"limit {percent(fleet.unknown_limit)}",
            _kept(evidence.unknown_share <= fleet.unknown_limit),
        ),
    ]
    if evidence.p99_of_budget is not None:
        kept = _kept(evidence.p99_of_budget <= 1)
        rows.append(GateRow("p99 latency", percent(evidence.p99_of_budget, 0), "of the budget, limit 100\u00a0%", kept))
    return rows


def fleet_rows(rollout: Rollout, members: Sequence[Member]) -> list[GateRow]:
    """Return the fleet stage's gates for people."""
    covered = [m for m in members if m.covered]
    running, failed = sum(m.runs == rollout.release for m in covered), sum(m.failed for m in covered)
    return [
        GateRow(
            "devices",
            f"{running:,} of {len(covered):,}",
            "all that are heard of",
            "ok" if settled(rollout, covered) else "run",
        ),
        GateRow("failed", f"{failed:,}", f"limit {percent(MOST_FAILED_SHARE, 0)} of the fleet", _kept(failed == 0)),
    ]


def _moved(rollout: Rollout, stage: Stage, resumes: Stage | None) -> Rollout:
    return replace(rollout, stage=stage, resumes=resumes)


def _reached(evidence: CanaryEvidence, fleet: Fleet) -> str:
    return "ok" if evidence.answers >= fleet.canary_answers else "run"


def _kept(holds: bool) -> str:
    return "ok" if holds else "bad"
