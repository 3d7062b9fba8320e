"""Rollouts in the store: start one, move it as the fleet shows, and what people may do with it.

`stage` decides; here it is read and written. A device's `desired` release is state: it is said to the device at every
contact until it runs it, so nothing is lost when an offer is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from edgeml import lifecycle
from edgeml.figures import counted, percent
from edgeml.gates import Verdict, canary_healthy
from edgeml.gates.canary_healthy import CanaryEvidence
from edgeml.ledger import Record
from edgeml.project import Fleet, Project
from edgeml.server.alarms import Alarm, close_alarm, open_alarm
from edgeml.server.decisions import POLICY, Decision, decide
from edgeml.server.members import members
from edgeml.server.stage import (
    ACTIVE,
    Event,
    GateRow,
    Member,
    Rollout,
    Stage,
    begin,
    canary_rows,
    desired,
    fleet_rows,
    number_of,
    settled,
    step,
    too_many_failed,
    way_back,
)
from edgeml.server.store import Store
from edgeml.server.tables import BUNDLES, DEVICES, RELEASES, ROLLOUTS, WINDOWS
from edgeml_agent.messages import Window
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.latencies import Latencies, merge_latencies

GRACE_S: Final = 2.0  # a device is late by the time that its message takes
MOST_WINDOWS: Final = 500  # a canary's newest, for its latency
ENDS_WITH_RELEASE: Final = ("drift", "unknown", "staleness", "rollback", "canary", "retrain")
"""Alarms that say something about the release before."""


def silent_after_s(fleet: Fleet) -> float:
    """Return after how many seconds without a message a device counts as silent."""
    return fleet.silent_after_windows * fleet.window_s + GRACE_S


def start(connection: sa.Connection, release: str, fleet: Fleet, *, now: float) -> None:
    """Start the rollout of a release; one that is under way gives way."""
    under_way, previous = active_rows(connection), current_release(connection)
    for row in under_way:
        _move(connection, row["id"], _rollout(row), Event.FAILED, f"{release} came before it was done", now)
        if _goes_back(row, previous):
            previous = row["release"]  # the fleet was leaving what it ran: nobody shall go back there
    rollout = begin(release, previous, members(connection, release, now - silent_after_s(fleet)), fleet)
    _insert(connection, rollout, now)
    canaries = ", ".join(rollout.canaries[:5]) + (", ..." if len(rollout.canaries) > 5 else "")
    why = f"{canaries} first" if rollout.canaries else "no device runs anything yet"
    decide(
        connection,
        Decision(
            "rollout", "run", f"{release} is rolled out", counted(len(rollout.canaries), "canary", "canaries"), why
        ),
        now,
    )
    advance(connection, fleet, now)


def advance(connection: sa.Connection, fleet: Fleet, now: float) -> None:
    """Bring devices' desired releases in line with the rollout under way, and end it when the fleet has settled."""
    for row in active_rows(connection):
        rollout = _rollout(row)
        seen = members(connection, rollout.release, now - silent_after_s(fleet))
        if rollout.stage is Stage.FLEET:
            _tell_rows(connection, row, fleet_rows(rollout, seen))
            if too_many_failed(seen):
                failed = sum(m.failed for m in seen)
                rollout = _move(connection, row["id"], rollout, Event.FAILED, f"{failed} devices could not run it", now)
                _roll_back(connection, rollout, f"{failed} devices failed", now)
            elif settled(rollout, seen):
                rollout = _move(connection, row["id"], rollout, Event.SETTLED, "", now)
                _arrive(connection, rollout, seen, now)
        _desire(connection, rollout, seen)


