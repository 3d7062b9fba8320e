"""Integers that were learned are judged by samples that nothing was learned from, and are a recipe like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeml_compress.graph.layers import weights
from edgeml_compress.ladder.learned import EVERY, LEARNED, climb_learned, steady_samples
from edgeml_compress.ladder.setting import Ladders
from edgeml_compress.ladder.trials import Judge, Trials
from edgeml_compress.ladder.weights import FLOAT, HALF, WeightForm
from edgeml_compress.recipe import Recipe
from edgeml_compress.source import CalibrationData
from edgeml_targets.target import find_target

from .conftest import WIDE

MakeTrials = Callable[..., Trials]


@pytest.fixture(scope="module")
def trials(uneven: Path, trials_of: MakeTrials) -> Trials:
    return trials_of(uneven)


def test_a_form_with_learned_integers_holds_and_is_smaller_than_half_precision(trials: Trials) -> None:
    found = climb_learned(trials)
    assert found is not None and found.learned == LEARNED and trials.holds(found.trial)
    assert set(found.others) <= set(weights(trials.source.model)) and set(found.others.values()) - {HALF, FLOAT}


def test_it_is_a_recipe_that_makes_the_same_bit_for_bit(trials: Trials) -> None:
    recipe = WeightForm(FLOAT, {"w0": 32, "w1": HALF}, LEARNED).recipe()
    again = Recipe.from_toml(recipe.to_toml(), where="r.toml")
    assert again == recipe
    first, second = (trials.draft(r) for r in (recipe, again))
    assert first.encodings == second.encodings and set(first.encodings.tensors) == {"w0"}
    assert first.encodings.float16 == {"w1"}
    for name, weight in weights(first.model).items():
        np.testing.assert_array_equal(weight.values, weights(second.model)[name].values)
        moved = not np.array_equal(weight.values, weights(trials.source.model)[name].values)
        assert moved == (name == "w0")


def test_samples_that_half_precision_moves_are_told_apart(trials: Trials) -> None:
    judge = trials.judge
    off = {name: array.copy() for name, array in judge.reference.items()}
    off["y"][3] *= -1
    assert (~steady_samples(trials.judged_by(Judge(judge.samples, off, None)))).nonzero()[0].tolist() == [3]
    off["y"][: judge.count // 2] *= -1  # it is not the samples
    assert steady_samples(trials.judged_by(Judge(judge.samples, off, None))).all()


def test_what_was_learned_from_does_not_judge(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[Trials] = []
    monkeypatch.setattr("edgeml_compress.ladder.setting.climb_weights", lambda trials: WeightForm())
    monkeypatch.setattr("edgeml_compress.ladder.setting.climb_learned", judged.append)
    ranges = np.random.default_rng(2).standard_normal((40, WIDE)).astype(np.float32)
    validation = ranges[:8] + 1
    data = CalibrationData({"x": ranges}, {"x": validation}, {"x": validation})
    target = find_target("x86_64-onnxruntime")
    Ladders(trials.source, data, 1.0).of(target).form()
    seen = judged[0].judge.samples["x"]
    assert len(seen) == 8 + sum(index % EVERY != 0 for index in range(40))
    assert not any((seen == row).all(axis=1).any() for row in ranges[::EVERY])


def test_one_sample_that_draws_ranges_leaves_the_judging_to_validation(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Trials] = []
    monkeypatch.setattr("edgeml_compress.ladder.setting.climb_weights", lambda trials: WeightForm())
    monkeypatch.setattr("edgeml_compress.ladder.setting.climb_learned", judged.append)
    samples = np.random.default_rng(2).standard_normal((9, WIDE)).astype(np.float32)
    data = CalibrationData({"x": samples[:1]}, {"x": samples[1:]}, {"x": samples[1:]})
    Ladders(trials.source, data, 1.0).of(find_target("x86_64-onnxruntime")).form()
    assert judged[0].judge.count == 8
