"""The control loop, round by round: from an alarm through labels to a retrain, and what the ledger keeps of it."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from edgeml import ledger
from edgeml.data.additions import LIST, Addition
from edgeml.project import Project
from edgeml.retraining import Retrain as RetrainDocument
from edgeml.server import releases
from edgeml.server.alarms import Alarm, open_alarm
from edgeml.server.broker import Address
from edgeml.server.control import DAY_S, Control
from edgeml.server.ingest import Ingest
from edgeml.server.offers import Offers
from edgeml.server.retrain import Retrain
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DECISIONS, RETRAINS
from edgeml_agent.messages import decode_down
from edgeml_targets.contract.errors import EdgemlError

TARGET = "x86_64-onnxruntime"
LIMIT_S = 20.0
LOST = msgspec.json.encode(
    RetrainDocument(verdict="fail", release=None, reason="no better on fresh rows", champion=None, challenger=None)
).decode()


class Loop:
    """A control loop whose rounds a test turns by hand; its retrain is a child that loses."""

    def __init__(self, project: Project, store: Store) -> None:
        self.project, self.store = project, store
        self.ingest = Ingest(
            Address("127.0.0.1", 1), store, Offers(store, project.fleet, "http://127.0.0.1:8080"), "edgeml-0"
        )
        self.retrain = Retrain(project, store, [sys.executable, "-c", f"print('''{LOST}''')"])
        self.control = Control(project, store, self.ingest, self.retrain, broker=None)

    def drift(self) -> None:
        with self.store.writing() as connection:
            open_alarm(
                connection, Alarm("drift", "bad", "Noise has drifted", "1.42 PSI", "Label samples."), time.time()
            )

    def label(self, count: int, id: str) -> None:
        file = self.project.labels / LIST
        file.parent.mkdir(parents=True, exist_ok=True)
        addition = Addition(id=id, at=time.time(), source="tests", samples=count, classes={"0": count})
        with file.open("ab") as lines:
            lines.write(msgspec.json.encode(addition) + b"\n")

    def until_retrained(self) -> None:
        limit = time.monotonic() + LIMIT_S
        while self.retrain.running():
            assert time.monotonic() < limit
            threading.Event().wait(0.02)
            self.control.round(time.time())

    def last(self, table: sa.Table) -> Any:
        with self.store.reading() as connection:
            return connection.execute(sa.select(table).order_by(table.c.id.desc()).limit(1)).first()


@pytest.fixture
def loop(project: Project, store: Store, world: Any, tmp_path: Path) -> Loop:
    """Return a loop over a project that has released r1."""
    releases.publish(project, "m1", {TARGET: world.bundle(tmp_path / "b")}, releases.Grounds("h", None), store=store)
    return Loop(project, store)


def test_drift_waits_for_labels_then_retrains_and_tries_no_label_twice(loop: Loop) -> None:
    loop.drift()
    loop.label(120, "a")
    loop.control.round(time.time())
    assert (loop.last(DECISIONS).title, loop.last(DECISIONS).figure) == (
        "The retrain waits for labels",
        "120 of 200 new labels",
    )
    loop.label(80, "b")
    loop.control.round(time.time())
    assert loop.retrain.running()
    assert loop.last(DECISIONS).title == "A retrain runs"
    loop.until_retrained()
    assert (loop.last(RETRAINS).verdict, loop.last(RETRAINS).labels) == ("fail", 200)
    loop.label(30, "c")
    loop.control.round(time.time())
    assert not loop.retrain.running()
    assert loop.last(DECISIONS).figure == "30 of 200 new labels since the last retrain"


def test_waiting_is_one_decision_however_often_it_is_said(loop: Loop) -> None:
    loop.drift()
    for i in range(5):
        loop.label(10, str(i))
        loop.control.round(time.time())
    with loop.store.reading() as connection:
        waits = connection.execute(sa.select(DECISIONS).where(DECISIONS.c.kind == "retrain")).all()
    assert [d.figure for d in waits] == ["50 of 200 new labels"]


def test_a_person_may_ask_for_a_retrain_whatever_the_policy_says(loop: Loop) -> None:
    loop.control.ask_retrain("ann")
    loop.control.round(time.time())
    assert (loop.last(DECISIONS).by, loop.last(RETRAINS).reason) == ("ann", "ann asked")
    with pytest.raises(EdgemlError, match="one runs already"):
        loop.control.ask_retrain("ann")
    loop.until_retrained()


def test_a_model_that_grew_stale_is_recorded_once_and_asks_for_labels(loop: Loop) -> None:
    loop.control.round(time.time())
    for _ in range(2):
        loop.control.round(time.time() + 91 * DAY_S)
    assert [(r.gate, str(r.verdict)) for r in ledger.read(loop.project.ledger)] == [
        ("not_stale", "pass"),
        ("not_stale", "fail"),
    ]
    assert loop.last(ALARMS).kind == "staleness"
    assert loop.last(DECISIONS).title == "The retrain waits for labels"


def test_an_old_model_does_not_become_young_by_being_released(
    project: Project, store: Store, world: Any, tmp_path: Path
) -> None:
    file = world.bundle(tmp_path / "b", made_at=time.time() - 91 * DAY_S)
    releases.publish(project, "m1", {TARGET: file}, releases.Grounds("h", None), store=store)
    loop = Loop(project, store)
    loop.control.round(time.time())
    assert [(r.gate, str(r.verdict)) for r in ledger.read(project.ledger)] == [("not_stale", "fail")]
    assert loop.last(ALARMS).detail.replace("\u00a0", " ") == "91 days old, limit 90 days"


def test_a_device_that_was_heard_of_is_offered_its_release_in_the_next_round(loop: Loop, enrolled: Any) -> None:
    now = time.time()
    enrolled("line-b-07", desired="r1", last_seen=now, state="healthy")
    loop.control.round(now)
    topic, payload = loop.ingest._outgoing.get(timeout=1)
    assert (topic, decode_down(payload, topic=topic).release) == ("edgeml/line-b-07/down", "r1")  # type: ignore[union-attr]
