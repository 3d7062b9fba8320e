"""No pair of neighbours sums to more than 16 bits hold, and no channel gives up more than its own largest pair asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeml_compress.saturation import pairwise_limit
from edgeml_targets.contract.encodings import symmetric

MOST = 126
VALUES = st.floats(-10, 10, width=32)
KERNELS = arrays(np.float32, st.tuples(*(st.integers(1, n) for n in (3, 5, 3, 3))), elements=VALUES)


def sums(rows: npt.NDArray[np.int64]) -> int:
    """Return the largest sum of one sign over neighbours 0 and 1, 2 and 3, ... of the last axis."""
    padded = np.concatenate([rows, np.zeros((*rows.shape[:-1], rows.shape[-1] % 2), np.int64)], axis=-1)
    pairs = padded.reshape(*rows.shape[:-1], -1, 2)
    return int(max(np.maximum(pairs, 0).sum(-1).max(), np.maximum(-pairs, 0).sum(-1).max()))


@given(KERNELS)
def test_no_pair_overflows_however_a_kernel_packs_them(kernel: npt.NDArray[np.float32]) -> None:
    encoding = symmetric(pairwise_limit(kernel, 0, highest=127, most=MOST), axis=0)
    channels_last = np.moveaxis(encoding.quantize(kernel).astype(np.int64), 1, -1)
    assert sums(channels_last) <= MOST
    assert sums(channels_last.reshape(len(kernel), -1)) <= MOST


@given(KERNELS)
def test_it_costs_a_bit_at_most_and_holds_every_value(kernel: npt.NDArray[np.float32]) -> None:
    limit = pairwise_limit(kernel, 0, highest=127, most=MOST)
    largest = np.abs(kernel.astype(np.float64)).reshape(len(kernel), -1).max(axis=1)
    assert (limit >= largest).all()
    assert (limit <= 2 * largest * 127 / MOST + 1e-12).all()
    assert pairwise_limit(kernel, None, highest=127, most=MOST) >= limit.max()


@given(KERNELS, st.sampled_from([64, 126, 200]))
def test_it_is_what_the_largest_pair_of_one_sign_asks_for(kernel: npt.NDArray[np.float32], most: int) -> None:
    rows = np.moveaxis(kernel.astype(np.float64), 1, -1)
    packed = rows.reshape(len(kernel), -1, kernel.shape[1]), rows.reshape(len(kernel), 1, -1)
    asked = np.max([largest_pair(p) for p in packed], axis=0) * 127 / most
    limit = pairwise_limit(kernel, 0, highest=127, most=most)
    np.testing.assert_array_equal(limit, np.maximum(np.abs(rows).reshape(len(kernel), -1).max(axis=1), asked))


def largest_pair(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the largest sum of one sign of neighbours on the last axis, (channels,), by the book."""
    padded = np.concatenate([rows, np.zeros((*rows.shape[:-1], rows.shape[-1] % 2))], axis=-1)
    pairs = padded.reshape(*rows.shape[:-1], -1, 2)
    signs = np.maximum(pairs, 0).sum(-1), np.maximum(-pairs, 0).sum(-1)
    return np.asarray(np.maximum(*signs).reshape(len(rows), -1).max(axis=1))


def test_neighbours_of_opposite_sign_cost_nothing() -> None:
    weight = np.array([[3.0, -3.0, 2.0, -1.0]])
    assert pairwise_limit(weight, 0, highest=127, most=MOST).tolist() == [3.0 * 127 / MOST]
    assert pairwise_limit(np.abs(weight), 0, highest=127, most=MOST).tolist() == [6.0 * 127 / MOST]


def test_the_channels_may_lie_last() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 5))
    limit = pairwise_limit(weight, 1, highest=127, most=MOST)
    np.testing.assert_array_equal(limit, pairwise_limit(weight.T.copy(), 0, highest=127, most=MOST))


def test_a_weight_without_values_has_no_limits_above_0() -> None:
    for shape, axis in (((64, 0), 1), ((0, 64), 1), ((4, 0, 3), 0)):
        assert pairwise_limit(np.zeros(shape), axis, highest=127, most=MOST).tolist() == [0.0] * shape[axis]
