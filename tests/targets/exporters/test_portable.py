"""An x86_64 artifact gives the same answers on a CPU without VNNI, which adds pairs of products in 16 bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgeml_targets.contract.encodings import Encodings, affine, symmetric
from edgeml_targets.exporters import find_exporter
from edgeml_targets.target import find_target

QEMU = "qemu-x86_64-static"
RUN = """
import sys
import numpy as np
from pathlib import Path
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime
runtime, artifact, given, made = sys.argv[1:]
session = find_runtime(runtime).load(Path(artifact), Settings(target="t", runtime=runtime))
np.save(made, session.run({"x": np.load(given)})["y"])
"""
Answers = Callable[[Path, npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def loud(folder: Path, limit: float) -> Path:
    """Write a layer whose weights are 1 and -1, encoded to hold `limit`, and whose inputs are as large as integers allow.

    With a limit of 1 the integers are 127 and nearly every pair of products saturates.
    """
    weight = np.where(np.random.default_rng(0).random((8, 64)) < 0.9, 1.0, -1.0).astype(np.float32)
    value = helper.make_tensor_value_info
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.zeros(8, np.float32), "b")]
    graph = helper.make_graph([node], "g", [value("x", 1, ["n", 64])], [value("y", 1, ["n", 8])], constants)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    tensors = {
        "x": affine(0, 1, signed=False),
        "w": symmetric(np.full(8, limit), axis=0),
        "y": affine(-64, 64, signed=False),
    }
    find_exporter(".onnx").export(model, Encodings(tensors=tensors), folder / f"{limit:.2f}.onnx")
    onnx.checker.check_model(str(folder / f"{limit:.2f}.onnx"))
    return folder / f"{limit:.2f}.onnx"


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed: apt install qemu-user-static")
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_schemes_pairs_do_not_saturate_without_vnni(runtime: str, tmp_path: Path) -> None:
    held = 2 * 127 / (find_target(f"x86_64-{runtime}").scheme.pair_sum or 254)  # neighbours of one sign are everywhere
    x = np.random.default_rng(1).uniform(0.9, 1, (4, 64)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)

    def answer(emulator: list[str], limit: float) -> npt.NDArray[np.float32]:
        made = tmp_path / "y.npy"
        command = [*emulator, sys.executable, "-c", RUN, runtime, loud(tmp_path, limit), tmp_path / "x.npy", made]
        subprocess.run(
            command, check=True, capture_output=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        return np.asarray(np.load(made))

    haswell = [QEMU, "-cpu", "Haswell"]
    np.testing.assert_allclose(answer(haswell, held), answer([], held), atol=128 / 255)  # one step of the output
    if runtime == "onnxruntime":
        # The test would be worth nothing if weights that are not held passed it as well.
        assert np.abs(answer(haswell, 1.0) - answer([], 1.0)).max() > 10 * 128 / 255
