"""Judging: quiet spans raise no alarm, drift is found in two spans, and how windows were pooled changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.project import Fleet
from edgeml.server.judge import GROUPS, HISTORY_FACTOR, Effect, Judgement, alarming, effect_of, fits, group, judge

FLEET = Fleet()
TARGET = "x86_64-onnxruntime"


@pytest.mark.parametrize("seed", range(4))
def test_quiet_spans_raise_no_alarm(seed: int, request: pytest.FixtureRequest) -> None:
    """2,000 spans in all, against 20 references of 500 samples: a reference is a sample, too."""
    world = type(request.getfixturevalue("world"))(seed)
    for _ in range(5):
        references = {TARGET: world.fit(500)}
        world.reference = references[TARGET]
        history: list[Mapping[str, Effect]] = []
        newest_first: list[frozenset[str]] = []
        for _ in range(100):
            found = judge([world.window(int(world.rng.integers(100, 151)))], references, history, FLEET)
            newest_first.insert(0, found.hits)
            history += [] if found.hits else [found.effects]
            assert not alarming(newest_first, FLEET.drift_hits)
        assert sum(map(bool, newest_first)) <= 5  # single hits: 0.3 % of 6,000 spans; a bare 0.1 is passed by 37 %


def test_a_shift_like_the_demos_is_found_in_two_spans_every_time(world: Any) -> None:
    for _ in range(20):
        world.reference = world.fit(500)
        spans = [judge([world.window(100, shift=1.0)], {TARGET: world.reference}, [], FLEET) for _ in range(2)]
        assert alarming([s.hits for s in reversed(spans)], FLEET.drift_hits)


def test_a_shift_that_the_mean_confidence_does_not_show_is_found_by_a_feature(world: Any) -> None:
    found = judge([world.window(100, shift=0.5)], {TARGET: world.reference}, [], FLEET)
    assert found.hits & {"noise", "contrast", "distance"}
    assert "confidence" not in found.hits


def test_many_unknown_inputs_are_a_hit_by_themselves(world: Any) -> None:
    window = world.window(120)
    found = judge([msgspec.structs.replace(window, unknown=60)], {TARGET: world.reference}, [], FLEET)
    assert (found.unknown_share, found.verdict) == (0.5, "drifted")
    assert found.hits == {"unknown"}


def test_windows_pooled_are_one_long_window(world: Any) -> None:
    windows = [world.window(40, device=f"d{i}") for i in range(5)]
    pooled = judge(windows, {TARGET: world.reference}, [], FLEET)
    again = judge(windows[::-1], {TARGET: world.reference}, [], FLEET)
    assert (pooled.windows, pooled.answers) == (5, 200)
    assert pooled.effects == pytest.approx(again.effects)


def test_targets_that_answer_differently_are_each_held_against_their_own_reference(world: Any) -> None:
    """Half of the fleet's artifacts answer class 0 alone, and are known to: no drift, whatever the shares of answers."""
    other = msgspec.structs.replace(world.reference, classes=(500, *(0,) * 9))
    references = {TARGET: world.reference, "other": other}
    windows = [
        world.window(300),
        msgspec.structs.replace(world.window(100), target="other", classes=(100, *(0,) * 9)),
    ]
    assert judge(windows, references, [], FLEET).verdict == "quiet"
    assert judge(windows, {TARGET: world.reference, "other": world.reference}, [], FLEET).hits == {"classes"}


def test_a_window_counted_in_other_bins_is_left_out(world: Any) -> None:
    stranger = msgspec.structs.replace(
        world.window(), distance=msgspec.structs.replace(world.window().distance, first=77)
    )
    assert not fits(stranger, world.reference)
    assert judge([world.window(), stranger], {TARGET: world.reference}, [], FLEET).windows == 1
    with pytest.raises(ValueError, match="no window fits"):
        judge([stranger], {TARGET: world.reference}, [], FLEET)


def test_the_index_has_the_mean_and_deviation_that_its_source_gives() -> None:
    """Yurdakul and Naranjo 2020: chi-square with groups - 1 degrees of freedom, times 1/n + 1/m; 10 groups, n 120, m 500."""
    rng = np.random.default_rng(0)
    share = np.full(GROUPS, 1 / GROUPS)
    found = [effect_of(rng.multinomial(120, share), rng.multinomial(500, share), 500) for _ in range(4000)]
    effects, deviations = np.array([f for f in found if f is not None]).T
    assert abs(effects.mean()) < 0.1 * deviations[0]
    assert 0.85 < effects.std() / deviations[0] < 1.15


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40).filter(any))
def test_groups_hold_every_bin_once_and_a_tenth_of_the_mass_each(counts: list[int]) -> None:
    groups = group(np.asarray(counts, float))
    assert [i for g in groups for i in range(g.start, g.stop)] == list(range(len(counts)))
    assert len(groups) <= GROUPS
    assert all(sum(counts[g]) >= sum(counts) / GROUPS - 1e-9 for g in groups)


def test_the_limit_rises_with_the_releases_own_history_but_not_without_bound(world: Any) -> None:
    window = world.window(150)
    plain = judge([window], {TARGET: world.reference}, [], FLEET)
    quiet = [{name: Effect(0.15, 0.2) for name in plain.effects}] * 5
    wild = [{name: Effect(5.0, 0.2) for name in plain.effects}] * 5
    limits = [
        judge([window], {TARGET: world.reference}, h, FLEET).effects["noise"].limit for h in (quiet, wild, quiet[:4])
    ]
    assert limits == pytest.approx([0.3, HISTORY_FACTOR * 0.2, 0.2])


def test_an_alarm_needs_the_same_feature_in_each_span() -> None:
    noise, contrast = frozenset({"noise"}), frozenset({"contrast"})
    assert alarming([noise, contrast], 2) == frozenset()
    assert alarming([noise], 2) == frozenset()
    assert alarming([noise | contrast, noise, frozenset()], 2) == noise


def test_what_is_worst_is_judged_against_its_own_limit() -> None:
    effects = {"a": Effect(0.5, 1.0), "b": Effect(0.3, 0.2)}
    found = Judgement(windows=1, answers=100, effects=effects, unknown_share=0.0, unknown_limit=0.3)
    assert (found.worst, found.hits) == ("b", {"b"})
