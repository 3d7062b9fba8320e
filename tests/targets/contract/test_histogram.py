"""Histograms merge exactly, whatever the order, and a frozen one keeps its reference's bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.histogram import Counter, Histogram, coarsen, count_frozen, frozen, histogram, merge

values = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40)
bins = st.sampled_from([2, 8, 32, 2048])


@given(values, values, bins)
def test_two_merged_are_one_over_all_values(left: list[float], right: list[float], bins: int) -> None:
    assert merge(histogram(left, bins=bins), histogram(right, bins=bins), bins=bins) == histogram(
        left + right, bins=bins
    )


@given(values, values, values)
def test_the_order_of_merging_does_not_matter(a: list[float], b: list[float], c: list[float]) -> None:
    x, y, z = (histogram(v, bins=16) for v in (a, b, c))
    assert merge(merge(x, y, bins=16), z, bins=16) == merge(x, merge(z, y, bins=16), bins=16)


@given(values, bins)
def test_every_value_is_counted_once_within_the_edges(v: list[float], bins: int) -> None:
    found = histogram(v, bins=bins)
    assert found.total == len(v)
    assert len(found.counts) <= bins
    if v:
        assert found.edges[0] <= min(v)
        assert max(v) <= found.edges[-1]


@given(values.filter(bool), st.integers(0, 6))
def test_coarser_bins_count_the_same(v: list[float], steps: int) -> None:
    found = histogram(v, bins=32)
    assert coarsen(found, found.exponent + steps).total == found.total


@given(values.filter(bool), values)
def test_a_frozen_histogram_keeps_its_bins_and_loses_nothing(reference: list[float], window: list[float]) -> None:
    bins = frozen(histogram(reference, bins=32))
    counted = count_frozen(bins, window)
    assert (counted.exponent, counted.first, len(counted.counts)) == (bins.exponent, bins.first, len(bins.counts))
    assert counted.total == len(window)


def test_frozen_windows_merge_bin_by_bin() -> None:
    bins = frozen(histogram(np.linspace(0, 1, 50), bins=32))
    left, right = count_frozen(bins, [0.1, 5.0]), count_frozen(bins, [0.9, -3.0])
    assert merge(left, right, bins=32) == count_frozen(bins, [0.1, 5.0, 0.9, -3.0])


@given(st.lists(values, max_size=6), bins)
def test_a_counter_counts_parts_as_one_histogram(parts: list[list[float]], bins: int) -> None:
    counter = Counter(bins=bins)
    for part in parts:
        counter.add(np.asarray(part, np.float32))
    assert counter.histogram() == histogram([v for part in parts for v in part], bins=bins)


def test_zeros_merge_with_the_smallest_values() -> None:
    zeros, small = histogram([0.0, 0.0], bins=8), histogram([3e-45, 7e-45], bins=8)
    assert merge(zeros, small, bins=8) == histogram([0.0, 0.0, 3e-45, 7e-45], bins=8)


def test_a_counter_refuses_what_is_not_finite_and_counts_nothing_of_it() -> None:
    counter = Counter(bins=8)
    with pytest.raises(ValueError, match="finite"):
        counter.add([1.0, float("inf")])
    assert counter.histogram() == Histogram()


def test_quantiles_and_mean_lie_within_a_bin_of_the_truth() -> None:
    v = np.random.default_rng(0).normal(3, 2, 10_000)
    found = histogram(v)
    width = 2.0**found.exponent
    assert abs(found.mean - v.mean()) < width
    assert all(abs(found.quantile(q) - np.quantile(v, q)) < 2 * width for q in (0.01, 0.5, 0.99))


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        histogram([1.0, float("nan")])
    with pytest.raises(ValueError, match="finer"):
        coarsen(Histogram(0, 0, (1,)), -1)


def test_bins_without_values_have_no_quantile() -> None:
    assert np.isnan(frozen(histogram([0.0, 1.0])).quantile(0.5))
    assert np.isnan(Histogram().quantile(0.5))
