"""One list of checks over every observer, the next one too; and what each is for."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeml_compress.calibration import Seen, merge_seen, see
from edgeml_compress.observers import Range, find_observer, observer_names
from edgeml_targets.contract.encodings import affine
from edgeml_targets.contract.errors import EdgemlError


def seen_of(array: np.ndarray, samples: int) -> Seen:
    return functools.reduce(merge_seen, map(see, np.array_split(array, samples)))


values = arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


@pytest.mark.parametrize("name", observer_names())
@given(values)
def test_a_range_lies_within_the_extremes_and_zero(name: str, array: np.ndarray) -> None:
    seen = see(array)
    found = find_observer(name)(seen, 8)
    slack = 1e-6 * max(abs(seen.low), abs(seen.high))
    assert min(seen.low, 0) - slack <= found.low <= found.high <= max(seen.high, 0) + slack


@pytest.mark.parametrize("name", observer_names())
def test_a_range_is_no_function_of_the_order_of_values(name: str) -> None:
    array = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert find_observer(name)(see(array), 8) == find_observer(name)(see(array[::-1]), 8)


def test_minmax_is_the_full_range() -> None:
    assert find_observer("minmax")(Seen(low=-2.0, high=5.0), 8) == Range(-2.0, 5.0)


def test_percentile_leaves_one_outlier_in_a_hundred_thousand_out() -> None:
    array = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    array[0] = 1000
    found = find_observer("percentile")(seen_of(array, 100), 8)
    assert found.high < 2 and found.low > -1.01


def test_mse_finds_where_a_laplace_distribution_is_best_cut_off() -> None:
    """At 4 bits that is at 5.03 times its scale: Banner et al. 2018, arXiv:1810.05723, table in section 3."""
    array = np.random.default_rng(0).laplace(size=400_000).astype(np.float32)
    found = find_observer("mse")(seen_of(array, 100), 4)
    assert found.high == pytest.approx(5.03, rel=0.1) and found.low == pytest.approx(-5.03, rel=0.1)


@given(values)
def test_mse_is_never_worse_than_the_full_range(array: np.ndarray) -> None:
    def error(found: Range) -> float:
        encoding = affine(found.low, found.high, signed=False)
        return float(np.square(encoding.dequantize(encoding.quantize(array)).astype(np.float64) - array).mean())

    seen = see(array)
    full = find_observer("minmax")(seen, 8)
    width = (max(full.high, 0) - min(full.low, 0)) / 2048  # of a bin: what the histogram cannot tell apart
    assert error(find_observer("mse")(seen, 8)) ** 0.5 <= error(full) ** 0.5 + 2 * width + 1e-30


def test_the_mean_of_extremes_is_hardly_moved_by_one_sample() -> None:
    samples = [np.array([-1.0, 2.0], np.float32)] * 9 + [np.array([-1.0, 12.0], np.float32)]
    assert find_observer("mean_minmax")(functools.reduce(merge_seen, map(see, samples)), 8) == Range(-1.0, 3.0)


def divergence(array: np.ndarray, bins: int, width: float, levels: int) -> float:
    """The Kullback-Leibler divergence, term by term as Migacz's slides have it, bin 0 as its neighbour."""
    counts = np.bincount((array / width).astype(int)).astype(float)
    counts[0] = counts[1]
    reference = counts[:bins].copy()
    reference[-1] += counts[bins:].sum()
    quantized = np.zeros(bins)
    for level in range(levels):
        inside = slice(level * bins // levels, (level + 1) * bins // levels)
        filled = counts[inside] > 0
        quantized[inside][filled] = counts[inside].sum() / max(filled.sum(), 1)
    p, q = reference / reference.sum(), quantized / quantized.sum()
    return float(sum(a * np.log(a / b) if b else np.inf for a, b in zip(p, q, strict=True) if a))


def test_entropy_takes_the_threshold_of_least_divergence() -> None:
    array = np.random.default_rng(0).gamma(2.0, size=50_000).astype(np.float32)
    seen = seen_of(array, 50)
    width, levels = 2.0**seen.counts.exponent, 16
    found = find_observer("entropy")(seen, 4)
    taken = divergence(array, round(found.high / width), width, levels)
    others = [divergence(array, bins, width, levels) for bins in range(levels, len(seen.counts.counts), 5)]
    assert found.low == 0 and found.high < seen.high
    assert taken <= min(others) * 1.05  # not every threshold is tried


def test_entropy_is_not_moved_by_the_zeros_that_a_relu_leaves() -> None:
    array = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    relu, half = (find_observer("entropy")(seen_of(a, 50), 8) for a in (np.maximum(array, 0), abs(array)))
    assert relu.high == pytest.approx(half.high, rel=0.15)


def test_an_unknown_observer_is_named_with_those_that_are_there() -> None:
    with pytest.raises(EdgemlError, match="entropy, mean_minmax, minmax, mse, percentile"):
        find_observer("entropy-of-my-own")
