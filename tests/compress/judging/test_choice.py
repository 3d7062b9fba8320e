"""The choice, as cli.md words it, on figures made up for each rule; and properties that hold whatever the figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_compress.judging.choice import (
    FLOAT,
    Evidence,
    Judged,
    accurate,
    choose,
    evidence,
    overspent,
    unsure,
    without_int8,
)
from edgeml_compress.judging.judge import entrants, missing


@dataclass(frozen=True)
class Budget:
    size_bytes: int | None = None
    latency_ms: float | None = None


def raced(name: str, size: int, p50_us: float, *, drop: float = 0.0, spread: float = 0.001) -> Judged:
    """A candidate whose loads' medians lie within `spread` of `p50_us`, in the same order for all: the pairs agree."""
    medians = tuple(p50_us * (1 + spread * i) for i in range(-4, 5))
    return Judged(name, size, drop_points=drop, p50_us=p50_us, medians_us=medians)


PLAIN = raced(FLOAT, 400, 100.0)


def test_the_fastest_within_the_budget_is_taken() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.0, drop=0.9), raced("float16", 200, 98.0)], 1.0)
    assert found.name == "int8" and found.unmet is None


def test_a_candidate_that_loses_too_much_is_not_taken_however_fast() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.0, drop=1.1), raced("float16", 200, 90.0)], 1.0)
    assert found.name == "float16"


def test_exactly_the_budget_is_within_it() -> None:
    assert choose([PLAIN, raced("int8", 100, 50.0, drop=1.0)], 1.0).name == "int8"


def test_among_those_with_no_difference_the_smallest_is_taken() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.2), raced("int8-dynamic", 90, 50.4), raced("float16", 80, 60.0)], 1.0)
    assert found.name == "int8-dynamic" and "no difference" in found.reason


def test_a_difference_below_one_percent_is_none() -> None:
    """Medians that agree to 0.8 % pair after pair exclude a ratio of 1, and still are not worth a larger file."""
    found = choose([PLAIN, raced("int8", 100, 50.0), raced("int8-dynamic", 90, 50.4)], 1.0)
    assert found.name == "int8-dynamic"


def apart(name: str, size: int, ratios: tuple[float, ...], drop: float = 0.0) -> Judged:
    """A candidate whose loads take these times as long as those of one at 50 us that never varies."""
    medians = tuple(50.0 * ratio for ratio in ratios)
    return Judged(name, size, drop_points=drop, p50_us=sorted(medians)[len(medians) // 2], medians_us=medians)


STEADY = apart("int8", 100, (1.0,) * 9)
WAVERING = (0.97, 0.99, 1.0, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07)


def test_a_race_that_does_not_tell_a_small_file_from_a_slow_one_is_unsure() -> None:
    small = apart("int8-weight-only", 80, WAVERING)
    assert choose([PLAIN, STEADY, small], 1.0).name == small.name and unsure([PLAIN, STEADY, small], 1.0)
    assert not unsure([PLAIN, apart("int8", 100, (1.0,) * 9, drop=2.0), small], 1.0)  # too much is lost: it is no rival
    assert not unsure([PLAIN, STEADY, replace(small, size_bytes=120)], 1.0)  # the fastest is the smallest, too
    assert not unsure(
        [PLAIN, STEADY, apart("int8-weight-only", 80, (1.0, *(1.0, 1.004) * 4))], 1.0
    )  # not by more than counts
    assert not unsure([replace(PLAIN, medians_us=()), replace(small, medians_us=())], 1.0)  # nothing was raced


def test_slower_than_float_by_more_than_two_percent_is_not_taken_however_small() -> None:
    found = choose([PLAIN, raced("int8", 100, 103.0)], 1.0)
    assert found.name == FLOAT and "int8 is slower than float here (1.03 times)" in found.reason


def test_what_is_as_fast_as_float_and_larger_is_not_called_slower() -> None:
    found = choose([PLAIN, raced("int8", 410, 100.2)], 1.0)
    assert found.name == FLOAT and found.reason == "no other candidate that was raced is faster or smaller"


def test_the_smaller_one_is_named_where_the_fastest_is_only_larger() -> None:
    found = choose([PLAIN, raced("int8", 410, 100.2), raced("float16", 200, 130.0)], 1.0)
    assert found.name == FLOAT and "float16 is slower than float here (1.30 times)" in found.reason


def test_no_slower_than_float_and_smaller_is_taken() -> None:
    assert choose([PLAIN, raced("int8", 100, 100.5)], 1.0).name == "int8"


def test_only_float_within_the_budget_says_what_the_nearest_costs() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.0, drop=3.2), raced("float16", 200, 90.0, drop=2.25)], 1.0)
    assert found.name == FLOAT and "int8, loses 3.2 points, 1 allowed" in found.reason


