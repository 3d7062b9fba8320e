"""The link over real brokers: everything that was written is stored once, whoever dies in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeml_agent.identity import Identity
from edgeml_agent.link import MOST_UNANSWERED, Link, Pace
from edgeml_agent.messages import Offer, Report, down_topic
from edgeml_agent.outbox import Outbox

Eventually = Callable[..., None]
BOTH = pytest.mark.parametrize("broker", ["mosquitto", "nats"], indirect=True)


class Linked:
    """A link that runs in this process, over an outbox of its own."""

    def __init__(self, identity: Identity, folder: Path, pace: Pace) -> None:
        self.outbox, self.offers = Outbox(folder / "outbox.db"), []  # type: tuple[Outbox, list[Offer]]
        self.link = Link(identity, self.outbox, self.offers.append, pace)
        self.thread = threading.Thread(target=self.link.run)
        self.thread.start()
        self.link.connect()

    def say(self, draft: Report, count: int) -> set[tuple[str, str, int]]:
        put = [self.outbox.put(draft) for _ in range(count)]
        self.link.wrote()
        return {(m.device, m.boot, m.sequence) for m in put}

    def close(self) -> None:
        self.link.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.outbox.close()


@pytest.fixture
def linked(identity: Identity, tmp_path: Path) -> Iterator[Linked]:
    made = Linked(identity, tmp_path, Pace(answer_s=0.5))
    yield made
    made.close()


@BOTH
def test_everything_is_stored_once_and_forgotten(
    linked: Linked, fleet: Any, draft: Report, eventually: Eventually
) -> None:
    said = linked.say(draft, 5 * MOST_UNANSWERED)
    assert linked.link.drained(0) in (True, False)
    eventually(lambda: len(linked.outbox) == 0, "the outbox is empty")
    assert set(fleet.received) == said
    said |= linked.say(draft, 1)
    eventually(lambda: len(linked.outbox) == 0, "a single one, too")
    assert set(fleet.received) == said


@BOTH
def test_what_was_said_while_the_server_was_down_is_stored_when_it_comes(
    linked: Linked, fleet: Any, draft: Report, eventually: Eventually
) -> None:
    fleet.disconnect()
    said = linked.say(draft, 2 * MOST_UNANSWERED)
    assert not linked.link.drained(0.3)
    assert len(linked.outbox) == 2 * MOST_UNANSWERED
    fleet.connect()
    eventually(lambda: len(linked.outbox) == 0, "the outbox is empty")
    assert set(fleet.received) == said


@BOTH
def test_a_broker_that_is_killed_in_between_loses_nothing(
    linked: Linked, fleet: Any, broker: Any, draft: Report, eventually: Eventually
) -> None:
    said = linked.say(draft, 10)
    eventually(lambda: fleet.received, "the first message")
    broker.kill()
    said |= linked.say(draft, 50)
    broker.start()
    eventually(lambda: len(linked.outbox) == 0, "the outbox is empty")
    assert set(fleet.received) == said


def test_a_broker_that_forgets_everything_will_do(
    linked: Linked, fleet: Any, broker: Any, draft: Report, eventually: Eventually
) -> None:
    fleet.disconnect()
    said = linked.say(draft, 10)
    eventually(lambda: len(linked.link._unanswered) == 10, "the broker has them")
    broker.kill()
    for file in broker.folder.glob("*.db"):
        file.unlink()
    broker.start()
    fleet.connect()
    eventually(lambda: len(linked.outbox) == 0, "the outbox is empty")
    assert set(fleet.received) == said


def test_what_is_not_answered_is_said_again(linked: Linked, fleet: Any, draft: Report, eventually: Eventually) -> None:
    swallowed: set[int] = set()

    def first_time(message: Report) -> bool:
        new = message.sequence not in swallowed
        swallowed.add(message.sequence)
        return new

    fleet.forgets = first_time
    said = linked.say(draft, 3)
    eventually(lambda: len(linked.outbox) == 0, "the outbox is empty")
    assert set(fleet.received) == said
    assert fleet.deliveries == 6


def test_one_that_is_lost_is_said_again_while_others_are_answered(
    linked: Linked, fleet: Any, draft: Report, eventually: Eventually
) -> None:
    """Traffic quicker than the patience, as with short windows: answers to the others must not put the lost one off."""
    lost: list[int] = []

    def the_first_once(message: Report) -> bool:
        if message.sequence == 1 and not lost:
            lost.append(1)
            return True
        return False

    fleet.forgets = the_first_once
    said = linked.say(draft, 1)

    def another_is_answered_and_the_first_is_there() -> bool:
        said.update(linked.say(draft, 1))
        return bool(lost) and said - set(fleet.received) <= {max(said, key=lambda name: name[2])}

    eventually(another_is_answered_and_the_first_is_there, "the lost one is there, in the middle of traffic", 5)
    assert lost == [1]
    assert ("cam-1", linked.outbox.boot, 1) in fleet.received


def test_a_server_that_never_answers_gets_no_flood(
    linked: Linked, fleet: Any, draft: Report, eventually: Eventually
) -> None:
    fleet.answering = False
    linked.say(draft, 10 * MOST_UNANSWERED)
    eventually(lambda: fleet.deliveries >= 2 * MOST_UNANSWERED, "the second round")
    assert len(fleet.received) == MOST_UNANSWERED  # the same ones again, no more of them
    assert len(linked.outbox) == 10 * MOST_UNANSWERED


def test_offers_come_through_and_nonsense_does_no_harm(
    linked: Linked, fleet: Any, draft: Report, eventually: Eventually
) -> None:
    linked.say(draft, 1)
    eventually(lambda: len(linked.outbox) == 0, "the link is up")
    for nonsense in (b"", b"\xc1", b"x" * 100_000, b"\x81\xa4type\xa5offer"):
        fleet.client.publish(down_topic("cam-1"), nonsense, 1)
    offer = Offer("r2", "http://127.0.0.1/releases/r2")
    fleet.say("cam-1", offer)
    eventually(lambda: linked.offers, "the offer")
    assert linked.offers == [offer]
    linked.say(draft, 1)
    eventually(lambda: len(linked.outbox) == 0, "the link still works")


def test_a_broker_that_is_not_there_is_no_error(offline: Identity, tmp_path: Path, draft: Report) -> None:
    linked = Linked(offline, tmp_path, Pace())
    linked.say(draft, 3)
    assert not linked.link.drained(1.0)
    linked.close()
    assert len(Outbox(tmp_path / "outbox.db")) == 3
