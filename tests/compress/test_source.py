"""What a compression starts from: samples that are sound, and a model that is left as it is where preparing would change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeml_compress import CalibrationData
from edgeml_compress.source import all_alike, read_source
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
    import onnx_ir as ir

    ir.save(graph("t (float[b, 4] x) => (float[b, 4] y) { y = com.microsoft.Lotus(x) }"), tmp_path / "odd.onnx")
    with pytest.raises(EdgemlError, match=r"odd\.onnx: .*Lotus"):
        read_source(tmp_path / "odd.onnx", {"x": GOOD["x"]})


def test_samples_that_the_model_does_not_take_are_refused_in_a_line(tiny_cnn: Path) -> None:
    with pytest.raises(EdgemlError, match=r"tiny_cnn\.onnx: .*input x"):
        read_source(tiny_cnn, {"x": GOOD["x"]})
