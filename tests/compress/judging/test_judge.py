"""A race is as long as its candidates need."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_bench import Accuracy
from edgeml_bench.racing import LOADS
from edgeml_compress.judging.judge import LEAST_TURNS, RACE_S, no_better_than_chance, race_seconds

SCOUTED_US = {"float32": 50_000.0, "int8": 30_000.0, "tiny": 20.0}


def test_slow_candidates_have_their_turns_in_each_load() -> None:
    seconds = race_seconds(["float32", "int8"], SCOUTED_US)

    assert seconds / LOADS / (0.05 + 0.03) >= LEAST_TURNS - 1e-9


def test_fast_candidates_need_no_longer_than_always() -> None:
    assert race_seconds(["tiny"], SCOUTED_US) == RACE_S


@pytest.mark.parametrize(
    ("right", "labels", "said"),
    [
        (10, np.arange(90) % 10, "right on 11.1 % of 90 held-back samples, not clearly more than guessing"),
        (0, np.arange(90) % 10, "right on 0.0 % of 90 held-back samples, no more than guessing"),
        (91, np.arange(100) < 90, "(the most frequent class: 90.0 %): check labels and preprocessing."),
    ],
)
def test_a_float_model_that_guesses_is_told(right: int, labels: np.ndarray, said: str) -> None:
    """Shuffled labels, or inputs scaled wrongly: what is made of it then loses 0.0 points."""
    (note,) = no_better_than_chance(Accuracy(right, len(labels)), labels.astype(np.int64))
    assert said in note


def test_a_float_model_that_knows_is_not_doubted() -> None:
    assert list(no_better_than_chance(Accuracy(40, 90), np.arange(90) % 10)) == []
    assert list(no_better_than_chance(Accuracy(99, 100), (np.arange(100) < 90).astype(np.int64))) == []