def judge_canary(store: Store, project: Project, now: float) -> None:
    """Let the gate `canary_healthy` judge the canaries once they have answered enough, or one failed its self-test."""
    with store.reading() as connection:
        row = next((r for r in active_rows(connection) if r["stage"] == Stage.CANARY), None)
        if row is None:
            return
        rollout = _rollout(row)
        seen = members(connection, rollout.release, now - silent_after_s(project.fleet))
        seen = [m for m in seen if m.device in rollout.tries_first]
        # One that fell silent, or could not take it up yet, does not hold it up.
        there = [m for m in seen if m.runs == rollout.release or (m.alive and not m.postponed)]
        refused = [m for m in seen if m.refused]
        evidence = _evidence(connection, project, rollout, seen)
    running = sum(m.runs == rollout.release for m in seen)
    enough = evidence.answers + evidence.errors >= project.fleet.canary_answers and 0 < running == len(there)
    finding = canary_healthy.judge(evidence, project)
    judged = None
    if (enough or not evidence.self_test_passed) and finding.verdict is not Verdict.INSUFFICIENT:
        judged = lifecycle.record(project, "canary_healthy", evidence, subject=rollout.release, by=POLICY)
    with store.writing() as connection:
        _tell_rows(connection, row, canary_rows(evidence, running, project.fleet))
        if there:
            close_alarm(connection, "canary", None, now)
        else:
            open_alarm(connection, _waiting(rollout), now)
        if judged is not None and _is_at(connection, row["id"], Stage.CANARY):
            _end_canary(connection, row["id"], rollout, judged, now)
        elif refused and _is_at(connection, row["id"], Stage.CANARY):
            _end_refused(connection, row["id"], rollout, refused, now)


def current_release(connection: sa.Connection) -> str | None:
    """Return the release that the fleet runs: the last one whose rollout was done."""
    done = _done(connection)
    return done[-1] if done else None


def release_for(connection: sa.Connection, target: str) -> str | None:
    """Return the release that a new device of `target` should run, `None` when there is none for it."""
    spreading = next((r["release"] for r in active_rows(connection) if r["stage"] == Stage.FLEET), None)
    release = spreading or current_release(connection)
    covered = sa.select(BUNDLES.c.target).where(BUNDLES.c.release == release, BUNDLES.c.target == target)
    return release if release and connection.scalar(covered) else None


def pause(store: Store, *, by: str) -> None:
    """Offer the release to nobody further, until a person resumes.

    Raises:
        EdgemlError: No rollout is under way, or it is paused.
    """
    _by_hand(store, Event.PAUSE, "warn", "is paused", by)


def resume(store: Store, *, by: str) -> None:
    """Go on with a paused rollout.

    Raises:
        EdgemlError: No rollout is under way, or it is not paused.
    """
    _by_hand(store, Event.RESUME, "run", "goes on", by)


def abort(store: Store, *, by: str) -> None:
    """End the rollout under way; devices that were offered the release go back to the one before.

    Raises:
        EdgemlError: No rollout is under way.
    """
    _by_hand(store, Event.FAILED, "bad", "is aborted", by)


def rollback(store: Store, to: str | None = None, *, by: str) -> str:
    """Take the whole fleet back to an earlier release, all devices at once; return it.

    Args:
        store: The fleet's.
        to: The release; default: the newest older one that the fleet ran and was not taken back from. A rollout under way
            is aborted; then the default is the release that the fleet ran before.
        by: Who asks.

    Raises:
        EdgemlError: There is no such release, the fleet runs it or goes there already, or there is none before.
    """
    now = time.time()
    with store.writing() as connection:
        done, under_way = _done(connection), active_rows(connection)
        current = done[-1] if done else None
        to = to or _before(done, under_way)
        if to is None or connection.scalar(sa.select(RELEASES.c.name).where(RELEASES.c.name == to)) is None:
            raise EdgemlError("no release to go back to", where=to or "fleet", mend="see edgeml fleet decisions")
        if to in [row["release"] for row in under_way] or (to == current and not under_way):
            words = "the fleet goes there already" if under_way else "the fleet runs it already"
            raise EdgemlError(words, where=to, mend="name an older release, see edgeml fleet decisions")
        for row in under_way:
            _move(connection, row["id"], _rollout(row), Event.FAILED, f"rolled back by {by}", now)
        # Where a device cannot go there, or too many cannot, the way leads further back, never to what was fled from.
        older = way_back([*done, to])[:-1]
        _insert(connection, Rollout(to, older[-1] if older else None, Stage.FLEET), now)
        told = Decision(
            "rollback", "warn", f"The fleet goes back to {to}", f"from {current or 'nothing'}", f"{by} asked", by
        )
        decide(connection, told, now)
        release_targets = set(connection.scalars(sa.select(BUNDLES.c.target).where(BUNDLES.c.release == to)))
        connection.execute(sa.update(DEVICES).where(DEVICES.c.target.in_(release_targets)).values(desired=to))
    return to


