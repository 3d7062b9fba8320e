"""The policy: a retrain when it can help, and not otherwise."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgeml.server.decide import NOTHING, Situation, next_step

DRIFT = Situation("Noise has drifted", labels=250, labels_needed=200, running=False, rolling_out=False, now=1000.0)


def test_drift_with_enough_labels_starts_a_retrain() -> None:
    step = next_step(DRIFT)
    assert step.retrain
    assert step.decision is not None
    assert (step.decision.kind, step.decision.figure) == ("retrain", "250 of 200 new labels")


def test_too_few_labels_are_said_with_the_count() -> None:
    step = next_step(replace(DRIFT, labels=120))
    assert not step.retrain
    assert step.decision is not None
    assert f"{step.decision.title}: {step.decision.figure}" == "The retrain waits for labels: 120 of 200 new labels"


def test_nothing_is_decided_without_an_alarm_during_a_retrain_or_during_a_rollout() -> None:
    for calm in (replace(DRIFT, asked_by=""), replace(DRIFT, running=True), replace(DRIFT, rolling_out=True)):
        assert next_step(calm) == NOTHING


def test_a_retrain_that_brought_nothing_is_not_repeated_with_the_same_labels() -> None:
    tried = replace(DRIFT, ended_at=900.0, labels_then=250, cool_down_s=30.0)
    assert not next_step(tried).retrain
    assert not next_step(replace(tried, labels=449)).retrain
    assert next_step(replace(tried, labels=450)).retrain


def test_new_labels_do_not_shorten_the_cool_down() -> None:
    tried = replace(DRIFT, labels=500, ended_at=990.0, labels_then=250, cool_down_s=30.0)
    step = next_step(tried)
    assert not step.retrain
    assert step.decision is not None
    assert step.decision.title == "The retrain waits"
    assert next_step(replace(tried, now=1020.0)).retrain


@given(
    st.builds(
        Situation,
        asked_by=st.sampled_from(["", "drift"]),
        labels=st.integers(0, 500),
        labels_needed=st.integers(1, 300),
        running=st.booleans(),
        rolling_out=st.booleans(),
        now=st.floats(0, 1e6),
        ended_at=st.none() | st.floats(0, 1e6),
        labels_then=st.integers(0, 500),
        cool_down_s=st.floats(0, 1e4),
    )
)
def test_a_retrain_starts_only_when_every_condition_holds(situation: Situation) -> None:
    if next_step(situation).retrain:
        assert situation.asked_by
        assert not situation.running
        assert not situation.rolling_out
        assert situation.labels - situation.labels_then >= situation.labels_needed
        assert situation.ended_at is None or situation.now >= situation.ended_at + situation.cool_down_s