def test_without_labels_the_worst_cosine_decides() -> None:
    good = replace(raced("int8", 100, 50.0), drop_points=None, cosine_min=0.991)
    plain = replace(PLAIN, drop_points=None, cosine_min=1.0)
    assert choose([plain, good], 1.0).name == "int8"
    assert choose([plain, replace(good, cosine_min=0.989)], 1.0).name == FLOAT
    assert choose([plain, replace(good, cosine_min=None)], 1.0).name == FLOAT


def test_where_latency_was_not_measured_the_smallest_is_taken() -> None:
    def still(candidate: Judged) -> Judged:
        return replace(candidate, p50_us=None, medians_us=())

    found = choose([still(PLAIN), still(raced("int8", 100, 50.0)), still(raced("int8-weight-only", 90, 100.0))], 1.0)
    assert found.name == "int8-weight-only"


def test_a_size_budget_counts_before_speed() -> None:
    candidates = [PLAIN, raced("int8", 100, 50.0), raced("int8-weight-only", 90, 99.0)]
    assert choose(candidates, 1.0, Budget(size_bytes=95)).name == "int8-weight-only"


def test_a_budget_that_float_misses_is_worth_being_slower() -> None:
    found = choose([PLAIN, raced("int8", 100, 120.0)], 1.0, Budget(size_bytes=150))
    assert found.name == "int8" and "slower" in found.reason and found.unmet is None


def test_a_budget_that_nothing_meets_gives_the_nearest_and_says_so() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.0)], 1.0, Budget(size_bytes=80))
    assert found.name == "int8" and found.unmet == "int8 takes 100 bytes, the budget is 80; it loses 0.0 points"
    found = choose([PLAIN, raced("int8", 100, 50.0)], 1.0, Budget(latency_ms=0.04))
    assert found.unmet == "int8 takes 0.050 ms, the budget is 0.04 ms; it loses 0.0 points"


def test_what_would_meet_a_budget_at_the_price_of_accuracy_is_named_with_it() -> None:
    poor = raced("int8-dynamic", 70, 40.0, drop=3.5)
    found = choose([PLAIN, raced("int8", 100, 50.0, drop=0.2), poor], 1.0, Budget(size_bytes=80))
    assert found.unmet == (
        "int8 takes 100 bytes, the budget is 80; it loses 0.2 points; "
        "int8-dynamic would meet it, but loses 3.5 points, 1 allowed"
    )


def test_where_only_float_is_accurate_the_nearest_int8_and_its_gain_are_named() -> None:
    found = choose([PLAIN, raced("int8", 100, 50.0, drop=1.4), raced("int8-dynamic", 90, 50.0, drop=2.0)], 1.0)
    assert found.name == FLOAT
    assert found.reason == "the nearest, int8, loses 1.4 points, 1 allowed, and is 4.0 times smaller; float was kept"
    far = [
        replace(PLAIN, drop_points=None),
        Judged("int8", 100, cosine_min=0.97),
        Judged("float16", 200, cosine_min=0.98),
    ]
    assert "int8, has a worst cosine of 0.9700, 0.99 asked" in choose(far, 1.0).reason


@given(st.floats(-5, 5), st.floats(0, 5), st.floats(0, 5))
def test_evidence_goes_by_where_the_interval_lies(low: float, width: float, budget: float) -> None:
    found = evidence(low, low + width, budget)
    assert (found is Evidence.WITHIN) == (low + width <= budget + 1e-9)
    assert (found is Evidence.INSUFFICIENT) == (low <= budget and found is not Evidence.WITHIN)


