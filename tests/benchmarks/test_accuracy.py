"""Accuracy and what was lost of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_bench import Accuracy, answers, evaluate, paired_drop
from edgeml_bench.accuracy import right_answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

ONNXRUNTIME = Settings(target="x86_64-onnxruntime", runtime="onnxruntime")
Images = Callable[[int], npt.NDArray[np.float32]]
flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def test_an_artifact_is_right_where_its_highest_score_is_the_label(tiny_cnn: Path, images: Images) -> None:
    samples = {"x": images(40)}
    labels = answers(tiny_cnn, ONNXRUNTIME, samples)["logits"].argmax(1)
    labels[:10] = (labels[:10] + 1) % 10
    found = evaluate(tiny_cnn, ONNXRUNTIME, samples, labels)
    assert found == Accuracy(30, 40)
    assert found.low < found.share == 0.75 < found.high


def test_labels_and_samples_of_different_number_are_refused(tiny_cnn: Path, images: Images) -> None:
    with pytest.raises(EdgemlError, match="4 answers, 3 labels"):
        evaluate(tiny_cnn, ONNXRUNTIME, {"x": images(4)}, np.zeros(3, np.int64))


def test_a_score_that_is_no_number_is_never_right() -> None:
    scores = np.array([[np.nan, 1.0], [0.0, 1.0]])
    assert right_answers(scores, np.array([0, 1])).tolist() == [False, True]


@given(flags)
def test_a_drop_is_the_difference_of_the_accuracies_in_points(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs).T
    found = paired_drop(first, second)
    assert found.points == pytest.approx(100 * (first.mean() - second.mean()))
    assert found.low <= found.points <= found.high


def test_a_drop_is_paired() -> None:
    """Two points less either way: the interval is wide where other samples are wrong, narrow where the same are."""
    first, nested = np.arange(200) < 150, np.arange(200) < 146
    crossed = np.arange(200) >= 54
    same, others = paired_drop(first, nested), paired_drop(first, crossed)
    assert same.points == others.points == 2.0
    assert others.high - others.low > 3 * (same.high - same.low)
