"""Statistics: against their definitions, published figures, and the coverage that their intervals promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgeml_bench.statistics import (
    LEAST_PAIRS,
    location_interval,
    paired_difference,
    quantiles,
    ratio_interval,
    wilson_interval,
)

finite = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e6)
several = st.lists(finite, min_size=LEAST_PAIRS, max_size=30)


@given(st.lists(finite, min_size=1, max_size=50))
def test_quantiles_rise_and_stay_within_the_values(values: list[float]) -> None:
    found = quantiles(values, [0.0, 0.1, 0.5, 0.9, 1.0])
    assert found == sorted(found)
    assert found[0] == min(values) and found[-1] == max(values)


def test_the_middle_quantile_is_the_median() -> None:
    assert quantiles([4.0, 1.0, 3.0], [0.5]) == [3.0]
    assert quantiles([4.0, 1.0, 3.0, 2.0], [0.5]) == [2.5]


@given(several)
def test_a_location_lies_within_its_interval_and_the_interval_within_the_values(values: list[float]) -> None:
    found = location_interval(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


@given(several, st.integers(-1000, 1000))
def test_a_location_moves_with_its_values(values: list[float], by: int) -> None:
    here, there = location_interval(values), location_interval([v + by for v in values])
    assert there.value == pytest.approx(here.value + by, abs=1e-6)
    assert there.low == pytest.approx(here.low + by, abs=1e-6)


def test_the_signed_rank_interval_is_the_one_of_the_textbook() -> None:
    """Ten values: the interval runs between the 9th pairwise mean from each end (Hollander, Wolfe, Chicken, table A.4)."""
    values = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30, 0.7]
    means = sorted((a + b) / 2 for i, a in enumerate(values) for b in values[i:])
    found = location_interval(values)
    assert (found.low, found.high) == (means[8], means[-9])
    assert found.value == pytest.approx(float(np.median(means)))


def test_too_few_values_give_no_interval() -> None:
    with pytest.raises(ValueError, match="too few"):
        location_interval([1.0] * (LEAST_PAIRS - 1))


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        location_interval([broken] * LEAST_PAIRS)


@pytest.mark.parametrize("spoilt", [0.0, 0.1])
@pytest.mark.parametrize("count", [6, 10, 12])
def test_the_location_interval_covers_as_often_as_it_says(count: int, spoilt: float) -> None:
    """95 % of 4,000 intervals hold the truth, also when a tenth of the values is thrown ten times as far."""
    draw, runs = np.random.default_rng(count), 4000
    values = draw.standard_normal((runs, count)) * np.where(draw.random((runs, count)) < spoilt, 10, 1)
    held = sum(e.low <= 0 <= e.high for e in map(location_interval, values))
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


@given(st.lists(st.tuples(positive, positive), min_size=LEAST_PAIRS, max_size=20))
def test_swapping_a_and_b_turns_a_ratio_over(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    there, back = ratio_interval(a, b), ratio_interval(b, a)
    assert back.value == pytest.approx(1 / there.value)
    assert (back.low, back.high) == (pytest.approx(1 / there.high), pytest.approx(1 / there.low))


def test_a_ratio_needs_pairs_of_positive_values() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        ratio_interval([1.0] * 7, [1.0] * 6)
    with pytest.raises(ValueError, match="above 0"):
        ratio_interval([1.0] * 6, [0.0] * 6)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_holds_the_share_and_stays_within_0_and_1(hits: int, of: int) -> None:
    assume(hits <= of)
    found = wilson_interval(hits, of)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_gives_the_published_interval() -> None:
    """Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    found, none = wilson_interval(81, 263), wilson_interval(0, 20)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_wilson_covers_on_average_as_often_as_it_says(share: float) -> None:
    """Exactly, by summing over all counts: its coverage swings around 95 % with the share, never far below."""
    of = 200
    chance = [math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(of + 1)]
    held = sum(c for k, c in enumerate(chance) if (e := wilson_interval(k, of)).low <= share <= e.high)
    assert 0.93 <= held <= 0.98


counts = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 400))


@given(counts)
def test_a_paired_difference_holds_its_value_and_turns_over_when_swapped(given_counts: tuple[int, int, int]) -> None:
    first, second, of = given_counts
    assume(first + second <= of)
    found, back = paired_difference(first, second, of), paired_difference(second, first, of)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (back.low, back.high) == (pytest.approx(-found.high, abs=1e-9), pytest.approx(-found.low, abs=1e-9))


def test_a_paired_difference_gives_the_published_interval() -> None:
    """Fagerland, Lydersen and Laake 2014: 1 and 7 discordant of 21 give -0.286 with -0.517 to -0.026 (Tango's score)."""
    found = paired_difference(1, 7, 21)
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (-0.286, -0.517, -0.026)


@given(st.integers(1, 5000))
def test_where_both_always_agree_the_difference_has_the_closed_form(of: int) -> None:
    """With no discordant sample Tango's equation gives plus and minus z^2 / (n + z^2)."""
    z2 = 1.959963984540054**2
    found = paired_difference(0, 0, of)
    assert found.value == 0
    assert found.high == pytest.approx(z2 / (of + z2), rel=1e-6) and found.low == pytest.approx(-found.high)


def test_a_paired_difference_covers_as_often_as_it_says() -> None:
    """500 samples, of which float alone gets 2 % right and int8 alone 1 %: one point is lost."""
    draw, runs, of = np.random.default_rng(1), 2000, 500
    tables = draw.multinomial(of, [0.02, 0.01, 0.97], size=runs)
    held = sum(e.low <= 0.01 <= e.high for e in (paired_difference(int(b), int(c), of) for b, c, _ in tables))
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


@pytest.mark.parametrize("wrong", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no counts"):
        paired_difference(*wrong)
