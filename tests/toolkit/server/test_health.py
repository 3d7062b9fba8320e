"""How a device is, and when that makes an alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from edgeml.project import Budget, Project
from edgeml.server.health import State, Vitals, state_of, update_states
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, DEVICES
from edgeml_targets.contract.latencies import latencies

WELL = Vitals("d", "r1", "r1", last_seen=100.0, answers=200, errors=0, p99_us=900.0, event="started", budget_us=1000.0)


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
        ({"event": "refused", "offered": "r1"}, State.HEALTHY, ""),
    ],
    ids=str,
)
def test_a_device_is_as_the_worst_that_is_known_of_it(change: dict[str, Any], state: State, why: str) -> None:
    found, reason = state_of(replace(WELL, **change), 60.0, 100.0)
    assert found is state
    assert why in reason
    assert bool(reason) == (state is not State.HEALTHY)


def test_states_follow_what_arrives_and_alarms_follow_the_states(
    project: Project, store: Store, world: Any, enrolled: Any
) -> None:
    project = project.model_copy(update={"budgets": {"x86_64-onnxruntime": Budget(latency_ms=1.0)}})
    enrolled("line-b-07", "line-b-08")

    def states(since: float, now: float) -> tuple[dict[str, str], list[str]]:
        with store.writing() as connection:
            update_states(connection, project, since, now)
            alarms = connection.scalars(sa.select(ALARMS.c.title).where(ALARMS.c.closed_at.is_(None)))
            return dict(connection.execute(sa.select(DEVICES.c.device, DEVICES.c.state)).all()), sorted(alarms)

    assert states(0.0, 1000.0) == ({"line-b-07": "never_seen", "line-b-08": "never_seen"}, [])
    store.record([world.window(device=d, ended_at=1001.0) for d in ("line-b-07", "line-b-08")], 1001.0)
    assert states(1000.0, 1001.0) == ({"line-b-07": "healthy", "line-b-08": "healthy"}, [])
    slow = latencies([5000.0] * 120)
    store.record([world.window(device="line-b-07", ended_at=1005.0, latency_us=slow)], 1005.0)
    assert states(1004.0, 1005.0) == (
        {"line-b-07": "degraded", "line-b-08": "healthy"},
        ["line-b-07 is degraded"],
    )
    assert states(1008.0, 1009.0) == (
        {"line-b-07": "degraded", "line-b-08": "silent"},  # 5 windows of 1 s and 2 s of grace
        ["line-b-07 is degraded", "line-b-08 is silent"],
    )
    store.record([world.window(device=d, ended_at=1010.0) for d in ("line-b-07", "line-b-08")], 1010.0)
    assert states(1009.0, 1010.0) == ({"line-b-07": "healthy", "line-b-08": "healthy"}, [])


def test_an_empty_window_is_a_sign_of_life_and_no_judgement(
    project: Project, store: Store, world: Any, enrolled: Any
) -> None:
    enrolled("line-b-07")
    bad = world.window(errors=100, ended_at=1001.0)
    store.record([bad, world.window(0, ended_at=1002.0)], 1002.0)
    with store.writing() as connection:
        assert update_states(connection, project, 0.0, 1002.0) == 1
        assert connection.scalar(sa.select(DEVICES.c.state)) == "degraded"
        assert update_states(connection, project, 0.0, 1003.0) == 0  # nothing new: nothing written
