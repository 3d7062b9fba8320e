"""How a device is, and when that makes an alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from edgeml.project import Budget, Project
from edgeml.server.health import Health, State, Vitals, state_of
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DEVICES
from edgeml_targets.contract.latencies import latencies

WELL = Vitals("d", "r1", last_seen=100.0, answers=200, errors=0, p99_us=900.0, event="started", budget_us=1000.0)


@pytest.mark.parametrize(
    ("change", "state", "why"),
    [
        ({}, State.HEALTHY, ""),
        ({"last_seen": None}, State.NEVER_SEEN, "not connected yet"),
        ({"last_seen": 39.0}, State.SILENT, "60"),
        ({"last_seen": 40.0}, State.HEALTHY, ""),
        ({"p99_us": 1100.0}, State.DEGRADED, "budget 1.00"),
        ({"p99_us": 1100.0, "budget_us": None}, State.HEALTHY, ""),
        ({"p99_us": None}, State.HEALTHY, ""),
        ({"errors": 2}, State.HEALTHY, ""),
        ({"errors": 3}, State.DEGRADED, "3 of 203 inputs refused"),
        ({"event": "rolled_back", "offered": "r2"}, State.DEGRADED, "r2 did not stand its trial; r1 goes on"),
        ({"event": "refused", "offered": "r2"}, State.DEGRADED, "r2 was refused; r1 goes on"),
        ({"event": "postponed", "offered": "r2"}, State.DEGRADED, "r2 could not be fetched or stored yet; r1 goes on"),
        ({"event": "refused", "offered": "r1"}, State.HEALTHY, ""),
    ],
    ids=str,
)
def test_a_device_is_as_the_worst_that_is_known_of_it(change: dict[str, Any], state: State, why: str) -> None:
    found, reason = state_of(replace(WELL, **change), 60.0, 100.0)
    assert found is state
    assert why in reason
    assert bool(reason) == (state is not State.HEALTHY)


class Ward:
    """Two devices and their health; time is what the test says."""

    def __init__(self, project: Project, store: Store, world: Any) -> None:
        self.store, self.world = store, world
        with store.reading() as connection:
            self.health = Health(project, connection)

    def hear(self, at: float, *devices: str, **fields: Any) -> None:
        self.store.record([self.world.window(device=d, ended_at=at, **fields) for d in devices], at)

    def look(self, now: float) -> tuple[list[str], list[str]]:
        """Return the states of both devices, and the open alarms."""
        with self.store.writing() as connection:
            self.health.look(connection, now)
            alarms = connection.scalars(sa.select(ALARMS.c.title).where(ALARMS.c.closed_at.is_(None)))
            states = connection.scalars(sa.select(DEVICES.c.state).order_by(DEVICES.c.device))
            return list(states), sorted(alarms)


@pytest.fixture
def ward(project: Project, store: Store, world: Any, enrolled: Any) -> Ward:
    enrolled("a", "b")
    budgets = {"x86_64-onnxruntime": Budget(latency_ms=1.0)}
    return Ward(project.model_copy(update={"budgets": budgets}), store, world)


def test_states_follow_what_arrives_and_alarms_follow_the_states(ward: Ward) -> None:
    assert ward.look(1000.0) == (["never_seen", "never_seen"], [])
    ward.hear(1001.0, "a", "b")
    assert ward.look(1001.0) == (["healthy", "healthy"], [])
    ward.hear(1005.0, "a", errors=50)
    assert ward.look(1005.0) == (["degraded", "healthy"], ["a is degraded"])
    assert ward.look(1009.0) == (["degraded", "silent"], ["a is degraded", "b is silent"])  # 5 windows, 2 s of grace
    ward.hear(1010.0, "b")
    for at in (1010.0, 1011.0, 1012.0, 1013.0, 1014.0):
        ward.hear(at, "a")
    assert ward.look(1014.0) == (["healthy", "healthy"], [])


def test_one_slow_window_is_a_hiccup_most_of_five_are_not(ward: Ward) -> None:
    slow = latencies([5000.0] * 120)
    ward.hear(1000.0, "a", "b")
    ward.hear(1001.0, "a", latency_us=slow)
    ward.hear(1002.0, "a")
    assert ward.look(1002.0)[0] == ["healthy", "healthy"]
    ward.hear(1003.0, "a", latency_us=slow)
    ward.hear(1004.0, "a", latency_us=slow)
    assert ward.look(1004.0)[0] == ["degraded", "healthy"]
    ward.hear(1005.0, "a", release="r2")
    assert ward.look(1005.0)[0] == ["healthy", "healthy"]  # what the release before did is of no account


def test_a_server_that_starts_anew_knows_the_last_windows(
    ward: Ward, project: Project, store: Store, world: Any
) -> None:
    for at in range(1000, 1005):
        ward.hear(float(at), "a", "b", errors=50)
    assert ward.look(1004.0)[0] == ["degraded", "degraded"]
    again = Ward(project, store, world)
    again.hear(1005.0, "a")
    assert again.look(1005.0)[0] == ["degraded", "degraded"]


def test_an_empty_window_is_a_sign_of_life_and_no_judgement(ward: Ward) -> None:
    ward.hear(1001.0, "a", "b", errors=100)
    ward.hear(1002.0, "a", "b", answers=0)
    assert ward.look(1002.0)[0] == ["degraded", "degraded"]
    with ward.store.writing() as connection:
        assert ward.health.look(connection, 1003.0) == 0  # nothing new: nothing written
