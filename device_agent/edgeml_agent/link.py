"""The link to the broker: what waits in the outbox goes up, what the server says comes down.

A message counts as said when the server's `Stored` names it, not when the broker has it. Until then it is said again: after
every reconnect, and after a while without an answer, so that any broker will do, also one that forgets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgeml_agent.identity import Identity
from edgeml_agent.messages import Offer, Stored, decode_down, down_topic, up_topic
from edgeml_agent.outbox import Outbox
from edgeml_targets.contract.errors import EdgemlError

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

LOG: Final = logging.getLogger(__name__)
QOS: Final = 1
KEEPALIVE_S: Final = 30
MOST_UNANSWERED: Final = 32  # messages on their way; bounds what a broker keeps for a server that is down
REFUSED_WAIT_S: Final = 1.0  # before a disk or a queue that refused is asked again


@dataclass(frozen=True)
class Pace:
    """How patient the link is.

    Args:
        answer_s: When one message waits so long for its answer, everything unanswered is said again. It doubles each
            time, up to `longest_answer_s`, until everything is answered or the connection is new.
        longest_answer_s: See `answer_s`.
        reconnect_s: Before the second attempt to connect; doubles up to `longest_reconnect_s`.
        longest_reconnect_s: See `reconnect_s`.
    """

    answer_s: float = 20.0
    longest_answer_s: float = 600.0
    reconnect_s: int = 1
    longest_reconnect_s: int = 30


class Link:
    """Keeps a connection to the broker and empties the outbox over it.

    Args:
        identity: Whose device this is; its name is user name and client id.
        outbox: What there is to say.
        offered: Called with each offer, in the link's thread: it must return at once.
        pace: How patient it is.
    """

    def __init__(
        self, identity: Identity, outbox: Outbox, offered: Callable[[Offer], None], pace: Pace = Pace()
    ) -> None:
        self._identity, self._outbox, self._offered, self._pace = identity, outbox, offered, pace
        self._changed = threading.Condition()  # guards all that follows
        self._connected = self._stopping = False
        self._more = True  # there may be something to say
        self._round = 0  # grows when everything is to be said again
        self._position = 0  # what was written up to here was said in this round
        self._unanswered: dict[tuple[str, int], float] = {}  # (boot, sequence) -> when it was said; the oldest first
        self._answer_s = pace.answer_s
        self._client = self._new_client()

    def connect(self) -> None:
        """Begin to connect, and keep trying in a thread; a broker that is not there yet is no error."""
        self._client.connect_async(self._identity.broker_host, self._identity.broker_port, KEEPALIVE_S)
        self._client.loop_start()

    def wrote(self) -> None:
        """Look into the outbox: there is something new."""
        with self._changed:
            self._more = True
            self._changed.notify_all()

    def run(self) -> None:
        """Say what waits in the outbox until `stop`; the body of a thread."""
        while self._wait_for_work():
            try:
                said = self._say_more()
            except EdgemlError as error:  # a disk that fails now may work again; the messages are on it
                LOG.warning("%s", error)
                said = False
            if not said:
                with self._changed:
                    self._more = True
                    self._changed.wait_for(lambda: self._stopping, REFUSED_WAIT_S)

    def drained(self, limit_s: float) -> bool:
        """Wait until the server has named everything as stored, at most `limit_s`; not at all while there is no connection."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while self._connected and (left := deadline - time.monotonic()) > 0:
                if len(self._outbox) == 0:
                    return True
                self._changed.wait(left)
        return len(self._outbox) == 0

    def stop(self) -> None:
        """Disconnect and make `run` return."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._client.disconnect()
        self._client.loop_stop()

    def _wait_for_work(self) -> bool:
        """Wait until there is something to say and leave to say it; `False` when it is time to stop."""
        with self._changed:
            while not self._stopping:
                left = self._patience_s()
                if left is not None and left <= 0:
                    self._answer_s = min(2 * self._answer_s, self._pace.longest_answer_s)
                    self._begin_round()
                    left = None
                if self._connected and self._more and len(self._unanswered) < MOST_UNANSWERED:
                    return True
                self._changed.wait(left)
        return False

    def _patience_s(self) -> float | None:
        """How long the oldest unanswered message may still wait: answers to younger ones do not prolong it."""
        oldest = next(iter(self._unanswered.values()), None)
        return None if oldest is None else oldest + self._answer_s - time.monotonic()

    def _say_more(self) -> bool:
        """Publish what waits, as far as there may be unanswered messages; `False` when the client takes no more now."""
        with self._changed:
            self._more = False
            this_round, position = self._round, self._position
            room = MOST_UNANSWERED - len(self._unanswered)
        batch = self._outbox.after(position, most=room)
        for waiting in batch:
            with self._changed:
                if self._round != this_round:
                    return True
                # Before it is said: the answer may come at once.
                self._unanswered[(waiting.boot, waiting.sequence)] = time.monotonic()
            if self._client.publish(up_topic(self._identity.device), waiting.payload, QOS).rc != 0:
                with self._changed:
                    self._unanswered.pop((waiting.boot, waiting.sequence), None)
                return False
            with self._changed:
                if self._round == this_round:
                    self._position = waiting.position
        with self._changed:
            self._more = self._more or len(batch) == room
        return True

    def _begin_round(self) -> None:
        self._round += 1
        self._position, self._more = 0, True
        self._unanswered.clear()

    def _new_client(self) -> mqtt.Client:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, self._identity.device, clean_session=False, protocol=mqtt.MQTTv311
        )
        client.username_pw_set(self._identity.device, self._identity.token)
        client.reconnect_delay_set(self._pace.reconnect_s, self._pace.longest_reconnect_s)
        client.max_inflight_messages_set(MOST_UNANSWERED)
        client.max_queued_messages_set(2 * MOST_UNANSWERED)  # paho keeps what no broker confirmed, over reconnects
        client.on_connect, client.on_disconnect, client.on_message = (
            self._on_connect,
            self._on_disconnect,
            self._on_message,
        )
        return client

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            LOG.warning("the broker refuses %s: %s", self._identity.device, reason)
            return
        client.subscribe(down_topic(self._identity.device), QOS)
        with self._changed:
            self._connected = True
            self._answer_s = self._pace.answer_s
            self._begin_round()
            self._changed.notify_all()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._changed:
            if self._connected and not self._stopping:
                LOG.warning("the connection to the broker is lost: %s", reason)
            self._connected = False
            self._changed.notify_all()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            said = decode_down(bytes(message.payload), topic=message.topic)
            if isinstance(said, Offer):
                self._offered(said)
            else:
                self._outbox.forget(said)
        except EdgemlError as error:  # hostile, or a disk that fails: what was not forgotten is said again
            LOG.warning("%s", error)
            return
        if isinstance(said, Stored):
            with self._changed:
                for sequence in said.sequences:
                    self._unanswered.pop((said.boot, sequence), None)
                if not self._unanswered:
                    self._answer_s = self._pace.answer_s
                self._more = True
                self._changed.notify_all()
