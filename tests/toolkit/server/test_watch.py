"""Watching a release: quiet stays quiet, drift alarms in two spans, and a new release is judged anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from edgeml import ledger
from edgeml.project import Project
from edgeml.server import releases, rollout
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DECISIONS, JUDGEMENTS
from edgeml.server.watch import DEVICE_EVERY_WINDOWS, Watch

TARGET = "x86_64-onnxruntime"
DEVICES = ("line-b-07", "line-b-08", "line-b-09")
START = 10_000.0


class Scene:
    """A fleet that runs a release, and its watch; time goes on by a window's length at each step."""

    def __init__(self, project: Project, store: Store, world: Any, folder: Path) -> None:
        self.project, self.store, self.world, self.folder = project, store, world, folder
        self.now = START
        self.release = ""
        self.publish("m1")
        self.watch = Watch(project, store)

    def publish(self, model: str) -> None:
        file = self.world.bundle(self.folder, model=model)
        with self.store.reading() as connection:
            champion = rollout.current_release(connection)
        self.release = releases.publish(
            self.project, model, {TARGET: file}, releases.Grounds("h", champion), store=self.store
        ).name

    def step(self, shift: float = 0.0, *, answers: int = 40, only: str = "") -> list[str]:
        """Let every device send a window, those of `only` shifted if it is given; return the verdicts."""
        self.now += self.project.fleet.window_s
        windows = [
            self.world.window(
                answers // 16 if d == only else answers,  # a device by itself drowns in the pool
                shift if only in ("", d) else 0.0,
                device=d,
                release=self.release,
                ended_at=self.now,
            )
            for d in DEVICES
        ]
        self.store.record(windows, self.now)
        return [found.verdict for found in self.watch.look(self.now)]

    def rows(self, table: sa.Table) -> list[sa.Row[Any]]:
        with self.store.reading() as connection:
            return list(connection.execute(sa.select(table).order_by(table.c.id)))

    def open_alarms(self) -> list[tuple[str, str | None]]:
        return [(a.kind, a.device) for a in self.rows(ALARMS) if a.closed_at is None]

    def gates(self) -> list[tuple[str, str]]:
        return [(r.gate, str(r.verdict)) for r in ledger.read(self.project.ledger)]


@pytest.fixture
def scene(project: Project, store: Store, world: Any, enrolled: Any, tmp_path: Path) -> Scene:
    enrolled(*DEVICES)
    return Scene(project, store, world, tmp_path / "bundles")


def test_quiet_windows_are_judged_pooled_and_raise_nothing(scene: Scene) -> None:
    assert [scene.step() for _ in range(12)] == [["quiet"]] * 12
    rows = scene.rows(JUDGEMENTS)
    assert all((row.windows, row.answers, row.device) == (3, 120, None) for row in rows)
    assert scene.open_alarms() == []
    assert scene.gates() == [("no_drift", "pass")]  # recorded once, not at every span


def test_too_few_answers_are_judged_only_together_with_the_next(scene: Scene) -> None:
    assert [scene.step(answers=20) for _ in range(4)] == [[], ["quiet"], [], ["quiet"]]
    assert [row.answers for row in scene.rows(JUDGEMENTS)] == [120, 120]


def test_every_window_is_judged_once(scene: Scene) -> None:
    for _ in range(5):
        scene.step()
    assert scene.watch.look(scene.now + 10) == []
    assert sum(row.windows for row in scene.rows(JUDGEMENTS)) == 15


def test_drift_alarms_at_the_second_span_and_is_recorded_and_decided(scene: Scene) -> None:
    for _ in range(6):
        scene.step()
    scene.step(shift=1.0)
    assert scene.open_alarms() == []
    scene.step(shift=1.0)
    assert scene.open_alarms() == [("drift", None)]
    (decision,) = [d for d in scene.rows(DECISIONS) if d.kind == "drift"]
    assert decision.title.endswith("has drifted")
    assert "PSI, threshold 0." in decision.figure
    records = list(ledger.read(scene.project.ledger))
    assert (records[-1].gate, records[-1].verdict, records[-1].evidence) == ("no_drift", "fail", decision.evidence)
    scene.step(shift=1.0)
    assert len(scene.rows(ALARMS)) == 1  # it lasts; it is not a new one


def test_an_alarm_closes_after_two_quiet_spans(scene: Scene) -> None:
    for shift in (0.0, 1.0, 1.0, 0.0):
        scene.step(shift)
    assert scene.open_alarms() == [("drift", None)]
    scene.step()
    assert scene.open_alarms() == []
    assert scene.gates() == [("no_drift", "pass"), ("no_drift", "fail"), ("no_drift", "pass")]


def test_after_a_rollout_judging_starts_anew_against_the_new_reference(scene: Scene) -> None:
    for shift in (0.0, 1.0, 1.0):
        scene.step(shift)
    images, probabilities = scene.world.draw(500, 1.0)
    from edgeml_targets.contract.reference import fit

    scene.world.reference = fit(images, probabilities, (-2, -1))
    scene.publish("m2")
    with scene.store.writing() as connection:
        rollout.advance(connection, scene.project.fleet, scene.now + 1000)  # the canaries have gone: r2 is for all
    scene.now += 1000
    assert [scene.step(shift=1.0) for _ in range(4)][1:] == [["quiet"]] * 3
    with scene.store.writing() as connection:
        rollout.advance(connection, scene.project.fleet, scene.now)
    assert scene.open_alarms() == []  # it was about the release before


def test_a_bundle_that_cannot_be_read_is_an_alarm_and_read_again_once_it_is_back(scene: Scene) -> None:
    (bundle,) = (scene.project.fleet_folder / "bundles").iterdir()
    content = bundle.read_bytes()
    bundle.write_bytes(content[:100])
    assert [scene.step(), scene.step()] == [[], []]
    assert scene.open_alarms() == [("reference", None)]
    (alarm,) = scene.rows(ALARMS)
    assert alarm.title == "Drift of r1 is not watched"
    assert alarm.detail.startswith(f"{bundle}: no bundle")
    bundle.write_bytes(content)
    assert scene.step() == ["quiet"]
    assert scene.open_alarms() == []


def test_windows_of_a_release_that_is_not_ours_are_not_judged(scene: Scene) -> None:
    scene.release = "r77"
    assert scene.step() == []


def test_windows_in_bins_of_another_bundle_are_passed_over(scene: Scene) -> None:
    window = scene.world.window(200, release="r1")
    wrong = msgspec.structs.replace(window, distance=msgspec.structs.replace(window.distance, first=99))
    scene.store.record([wrong], scene.now)
    assert scene.watch.look(scene.now) == []
    assert [row.verdict for row in scene.rows(JUDGEMENTS)] == ["insufficient"]
    assert scene.step() == ["quiet"]


def test_one_device_that_sees_other_inputs_is_named_while_the_fleet_is_quiet(scene: Scene) -> None:
    scene.watch._devices_at = START
    for _ in range(2 * DEVICE_EVERY_WINDOWS + 1):
        scene.step(shift=1.0, only="line-b-08", answers=200)
    assert scene.open_alarms() == [("drift", "line-b-08")]
    assert {row.device for row in scene.rows(JUDGEMENTS)} == {None, *DEVICES}
