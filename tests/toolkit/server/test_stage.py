"""The stages of a rollout: each wrong order is refused, and no device is ever left without something to run."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.gates.canary_healthy import CanaryEvidence
from edgeml.project import Fleet
from edgeml.server.stage import (
    NEXT,
    Event,
    Member,
    Rollout,
    Stage,
    begin,
    canary_rows,
    choose_canaries,
    desired,
    number_of,
    settled,
    step,
    too_many_failed,
    way_back,
)

FLEET = Fleet()
members = st.lists(
    st.builds(
        Member,
        device=st.integers(0, 10**6).map(str),
        target=st.sampled_from(["pi", "x86", "jetson"]),
        runs=st.sampled_from([None, "r1", "r2"]),
        alive=st.booleans(),
        failed=st.booleans(),
        covered=st.booleans(),
    ),
    max_size=30,
    unique_by=lambda m: m.device,
)


@pytest.mark.parametrize(("stage", "event"), list(itertools.product(Stage, Event)))
def test_only_what_is_listed_can_follow(stage: Stage, event: Event) -> None:
    rollout = Rollout("r2", "r1", stage, ("a",), resumes=Stage.CANARY if stage is Stage.PAUSED else None)
    if (stage, event) in NEXT or (stage, event) == (Stage.PAUSED, Event.RESUME):
        assert step(rollout, event).stage is NEXT.get((stage, event), Stage.CANARY)
    else:
        with pytest.raises(ValueError, match="cannot follow"):
            step(rollout, event)


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.FLEET])
def test_a_paused_rollout_goes_on_where_it_was(stage: Stage) -> None:
    rollout = Rollout("r2", "r1", stage, ("a",))
    assert step(step(rollout, Event.PAUSE), Event.RESUME) == rollout


@given(members)
def test_a_rollout_begins_with_canaries_unless_nothing_runs(fleet: list[Member]) -> None:
    rollout = begin("r3", "r1", fleet, FLEET)
    able = {m.device for m in fleet if m.runs and m.alive and m.covered}
    assert set(rollout.canaries) <= able
    assert (rollout.stage is Stage.CANARY) == bool(able)
    assert len(rollout.canaries) == (max(1, -(-len(able) // 10)) if able else 0)  # canary_share is 0.1


def test_canaries_are_spread_over_targets() -> None:
    fleet = [Member(f"pi-{i}", "pi", "r1", True) for i in range(6)] + [Member("jet", "jetson", "r1", True)]
    assert choose_canaries(fleet, 0.25) == ("pi-0", "jet")


def test_during_the_canary_nobody_else_is_offered_the_release() -> None:
    rollout = Rollout("r2", "r1", Stage.CANARY, ("a",))
    a, b = Member("a", "pi", "r1", True), Member("b", "pi", "r1", True)
    assert (desired(rollout, a), desired(rollout, b)) == ("r2", "r1")
    assert desired(step(rollout, Event.HEALTHY), b) == "r2"


def test_an_aborted_rollout_takes_everybody_back() -> None:
    rollout = step(Rollout("r2", "r1", Stage.FLEET), Event.FAILED)
    assert {desired(rollout, Member(d, "pi", runs, True)) for d, runs in (("a", "r2"), ("b", "r1"))} == {"r1"}


def test_while_it_is_paused_who_runs_the_release_keeps_it_and_nobody_new_gets_it() -> None:
    paused = step(Rollout("r2", "r1", Stage.FLEET), Event.PAUSE)
    assert desired(paused, Member("a", "pi", "r2", True)) == "r2"
    assert desired(paused, Member("b", "pi", "r1", True)) == "r1"


@given(members, st.sampled_from(Stage))
def test_a_device_that_failed_is_never_offered_the_release_again(fleet: list[Member], stage: Stage) -> None:
    rollout = Rollout("r3", "r1", stage, tuple(m.device for m in fleet), resumes=Stage.FLEET)
    assert all(desired(rollout, m) == "r1" for m in fleet if m.failed and m.covered)


def test_silent_devices_do_not_hold_a_rollout_up_but_live_ones_do() -> None:
    rollout = Rollout("r2", "r1", Stage.FLEET)
    there, silent, slow = (
        Member("a", "pi", "r2", True),
        Member("b", "pi", "r1", False),
        Member("c", "pi", "r1", True),
    )
    assert settled(rollout, [there, silent])
    assert not settled(rollout, [there, slow])
    assert settled(rollout, [])


def test_who_could_not_take_it_up_yet_does_not_hold_a_rollout_up_and_is_still_offered_it() -> None:
    rollout, full = Rollout("r2", "r1", Stage.FLEET), Member("a", "pi", "r1", True, postponed=True)
    assert settled(rollout, [full])
    assert desired(rollout, full) == "r2"
    assert not too_many_failed([full])


@given(st.lists(st.integers(1, 6), max_size=12))
def test_the_way_back_leads_only_over_older_releases_that_ran_to_the_present_one(ran: list[int]) -> None:
    done = [f"r{number}" for number in ran]
    path = way_back(done)
    assert path[-1:] == done[-1:]
    assert [number_of(release) for release in path] == sorted({number_of(release) for release in path})
    for release in path[:-1]:  # since it ran last, nothing older did: it was never gone back from
        last = len(done) - 1 - done[::-1].index(release)
        assert all(number_of(later) >= number_of(release) for later in done[last:])


def test_one_failing_device_is_its_own_fault_a_fifth_of_the_fleet_is_the_releases() -> None:
    def fleet(failed: int, of: int) -> list[Member]:
        return [Member(str(i), "pi", "r1", True, failed=i < failed) for i in range(of)]

    assert not too_many_failed(fleet(1, 2))
    assert not too_many_failed(fleet(20, 100))
    assert too_many_failed(fleet(21, 100))
    assert too_many_failed(fleet(2, 3))


def test_a_canarys_gates_tell_what_is_still_awaited_and_what_broke() -> None:
    evidence = CanaryEvidence(
        release="r2",
        devices=("a", "b"),
        answers=120,
        errors=6,
        unknown_share=0.04,
        p99_of_budget=1.2,
        self_test_passed=True,
    )
    rows = {row.name: row for row in canary_rows(evidence, 1, FLEET)}
    assert {name: row.status for name, row in rows.items()} == {
        "self-test": "run",
        "answers": "run",
        "errors": "bad",
        "unknown": "ok",
        "p99 latency": "bad",
    }
    assert (rows["answers"].value, rows["answers"].limit) == ("120", "200 needed")
