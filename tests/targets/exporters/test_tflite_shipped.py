"""Networks that people ship go into LiteRT as they are, and answer as ONNX Runtime does.

Where LiteRT must know a size or a value (the length of a sequence that is unrolled, the sampling rate that chooses a branch),
`fix_inputs` says it; the batch stays free wherever the network leaves it free.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.settings import Settings
from edgeml_targets.exporters.tflite import EXPORTER, count_transposes, fix_inputs
from edgeml_targets.models import read_model
from edgeml_targets.runtimes import find_runtime
from tests.foreign import MODELS, draw, model_file

SPEECH: Final = ({"input": (-1, 576), "state": (2, -1, 128)}, {"sr": np.array(16_000)})
FIXED: Final[Mapping[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "silero-vad": SPEECH,
    "silero-vad-op15": SPEECH,
    "silero-vad-ifless": SPEECH,
    "silero-vad-sequence": ({"input": (12, 576)}, {}),
}
HEADS: Final = 7  # two attentions of several heads move them to the front and back: queries, keys, values, answer


def answers(file: Path, runtime: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    session = find_runtime(runtime).load(file, Settings(target="here", runtime=runtime))
    try:
        return dict(session.run(inputs))
    finally:
        session.close()


def sample(name: str, index: int, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of one inference: an axis for the batch is kept where the network has one."""
    session = onnxruntime.InferenceSession(str(model_file(name)))
    ranks = {given.name: len(given.shape) for given in session.get_inputs()}
    return {k: np.asarray(v[index]) if v.ndim > ranks[k] else v[index : index + 1] for k, v in samples.items()}


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_network_answers_as_in_onnx_runtime(tmp_path: Path, name: str) -> None:
    model = read_model(model_file(name))
    file = tmp_path / "model.tflite"
    EXPORTER.export(fix_inputs(model, *FIXED[name]) if name in FIXED else model, Encodings(), file)
    assert count_transposes(file) == (HEADS if name == "pp-ocrv4-rec" else 0)
    samples = draw(name, 2, seed=3)
    for index in range(2):
        x = sample(name, index, samples)
        wanted, found = (answers(f, r, x) for f, r in ((model_file(name), "onnxruntime"), (file, "litert")))
        assert set(found) == set(wanted)
        for output in wanted:
            np.testing.assert_allclose(found[output], wanted[output], atol=1e-4)


@pytest.mark.parametrize("name", ["pp-ocrv4-cls", "magika", "silero-vad-ifless"])
def test_its_batch_stays_free(tmp_path: Path, name: str) -> None:
    model = read_model(model_file(name))
    file = tmp_path / "model.tflite"
    EXPORTER.export(fix_inputs(model, *FIXED[name]) if name in FIXED else model, Encodings(), file)
    x = {k: v for k, v in draw(name, 3, seed=4).items() if k != "sr"}
    if "state" in x:
        x["state"] = x["state"].swapaxes(0, 2)[0]
    rate = {"sr": np.array(16_000)} if "state" in x else {}
    wanted, found = answers(model_file(name), "onnxruntime", {**x, **rate}), answers(file, "litert", x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-4)


def test_a_text_detector_takes_images_of_any_size(tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    EXPORTER.export(read_model(model_file("pp-ocrv4-det")), Encodings(), file)
    page = draw("pp-ocrv4-det", 1, seed=5)["x"]
    for part in (page[:, :, :128, :224], page[:, :, :64, :320]):
        x = {"x": np.ascontiguousarray(part)}
        wanted, found = answers(model_file("pp-ocrv4-det"), "onnxruntime", x), answers(file, "litert", x)
        for output in wanted:
            np.testing.assert_allclose(found[output], wanted[output], atol=1e-4)
