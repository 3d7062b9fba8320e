"""An operator's bias fits into 32 bits beside its products, whatever the weights are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeml_targets.contract.encodings import MOST_BIAS_STEPS, hold_bias, symmetric

Row = npt.NDArray[np.float32]


@given(
    arrays.arrays(np.float32, 6, elements=st.floats(0, 100, width=32)),
    arrays.arrays(np.float32, 6, elements=st.floats(-(2.0**20), 2.0**20, width=32)),
    st.floats(1e-6, 1e3),
)
def test_a_bias_fits_and_no_scale_shrinks(limits: Row, bias: Row, step: float) -> None:
    weight = symmetric(limits, axis=0)

    held = hold_bias(weight, step, bias)

    scale = np.asarray(held.scale)
    assert (np.abs(bias.astype(np.float64)) / (scale * step) <= MOST_BIAS_STEPS * (1 + 1e-6)).all()
    assert (scale >= weight.scale).all()
    assert ((scale * step).astype(np.float32) > 0).all()


def test_a_weight_whose_bias_fits_is_left_alone() -> None:
    weight = symmetric([1.0, 2.0], axis=0)

    assert hold_bias(weight, 0.1, np.array([1.0, -2.0], np.float32)) == weight


def test_one_scale_for_all_channels_holds_the_largest_bias() -> None:
    held = hold_bias(symmetric(0.0), 0.5, np.array([1.0, -8.0], np.float32))

    assert held.scale[0] == pytest.approx(8.0 / MOST_BIAS_STEPS / 0.5, rel=1e-6)
