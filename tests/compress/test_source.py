"""What a compression starts from: samples that are sound, and a model that is left as it is where preparing would change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import CalibrationData, source
from edgeml_compress.observing import Watch
from edgeml_compress.preparation import Prepared
from edgeml_compress.source import all_alike, calibrated, check_labels, read_source
from edgeml_targets.contract.errors import EdgemlError

GOOD = {"x": np.arange(24, dtype=np.float32).reshape(6, 4), "n": np.arange(6)}
BAD = {
    "no inputs": ({}, "there are none"),
    "no samples": ({"x": np.zeros((0, 4), np.float32)}, "there are none"),
    "no values": ({"x": np.zeros((5, 0), np.float32)}, "there are none"),
    "different numbers": ({"x": GOOD["x"], "n": np.arange(5)}, "different numbers of samples"),
    "not a number": ({"x": np.float32([[1], [2], [np.nan]])}, "sample 2 of x holds a value that is not finite"),
}


@pytest.mark.parametrize("part", ["ranges", "validation", "evaluation"])
@pytest.mark.parametrize("kind", BAD)
def test_samples_that_nothing_can_be_drawn_from_are_refused_with_the_part_they_are_in(kind: str, part: str) -> None:
    samples, said = BAD[kind]
    with pytest.raises(EdgemlError, match=f"^the samples for {part}: .*{said}.*; "):
        CalibrationData(**{**dict.fromkeys(("ranges", "validation", "evaluation"), GOOD), part: samples})


def test_ranges_need_samples_that_differ_in_one_input_at_least() -> None:
    same = {"x": np.ones((6, 4), np.float32), "n": np.zeros(6, np.int64)}
    assert all_alike(same) and not all_alike({**same, "n": np.arange(6)})
    assert not all_alike({"x": np.ones((1, 4), np.float32)})  # one sample does not differ from itself
    with pytest.raises(EdgemlError, match="all samples are the same"):
        CalibrationData(same, GOOD, GOOD)


def test_a_model_that_onnx_runtime_cannot_run_is_refused_in_a_line(graph: Callable[..., Any], tmp_path: Path) -> None:
    ir.save(graph("t (float[b, 4] x) => (float[b, 4] y) { y = com.microsoft.Lotus(x) }"), tmp_path / "odd.onnx")
    with pytest.raises(EdgemlError, match=r"odd\.onnx: .*Lotus"):
        read_source(tmp_path / "odd.onnx", {"x": GOOD["x"]})


def test_samples_that_the_model_does_not_take_are_refused_in_a_line(tiny_cnn: Path) -> None:
    with pytest.raises(EdgemlError, match=r"tiny_cnn\.onnx: .*input x"):
        read_source(tiny_cnn, {"x": GOOD["x"]})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with every sample that a calibration runs."""
    found: list[str] = []
    look = Watch.look

    def counted(watch: Watch, feed: Any) -> Any:
        found.append("run")
        return look(watch, feed)

    monkeypatch.setattr(Watch, "look", counted)
    return found


def test_a_second_target_runs_no_sample_again(tiny_cnn: Path, images: Any, tmp_path: Path, runs: list[str]) -> None:
    x = {"x": images(12)}
    first = calibrated(read_source(tiny_cnn, x), x, tmp_path / "saved")
    first.calibration.save(tmp_path / "saved")
    second = calibrated(read_source(tiny_cnn, x), x, tmp_path / "saved")
    assert second.calibration == first.calibration and len(runs) == 12


def test_other_samples_and_another_version_are_calibrated_anew(
    tiny_cnn: Path, images: Any, tmp_path: Path, runs: list[str]
) -> None:
    x, saved = {"x": images(6)}, tmp_path / "saved"
    source = read_source(tiny_cnn, x)
    calibrated(source, x, saved).calibration.save(saved)
    calibrated(source, {"x": x["x"][::-1]}, saved)
    assert len(runs) == 12
    saved.write_bytes(msgspec.msgpack.encode({"schema": "edgeml.calibration/1"}))
    calibrated(source, x, saved)
    assert len(runs) == 18


def test_weights_that_changed_beside_the_file_are_calibrated_anew(tiny_cnn: Path, images: Any, tmp_path: Path) -> None:
    """A file with external weights can stay the same to the byte while they are trained on."""
    model, path, saved = ir.load(tiny_cnn), tmp_path / "tiny.onnx", tmp_path / "saved"
    ir.save(model, path, external_data="tiny.data")
    x = {"x": images(4)}
    first = calibrated(read_source(path, x), x, saved)
    first.calibration.save(saved)
    weights = np.fromfile(tmp_path / "tiny.data", np.float32)
    (weights * 2).tofile(tmp_path / "tiny.data")
    again = calibrated(read_source(path, x), x, saved)
    assert again.calibration.tensors["relu1"].high > 1.5 * first.calibration.tensors["relu1"].high


def test_a_graph_that_onnx_runtime_refuses_once_prepared_is_left_as_it_was(
    tiny_cnn: Path, images: Any, graph: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = graph("t (float[b, 4] x) => (float[b, 4] y) { y = com.microsoft.Lotus(x) }")
    monkeypatch.setattr(source, "prepare", lambda model, where: Prepared(broken, {"fold_constants": 1}))
    found = read_source(tiny_cnn, {"x": images(4)})
    assert (found.moved, found.changes) == (0.0, {})
    assert [n.op_type for n in found.model.graph] == [n.op_type for n in ir.load(tiny_cnn).graph]


def test_labels_are_not_read_from_another_output_than_the_first() -> None:
    with pytest.raises(EdgemlError, match="read from output at, whose shape depends on the data"):
        check_labels({"scores": np.zeros((2, 10))}, np.array([0, 1]), "m.onnx", name="at")
