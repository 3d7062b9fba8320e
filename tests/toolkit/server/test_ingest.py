"""Ingest with real brokers: exactly once, whoever dies in between, and nobody speaks for another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from edgeml.project import Project
from edgeml.server.broker import Address, Broker, Listen, free_port, token_hash
from edgeml.server.ingest import Ingest, answers
from edgeml.server.offers import Offers
from edgeml.server.store import Id, Store
from edgeml.server.tables import ALARMS, DEVICES, WINDOWS
from edgeml_agent.messages import encode, up_topic

LIMIT_S = 20.0
DEVICE = "line-b-07"
SERVER_URL = "http://127.0.0.1:8080"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker.start(Listen(port=0), tmp_path / "broker", {DEVICE: token_hash("secret")})
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Address]:
    """Start Debian's mosquitto as an operator who reads no documentation would: no users, no rules."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if binary is None:
        pytest.skip("mosquitto is not installed here: apt install mosquitto")
    port = free_port("127.0.0.1", 0)
    file = tmp_path / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with subprocess.Popen([binary, "-c", file], stderr=subprocess.DEVNULL) as child:
        yield Address("127.0.0.1", port)
        child.terminate()


@pytest.fixture
def ingest_at(store: Store, project: Project) -> Iterator[Callable[[Address], Ingest]]:
    started: list[Ingest] = []

    def start(address: Address) -> Ingest:
        ingest = Ingest(address, store, Offers(store, project.fleet, SERVER_URL), "edgeml-0")
        started.append(ingest)
        ingest.start()
        assert ingest.wait_connected(LIMIT_S)
        return ingest

    yield start
    for ingest in started:
        ingest.stop()


def kept(store: Store) -> list[int]:
    with store.reading() as connection:
        return sorted(connection.scalars(sa.select(WINDOWS.c.sequence)))


def open_alarms(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(sa.select(ALARMS.c.title).where(ALARMS.c.closed_at.is_(None))))


def test_every_window_is_stored_and_named(
    nats: Broker, ingest_at: Callable[[Address], Ingest], store: Store, world: Any, enrolled: Any, connect_device: Any
) -> None:
    enrolled(DEVICE)
    ingest = ingest_at(nats.address)
    device = connect_device(nats.address)
    windows = [world.window(5) for _ in range(300)]
    device.send(*windows)
    assert device.drained()
    assert kept(store) == [w.sequence for w in windows]
    assert ingest.counters.batches < 300  # it commits what is there together, not one by one


def test_an_external_broker_does_it_too(
    mosquitto: Address,
    ingest_at: Callable[[Address], Ingest],
    store: Store,
    world: Any,
    enrolled: Any,
    connect_device: Any,
) -> None:
    enrolled(DEVICE)
    ingest_at(mosquitto)
    device = connect_device(mosquitto, token=None)
    windows = [world.window(5) for _ in range(50)]
    device.send(*windows)
    assert device.drained()
    assert kept(store) == [w.sequence for w in windows]


def test_a_device_that_speaks_for_another_is_not_believed_even_where_the_broker_lets_it(
    mosquitto: Address,
    ingest_at: Callable[[Address], Ingest],
    store: Store,
    world: Any,
    enrolled: Any,
    connect_device: Any,
) -> None:
    enrolled(DEVICE, "line-b-08")
    ingest_at(mosquitto)
    device = connect_device(mosquitto, token=None)
    device.client.publish(up_topic("line-b-08"), encode(world.window(5)), 1)
    device.client.publish(up_topic(DEVICE), encode(world.window(5, device="line-b-08")), 1)
    device.client.publish(up_topic(DEVICE), b"\xff not a message", 1)
    device.client.publish(up_topic("stranger"), encode(world.window(5, device="stranger")), 1)
    device.send(honest := world.window(5))
    assert device.drained()
    assert kept(store) == [honest.sequence]
    assert sorted(open_alarms(store)) == [f"{d} sends what cannot be read" for d in (DEVICE, "line-b-08", "stranger")]


def test_an_unacknowledged_message_comes_again_to_the_server_that_follows(
    nats: Broker, ingest_at: Callable[[Address], Ingest], store: Store, world: Any, enrolled: Any, connect_device: Any
) -> None:
    """The server subscribed, then went away; what devices say meanwhile waits with the broker."""
    enrolled(DEVICE)
    ingest_at(nats.address).stop()
    device = connect_device(nats.address)
    device.send(*(world.window(5) for _ in range(20)))
    ingest_at(nats.address)
    assert device.drained()
    assert len(kept(store)) == 20


def test_a_broker_that_is_killed_loses_and_doubles_nothing(
    nats: Broker, ingest_at: Callable[[Address], Ingest], store: Store, world: Any, enrolled: Any, connect_device: Any
) -> None:
    enrolled(DEVICE)
    ingest = ingest_at(nats.address)
    device = connect_device(nats.address)
    device.send(*(world.window(5) for _ in range(100)))
    os.kill(nats.pid, signal.SIGKILL)
    again = nats.again({DEVICE: token_hash("secret")})
    ingest.move(again.address)
    device.send(*(world.window(5) for _ in range(100)))
    assert device.drained()
    assert len(kept(store)) == 200
    again.stop()


def test_a_device_is_offered_what_it_should_run_when_it_is_heard(
    nats: Broker, ingest_at: Callable[[Address], Ingest], store: Store, world: Any, enrolled: Any, connect_device: Any
) -> None:
    enrolled(DEVICE, desired="r2")
    ingest_at(nats.address)
    device = connect_device(nats.address)
    device.send(world.window(5, release="r1"))
    assert device.offered() == "r2"
    assert device.offers[-1].url == f"{SERVER_URL}/releases/r2"


def test_offers_are_said_again_until_the_device_runs_the_release_and_not_to_silent_ones(
    store: Store, project: Project, enrolled: Any
) -> None:
    enrolled("a", desired="r2", release="r1", last_seen=1000.0)
    enrolled("silent", desired="r2", release="r1", last_seen=900.0)
    enrolled("done", desired="r2", release="r2", last_seen=1000.0)
    offers = Offers(store, project.fleet, SERVER_URL)

    def due(now: float) -> list[str]:
        return [device for device, _ in offers.due(now)]

    assert [due(1000.0), due(1000.5), due(1004.0)] == [["a"], [], ["a"]]
    with store.writing() as connection:
        connection.execute(sa.update(DEVICES).where(DEVICES.c.device == "a").values(desired="r3"))
    assert due(1004.5) == ["a"]  # another release is said at once
    with store.writing() as connection:
        connection.execute(sa.update(DEVICES).values(release="r3"))
    assert due(1006.0) == ["done"]  # it runs another than it should by now


@given(st.lists(st.builds(Id, st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 99))))
def test_answers_name_each_stored_message_to_its_own_device(stored: list[Id]) -> None:
    told = [Id(device, a.boot, sequence) for device, a in answers(stored) for sequence in a.sequences]
    assert sorted(told) == sorted(stored)
