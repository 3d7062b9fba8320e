"""Encodings round to the nearest step, hold 0 exactly, and survive their JSON."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.encodings import Encodings, affine, symmetric, symmetric_blocks
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


def values_of(seed: int, size: int, decades: float) -> npt.NDArray[np.float32]:
    """Return random values whose magnitudes differ by up to so many decades from value to value."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * 10.0 ** rng.uniform(-decades, 1, size)).astype(np.float32)


@given(st.integers(0, 99), st.integers(1, 8), st.sampled_from([8, 16, 32]), st.integers(2, 8), st.floats(0, 9))
def test_blocks_err_by_half_a_step_of_their_own(seed: int, runs: int, block: int, bits: int, decades: float) -> None:
    values = values_of(seed, runs * block, decades)
    found = symmetric_blocks(values, block=block, bits=bits)
    integers = found.quantize(values.reshape(runs, block))
    assert integers.shape == (runs, block) and np.abs(integers).max(initial=0) <= (1 << (bits - 1)) - 1
    off = np.abs(found.dequantize(integers) - values.reshape(runs, block))
    steps = np.asarray(found.scale)[:, None]
    assert len(found.scale) == runs and (off <= steps * 0.5001).all()
    # No step is much wider than its block needs, or than 1 % of the widest.
    needed = np.abs(values.reshape(runs, block)).max(axis=1) / ((1 << (bits - 1)) - 1)
    assert (np.asarray(found.scale) <= needed * 1.01 + 0.01 * needed.max() + 1e-30).all()


@given(st.integers(0, 99), st.sampled_from([8, 16]), st.integers(2, 8))
def test_what_blocks_mean_is_on_their_grid(seed: int, block: int, bits: int) -> None:
    """Passes that put weights on the grid (AdaRound, GPTQ) rely on rounding to nearest giving the same integers."""
    values = values_of(seed, 4 * block, 2)
    found = symmetric_blocks(values, block=block, bits=bits)
    integers = found.quantize(values)
    assert (found.quantize(found.dequantize(integers)) == integers).all()


def test_the_scales_of_ordinary_weights_fit_into_two_bytes() -> None:
    found = symmetric_blocks(values_of(0, 4096, 1), block=32)
    assert (np.float16(found.scale).astype(np.float64) == found.scale).all()
    tiny = symmetric_blocks(1e-9 * values_of(0, 64, 1), block=32)
    assert (np.float32(tiny.scale).astype(np.float64) == tiny.scale).all() and max(tiny.scale) < 2**-24


def test_blocks_of_another_number_of_values_are_refused() -> None:
    found = symmetric_blocks(np.ones((4, 8), np.float32), block=16)
    with pytest.raises(ValueError, match="33 values are not 2 runs of 16"):
        found.quantize(np.ones(33, np.float32))
    with pytest.raises(ValueError, match="no whole number of runs"):
        symmetric_blocks(np.ones(33, np.float32), block=16)


def test_what_an_older_version_wrote_has_no_blocks() -> None:
    written = msgspec.json.decode(Encodings(tensors={"w": symmetric(1.0)}).to_json())
    del written["tensors"]["w"]["block"]
    assert Encodings.from_json(msgspec.json.encode(written), where="here").tensors["w"].block is None


def test_encodings_survive_their_json() -> None:
    before = Encodings(
        tensors={
            "w": symmetric([1.0, 2.0], axis=0),
            "b": symmetric_blocks(np.ones(32), block=16),
            "x": affine(0, 6, signed=False),
        },
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
