"""Ingest: from the broker into the store, exactly once.

The order, each wrong one a way to lose or double a window:
1. take what the broker has, up to a batch; nothing is acknowledged yet;
2. validate: a message comes from outside, whoever signed it in;
3. commit the batch; a message that is in the store already changes nothing;
4. acknowledge to the broker, so that it may forget; before the commit, a killed server would have lost the batch;
5. publish `Stored` to each device, so that it may forget; if that is lost, the device sends again, and 3 holds.

All of it runs in one thread, which also reads the socket. So an acknowledgement can never go to another connection than
the one its message came from, where the same number may mean another message.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final

import paho.mqtt.client as mqtt
import sqlalchemy as sa
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from edgeml.server.alarms import Alarm, open_alarm
from edgeml.server.broker import Address
from edgeml.server.offers import Offers
from edgeml.server.store import Id, Store
from edgeml.server.validate import check
from edgeml_agent.messages import Down, Stored, Up, decode_up, device_of, down_topic, encode, up_topic
from edgeml_targets.contract.errors import EdgemlError

MOST_BATCH: Final = 256
WAIT_S: Final = 0.05  # an idle round; what another thread wants sent waits no longer
KEEPALIVE_S: Final = 30
RETRY_S: Final = 0.5
_LOG = logging.getLogger(__name__)


@dataclass
class Counters:
    """What passed since the start: messages committed, batches, messages refused, connections made."""

    stored: int = 0
    batches: int = 0
    refused: int = 0
    connections: int = 0


class Ingest:
    """The thread between the broker and the store.

    Args:
        address: The broker's, and the server's user there.
        store: Where messages go.
        offers: What to tell a device that was heard and does not run what it should.
        client_id: The server's MQTT client id, a secret: whoever knows it can throw the server out; see `client_id_of`.
    """

    def __init__(self, address: Address, store: Store, offers: Offers, client_id: str) -> None:
        self.counters = Counters()
        self._store, self.offers = store, offers
        self._address, self._client_id = address, client_id
        self._batch: list[mqtt.MQTTMessage] = []
        self._refused: dict[str | None, EdgemlError] = {}
        self._outgoing: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._connected, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was committed is acknowledged, the rest stays with the broker."""
        self._stopping.set()
        self._thread.join()

    def alive(self) -> bool:
        """Say whether the thread runs; it ends by itself only by a bug."""
        return self._thread.is_alive()

    def connected(self) -> bool:
        """Say whether the broker is there."""
        return self._connected.is_set()

    def wait_connected(self, seconds: float) -> bool:
        """Wait until the broker is there and topics are subscribed to; say whether it is."""
        return self._connected.wait(seconds)

    def move(self, address: Address) -> None:
        """Use another address from the next connection on: a broker that was started anew has another password."""
        self._address = address

    def send(self, device: str, message: Down) -> None:
        """Send a message to a device, soon; from any thread."""
        self._outgoing.put((down_topic(device), encode(message)))

    def _run(self) -> None:
        while not self._stopping.is_set():
            client = self._connect()
            if client is None:
                self._stopping.wait(RETRY_S)
                continue
            try:
                self._serve(client)
                self._stopping.wait(RETRY_S)
            except sa.exc.OperationalError as error:
                # A full disk, a database that restarts: nothing of the batch was acknowledged, and it comes again.
                _LOG.error("the store refused a batch, trying again: %s", str(error.orig).splitlines()[0])
                self._stopping.wait(RETRY_S)
            finally:
                self._connected.clear()
                client.disconnect()

    def _connect(self) -> mqtt.Client | None:
        address = self._address
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.on_connect, client.on_subscribe, client.on_message = (
            self._on_connect,
            self._on_subscribe,
            self._on_message,
        )
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            client.tls_set()
        self._batch.clear()
        try:
            client.connect(address.host, address.port, KEEPALIVE_S)
        except OSError as error:
            _LOG.warning("no broker at %s:%d: %s", address.host, address.port, error)
            return None
        return client

    def _serve(self, client: mqtt.Client) -> None:
        """Work until the connection is lost or the server stops."""
        while not self._stopping.is_set():
            if self._receive(client) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                _LOG.warning("lost the broker at %s:%d", self._address.host, self._address.port)
                return
            if self._batch:
                self._commit(client, self._batch)
                self._batch = []
            self._send_outgoing(client)

    def _receive(self, client: mqtt.Client) -> MQTTErrorCode:
        """Fill the batch with what is there, waiting a moment for the first message only."""
        status, before = client.loop(WAIT_S), -1
        while status == MQTTErrorCode.MQTT_ERR_SUCCESS and before < len(self._batch) < MOST_BATCH:
            before = len(self._batch)
            status = client.loop(0)
        return status

    def _commit(self, client: mqtt.Client, batch: Sequence[mqtt.MQTTMessage]) -> None:
        messages = [m for m in map(self._read, batch) if m is not None]
        now = time.time()
        stored = self._store.record(messages, now)
        for message in batch:
            client.ack(message.mid, message.qos)
        for device, answer in answers(stored):
            client.publish(down_topic(device), encode(answer), qos=1)
        self.counters.stored += len(stored)
        self.counters.batches += 1
        for device in {m.device for m in messages} - {i.device for i in stored}:
            self._refuse(device, EdgemlError("is not enrolled", where=device, mend="flash the device"))
        self._tell_refused()
        for device, offer in self.offers.due(now, sorted({i.device for i in stored})):
            self.send(device, offer)

    def _read(self, received: mqtt.MQTTMessage) -> Up | None:
        """Return a message, or `None` for one that must not enter; it is acknowledged all the same, lest it come forever."""
        try:
            message = decode_up(bytes(received.payload), topic=received.topic)
            check(message)
        except EdgemlError as error:
            self._refuse(device_of(received.topic), error)
            return None
        return message

    def _refuse(self, device: str | None, error: EdgemlError) -> None:
        self.counters.refused += 1
        self._refused[device] = error

    def _tell_refused(self) -> None:
        """Open an alarm a device, once a batch: a flood of wrong messages costs no more than one write a batch."""
        if not self._refused:
            return
        with self._store.writing() as connection:
            for device, error in self._refused.items():
                _LOG.warning("refused a message: %s", error)
                title = f"{device or 'Somebody'} sends what cannot be read"
                mend = "Check the agent's version and the device's identity."
                open_alarm(connection, Alarm("rejected", "warn", title, str(error)[:500], mend, device), time.time())
        self._refused.clear()

    def _send_outgoing(self, client: mqtt.Client) -> None:
        while True:
            try:
                topic, payload = self._outgoing.get_nowait()
            except Empty:
                return
            client.publish(topic, payload, qos=1)

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _more: object
    ) -> None:
        if reason.is_failure:
            _LOG.error("the broker at %s:%d refuses us: %s", self._address.host, self._address.port, reason)
            return
        self.counters.connections += 1
        client.subscribe(up_topic("+"), qos=1)

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _more: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            _LOG.error("the broker does not let us read what devices send: %s", reasons[0])
            return
        self._connected.set()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._batch.append(message)


def answers(stored: Sequence[Id]) -> list[tuple[str, Stored]]:
    """Return what to tell each device about the messages that are stored, one answer a device and boot."""
    by_boot: dict[tuple[str, str], list[int]] = defaultdict(list)
    for found in stored:
        by_boot[found.device, found.boot].append(found.sequence)
    return [(device, Stored(boot, tuple(sequences))) for (device, boot), sequences in by_boot.items()]
