"""The cheap variants of a way to round: only those that have something to do, each with its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeml_compress import calibrate, prepare
from edgeml_compress.candidates import Rounding
from edgeml_compress.graph.running import open_session
from edgeml_compress.ladder import roundings
from edgeml_compress.ladder.roundings import WORTH_IT, Tried, _cost, try_observers
from edgeml_compress.ladder.trials import Judge, Trial, Trials
from edgeml_compress.ladder.variants import cheap_variants, corrected, titles
from edgeml_compress.passes import equalize_layers, gptq, halve_weights
from edgeml_compress.recipe import Recipe, Step
from edgeml_compress.source import Source
from edgeml_targets.target import Scheme

RNG = np.random.default_rng(5)
SCHEME = Scheme(operators=("Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"))
WEIGHTS = {
    "w1": (RNG.standard_normal((8, 3, 3, 3)) * 10 ** RNG.uniform(-1, 1, (8, 1, 1, 1))).astype(np.float32),
    "w2": RNG.standard_normal((8, 8, 3, 3)).astype(np.float32),
    "wf": RNG.standard_normal((8, 4)).astype(np.float32),
}
ROW = "a = Conv(x, w1) r = Relu(a) b = Conv(r, w2) s = Relu(b) p = GlobalAveragePool(s) f = Flatten(p) y = Gemm(f, wf)"
NO_ROW = "a = Conv(x, w1) r = Sigmoid(a) p = GlobalAveragePool(r) f = Flatten(p) t = Tanh(f) y = Gemm(t, wf)"


def images(seed: int) -> dict[str, np.ndarray]:
    """Of a seed each: what a test draws depends on no other test."""
    return {"x": np.random.default_rng(seed).uniform(0, 1, (32, 3, 12, 12)).astype(np.float32)}


@pytest.fixture
def source(graph, tmp_path):  # type: ignore[no-untyped-def]
    def make(body: str) -> Source:
        weights = {n: w for n, w in WEIGHTS.items() if n in body}
        model = prepare(graph(f"t (float[b, 3, 12, 12] x) => (float[b, 4] y) {{ {body} }}", weights), where="t").model
        samples = images(0)
        return Source(tmp_path / "t.onnx", model, {}, 1.0, calibrate(model, samples), samples)

    return make


def said(source: Source, rounding: Rounding, scheme: Scheme = SCHEME) -> list[tuple[str, ...]]:
    return [titles(found) for found in cheap_variants(source.draft(scheme), rounding)]


def test_a_network_without_layers_in_a_row_is_not_equalized(source) -> None:  # type: ignore[no-untyped-def]
    assert said(source(NO_ROW), Rounding("mse")) == [("biases corrected",)]


def test_each_variant_is_one_pass_further(source) -> None:  # type: ignore[no-untyped-def]
    found = source(ROW)
    first, *others = cheap_variants(found.draft(SCHEME), Rounding("mse"))
    assert titles(first) == ("biases corrected",) and [titles(o) for o in others] == [("channels equalized",)]
    assert said(found, first) == [("channels equalized", "biases corrected")]
    assert said(found, others[0]) == [("channels equalized", "biases corrected")]


@pytest.mark.parametrize(("per_channel", "by"), [(True, "activations"), (False, "weights")])
def test_it_equalizes_what_shares_a_scale(per_channel, by, source) -> None:  # type: ignore[no-untyped-def]
    scheme = Scheme(operators=SCHEME.operators, weights_per_channel=per_channel)
    found = cheap_variants(source(ROW).draft(scheme), Rounding("mse"))
    assert found[-1].before[0].params.by == by


def test_the_best_is_chosen_by_validation_and_is_one_of_the_corrected(source) -> None:  # type: ignore[no-untyped-def]
    found = source(ROW)
    samples = images(1)
    reference = {"y": open_session(found.model).run(None, samples)[0]}
    trials = Trials(found, SCHEME, Judge(samples, reference, None), max_drop=1.0)
    tried = try_observers(trials)
    assert [_cost(t) for t in tried] == sorted(_cost(t) for t in tried)
    plain = min(t.error for t in tried if not t.rounding.after and not t.rounding.before)
    assert tried[0].title.endswith("biases corrected") and tried[0].error < plain / 2
    made = tried[0].rounding.recipe()
    assert made.name == "int8" and made.steps[-1].name == "correct_biases"


def test_what_was_best_elsewhere_is_taken_over_where_to_try_all_is_dear(source, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    found = source(ROW)
    samples = images(1)
    trials = Trials(found, SCHEME, Judge(samples, {"y": open_session(found.model).run(None, samples)[0]}, None), 1.0)
    tried = try_observers(trials)
    winner = tried[0].rounding
    assert try_observers(trials, winner) == tried
    monkeypatch.setattr(roundings, "DEAR_PARAMETERS", 0)
    alone = next(t for t in tried if t.rounding == Rounding(winner.observer))
    assert try_observers(trials, winner) == [replace(tried[0], taken_over=True), alone]


def test_passes_before_the_rounding_must_take_a_twentieth_of_the_error() -> None:
    def cost(rounding: Rounding, error: float) -> float:
        return _cost(Tried(rounding, Trial(cosine=1.0, error=error)))

    eased = Rounding("mse", before=(Step("equalize_layers", equalize_layers.Params()),))
    assert cost(eased, 0.99 * WORTH_IT) < cost(Rounding("mse"), 1.0) < cost(eased, 1.01 * WORTH_IT)


def test_what_was_best_elsewhere_is_not_taken_over_where_it_had_no_passes_or_they_do_not_pay(
    source, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(roundings, "DEAR_PARAMETERS", 0)
    found = source(ROW)
    samples = images(1)
    trials = Trials(found, SCHEME, Judge(samples, {"y": open_session(found.model).run(None, samples)[0]}, None), 1.0)
    tried = try_observers(trials)
    halved = Rounding("minmax", after=(Step("halve_weights", halve_weights.Params(names=())),))  # changes nothing
    assert try_observers(trials, Rounding("mse")) == try_observers(trials, halved) == tried


def test_a_way_to_round_is_read_from_its_recipe_and_no_other() -> None:
    eased = Step("equalize_layers", equalize_layers.Params())
    for rounding in (Rounding("mse"), Rounding("entropy", before=(eased,)), corrected(Rounding("minmax"))):
        assert Rounding.read(rounding.recipe()) == rounding
    half = Recipe("float16", (Step("halve_weights", halve_weights.Params()),))
    some = Recipe("int8", (Rounding("mse").of(["a"]),))
    assert Rounding.read(half) is Rounding.read(some) is Rounding.read(Recipe("none")) is None
    learned, twice = Step("gptq", gptq.Params()), Rounding("mse").recipe().steps
    for foreign in (Rounding("mse", before=(learned,)), Rounding("mse", after=twice), Rounding("unheard_of")):
        assert Rounding.read(foreign.recipe()) is None
