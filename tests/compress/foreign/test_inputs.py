"""The inputs that foreign networks are tried on are of the kind that they were made for: the float networks understand them."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest

from tests.foreign import FOLDER, MODELS, Samples, draw, model_file


def answers(name: str, samples: Samples) -> list[np.ndarray]:
    """Return the first output of each sample."""
    session = onnxruntime.InferenceSession(str(model_file(name)), providers=["CPUExecutionProvider"])
    ranks = {value.name: len(value.shape) for value in session.get_inputs()}
    count = len(next(iter(samples.values())))
    fed = [
        {k: np.asarray(a[i] if a.ndim - 1 == ranks[k] else a[i][None]) for k, a in samples.items()}
        for i in range(count)
    ]
    return [session.run(None, feed)[0] for feed in fed]


@pytest.mark.parametrize("name", MODELS)
def test_a_seed_draws_the_same_again_and_another_seed_others(name: str) -> None:
    first, again, other = draw(name, 3, seed=0), draw(name, 3, seed=0), draw(name, 3, seed=1)
    assert all(len(array) == 3 for array in first.values())
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


def test_the_recogniser_reads_letters() -> None:
    blank = 0  # the class that stands for no letter
    assert all(
        (found.argmax(-1) != blank).sum() >= 2 for found in answers("pp-ocrv4-rec", draw("pp-ocrv4-rec", 6, seed=0))
    )


def test_the_detector_finds_text_and_paper() -> None:
    shares = [(found > 0.5).mean() for found in answers("pp-ocrv4-det", draw("pp-ocrv4-det", 3, seed=0))]
    assert all(0.01 < share < 0.5 for share in shares)


def test_the_classifier_sees_lines_upright_and_turned() -> None:
    turned = [found.argmax() for found in answers("pp-ocrv4-cls", draw("pp-ocrv4-cls", 16, seed=0))]
    assert set(turned) == {0, 1}


def test_the_detector_of_voices_hears_speech_and_its_absence() -> None:
    heard = np.ravel(answers("silero-vad", draw("silero-vad", 24, seed=0)))
    assert (heard > 0.8).any() and (heard < 0.2).any()


def test_magika_tells_many_kinds_of_file() -> None:
    labels = json.loads((FOLDER / "magika/models/standard_v3_3/config.min.json").read_text())["target_labels_space"]
    found = {labels[int(np.argmax(scores))] for scores in answers("magika", draw("magika", 18, seed=0))}
    assert len(found) >= 10 and {"python", "c", "zip"} <= found
