"""Features tell images apart from what is none, and the threshold flags what it says."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_targets.contract.reference import FLAGGED_SHARE, features, fit, probabilities


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    """400 blobs, (400, 1, 24, 24), 0 to 1: smooth as pictures are."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:24, 0:24]
    centre, width = rng.uniform(6, 18, (400, 2, 1, 1)), rng.uniform(2, 6, (400, 1, 1))
    return np.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / (2 * width**2))[:, None].astype("f4")


def test_the_threshold_flags_one_reference_sample_in_twenty(smooth: np.ndarray) -> None:
    found = fit(smooth, np.full((400, 4), 0.25, "f4"), (-2, -1))
    flagged = found.known.distance(features(smooth, (-2, -1))) > found.known.threshold
    assert flagged.mean() == pytest.approx(FLAGGED_SHARE, abs=0.01)


@pytest.mark.parametrize("kind", ["noise", "constant", "shuffled"])
def test_what_is_no_picture_is_flagged(smooth: np.ndarray, kind: str) -> None:
    rng = np.random.default_rng(1)
    found = fit(smooth, np.full((400, 4), 0.25, "f4"), (-2, -1))
    foreign = {
        "noise": rng.uniform(0, 1, (100, 1, 24, 24)),
        "constant": np.broadcast_to(rng.uniform(0, 1, (100, 1, 1, 1)), (100, 1, 24, 24)),
        "shuffled": rng.permuted(smooth[:100].reshape(100, -1), axis=1).reshape(100, 1, 24, 24),
    }[kind]
    assert (found.known.distance(features(foreign, (-2, -1))) > found.known.threshold).mean() >= 0.9


def test_a_change_of_contrast_moves_contrast_but_not_roughness(smooth: np.ndarray) -> None:
    before, after = features(smooth, (-2, -1)), features(smooth * 0.5, (-2, -1))
    assert (after[:, 1] < before[:, 1]).all()
    assert np.abs(after[:, 4] - before[:, 4]).max() < 0.05


def test_a_table_is_described_by_its_columns() -> None:
    table = np.random.default_rng(0).normal(size=(50, 3)).astype("f4")
    found = fit(table, np.full((50, 2), 0.5, "f4"), ())
    assert list(found.features) == ["column 0", "column 1", "column 2"]


def test_logits_become_probabilities_and_probabilities_stay() -> None:
    logits = np.array([[1.0, 2.0, 3.0]])
    assert probabilities(logits).sum() == pytest.approx(1)
    assert probabilities(probabilities(logits)) == pytest.approx(probabilities(logits))
