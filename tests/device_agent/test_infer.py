"""An engine answers as the runtime does, alone or in a stack, and refuses what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeml_agent.infer import CHUNK_SAMPLES, Engine, load_engine
from edgeml_agent.selftest import TOLERANCE, judge, self_test
from edgeml_targets.contract import bundle as bundles
from edgeml_targets.contract.errors import EdgemlError

Pixels = Callable[..., np.ndarray]


def test_answers_are_the_runtime_s_own(engine: Engine, pixels: Pixels, tiny_cnn: Path) -> None:
    import onnxruntime

    samples = pixels(CHUNK_SAMPLES + 5, seed=7)
    rows = engine.answer(samples, where="x")
    scores = onnxruntime.InferenceSession(str(tiny_cnn)).run(
        None, {"x": engine.bundle.manifest.preprocessing.stack(samples)}
    )[0]
    np.testing.assert_array_equal(rows.classes, scores.argmax(1))
    risen = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(rows.confidences, (risen / risen.sum(1, keepdims=True)).max(1), rtol=1e-4)
    assert (rows.latencies_us > 0).all()


def test_a_stack_is_answered_as_its_samples_are(engine: Engine, pixels: Pixels) -> None:
    samples = pixels(CHUNK_SAMPLES + 3)
    together = engine.answer(samples, where="x")
    alone = [engine.answer(one, where="x") for one in samples]
    np.testing.assert_array_equal(together.classes, [r.classes[0] for r in alone])
    np.testing.assert_allclose(together.distances, [r.distances[0] for r in alone], rtol=1e-6)


def test_what_is_far_from_all_that_is_known_is_unknown(engine: Engine, pixels: Pixels) -> None:
    rows = engine.answer(np.zeros((4, 16, 16, 3), np.uint8), where="x")
    assert all(a.unknown for a in engine.answers(rows))
    known = engine.answers(engine.answer(pixels(200), where="x"))
    assert np.mean([a.unknown for a in known]) <= 0.06  # the threshold flags 5 % of these very samples


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        (np.zeros((8, 8, 3), np.uint8), r"shape is \(3, 8, 8\) once preprocessed, the model takes \(3, 16, 16\)"),
        (np.full((3, 16, 16), np.nan, np.float32), "NaN or infinity"),
        (np.full((3, 16, 16), 1e300), "NaN or infinity"),
        (np.zeros((2, 3, 16, 17), np.float32), "once preprocessed"),
    ],
)
def test_what_does_not_fit_is_refused(engine: Engine, sample: np.ndarray, said: str) -> None:
    with pytest.raises(EdgemlError, match=said):
        engine.answer(sample, where="x")


def test_a_bundle_whose_manifest_names_other_tensors_is_refused(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    manifest = engine.bundle.manifest
    other = msgspec.structs.replace(manifest, output=msgspec.structs.replace(manifest.output, name="scores"))
    with pytest.raises(EdgemlError, match=r"it takes .* the manifest says x and scores"):
        load_engine("r1", bundles.Bundle(other, engine.bundle.artifact, engine.bundle.golden_file))


def test_a_good_bundle_passes_its_self_test(engine: Engine) -> None:
    found = self_test(engine)
    assert found.passed
    assert str(found).startswith("self-test 16 of 16, off by 0.0 % at most") or "16 of 16" in str(found)


def test_a_bundle_that_answers_otherwise_fails_it(pack: Callable[..., Path], tmp_path: Path) -> None:
    spoilt = load_engine("r2", bundles.open_bundle(pack("m2", spoilt=True), tmp_path / "b"))
    assert not self_test(spoilt).passed
    spoilt.close()


def outputs(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((20, 10)).astype(np.float32)


def test_rounding_within_the_tolerance_passes_even_where_it_turns_a_close_call() -> None:
    expected = outputs()
    expected[0, 3], expected[0, 4] = 5.0, 5.0 + 1e-3  # either class is as good
    got = expected.copy()
    got[0, 3] += 2e-3
    assert judge(expected, got).passed


@pytest.mark.parametrize("spoil", ["nan", "shift", "swap", "shape", "none"])
def test_wrong_answers_do_not_pass(spoil: str) -> None:
    expected = outputs()
    got = expected.copy()
    if spoil == "nan":
        got[3, 2] = np.nan
    elif spoil == "shift":
        got[3] += 2 * TOLERANCE * np.ptp(expected)
    elif spoil == "swap":
        order = got[3].argsort()
        got[3, order[[-1, 0]]] = got[3, order[[0, -1]]]
    elif spoil == "shape":
        got = got[:, :5]
    else:
        expected = got = expected[:0]
    found = judge(expected, got)
    assert not found.passed
    assert found.right < found.samples or found.samples == 0
