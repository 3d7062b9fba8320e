"""The embedded broker, for real: each device its own topics, nobody else at all, and no child left behind."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edgeml.project import Project
from edgeml.server.broker import (
    SERVER_USER,
    Address,
    Broker,
    Listen,
    client_id_of,
    is_loopback,
    knows_token,
    listening,
    read_address,
    token_hash,
)
from edgeml.server.ingest import Ingest
from edgeml.server.offers import Offers
from edgeml.server.store import Store
from edgeml_agent.messages import encode
from edgeml_targets.contract.errors import EdgemlError

LIMIT_S = 10.0
TOKENS = {"dev-a": "secret-a", "dev-b": "secret-b"}


class Client:
    """An MQTT client that notes what happens to it."""

    def __init__(self, address: Address, user: str | None, password: str | None) -> None:
        self.events: queue.Queue[tuple[str, object]] = queue.Queue()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=user or "", clean_session=user is None)
        client.on_connect = lambda c, d, f, reason, p: self.events.put(("connected", not reason.is_failure))
        client.on_disconnect = lambda c, d, f, reason, p: self.events.put(("lost", str(reason)))
        client.on_subscribe = lambda c, d, m, reasons, p: self.events.put(("subscribed", not reasons[0].is_failure))
        client.on_message = lambda c, d, m: self.events.put(("message", (m.topic, m.payload)))
        if user:
            client.username_pw_set(user, password)
        client.connect(address.host, address.port)
        client.loop_start()
        self.client = client

    def next(self, kind: str) -> object:
        """Wait for the next event of a kind; others before it are let go."""
        while True:
            found, what = self.events.get(timeout=LIMIT_S)
            if found == kind:
                return what

    def subscribe(self, topic: str) -> object:
        self.client.subscribe(topic, 1)
        return self.next("subscribed")

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish(topic, payload, 1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker.start(Listen(port=0), tmp_path / "broker", {d: token_hash(t) for d, t in TOKENS.items()})
    yield started
    started.stop()


@pytest.fixture
def connect(broker: Broker) -> Iterator[Callable[[str | None, str | None], Client]]:
    clients: list[Client] = []

    def make(user: str | None, password: str | None) -> Client:
        clients.append(Client(broker.address, user, password))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_device_may_use_its_own_topics_only(broker: Broker, connect: Callable[..., Client]) -> None:
    server = connect(SERVER_USER, broker.address.password)
    assert server.subscribe("edgeml/+/up")
    device = connect("dev-a", "secret-a")
    assert device.subscribe("edgeml/dev-a/down")
    for foreign in ("edgeml/dev-b/down", "edgeml/+/up", "edgeml/#", "#", "$MQTT/sub/#", "$JS/API/#"):
        assert not device.subscribe(foreign), foreign
    device.publish("edgeml/dev-b/up", b"forged")
    device.publish("edgeml/dev-b/down", b"forged")
    device.publish("edgeml/dev-a/up", b"mine")
    assert server.next("message") == ("edgeml/dev-a/up", b"mine")  # nothing forged came before it
    server.publish("edgeml/dev-a/down", b"for you")
    assert device.next("message") == ("edgeml/dev-a/down", b"for you")


@pytest.mark.parametrize(("user", "password"), [("dev-a", "secret-b"), ("dev-a", ""), ("nobody", "x"), (None, None)])
def test_nobody_else_gets_in(connect: Callable[..., Client], user: str | None, password: str | None) -> None:
    assert connect(user, password).next("connected") is False


def test_a_wrong_password_does_not_throw_the_live_device_out(broker: Broker, connect: Callable[..., Client]) -> None:
    device = connect("dev-a", "secret-a")
    assert device.subscribe("edgeml/dev-a/down")
    assert connect("dev-a", "guess").next("connected") is False
    server = connect(SERVER_USER, broker.address.password)
    assert server.next("connected")
    server.publish("edgeml/dev-a/down", b"still here")
    assert device.next("message") == ("edgeml/dev-a/down", b"still here")
    assert device.events.empty()


def test_enrolment_lets_a_device_in_and_revocation_out_while_the_others_stay(
    broker: Broker, connect: Callable[..., Client]
) -> None:
    a, b = connect("dev-a", "secret-a"), connect("dev-b", "secret-b")
    assert a.next("connected")
    assert b.next("connected")
    broker.admit({"dev-a": token_hash("secret-a"), "dev-c": token_hash("secret-c")})
    assert b.next("lost")
    assert connect("dev-c", "secret-c").next("connected")
    assert a.events.empty()


def test_the_configuration_holds_no_secret_and_is_for_the_owner_only(broker: Broker, tmp_path: Path) -> None:
    file = tmp_path / "broker" / "nats.conf"
    assert not any(secret in file.read_text() for secret in (*TOKENS.values(), str(broker.address.password)))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_is_not_acknowledged_survives_a_kill(broker: Broker, connect: Callable[..., Client]) -> None:
    listener = connect("dev-a", "secret-a")
    assert listener.subscribe("edgeml/dev-a/down")
    listener.close()
    server = connect(SERVER_USER, broker.address.password)
    assert server.next("connected")
    sent = server.client.publish("edgeml/dev-a/down", b"kept", 1)
    sent.wait_for_publish(LIMIT_S)
    os.kill(broker.pid, signal.SIGKILL)
    again = broker.again({d: token_hash(t) for d, t in TOKENS.items()})
    try:
        device = Client(again.address, "dev-a", "secret-a")
        assert device.next("message") == ("edgeml/dev-a/down", b"kept")
        device.close()
    finally:
        again.stop()


def test_a_port_is_taken_from_the_moment_it_was_given() -> None:
    """Two sockets may be bound to one port as long as neither listens; the second server would end in a traceback later."""
    with listening("127.0.0.1", 0) as first, pytest.raises(EdgemlError, match="cannot listen there"):
        listening("127.0.0.1", first.getsockname()[1])


def test_a_taken_port_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            EdgemlError, match=rf"^port {port} on 127\.0\.0\.1: .*in use.*choose another with --mqtt-port$"
        ):
            Broker.start(Listen(port=port), tmp_path / "broker", {})


CHILD = """
import sys, time
from pathlib import Path
from edgeml.server.broker import Broker, Listen
print(Broker.start(Listen(port=0), Path(sys.argv[1]), {}).pid, flush=True)
time.sleep(60)
"""


def test_the_broker_dies_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, tmp_path / "b"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert Path(f"/proc/{pid}/comm").read_text().strip() == "nats-server"
        server.kill()
    limit = time.monotonic() + LIMIT_S
    while _runs(pid):
        assert time.monotonic() < limit, "the broker outlived its server"
        threading.Event().wait(0.01)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://10.0.0.4", Address("10.0.0.4", 1883)),
        ("mqtt://me:p%40ss@broker:2883", Address("broker", 2883, "me", "p@ss")),
        ("mqtts://broker", Address("broker", 8883, tls=True)),
    ],
)
def test_an_external_brokers_address_is_read(url: str, address: Address) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize(
    "url", ["broker", "http://broker", "mqtt://", "mqtt://host:port", "mqtt://me:secret@host:99999"]
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(EdgemlError, match="no broker address") as refused:
        read_address(url)
    assert "secret" not in str(refused.value)


def test_loopback_is_told_from_everywhere_else() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))


def test_a_token_is_known_by_its_hash() -> None:
    kept = token_hash("secret")
    assert "secret" not in kept
    assert knows_token("secret", kept)
    assert not knows_token("Secret", kept)
    assert not knows_token("x" * 100, kept)


def test_a_password_is_in_no_address_that_is_printed() -> None:
    address = read_address("mqtt://me:open-sesame@broker:2883")
    assert "open-sesame" not in repr(address)
    assert address.password == "open-sesame"


def test_the_servers_client_id_is_drawn_once_and_for_the_owner_only(tmp_path: Path) -> None:
    found = client_id_of(tmp_path / "fleet")
    assert client_id_of(tmp_path / "fleet") == found != client_id_of(tmp_path / "another")
    file = tmp_path / "fleet" / "mqtt-client"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("edgeml-server")
    with pytest.raises(EdgemlError, match="mqtt-client: no client id"):
        client_id_of(tmp_path / "fleet")


def test_the_server_signs_in_under_its_secret_id_and_no_device_can_throw_it_out(
    broker: Broker, store: Store, project: Project, world: Any, enrolled: Any
) -> None:
    enrolled("dev-a")
    offers = Offers(store, project.fleet, "http://127.0.0.1:8080")
    ingest = Ingest(broker.address, store, offers, client_id_of(project.fleet_folder))
    ingest.start()
    try:
        assert ingest.wait_connected(LIMIT_S)
        taken = [SERVER_USER, "edgeml-server", "edgeml", "_server"]
        for name in taken:  # each with valid credentials, as a device that was broken into has them
            rival = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
            rival.username_pw_set("dev-a", "secret-a")
            rival.connect(broker.address.host, broker.address.port)
            rival.publish("edgeml/dev-a/up", encode(world.window(device="dev-a")), 1)
            rival.loop_start()
            waited(lambda name=name: ingest.counters.stored > taken.index(name))
            rival.disconnect()
            rival.loop_stop()
        assert ingest.counters.connections == 1
    finally:
        ingest.stop()


def waited(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        threading.Event().wait(0.02)
