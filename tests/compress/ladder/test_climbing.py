"""Weights take the smallest form that holds, layers become integers as far as the answers allow, and a recipe says it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeml_compress.candidates import Rounding, recipes, static_int8
from edgeml_compress.graph.layers import weights
from edgeml_compress.ladder.climb import AS_GOOD, Climbed, climb, climb_on
from edgeml_compress.ladder.layers import climb_layers, mixture
from edgeml_compress.ladder.loudness import loudness, worst_error
from edgeml_compress.ladder.roundings import Tried, next_best
from edgeml_compress.ladder.setting import Ladder
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.ladder.variants import corrected
from edgeml_compress.ladder.weights import CHANNEL, HALF, WeightForm, climb_weights
from edgeml_compress.layerwise.simulation import on_grid
from edgeml_compress.passes import equalize_layers
from edgeml_compress.recipe import Recipe, Step, apply

from .conftest import LAYERS, LOUD

MakeTrials = Callable[..., Trials]
NODES = tuple(f"product{i}" for i in range(LAYERS))


@pytest.fixture(scope="module")
def trials(uneven: Path, trials_of: MakeTrials) -> Trials:
    return trials_of(uneven)


def test_weights_that_a_scale_a_channel_holds_take_one(even: Path, trials_of: MakeTrials) -> None:
    found = climb_weights(trials_of(even))
    assert (found.block, found.others) == (CHANNEL, {})


def test_a_row_that_stands_out_asks_for_blocks(trials: Trials) -> None:
    assert not trials.holds(trials.trial(WeightForm(CHANNEL).recipe()))
    found = climb_weights(trials)
    assert found.block == 32 and trials.holds(found.trial)


def test_without_blocks_the_loud_weight_alone_takes_half_precision(uneven: Path, trials_of: MakeTrials) -> None:
    found = climb_weights(trials_of(uneven, "x86_64-litert"))
    assert (found.block, found.others) == (CHANNEL, {f"w{LOUD}": HALF})


def test_the_loudest_weight_costs_most(trials: Trials) -> None:
    encodings, known = trials.draft(WeightForm(CHANNEL).recipe()).encodings.tensors, weights(trials.source.model)
    rounded = {name: on_grid(encodings[name], weight.values) for name, weight in known.items()}
    found = loudness(trials.source.model, rounded, trials.judge.first(4).samples)
    assert max(found, key=found.__getitem__) == f"w{LOUD}" and all(0 < error < 2 for error in found.values())


def test_the_worst_sample_counts_and_what_is_not_finite_most() -> None:
    expected = {"y": np.ones((3, 16), np.float32)}
    assert worst_error(expected, {"y": expected["y"] * np.array([[1], [1.5], [1]])}) == pytest.approx(0.5)
    assert worst_error(expected, {"y": expected["y"] * np.array([[1], [np.nan], [1]])}) == np.inf


def test_layers_become_integers_but_the_one_that_does_harm(trials: Trials) -> None:
    form, rounding = WeightForm(32), Rounding("minmax")
    order = [f"product{LOUD}", *(n for n in NODES if n != f"product{LOUD}")]  # alone, it looked quiet
    found = climb_layers(trials, lambda nodes: mixture(trials.source.model, form, nodes, rounding), order)
    assert {"product0", "product3"} <= set(found[0].nodes) and f"product{LOUD}" not in found[0].nodes
    assert all(trials.holds(m.trial) for m in found)
    assert [len(m.nodes) for m in found] == sorted((len(m.nodes) for m in found), reverse=True)


def test_a_mixture_is_data(trials: Trials) -> None:
    form = WeightForm(32, {"w0": HALF, "w1": 16})
    recipe = mixture(trials.source.model, form, ["product0", "product3"], Rounding("mse"))
    assert Recipe.from_toml(recipe.to_toml(), where="r.toml") == recipe
    encodings = trials.draft(recipe).encodings
    assert {n: encodings.tensors[n].block for n in ("w0", "w1", "w2", "w3")} == {
        "w0": None,
        "w1": 16,
        "w2": 32,
        "w3": None,
    }
    assert encodings.float16 == frozenset() and {"x", "p3"} & set(encodings.tensors)


def test_where_full_int8_holds_the_ladder_ends(even: Path, trials_of: MakeTrials) -> None:
    trials = trials_of(even)
    rounding = Rounding("minmax")
    tried = (Tried(rounding, trials.trial(rounding.recipe())),)

    def never() -> WeightForm:
        raise AssertionError("the weights were climbed")

    found = climb(Ladder(trials, tried, trials.judge.count, never), clock=None)
    assert found.recipes == recipes(static_int8("minmax")) and found.form is None and found.mixture is None


def test_where_it_does_not_the_rungs_become_candidates(trials: Trials) -> None:
    rounding = Rounding("minmax")
    tried = (Tried(rounding, trials.trial(rounding.recipe())),)
    found = climb(Ladder(trials, tried, trials.judge.count, lambda: climb_weights(trials)), clock=None)
    assert found.form is not None and found.mixture is not None
    assert {"product0", "product3"} <= set(found.mixture.nodes) and f"product{LOUD}" not in found.mixture.nodes
    assert [r.name for r in found.recipes] == ["int8", "int8-mixed", "int8-dynamic", "int8-weight-only", "float16"]
    assert {c.node for c in found.costs} == set(NODES)


@pytest.fixture
def ended(even: Path, trials_of: MakeTrials) -> tuple[Ladder, Climbed]:
    """Return a ladder that ended at full int8, and where it did."""
    trials = trials_of(even)
    ways = [Rounding("minmax"), Rounding("minmax", after=corrected(Rounding("minmax")).after), Rounding("mse")]
    first = trials.trial(ways[0].recipe())
    tried = tuple(
        Tried(way, replace(first, error=first.error * worse)) for way, worse in zip(ways, (1, 1, 1.2), strict=True)
    )
    ladder = Ladder(trials, tried, trials.judge.count, lambda: climb_weights(trials))
    return ladder, climb(ladder, clock=None)


def test_where_held_back_samples_refuse_full_int8_the_ladder_goes_on(ended: tuple[Ladder, Climbed]) -> None:
    ladder, before = ended
    found = climb_on(ladder, before, by_estimate=True)
    assert [r.name for r in found.recipes][:3] == ["int8", "int8-mse", "int8-mixed"]
    assert found.recipes[1].steps == static_int8("mse").steps and found.recipes[0] == before.recipes[0]
    assert found.mixture is not None and ladder.trials.holds(found.mixture.trial)
    loudest = found.costs[-1].node
    assert loudest not in found.mixture.nodes and len(found.mixture.nodes) == int(0.75 * LAYERS)


def test_full_int8_that_is_refused_for_sure_is_not_rounded_another_way(ended: tuple[Ladder, Climbed]) -> None:
    ladder, before = ended
    found = climb_on(ladder, before, by_estimate=False)
    assert found.other is None and found.mixture is not None
    assert climb_on(ladder, found, by_estimate=False) is found


def test_a_way_to_round_that_is_clearly_worse_is_no_other_way(ended: tuple[Ladder, Climbed]) -> None:
    ladder, before = ended
    first, *others = ladder.tried
    worse = [replace(t, trial=replace(t.trial, error=first.error * AS_GOOD * 1.01)) for t in others]
    found = climb_on(replace(ladder, tried=(first, *worse)), before, by_estimate=True)
    assert found.other is None


def test_biases_of_the_other_way_are_corrected_where_those_of_the_best_are(ended: tuple[Ladder, Climbed]) -> None:
    ladder, _ = ended
    minmax, again, mse = ladder.tried
    other = next_best(ladder.trials, (again, mse), most=np.inf)
    assert other is not None and (other.observer, other.error) == ("mse", min(other.error, mse.error))
    shifted = replace(mse, trial=replace(mse.trial, error=np.inf))
    other = next_best(ladder.trials, (again, shifted), most=np.inf)
    assert other is not None and other.rounding == corrected(mse.rounding) and other.error < 0.1
    assert next_best(ladder.trials, (minmax, shifted), most=2) is None


def test_where_the_best_way_was_taken_over_the_others_are_tried_then(ended: tuple[Ladder, Climbed]) -> None:
    ladder, _ = ended
    first = replace(ladder.tried[0], taken_over=True)
    other = next_best(ladder.trials, (first,), most=np.inf)
    assert other is not None and other.observer != first.observer
    assert next_best(ladder.trials, ladder.tried[:1], most=np.inf) is None


def test_a_recipe_that_fails_early_is_not_run_on_the_rest(trials: Trials) -> None:
    rounding = Rounding("minmax").recipe()
    early, whole = trials.trial(rounding), trials.whole(trials.draft(rounding))
    assert early.cosine >= whole.cosine and not trials.holds(early) and not trials.holds(whole)
    held = WeightForm(32).recipe()
    assert trials.trial(held) == trials.whole(trials.draft(held))


def test_what_eases_rounding_is_done_once(trials: Trials) -> None:
    eased = Rounding("minmax", before=(Step("equalize_layers", equalize_layers.Params()),))
    recipes_of = [mixture(trials.source.model, WeightForm(32), nodes, eased) for nodes in (NODES[:1], NODES[:2])]
    first, second = (trials.draft(recipe) for recipe in recipes_of)
    assert first.calibration is second.calibration
    assert first.encodings == apply(recipes_of[0], trials.source.draft(trials.scheme)).encodings