def active_rows(connection: sa.Connection) -> Sequence[sa.RowMapping]:
    """Return the rows of rollouts under way: one at most, but for a moment in `start`."""
    query = sa.select(ROLLOUTS).where(ROLLOUTS.c.stage.in_(ACTIVE)).order_by(ROLLOUTS.c.id)
    return connection.execute(query).mappings().all()


def _evidence(
    connection: sa.Connection, project: Project, rollout: Rollout, canaries: Sequence[Member]
) -> CanaryEvidence:
    mine = sa.and_(WINDOWS.c.release == rollout.release, WINDOWS.c.device.in_(rollout.canaries))
    totals = [sa.func.coalesce(sa.func.sum(WINDOWS.c[name]), 0) for name in ("answers", "errors", "unknown")]
    answers, errors, unknown = (int(value) for value in connection.execute(sa.select(*totals).where(mine)).one())
    ratios = [_p99_of_budget(connection, project, rollout.release, member) for member in canaries]
    return CanaryEvidence(
        release=rollout.release,
        devices=rollout.canaries,
        answers=answers,
        errors=errors,
        unknown_share=unknown / max(answers, 1),
        p99_of_budget=max((r for r in ratios if r is not None), default=None),
        self_test_passed=not any(member.failed and not member.refused for member in canaries),
    )


def _p99_of_budget(connection: sa.Connection, project: Project, release: str, member: Member) -> float | None:
    budget = project.budgets.get(member.target)
    if budget is None or budget.latency_ms is None:
        return None
    mine = sa.and_(WINDOWS.c.release == release, WINDOWS.c.device == member.device, WINDOWS.c.answers > 0)
    contents = connection.scalars(
        sa.select(WINDOWS.c.content).where(mine).order_by(WINDOWS.c.arrival.desc()).limit(MOST_WINDOWS)
    )
    merged = Latencies()
    for content in contents:
        merged = merge_latencies(merged, msgspec.msgpack.decode(content, type=Window).latency_us)
    return merged.quantile(0.99) / (1000 * budget.latency_ms) if merged.total else None


def _end_canary(connection: sa.Connection, id: int, rollout: Rollout, judged: Record, now: float) -> None:
    passed = judged.verdict in (Verdict.PASS, Verdict.WAIVED)
    event = Event.HEALTHY if passed else Event.FAILED
    moved = _move(connection, id, rollout, event, "" if passed else judged.reason, now)
    title = f"The canary of {rollout.release} is {'healthy' if passed else 'ill'}"
    told = Decision("canary", "ok" if passed else "bad", title, judged.value, judged.reason, evidence=judged.evidence)
    decide(connection, told, now)
    if not passed:
        _roll_back(connection, moved, judged.reason, now)


def _end_refused(connection: sa.Connection, id: int, rollout: Rollout, refused: Sequence[Member], now: float) -> None:
    """End the canary without the gate: a device that refused the release has no answers that a gate could judge."""
    why = f"{refused[0].device} refused it: {refused[0].said}"
    moved = _move(connection, id, rollout, Event.FAILED, why, now)
    figure = f"{len(refused)} of {len(rollout.canaries)} canaries"
    decide(connection, Decision("canary", "bad", f"The canary of {rollout.release} refused it", figure, why), now)
    _roll_back(connection, moved, why, now)


def _waiting(rollout: Rollout) -> Alarm:
    title = f"The canary of {rollout.release} waits"
    detail = f"none of {', '.join(rollout.canaries[:5])} is heard of and can take it up"
    return Alarm(
        "canary", "warn", title, detail, "Bring one back, revoke it, or end the rollout with edgeml fleet rollback."
    )


def _roll_back(connection: sa.Connection, rollout: Rollout, reason: str, now: float) -> None:
    back = rollout.previous or "what they ran"
    title = f"{rollout.release} was taken back"
    told = Decision("rollback", "bad", title, reason, f"devices go back to {back}")
    decide(connection, told, now)
    mend = f"Read the devices' log, mend the model, and release it anew; {back} goes on meanwhile."
    open_alarm(connection, Alarm("rollback", "bad", title, reason, mend), now)


def _arrive(connection: sa.Connection, rollout: Rollout, seen: Sequence[Member], now: float) -> None:
    running = sum(m.runs == rollout.release for m in seen)
    figure = f"{running:,} of {len(seen):,} devices ({percent(running / len(seen), 0)})" if seen else "no device yet"
    decide(
        connection,
        Decision("rollout", "ok", f"{rollout.release} runs on the fleet", figure, "the rollout is done"),
        now,
    )
    for kind in ENDS_WITH_RELEASE:
        close_alarm(connection, kind, None, now)


