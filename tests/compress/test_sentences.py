"""What is said reads as people speak: gains are gains, one thing is one, and no line grows with the number of targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml_bench import Accuracy, Drop
from edgeml_compress.candidates import Rounding
from edgeml_compress.judging.choice import Choice, Limits
from edgeml_compress.judging.fidelity import Fidelity
from edgeml_compress.judging.judge import Figures, Outcome
from edgeml_compress.ladder.climb import Climbed
from edgeml_compress.ladder.layers import Mixture
from edgeml_compress.ladder.learned import LEARNED
from edgeml_compress.ladder.roundings import Tried
from edgeml_compress.ladder.trials import Trial
from edgeml_compress.ladder.weights import CHANNEL, FLOAT, HALF, WeightForm
from edgeml_compress.making import Made
from edgeml_compress.recipe import Recipe
from edgeml_compress.sentences import changed, climbed, counted, measured, notes, ranges


def figures(name: str, right: int, samples: int, drop: Drop | None = None) -> Figures:
    return Figures(Made(name, Path(f"{name}.onnx")), 1000, Fidelity(0.999, 0), Accuracy(right, samples), drop)


def told(drop: Drop, samples: int, max_drop: float) -> str:
    """Return the note of a target that takes int8, whose accuracy changed so."""
    outcome = Outcome((figures("float32", samples, samples), figures("int8", samples, samples, drop)))
    (note,) = notes("kws", Choice("int8", "the fastest within the budget"), outcome, (), Limits(max_drop))
    return note


def test_a_gain_is_no_negative_loss() -> None:
    note = told(Drop(-0.3, -1.7, 0.8), samples=333, max_drop=0.5)
    assert note == (
        "333 held-back samples are too few to be sure of the budget: 0.3 points gained, by the 95 % interval up to 0.8 points "
        "lost, 0.5 allowed (insufficient evidence)."
    )
    assert "1 held-back sample is too few" in told(Drop(0.0, -90.0, 90.0), samples=1, max_drop=1)


@pytest.mark.parametrize(("drop", "told"), [(Drop(2.0, -0.9, 6.1), True), (Drop(9.0, 4.0, 15.0), False)])
def test_full_int8_that_an_estimate_alone_refuses_is_told(drop: Drop, told: bool) -> None:
    taken = figures("int8-weight-only", 100, 100, Drop(0.0, -0.2, 0.3))
    outcome = Outcome((figures("float32", 100, 100), figures("int8", 98, 100, drop), taken))
    found = notes("kws", Choice("int8-weight-only", "the fastest within the budget"), outcome, (), Limits(1.0))
    expected = (
        "int8 is over the budget by an estimate alone: 2.0 points lost, by the 95 % interval from 0.9 points gained to 6.1 points "
        "lost (insufficient evidence); more samples would tell."
    )
    assert (expected in found) is told


def test_that_full_int8_was_tried_another_way_is_told() -> None:
    other = figures("int8-mse", 100, 100, Drop(0.0, -0.2, 0.3))
    refused = figures("int8", 98, 100, Drop(2.0, -0.9, 6.1))
    outcome = Outcome((figures("float32", 100, 100), refused, other))
    *_, note = notes("kws", Choice("int8-mse", "the fastest within the budget"), outcome, (), Limits(1.0))
    assert note.startswith("int8-mse is int8 rounded another way") and "a little better than it is" in note
    ways = [
        Tried(Rounding(name), Trial(cosine=0.99, error=error)) for name, error in (("entropy", 0.01), ("mse", 0.011))
    ]
    *_, step = climbed(Climbed(tuple(ways), other=ways[1]), samples=48)
    assert step.what == "Rounded all layers another way, too: by least squared error" and step.effect == "error 1.1 %"
    mixture = Mixture(Recipe("int8-mixed"), ("a", "b"), Trial(cosine=0.99, error=0.01))
    whys = [climbed(Climbed((), mixture=mixture, refused=on), samples=48)[0].why for on in (True, False)]
    assert whys[0].startswith("With all of them held-back samples refused it") and whys[1].startswith(
        "With more of them"
    )


def test_candidates_that_held_back_samples_asked_for_are_counted() -> None:
    outcome = Outcome((figures("float32", 100, 100),))
    assert measured([outcome], 100, more=2) == "100 held-back samples, which asked for 2 more candidates; no latency"
    assert measured([outcome], 1) == "1 held-back sample; no latency"


def test_a_float_model_that_guesses_is_told_first() -> None:
    outcome = Outcome((figures("float32", 9, 100),), notes=("last",), worthless=("check labels",))
    assert notes("kws", Choice("float32", "the fastest"), outcome, (), Limits(1.0))[0] == "check labels"


@pytest.mark.parametrize(
    ("drop", "said"), [(0.64, "0.6 points lost"), (-0.3, "0.3 points gained"), (-0.01, "0.0 points lost")]
)
def test_points_have_no_sign(drop: float, said: str) -> None:
    assert changed(drop) == said


def test_one_is_one() -> None:
    assert (counted(1, "layer"), counted(2000, "layer")) == ("1 layer", "2,000 layers")


def test_the_line_of_the_calibration_is_short_whatever_the_number_of_schemes() -> None:
    ways = [Rounding("minmax"), Rounding("mse"), Rounding("mse"), Rounding("entropy")]
    assert ranges(ways[1:3]) == "ranges by least squared error" and ranges(ways) == "ranges drawn in 3 ways"


def test_forms_of_weights_are_told_with_their_counts() -> None:
    (step,) = climbed(Climbed((), WeightForm(32, {"a": CHANNEL, "b": HALF, "c": HALF})), samples=48)
    assert step.what == "Stored most weights in blocks of 32, 1 with one scale a channel, 2 in half precision"
    (step,) = climbed(Climbed((), WeightForm(CHANNEL)), samples=48)
    assert step.what == "Stored the weights with one scale a channel"
    learned = WeightForm(FLOAT, {"a": 32, "b": HALF, "c": HALF}, LEARNED)
    (step,) = climbed(Climbed((), learned), samples=48)
    assert step.what == "Stored 1 in blocks of 32, 2 in half precision, the other weights in float32"
    assert "GPTQ" in step.why


def test_a_way_that_is_as_good_with_fewer_passes_is_told_as_such() -> None:
    def tried(name: str, error: float) -> Tried:
        return Tried(Rounding(name), Trial(cosine=0.99, error=error))

    (step,) = climbed(Climbed((tried("mse", 0.012), tried("minmax", 0.0119))), samples=48)
    assert step.why.endswith("is next to the smallest this way, which asks for fewer passes.")
    (step,) = climbed(Climbed((tried("mse", 0.012), tried("minmax", 0.0121))), samples=48)
    assert step.why.endswith("is the smallest this way.")


def test_a_way_to_round_that_was_taken_over_is_told_as_such() -> None:
    tried = Tried(Rounding("mse"), Trial(cosine=0.99, error=0.012), taken_over=True)
    (step,) = climbed(Climbed((tried,)), samples=48)
    assert (
        step.why
        == "It was the best of all ways for another target or in a run before, and pays here: no others were tried."
    )
    assert step.effect == "error 1.2 %"
