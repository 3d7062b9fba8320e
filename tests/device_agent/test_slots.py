"""The journal: whatever happens in whatever order, the active slot holds a release that was good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.slots import (
    MOST_REJECTED,
    MOST_TRIALS,
    NEXT,
    OTHER,
    Event,
    Journal,
    State,
    advance,
    after,
    install,
    load_slot,
    read_journal,
)
from edgeml_targets.contract.errors import EdgemlError

TARGET = "x86_64-onnxruntime"


@pytest.mark.parametrize(("state", "event"), [(s, e) for s in State for e in Event if (s, e) not in NEXT])
def test_every_other_order_is_refused_and_changes_nothing(tmp_path: Path, state: State, event: Event) -> None:
    file = tmp_path / "journal.json"
    with pytest.raises(ValueError, match=f"{event.value} cannot follow {state.value}"):
        advance(file, Journal(release="r1", state=state, offered="r2"), event)
    assert not file.exists()


class Updates(RuleBasedStateMachine):
    """An updater in the abstract: what the two slots hold, beside what the journal says of them."""

    @initialize()
    def flashed(self) -> None:
        self.journal = Journal(release="r1")
        self.holds = {"a": ("r1", "good"), "b": ("", "nothing")}
        self.number = 1

    def step(self, event: Event, offered: str = "") -> None:
        self.journal = after(self.journal, event, offered=offered)

    @property
    def other(self) -> str:
        return OTHER[self.journal.active]

    @precondition(lambda self: self.journal.state is State.IDLE)
    @rule()
    def fetched(self) -> None:
        self.number += 1
        self.step(Event.FETCHED, f"r{self.number}")
        self.holds[self.other] = (self.journal.offered, "half written")

    @precondition(lambda self: self.journal.state is State.UNPACKING)
    @rule()
    def unpacked(self) -> None:
        self.holds[self.other] = (self.journal.offered, "whole")
        self.step(Event.VERIFIED)

    @precondition(lambda self: self.journal.state is State.UNPACKING)
    @rule()
    def refused(self) -> None:
        self.step(Event.REFUSED)

    @precondition(lambda self: self.journal.state is State.TRYING)
    @rule()
    def healthy(self) -> None:
        self.holds[self.other] = (self.journal.offered, "good")
        self.step(Event.HEALTHY)

    @precondition(lambda self: self.journal.state is State.TRYING)
    @rule()
    def unhealthy(self) -> None:
        name = self.journal.offered
        self.step(Event.UNHEALTHY)
        assert self.journal.rejected[-1] == name

    @precondition(lambda self: self.journal.state is State.COMMITTING)
    @rule()
    def committed(self) -> None:
        name = self.journal.offered
        self.step(Event.COMMITTED)
        assert self.journal.release == name

    @precondition(lambda self: self.journal.state is not State.IDLE)
    @rule(cleanly=st.booleans())
    def power_cut(self, cleanly: bool) -> None:
        before = self.journal
        if before.state is State.COMMITTING:
            self.step(Event.COMMITTED)
        else:
            self.step(Event.STOPPED if cleanly else Event.CUT)
            assert self.journal.active == before.active
        self.journal = msgspec.json.decode(msgspec.json.encode(self.journal), type=Journal)

    @precondition(lambda self: self.journal.state is State.IDLE and self.journal.previous)
    @rule()
    def broken(self) -> None:
        self.holds[self.journal.active] = (self.journal.release, "broken")
        self.step(Event.BROKEN)

    @invariant()
    def the_active_slot_holds_a_good_release(self) -> None:
        assert self.holds[self.journal.active] == (self.journal.release, "good")

    @invariant()
    def the_one_before_it_is_good_or_not_named(self) -> None:
        if self.journal.previous:
            assert self.holds[self.other] == (self.journal.previous, "good")

    @invariant()
    def only_an_update_under_way_names_an_offer(self) -> None:
        assert bool(self.journal.offered) == (self.journal.state is not State.IDLE)
        assert len(self.journal.rejected) <= MOST_REJECTED


TestUpdates = Updates.TestCase
TestUpdates.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_release_whose_trial_is_cut_off_again_and_again_is_rejected() -> None:
    journal = Journal(release="r1")
    for times in range(1, MOST_TRIALS + 1):
        for event in (Event.FETCHED, Event.VERIFIED, Event.CUT):
            journal = after(journal, event, offered="r2")
        assert ("r2" in journal.rejected) == (times == MOST_TRIALS)


def test_installing_again_takes_the_other_slot_and_leaves_nothing_of_the_failed(
    tmp_path: Path, pack: Callable[..., Path]
) -> None:
    folder = DeviceFolder(tmp_path)
    install(tmp_path, pack(), release="r1", target=TARGET)
    with pytest.raises(EdgemlError, match="no bundle"):
        install(tmp_path, Path(__file__), release="r2", target=TARGET)
    assert read_journal(folder.journal) == Journal(release="r1", active="a")
    install(tmp_path, pack("m2"), release="r2", target=TARGET)
    journal = read_journal(folder.journal)
    assert (journal.active, journal.release) == ("b", "r2")
    assert load_slot(folder, "b").manifest.model == "m2"


def test_a_bundle_for_another_target_is_not_installed(tmp_path: Path, pack: Callable[..., Path]) -> None:
    with pytest.raises(EdgemlError, match="made for raspberrypi5-onnxruntime, this is x86_64-onnxruntime"):
        install(tmp_path, pack(target="raspberrypi5-onnxruntime"), release="r1", target=TARGET)
    assert not DeviceFolder(tmp_path).journal.exists()
