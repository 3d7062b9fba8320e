"""What recipes begin with alike is made once, and what a recipe makes does not depend on what was made before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeml_compress.candidates import Rounding, static_int8
from edgeml_compress.ladder import drafts
from edgeml_compress.ladder.drafts import Drafts
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.ladder.variants import corrected
from edgeml_compress.passes import Draft
from edgeml_compress.recipe import Recipe, apply


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of each pass that is applied."""
    names: list[str] = []

    def noting(recipe: Recipe, draft: Draft) -> Draft:
        names.extend(step.name for step in recipe.steps)
        return apply(recipe, draft)

    monkeypatch.setattr(drafts, "apply", noting)
    return names


def test_a_beginning_is_made_once(even: Path, trials_of: Callable[..., Trials], applied: list[str]) -> None:
    trials = trials_of(even)
    found = Drafts(trials.source, trials.scheme)
    first, second = (found.of(static_int8(observer)) for observer in ("minmax", "mse"))
    third = found.of(corrected(Rounding("mse")).recipe())
    assert applied == ["quantize_weights", "static_activations", "static_activations", "correct_biases"]
    assert found.of(corrected(Rounding("mse")).recipe()) is third and len(applied) == 4
    for draft, observer in ((first, "minmax"), (second, "mse")):
        assert draft.encodings == apply(static_int8(observer), trials.source.draft(trials.scheme)).encodings


def test_few_are_kept_and_those_asked_for_last(
    even: Path, trials_of: Callable[..., Trials], applied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "MOST_KEPT", 2)
    trials = trials_of(even)
    found = Drafts(trials.source, trials.scheme)
    for observer in ("minmax", "mse", "mse", "minmax"):
        found.of(static_int8(observer))
    assert applied == ["quantize_weights", *["static_activations"] * 3]


def test_trials_by_another_judge_know_what_was_made(even: Path, trials_of: Callable[..., Trials]) -> None:
    trials = trials_of(even)
    draft = trials.draft(static_int8("minmax"))
    assert trials.judged_by(trials.judge.first(4)).draft(static_int8("minmax")) is draft