def _by_hand(store: Store, event: Event, status: Any, words: str, by: str) -> None:
    now = time.time()
    with store.writing() as connection:
        rows = active_rows(connection)
        if not rows:
            raise EdgemlError("none is under way", where="rollout", mend="see edgeml fleet decisions")
        rollout = _rollout(rows[0])
        try:
            _move(connection, rows[0]["id"], rollout, event, f"{words} by {by}", now)
        except ValueError as error:
            raise EdgemlError(str(error), where=f"rollout of {rollout.release}", mend="look at it again") from error
        decide(connection, Decision("rollout", status, f"{rollout.release} {words}", "by hand", f"{by} asked", by), now)


def _desire(connection: sa.Connection, rollout: Rollout, seen: Sequence[Member]) -> None:
    """Tell each device what it should run, where that is another release than it was told."""
    wanted = [(m.device, desired(rollout, m), m.told) for m in seen if m.covered]
    changed = [{"about": device, "desired": release} for device, release, told in wanted if release != told]
    if changed:
        connection.execute(sa.update(DEVICES).where(DEVICES.c.device == sa.bindparam("about")), changed)


def _move(connection: sa.Connection, id: int, rollout: Rollout, event: Event, reason: str, now: float) -> Rollout:
    moved = step(rollout, event)
    row = {"stage": moved.stage, "stage_at": now, "resumes": moved.resumes, "reason": reason, "gates": []}
    seen = sa.and_(ROLLOUTS.c.id == id, ROLLOUTS.c.stage == rollout.stage)
    if connection.execute(sa.update(ROLLOUTS).where(seen).values(row)).rowcount != 1:
        raise EdgemlError("it moved meanwhile", where=f"rollout of {rollout.release}", mend="look at it again")
    _desire(connection, moved, members(connection, moved.release, heard_since=0.0))
    return moved


def _insert(connection: sa.Connection, rollout: Rollout, now: float) -> None:
    row: Mapping[str, Any] = {
        "release": rollout.release,
        "previous": rollout.previous,
        "started_at": now,
        "stage": rollout.stage,
        "stage_at": now,
        "canaries": list(rollout.canaries),
        "gates": [],
    }
    connection.execute(sa.insert(ROLLOUTS).values(row))


def _tell_rows(connection: sa.Connection, row: sa.RowMapping, rows: Sequence[GateRow]) -> None:
    told = [msgspec.structs.asdict(r) for r in rows]
    if told != row["gates"]:
        seen = sa.and_(ROLLOUTS.c.id == row["id"], ROLLOUTS.c.stage == row["stage"])
        connection.execute(sa.update(ROLLOUTS).where(seen).values(gates=told))


def _done(connection: sa.Connection) -> list[str]:
    """Return the releases that the fleet came to run, in that order."""
    done = sa.select(ROLLOUTS.c.release).where(ROLLOUTS.c.stage == Stage.DONE).order_by(ROLLOUTS.c.id)
    return list(connection.scalars(done))


def _before(done: Sequence[str], under_way: Sequence[sa.RowMapping]) -> str | None:
    """Return where a fleet goes back to when nobody says where; `None` when there is nothing.

    Raises:
        EdgemlError: It goes back already: said twice, it must not go back twice.
    """
    current = done[-1] if done else None
    for row in under_way:
        if _goes_back(row, current):
            mend = "wait, or name the release to go to"
            raise EdgemlError(f"it goes back to {row['release']} already", where="fleet", mend=mend)
    older = way_back(done)[:-1]
    return current if under_way else older[-1] if older else None


def _goes_back(row: sa.RowMapping, current: str | None) -> bool:
    return current is not None and number_of(row["release"]) < number_of(current)


def _is_at(connection: sa.Connection, id: int, stage: Stage) -> bool:
    return connection.scalar(sa.select(ROLLOUTS.c.stage).where(ROLLOUTS.c.id == id)) == stage


def _rollout(row: sa.RowMapping) -> Rollout:
    resumes = Stage(row["resumes"]) if row["resumes"] else None
    return Rollout(row["release"], row["previous"], Stage(row["stage"]), tuple(row["canaries"]), resumes)
