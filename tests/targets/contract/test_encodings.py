"""Encodings round to the nearest step, hold 0 exactly, and survive their JSON."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.encodings import Encodings, affine, symmetric
from edgeml_targets.contract.errors import EdgemlError

limits = st.floats(1e-6, 1e6)


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.booleans(), st.sampled_from([4, 8, 16]))
def test_an_affine_encoding_holds_its_range_and_zero(a: float, b: float, signed: bool, bits: int) -> None:
    low, high = min(a, b), max(a, b)
    found = affine(low, high, bits=bits, signed=signed)
    step = found.scale[0]
    assert found.lowest <= found.zero_point[0] <= found.highest
    assert found.dequantize(found.quantize(np.zeros(1))) == 0
    inside = np.linspace(min(low, 0), max(high, 0), 50)
    assert np.abs(found.dequantize(found.quantize(inside)) - inside).max() <= step * 1.01 + 1e-6 * max(
        abs(low), abs(high)
    )


@given(st.lists(limits, min_size=1, max_size=5))
def test_a_symmetric_encoding_errs_by_half_a_step_a_channel(per_channel: list[float]) -> None:
    weights = np.stack([np.linspace(-v, v, 11) for v in per_channel])
    found = symmetric(np.array(per_channel), axis=0)
    off = np.abs(found.dequantize(found.quantize(weights)) - weights).max(axis=1)
    assert (off <= np.array(found.scale) * 0.5001).all()
    assert found.quantize(weights).min() >= -127


def test_a_channel_of_zeros_stays_zero() -> None:
    found = symmetric(np.array([0.0, 1.0]), axis=0)
    assert not found.dequantize(found.quantize(np.zeros((2, 3)))).any()


def test_encodings_survive_their_json() -> None:
    before = Encodings(
        tensors={"w": symmetric([1.0, 2.0], axis=0), "x": affine(0, 6, signed=False)},
        dynamic=frozenset({"y"}),
        float16=frozenset({"z"}),
    )
    assert Encodings.from_json(before.to_json(), where="here") == before


@given(st.binary(max_size=60))
def test_whatever_is_no_json_of_ours_is_refused_with_its_place(content: bytes) -> None:
    with pytest.raises(EdgemlError, match="here"):
        Encodings.from_json(b"[" + content, where="here")


def test_ranges_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no range"):
        affine(2, 1, signed=True)
    with pytest.raises(ValueError, match="finite"):
        symmetric([float("inf")])