def test_who_was_not_raced_decides_no_latency_budget() -> None:
    still = replace(raced("int8-dynamic", 90, 30.0), p50_us=None, medians_us=())
    found = choose([PLAIN, raced("int8", 100, 50.0), still], 1.0, Budget(latency_ms=0.04))
    assert found.name == "int8" and found.unmet is not None


def test_a_latency_budget_counts_as_unmet_only_when_all_accurate_ones_were_raced() -> None:
    still = replace(raced("int8-dynamic", 90, 90.0), p50_us=None, medians_us=())
    poor = replace(still, name="int8-weight-only", drop_points=9.0)
    candidates = [PLAIN, raced("int8", 100, 50.0), still, poor]
    assert missing(candidates, 1.0, Budget(latency_ms=0.04)) == ["int8-dynamic"]
    assert missing(candidates, 1.0, Budget(latency_ms=0.06)) == []
    assert missing(candidates, 1.0, Budget(size_bytes=1)) == missing(candidates, 1.0, None) == []


def test_the_fastest_is_raced_and_the_smallest_where_none_has_the_size() -> None:
    candidates = [PLAIN, raced("int8", 100, 1.0), raced("float16", 200, 1.0), raced("int8-dynamic", 90, 1.0, drop=9.0)]
    scouted = {FLOAT: 100.0, "int8": 50.0, "float16": 90.0, "int8-dynamic": 40.0}
    assert entrants(candidates, scouted, 1.0) == [FLOAT, "int8"]
    slow = scouted | {"int8": 200.0}
    assert entrants(candidates, slow, 1.0) == [FLOAT, "float16"]
    assert entrants(candidates, slow, 1.0, Budget(size_bytes=80)) == [FLOAT, "int8"]


def test_float32_must_be_there() -> None:
    with pytest.raises(ValueError, match="float32"):
        choose([raced("int8", 100, 50.0)], 1.0)


figures = st.builds(
    raced,
    st.sampled_from(["int8", "int8-dynamic", "int8-weight-only", "float16"]),
    st.integers(1, 1000),
    st.floats(1, 1000),
    drop=st.floats(-5, 5),
    spread=st.floats(0, 0.05),
)
candidates = st.lists(figures, max_size=4, unique_by=lambda c: c.name).map(lambda found: [PLAIN, *found])
budgets = st.none() | st.builds(Budget, st.none() | st.integers(1, 1000), st.none() | st.floats(0.001, 1))


@given(candidates, st.floats(0, 5), budgets, st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(found, max_drop, budget, rng) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(found)
    rng.shuffle(shuffled)
    assert choose(found, max_drop, budget) == choose(shuffled, max_drop, budget)


@given(candidates, st.floats(0, 5), budgets)
def test_what_is_taken_is_within_every_budget_or_said_to_miss_one(found, max_drop, budget) -> None:  # type: ignore[no-untyped-def]
    choice = choose(found, max_drop, budget)
    taken = next(c for c in found if c.name == choice.name)
    assert accurate(taken, max_drop)
    within = [c for c in found if accurate(c, max_drop) and overspent(c, budget) <= 1]
    assert (choice.unmet is None) == bool(within)
    assert taken in within or not within


@given(candidates, st.floats(0, 5))
def test_nothing_both_faster_and_smaller_was_left(found, max_drop) -> None:  # type: ignore[no-untyped-def]
    taken = next(c for c in found if c.name == choose(found, max_drop).name)
    for other in found:
        if accurate(other, max_drop):
            clearly = max(other.medians_us) < min(taken.medians_us) / 1.02 and other.size_bytes < taken.size_bytes
            assert not clearly


def test_where_no_int8_candidate_is_accurate_the_one_taken_says_so() -> None:
    made = [PLAIN, raced("int8", 100, 50.0, drop=3.2), raced("float16", 200, 90.0)]
    assert choose(made, 1.0).name == "float16"
    assert (
        without_int8("float16", made, 1.0) == "the nearest, int8, loses 3.2 points, 1 allowed, and is 4.0 times smaller"
    )
    assert without_int8("float16", [*made, raced("int8-dynamic", 100, 95.0)], 1.0) is None
    assert without_int8(FLOAT, made, 1.0) is None
