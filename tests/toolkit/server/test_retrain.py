"""The retrain job: one child, whose end is noted whatever it is."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edgeml import lifecycle
from edgeml.gates.challenger_beats_champion import ChallengerEvidence, TargetComparison
from edgeml.project import Project
from edgeml.server.decisions import Decision
from edgeml.server.retrain import GATE, Retrain, training_threads
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DECISIONS, RETRAINS

STARTED = Decision("retrain", "run", "A retrain runs", "250 of 200 new labels", "noise has drifted")
LIMIT_S = 20.0


def prints(document: object, code: int = 0) -> Sequence[str]:
    """Return a command that talks to standard error, prints a document and ends."""
    program = f"import sys; print('epoch 3 of 9', file=sys.stderr); print({json.dumps(document)!r}); sys.exit({code})"
    return [sys.executable, "-c", program]


def passed(**fields: Any) -> dict[str, Any]:
    return {
        "schema": "edgeml.retrain/1",
        "verdict": "pass",
        "release": "r2",
        "reason": "better on fresh rows",
        "champion": {"model": "m1", "release": "r1", "accuracies": {"a": 0.25, "b": None}},
        "challenger": {"model": "m2", "release": "r2", "accuracies": {"a": 0.97, "b": 0.963}},
    } | fields


def run(project: Project, store: Store, command: Sequence[str]) -> sa.Row[Any]:
    job = Retrain(project, store, command)
    job.start("noise has drifted", 250, STARTED, 100.0)
    assert job.running()
    limit = time.monotonic() + LIMIT_S
    while job.running():
        job.poll(200.0)
        assert time.monotonic() < limit
        threading.Event().wait(0.01)
    with store.reading() as connection:
        return connection.execute(sa.select(RETRAINS).order_by(RETRAINS.c.id.desc()).limit(1)).one()


def last_decision(store: Store) -> sa.Row[Any]:
    with store.reading() as connection:
        return connection.execute(sa.select(DECISIONS).order_by(DECISIONS.c.id.desc()).limit(1)).one()


def open_alarms(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(sa.select(ALARMS.c.title).where(ALARMS.c.closed_at.is_(None))))


def test_a_challenger_that_won_is_noted_with_its_release(project: Project, store: Store) -> None:
    row = run(project, store, prints(passed()))
    assert (row.verdict, row.release, row.labels, row.ended_at) == ("pass", "r2", 250, 200.0)
    decision = last_decision(store)
    assert (decision.kind, decision.status, decision.title) == ("challenger", "ok", "The challenger won and is r2")
    assert decision.figure.replace("\u00a0", " ") == "test split: challenger 96.3 %, champion 25.0 %"
    assert open_alarms(store) == []


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_the_decision_shows_the_gain_on_fresh_labels_which_decided(
    project: Project, store: Store, verdict: str
) -> None:
    gained = TargetComparison("b", 60, 14.0, 9.0, 19.0, 100, -0.5, -1.5, 0.5)
    judged = lifecycle.record(project, GATE, ChallengerEvidence("m2", "m1", (gained,)), subject="m2")
    lifecycle.record(project, GATE, ChallengerEvidence("m3", "m1"), subject="m3")  # of another challenger
    run(project, store, prints(passed(verdict=verdict)))
    decision = last_decision(store)
    fresh, test = decision.figure.replace("\u00a0", " ").split("; ")
    assert fresh == "b: +14.0 points (+9.0 to +19.0) on fresh labels"
    assert test == "test split: challenger 96.3 %, champion 25.0 %"
    assert decision.evidence == judged.evidence


@pytest.mark.parametrize(("own", "seen"), [(None, str(training_threads())), ("3", "3")])
def test_it_leaves_a_core_to_the_server_unless_told_otherwise(
    own: str | None, seen: str, project: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", own)
    program = "import os, sys; print('threads', os.environ['OMP_NUM_THREADS'], file=sys.stderr); sys.exit(3)"
    row = run(project, store, [sys.executable, "-c", program])
    assert row.detail == f"exit 3: threads {seen}" and 1 <= training_threads() < max(os.cpu_count() or 1, 2)


def test_a_verdict_of_before_the_retrain_is_not_its_own(project: Project, store: Store) -> None:
    lifecycle.record(project, GATE, ChallengerEvidence("m2", "m1"), subject="m2")
    job = Retrain(project, store, prints(passed()))
    job.start("noise has drifted", 250, STARTED, time.time() + 1)
    assert job._child is not None and job._child.wait(LIMIT_S) == 0
    job.poll(time.time() + 2)
    assert last_decision(store).figure.startswith("test split") and last_decision(store).evidence is None


def test_a_challenger_that_lost_opens_an_alarm_and_its_labels_count_as_tried(project: Project, store: Store) -> None:
    row = run(
        project,
        store,
        prints(passed(verdict="fail", release=None, reason="no better", champion=None, challenger=None), code=1),
    )
    assert (row.verdict, row.detail) == ("fail", "no better")
    assert open_alarms(store) == ["The challenger did not win"]
    failed = Retrain(project, store).last_without("r1", since=50.0)
    assert failed is not None
    assert (failed.ended_at, failed.labels) == (200.0, 250)
    assert Retrain(project, store).last_without("r1", since=150.0) is None  # it was about a release before


@pytest.mark.parametrize(
    "command",
    [
        prints({"schema": "edgeml.other/1"}),
        prints("no document", code=2),
        [sys.executable, "-c", "import sys; sys.exit('out of memory')"],
        [sys.executable, "-c", "import os; os.abort()"],
    ],
)
def test_one_that_ends_without_a_verdict_is_an_error_and_says_what_it_said_last(
    project: Project, store: Store, command: Sequence[str]
) -> None:
    row = run(project, store, command)
    assert row.verdict == "error"
    assert row.detail.startswith("exit ")
    assert open_alarms(store) == ["The retrain ended with an error"]
    failed = Retrain(project, store).last_without("r1", since=0.0)
    assert failed is not None
    assert failed.labels == 0  # it had no say: the same labels may be tried again


def test_one_that_the_servers_end_cut_short_is_noted_as_interrupted(project: Project, store: Store) -> None:
    job = Retrain(project, store, [sys.executable, "-c", "import time; time.sleep(60)"])
    job.start("noise has drifted", 250, STARTED, 100.0)
    child = job._child
    assert child is not None
    job.stop()
    assert not Path(f"/proc/{child.pid}").exists() or os.waitpid(-1, os.WNOHANG)
    job = Retrain(project, store)
    with store.reading() as connection:
        assert connection.scalar(sa.select(RETRAINS.c.verdict)) == "interrupted"
    assert job.last_without("r1", since=0.0) is None


def test_there_is_one_at_a_time(project: Project, store: Store) -> None:
    job = Retrain(project, store, [sys.executable, "-c", "import time; time.sleep(60)"])
    job.start("noise has drifted", 250, STARTED, 100.0)
    with pytest.raises(RuntimeError, match="runs already"):
        job.start("again", 250, STARTED, 100.0)
    job.stop()
