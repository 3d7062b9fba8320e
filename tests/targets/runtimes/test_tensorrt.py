"""TensorRT: what is missing is said, with the way to time the artifact on the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import find_runtime, installed
from edgeml_targets.target import find_target


@pytest.mark.skipif(installed("tensorrt"), reason="TensorRT is installed here")
def test_a_library_that_is_not_here_is_said(tiny_cnn: Path) -> None:
    settings = find_target("jetson-orin-tensorrt").settings()

    with pytest.raises(EdgemlError, match=r"not installed here; .*trtexec --onnx=tiny_cnn\.onnx") as caught:
        find_runtime("tensorrt").load(tiny_cnn, settings)

    assert caught.value.where == "jetson-orin-tensorrt"


def test_a_missing_artifact_comes_first(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="no such file"):
        find_runtime("tensorrt").load(tmp_path / "m.onnx", find_target("jetson-orin-tensorrt").settings())
