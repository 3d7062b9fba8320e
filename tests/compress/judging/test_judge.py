"""A race is as long as its candidates need."""

from __future__ import annotations

from edgeml_bench.racing import LOADS
from edgeml_compress.judging.judge import LEAST_TURNS, RACE_S, race_seconds

SCOUTED_US = {"float32": 50_000.0, "int8": 30_000.0, "tiny": 20.0}


def test_slow_candidates_have_their_turns_in_each_load() -> None:
    seconds = race_seconds(["float32", "int8"], SCOUTED_US)

    assert seconds / LOADS / (0.05 + 0.03) >= LEAST_TURNS - 1e-9


def test_fast_candidates_need_no_longer_than_always() -> None:
    assert race_seconds(["tiny"], SCOUTED_US) == RACE_S
