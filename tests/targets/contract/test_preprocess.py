"""Preprocessing gives the network's input, the same for every way a sample may come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.preprocess import Preprocessing, resize


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_a_constant_image_stays_constant_at_any_size(h: int, w: int, height: int, width: int) -> None:
    resized = resize(np.full((h, w, 3), 7, np.uint8), (height, width))
    assert resized.shape == (height, width, 3)
    assert np.allclose(resized, 7, atol=1e-4)


def test_shrinking_averages_and_the_same_size_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 1)).astype(np.uint8)
    assert np.allclose(resize(image, (16, 16)), image)
    checkers = np.indices((16, 16)).sum(0)[..., None] % 2 * 255
    assert np.abs(resize(checkers, (4, 4))[1:-1, 1:-1] - 127.5).max() < 1


def test_an_image_becomes_channels_first_between_0_and_1() -> None:
    pre = Preprocessing(kind="image", size=(8, 8), scale=1 / 255)
    ready = pre(np.full((16, 12, 3), 255, np.uint8))
    assert ready.shape == (3, 8, 8)
    assert ready.dtype == np.float32
    assert np.allclose(ready, 1)


def test_colour_is_brought_to_what_the_network_takes() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 100
    assert Preprocessing(kind="image", colour="bgr")(red)[2].max() == 100
    assert Preprocessing(kind="image", colour="grey")(red).shape == (1, 2, 2)
    assert Preprocessing(kind="image")(red[..., :1]).shape == (3, 2, 2)


def test_a_float_image_was_preprocessed_by_whoever_sent_it() -> None:
    ready = np.ones((1, 4, 4), np.float32)
    assert (Preprocessing(kind="image", scale=1 / 255)(ready) == ready).all()


def test_a_table_is_standardised_by_column() -> None:
    pre = Preprocessing(mean=(1.0, 2.0), std=(2.0, 4.0))
    assert pre(np.array([3.0, 2.0])).tolist() == [1.0, 0.0]


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="channels"):
        Preprocessing(kind="image")(np.zeros((2, 2, 7), np.uint8))
