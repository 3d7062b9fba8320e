"""Rollouts in the store: canary first, then the fleet; and back, when the canary is ill or a person says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edgeml import ledger
from edgeml.project import Budget, Project
from edgeml.server import releases, rollout
from edgeml.server.stage import Event
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DECISIONS, DEVICES, ROLLOUTS
from edgeml_targets.contract.errors import EdgemlError

TARGET = "x86_64-onnxruntime"
FLEET = ("line-a-01", "line-a-02", "line-a-03")


class Fleet:
    """Three devices that can be told what to do, and the rollout that moves over them."""

    def __init__(self, project: Project, store: Store, world: Any, folder: Path) -> None:
        self.project, self.store, self.world, self.folder = project, store, world, folder

    def publish(self, model: str) -> str:
        file = self.world.bundle(self.folder, model=model)
        with self.store.reading() as connection:
            champion = rollout.current_release(connection)
        release = releases.publish(
            self.project, model, {TARGET: file}, releases.Grounds("h", champion), store=self.store
        )
        return str(release.name)

    def settle(self, release: str) -> None:
        """Let the fleet come to run the release that is rolled out."""
        self.hear(release, *FLEET, answers=200)
        for _ in range(2):
            self.turn()
        assert (self.row().release, self.row().stage) == (release, "done")

    def hear(self, release: str, *devices: str, answers: int = 10, **fields: Any) -> None:
        now = time.time()
        fields = {"release": release, "ended_at": now, "began_at": now - 1} | fields
        self.store.record([self.world.window(answers, device=d, **fields) for d in devices], now)

    def report(self, event: str, device: str, *, release: str, **fields: Any) -> None:
        now = time.time()
        report = self.world.report(event, device=device, release=release, **({"at": now} | fields))
        self.store.record([report], now)

    def turn(self) -> None:
        now = time.time()
        rollout.judge_canary(self.store, self.project, now)
        with self.store.writing() as connection:
            rollout.advance(connection, self.project.fleet, now)

    def desired(self) -> dict[str, str | None]:
        with self.store.reading() as connection:
            return dict(connection.execute(sa.select(DEVICES.c.device, DEVICES.c.desired)).all())

    def row(self) -> sa.Row[Any]:
        with self.store.reading() as connection:
            return connection.execute(sa.select(ROLLOUTS).order_by(ROLLOUTS.c.id.desc()).limit(1)).one()

    def decisions(self) -> list[str]:
        with self.store.reading() as connection:
            return list(connection.scalars(sa.select(DECISIONS.c.title).order_by(DECISIONS.c.id)))

    def alarms(self) -> list[str]:
        with self.store.reading() as connection:
            return list(connection.scalars(sa.select(ALARMS.c.kind).where(ALARMS.c.closed_at.is_(None))))


@pytest.fixture
def fleet(project: Project, store: Store, world: Any, enrolled: Any, tmp_path: Path) -> Fleet:
    """Return a fleet of three that runs r1."""
    found = Fleet(project, store, world, tmp_path / "bundles")
    enrolled(*FLEET)
    assert found.publish("m1") == "r1"
    found.hear("r1", *FLEET)
    return found


def test_a_first_release_goes_to_all_when_no_device_runs_anything(fleet: Fleet) -> None:
    assert (fleet.row().stage, fleet.row().canaries) == ("done", [])
    assert set(fleet.desired().values()) == {"r1"}


def test_a_release_goes_to_one_canary_then_to_the_fleet_and_the_gate_is_in_the_ledger(fleet: Fleet) -> None:
    assert fleet.publish("m2") == "r2"
    assert (fleet.row().stage, fleet.row().previous, fleet.row().canaries) == ("canary", "r1", ["line-a-01"])
    assert fleet.desired() == {"line-a-01": "r2", "line-a-02": "r1", "line-a-03": "r1"}
    fleet.hear("r2", "line-a-01", answers=120)
    fleet.turn()
    assert (fleet.row().stage, fleet.desired()["line-a-02"]) == ("canary", "r1")  # 120 of 200 answers
    assert {g["name"]: g["status"] for g in fleet.row().gates}["answers"] == "run"
    fleet.hear("r2", "line-a-01", answers=80)
    fleet.turn()
    assert (fleet.row().stage, set(fleet.desired().values())) == ("fleet", {"r2"})
    record = list(ledger.read(fleet.project.ledger))[-1]
    assert (record.gate, record.verdict, record.subject) == ("canary_healthy", "pass", "r2")
    fleet.hear("r2", *FLEET)
    fleet.turn()
    assert fleet.row().stage == "done"
    assert fleet.decisions()[-3:] == [
        "r2 is rolled out",
        "The canary of r2 is healthy",
        "r2 runs on the fleet",
    ]


def test_a_canary_that_fails_its_self_test_ends_the_rollout_at_once(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.report("rolled_back", "line-a-01", release="r1", offered="r2")
    fleet.turn()
    assert (fleet.row().stage, set(fleet.desired().values())) == ("aborted", {"r1"})
    assert fleet.alarms() == ["rollback"]
    assert list(ledger.read(fleet.project.ledger))[-1].verdict == "fail"
    assert "a self-test failed" in fleet.row().reason


def test_a_canary_that_refuses_the_release_ends_the_rollout_and_no_self_test_is_said_to_have_failed(
    fleet: Fleet,
) -> None:
    fleet.publish("m2")
    fleet.report("refused", "line-a-01", release="r1", offered="r2", detail="the signature is not the fleet's")
    fleet.turn()
    assert (fleet.row().stage, set(fleet.desired().values())) == ("aborted", {"r1"})
    assert fleet.row().reason == "line-a-01 refused it: the signature is not the fleet's"
    assert fleet.decisions()[-2:] == ["The canary of r2 refused it", "r2 was taken back"]
    assert not any("self-test" in record.reason for record in ledger.read(fleet.project.ledger))


def test_a_canary_that_cannot_fetch_it_yet_is_no_failure_and_is_offered_it_again(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.report("postponed", "line-a-01", release="r1", offered="r2")
    fleet.turn()
    assert (fleet.row().stage, fleet.desired()["line-a-01"], fleet.alarms()) == ("canary", "r2", ["canary"])
    fleet.hear("r2", "line-a-01", answers=200)
    fleet.turn()
    assert (fleet.row().stage, fleet.alarms()) == ("fleet", [])
    for device in FLEET[1:]:
        fleet.report("postponed", device, release="r1", offered="r2")
    fleet.turn()
    assert (fleet.row().stage, set(fleet.desired().values())) == ("done", {"r2"})  # nobody is held up, nobody forgotten


def test_a_report_from_before_the_rollout_or_the_devices_change_of_mind_does_not_count(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.report("refused", "line-a-01", release="r1", offered="r2")
    fleet.turn()
    assert fleet.row().stage == "aborted"
    assert rollout.rollback(fleet.store, "r2", by="ann") == "r2"  # another rollout of it
    fleet.turn()
    assert set(fleet.desired().values()) == {"r2"}
    fleet.report("refused", "line-a-02", release="r1", offered="r2")
    fleet.turn()
    assert fleet.desired()["line-a-02"] == "r1"
    fleet.hear("r2", "line-a-02")
    fleet.hear("r1", "line-a-02")
    fleet.turn()
    assert fleet.desired()["line-a-02"] == "r2"


def test_a_clock_without_a_battery_does_not_hide_a_failure(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.report("rolled_back", "line-a-01", release="r1", offered="r2", at=12.0)
    fleet.turn()
    assert fleet.row().stage == "aborted"


@pytest.mark.parametrize("fault", [{"errors": 40}, {"unknown": 150}])
def test_a_canary_that_does_badly_takes_the_release_back(fleet: Fleet, fault: dict[str, int]) -> None:
    fleet.publish("m2")
    fleet.hear("r2", "line-a-01", answers=200, **fault)
    fleet.turn()
    assert (fleet.row().stage, fleet.desired()["line-a-01"]) == ("aborted", "r1")
    assert "The canary of r2 is ill" in fleet.decisions()


def test_one_early_error_does_not_condemn_a_canary(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.hear("r2", "line-a-01", answers=3, errors=1)
    fleet.turn()
    assert fleet.row().stage == "canary"


def test_a_canary_over_its_latency_budget_takes_the_release_back(fleet: Fleet) -> None:
    budgets = {TARGET: Budget(latency_ms=0.05)}  # the world answers in 90 to 110 microseconds
    fleet.project = fleet.project.model_copy(update={"budgets": budgets})
    fleet.publish("m2")
    fleet.hear("r2", "line-a-01", answers=200)
    fleet.turn()
    assert fleet.row().stage == "aborted"
    assert "p99 latency over its budget" in fleet.row().reason


def test_a_device_of_the_fleet_that_fails_stays_behind_and_two_of_three_end_it(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.hear("r2", "line-a-01", answers=200)
    fleet.turn()
    fleet.report("rolled_back", "line-a-02", release="r1", offered="r2")
    fleet.turn()
    assert (fleet.row().stage, fleet.desired()["line-a-02"], fleet.desired()["line-a-03"]) == ("fleet", "r1", "r2")
    fleet.report("refused", "line-a-03", release="r1", offered="r2")
    fleet.turn()
    assert (fleet.row().stage, set(fleet.desired().values())) == ("aborted", {"r1"})


def test_a_newer_release_takes_the_place_of_one_under_way(fleet: Fleet) -> None:
    fleet.publish("m2")
    assert fleet.publish("m3") == "r3"
    with fleet.store.reading() as connection:
        stages = connection.scalars(sa.select(ROLLOUTS.c.stage).order_by(ROLLOUTS.c.id)).all()
    assert (stages, fleet.row().previous) == (["done", "aborted", "canary"], "r1")
    assert "r2" not in fleet.desired().values()


def test_a_person_pauses_resumes_and_aborts(fleet: Fleet) -> None:
    fleet.publish("m2")
    rollout.pause(fleet.store, by="ann")
    assert (fleet.row().stage, fleet.desired()["line-a-01"]) == ("paused", "r1")
    with pytest.raises(EdgemlError, match="rollout of r2: pause cannot follow paused"):
        rollout.pause(fleet.store, by="ann")
    fleet.hear("r2", "line-a-01", answers=200)
    fleet.turn()
    assert fleet.row().stage == "paused"  # nothing moves meanwhile
    rollout.resume(fleet.store, by="ann")
    fleet.turn()
    assert fleet.row().stage == "fleet"
    rollout.abort(fleet.store, by="ann")
    assert (fleet.row().stage, set(fleet.desired().values())) == ("aborted", {"r1"})
    with pytest.raises(EdgemlError, match="none is under way"):
        rollout.abort(fleet.store, by="ann")


def test_a_person_takes_the_fleet_back(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.hear("r2", *FLEET, answers=200)
    fleet.turn()
    fleet.turn()
    assert fleet.row().stage == "done"
    assert rollout.rollback(fleet.store, by="ann") == "r1"
    assert set(fleet.desired().values()) == {"r1"}
    fleet.hear("r1", *FLEET)
    fleet.turn()
    assert (fleet.row().stage, fleet.row().release) == ("done", "r1")
    with pytest.raises(EdgemlError, match="r1: the fleet runs it already"):
        rollout.rollback(fleet.store, "r1", by="ann")
    assert rollout.rollback(fleet.store, "r2", by="ann") == "r2"
    with pytest.raises(EdgemlError, match="r9: no release to go back to"):
        rollout.rollback(fleet.store, "r9", by="ann")


def test_going_back_twice_goes_further_back_and_never_to_what_was_left(fleet: Fleet) -> None:
    for release in ("r2", "r3"):
        fleet.publish(f"m{release}")
        fleet.settle(release)
    assert rollout.rollback(fleet.store, by="ann") == "r2"
    with pytest.raises(EdgemlError, match="it goes back to r2 already"):  # a second press of the button
        rollout.rollback(fleet.store, by="ann")
    fleet.settle("r2")
    assert rollout.rollback(fleet.store, by="ann") == "r1"
    fleet.settle("r1")
    with pytest.raises(EdgemlError, match="no release to go back to"):
        rollout.rollback(fleet.store, by="ann")


def test_a_rollback_that_fails_does_not_lead_to_the_release_that_was_left(fleet: Fleet) -> None:
    for release in ("r2", "r3"):
        fleet.publish(f"m{release}")
        fleet.settle(release)
    rollout.rollback(fleet.store, by="ann")
    for device in FLEET[:2]:
        fleet.report("rolled_back", device, release="r3", offered="r2")
    fleet.turn()
    assert (fleet.row().release, fleet.row().stage) == ("r2", "aborted")
    assert set(fleet.desired().values()) == {"r1"}


def test_a_release_during_a_rollback_does_not_lead_back_to_what_was_left(fleet: Fleet) -> None:
    fleet.publish("m2")
    fleet.settle("r2")
    rollout.rollback(fleet.store, by="ann")
    fleet.publish("m3")
    assert (fleet.row().release, fleet.row().previous) == ("r3", "r1")
    assert "r2" not in fleet.desired().values()


def test_a_move_that_another_process_made_meanwhile_is_not_made_over(fleet: Fleet) -> None:
    fleet.publish("m2")
    with fleet.store.writing() as connection:
        (row,) = rollout.active_rows(connection)
        connection.execute(sa.update(ROLLOUTS).where(ROLLOUTS.c.id == row["id"]).values(stage="aborted"))
        with pytest.raises(EdgemlError, match="rollout of r2: it moved meanwhile"):
            rollout._move(connection, row["id"], rollout._rollout(row), Event.HEALTHY, "", time.time())
    assert fleet.row().stage == "aborted"


def test_there_is_no_way_back_from_the_first_release(fleet: Fleet) -> None:
    with pytest.raises(EdgemlError, match="no release to go back to"):
        rollout.rollback(fleet.store, by="ann")
    assert fleet.row().stage == "done"


def test_a_rollback_during_a_canary_ends_it(fleet: Fleet) -> None:
    fleet.publish("m2")
    assert rollout.rollback(fleet.store, by="ann") == "r1"
    assert set(fleet.desired().values()) == {"r1"}


def test_a_canary_that_falls_silent_is_said_and_does_not_end_anything(fleet: Fleet) -> None:
    fleet.publish("m2")
    late = time.time() + 60
    rollout.judge_canary(fleet.store, fleet.project, late)
    assert (fleet.row().stage, fleet.alarms()) == ("canary", ["canary"])
    fleet.hear("r1", "line-a-01")
    fleet.turn()
    assert fleet.alarms() == []
