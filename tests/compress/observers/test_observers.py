"""One list of checks over every observer, the next one too; and what each is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeml_compress.calibration import Seen, see
from edgeml_compress.observers import Range, find_observer, observer_names
from edgeml_targets.contract.encodings import affine
from edgeml_targets.contract.errors import EdgemlError

values = arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


@pytest.mark.parametrize("name", observer_names())
@given(values)
def test_a_range_lies_within_the_extremes_and_zero(name: str, array: np.ndarray) -> None:
    seen = see(array, 1)
    found = find_observer(name)(seen, 8)
    slack = 1e-6 * max(abs(seen.low), abs(seen.high))
    assert min(seen.low, 0) - slack <= found.low <= found.high <= max(seen.high, 0) + slack


@pytest.mark.parametrize("name", observer_names())
def test_a_range_is_no_function_of_the_order_of_values(name: str) -> None:
    array = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert find_observer(name)(see(array, 1), 8) == find_observer(name)(see(array[::-1], 1), 8)


def test_minmax_is_the_full_range() -> None:
    assert find_observer("minmax")(Seen(low=-2.0, high=5.0), 8) == Range(-2.0, 5.0)


def test_percentile_leaves_one_outlier_in_a_hundred_thousand_out() -> None:
    array = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    array[0] = 1000
    found = find_observer("percentile")(see(array, 100), 8)
    assert found.high < 2 and found.low > -1.01


def test_mse_finds_where_a_laplace_distribution_is_best_cut_off() -> None:
    """At 4 bits that is at 5.03 times its scale: Banner et al. 2018, arXiv:1810.05723, table in section 3."""
    array = np.random.default_rng(0).laplace(size=400_000).astype(np.float32)
    found = find_observer("mse")(see(array, 100), 4)
    assert found.high == pytest.approx(5.03, rel=0.1) and found.low == pytest.approx(-5.03, rel=0.1)


@given(values)
def test_mse_is_never_worse_than_the_full_range(array: np.ndarray) -> None:
    def error(found: Range) -> float:
        encoding = affine(found.low, found.high, signed=False)
        return float(np.square(encoding.dequantize(encoding.quantize(array)).astype(np.float64) - array).mean())

    seen = see(array, 1)
    full = find_observer("minmax")(seen, 8)
    width = (max(full.high, 0) - min(full.low, 0)) / 2048  # of a bin: what the histogram cannot tell apart
    assert error(find_observer("mse")(seen, 8)) ** 0.5 <= error(full) ** 0.5 + 2 * width + 1e-30


def test_an_unknown_observer_is_named_with_those_that_are_there() -> None:
    with pytest.raises(EdgemlError, match="minmax, mse, percentile"):
        find_observer("entropy-of-my-own")
