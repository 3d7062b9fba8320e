"""The documents of `edgeml fleet`."""

from __future__ import annotations

from typing import Any

import pytest

from edgeml.server import queries
from edgeml.server.store import Store
from edgeml_targets.contract.errors import EdgemlError


def test_the_fleet_is_listed_by_name(store: Store, enrolled: Any, world: Any) -> None:
    enrolled("b", "a")
    store.record([world.window(device="b", ended_at=1001.0)], 1001.0)
    found = queries.fleet(store)
    assert found.schema == "edgeml.fleet/1"
    assert [(d.device, d.release, d.last_seen, d.state) for d in found.devices] == [
        ("a", None, None, "never_seen"),
        ("b", "r1", 1001.0, "never_seen"),
    ]


def test_telemetry_is_newest_first_of_one_device_or_all(store: Store, enrolled: Any, world: Any) -> None:
    enrolled("a", "b")
    store.record([world.window(10 + i, device=d) for i, d in enumerate("abab")], 1002.0)
    assert [w.answers for w in queries.telemetry(store).windows] == [13, 12, 11, 10]
    assert [w.answers for w in queries.telemetry(store, "a", most=1).windows] == [12]
    with pytest.raises(EdgemlError, match="c: no such device"):
        queries.telemetry(store, "c")


def test_what_was_not_measured_is_null(store: Store, enrolled: Any, world: Any) -> None:
    enrolled("a")
    store.record([world.window(0, device="a")], 1002.0)
    assert b'"p99_us": null' in queries.to_json(queries.telemetry(store))
