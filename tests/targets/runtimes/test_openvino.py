"""OpenVINO: it computes in the precision that was asked for, and keeps ONNX's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import openvino
import pytest
from onnx import helper

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime
from edgeml_targets.runtimes.openvino import RUNTIME

SettingsOf = Callable[[str], Settings]
Images = Callable[[int], npt.NDArray[np.float32]]


def test_float32_is_float32_also_where_the_cpu_has_bfloat16(
    tiny_cnn: Path, images: Images, settings_of: SettingsOf
) -> None:
    x = images(16)

    ours = RUNTIME.load(tiny_cnn, settings_of("openvino")).run({"x": x})["logits"]
    other = find_runtime("onnxruntime").load(tiny_cnn, settings_of("onnxruntime")).run({"x": x})["logits"]

    assert np.abs(ours - other).max() < 1e-4


def test_bfloat16_is_computed_or_refused(tiny_cnn: Path, images: Images, settings_of: SettingsOf) -> None:
    x, plain = images(16), settings_of("openvino")
    exact = RUNTIME.load(tiny_cnn, plain).run({"x": x})["logits"]

    try:
        rough = RUNTIME.load(tiny_cnn, msgspec.structs.replace(plain, precision="bfloat16")).run({"x": x})["logits"]
    except EdgemlError as error:
        assert "bfloat16" in str(error)
    else:
        assert 1e-4 < np.abs(rough - exact).max() < 0.1 * np.abs(exact).max()


def test_outputs_keep_their_names_and_order(tmp_path: Path, settings_of: SettingsOf) -> None:
    """An Identity is dropped, so that one tensor then carries several names."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("Identity", ["inner"], ["zeta"]),
        helper.make_node("Identity", ["inner"], ["alpha"]),
        helper.make_node("Neg", ["x"], ["beta"]),
    ]
    outputs = [value(name, 1, ["n", 2]) for name in ("zeta", "beta", "alpha")]
    graph = helper.make_graph(nodes, "g", [value("x", 1, ["n", 2])], outputs)
    file = tmp_path / "names.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)

    session = RUNTIME.load(file, settings_of("openvino"))
    found = session.run({"x": np.array([[1.0, -2.0]], np.float32)})

    assert [t.name for t in session.outputs] == ["zeta", "beta", "alpha"]
    assert {name: array.tolist() for name, array in found.items()} == {
        "zeta": [[1, 0]],
        "beta": [[-1, 2]],
        "alpha": [[1, 0]],
    }


def test_an_operator_it_lacks_is_named(tmp_path: Path, settings_of: SettingsOf) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node("Ponder", ["x"], ["y"], domain="example.org")
    graph = helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 1, [2])])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    file = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), file)

    with pytest.raises(EdgemlError, match="Ponder"):
        RUNTIME.load(file, settings_of("openvino"))


def test_an_ir_of_another_tool_answers_like_the_model_it_was_made_of(
    tiny_cnn: Path, tmp_path: Path, images: Images, settings_of: SettingsOf
) -> None:
    x, other = images(4), tmp_path / "other.xml"
    openvino.save_model(openvino.Core().read_model(tiny_cnn), other, compress_to_fp16=False)
    sessions = [RUNTIME.load(artifact, settings_of("openvino")) for artifact in (tiny_cnn, other)]
    ours, theirs = (session.run({"x": x})["logits"] for session in sessions)
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-6)
