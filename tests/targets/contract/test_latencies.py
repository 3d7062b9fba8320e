"""Latencies merge exactly and stay sharp when one of them is a hiccup."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.latencies import LATENCY_BINS, Latencies, latencies, merge_latencies

durations = st.lists(st.floats(0, 1e9), max_size=50)


@given(durations, durations)
def test_two_counts_merged_are_one_count(left: list[float], right: list[float]) -> None:
    assert merge_latencies(latencies(left), latencies(right)) == latencies(left + right)


@given(durations)
def test_nothing_is_lost_and_bins_are_bounded(values: list[float]) -> None:
    counted = latencies(values)
    assert counted.total == len(values)
    assert len(counted.log2.counts) <= LATENCY_BINS


@pytest.mark.parametrize(("times_longer", "off"), [(1, 0.044), (15, 0.044), (230, 0.09)])
def test_a_hiccup_does_not_blur_the_rest(times_longer: float, off: float) -> None:
    values = np.random.default_rng(0).uniform(200, 210, 999)
    counted = latencies([*values, 200 * times_longer])
    assert counted.quantile(0.5) == pytest.approx(np.median(values), rel=off)


def test_no_durations_have_no_quantile() -> None:
    assert math.isnan(Latencies().quantile(0.5))


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        latencies([1.0, math.nan])
