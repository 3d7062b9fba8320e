"""ONNX Runtime: devices it has not are said, sequences are refused, waiting costs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes.onnxruntime import RUNTIME

SettingsOf = Callable[[str], Settings]


def test_cuda_is_asked_for_and_not_replaced_by_the_cpu(tiny_cnn: Path, settings_of: SettingsOf) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(EdgemlError, match=r"built without CUDA.*onnxruntime-gpu"):
        RUNTIME.load(tiny_cnn, msgspec.structs.replace(settings_of("onnxruntime"), device="cuda:0"))


def test_threads_sleep_after_an_inference(tiny_cnn: Path, settings_of: SettingsOf) -> None:
    """Without force_spinning_stop, three idle threads of a session burn a core or more until the next sample."""
    session = RUNTIME.load(tiny_cnn, msgspec.structs.replace(settings_of("onnxruntime"), threads=4))
    x = np.zeros((8, 3, 16, 16), np.float32)
    for _ in range(20):
        session.run({"x": x})

    before = time.process_time()
    threading.Event().wait(0.3)  # for a sample that does not come, as an agent does

    assert time.process_time() - before < 0.03


def test_a_model_that_gives_no_tensor_is_refused(tmp_path: Path, settings_of: SettingsOf) -> None:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    made = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("SequenceConstruct", ["x"], ["y"])], "g", [given], [made])
    file = tmp_path / "sequence.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)

    with pytest.raises(EdgemlError, match=r"y is a seq\(tensor\(float\)\)"):
        RUNTIME.load(file, settings_of("onnxruntime"))


def test_an_operator_it_lacks_is_named(tmp_path: Path, settings_of: SettingsOf) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node("Ponder", ["x"], ["y"], domain="example.org")
    graph = helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 1, [2])])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    file = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), file)

    with pytest.raises(EdgemlError, match="Ponder"):
        RUNTIME.load(file, settings_of("onnxruntime"))
