"""Recurrent operators have no integer kernels: their weights are expanded, also beside layers that compute in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgeml_targets.contract.encodings import Encodings, affine, symmetric
from edgeml_targets.exporters import find_exporter

from ..running import answer, graph_model, kernels

STEPS, CHANNELS, UNITS = 9, 6, 16
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
EXPORTER = find_exporter(".onnx")


def recurrent(operator: str) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """Return a recurrent operator over (time, batch, channels) whose last state a matrix product reads, and its weights."""
    rng = np.random.default_rng(5)
    rows = GATES[operator] * UNITS
    weights = {
        "w": rng.normal(0, 0.4, (1, rows, CHANNELS)).astype(np.float32),
        "r": rng.normal(0, 0.3, (1, rows, UNITS)).astype(np.float32),
        "head": rng.normal(0, 0.3, (UNITS, 4)).astype(np.float32),
        "first": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node(operator, ["x", "w", "r"], ["", "last"], "body", hidden_size=UNITS),
        helper.make_node("Squeeze", ["last", "first"], ["state"], "squeeze"),
        helper.make_node("MatMul", ["state", "head"], ["y"], "head"),
    ]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return graph_model(nodes, [STEPS, "batch", CHANNELS], ["batch", 4], held), weights


@pytest.mark.parametrize("operator", sorted(GATES))
def test_every_runtime_takes_them_beside_integers(operator: str, tmp_path: Path) -> None:
    model, weights = recurrent(operator)
    x = np.random.default_rng(6).normal(size=(STEPS, 3, CHANNELS)).astype(np.float32)
    tensors = {name: symmetric(np.abs(weights[name]).max(axis=(0, 2)), axis=1) for name in ("w", "r")}
    tensors["head"] = symmetric(np.abs(weights["head"]).max(axis=0), bits=7, axis=1)
    tensors["state"] = affine(-1.0, 1.0, signed=False)
    file, rounded = tmp_path / "m.onnx", tmp_path / "rounded.onnx"
    EXPORTER.export(model, Encodings(tensors=tensors), file)
    for name in ("w", "r"):
        at = model.graph.initializers[name]
        values = tensors[name].dequantize(tensors[name].quantize(weights[name]))
        at.const_value = ir.tensor(values, name=name)
    EXPORTER.export(model, Encodings(tensors={k: v for k, v in tensors.items() if k not in ("w", "r")}), rounded)
    truth = answer(rounded, {"x": x})["y"]
    for runtime in ("onnxruntime", "openvino"):
        np.testing.assert_allclose(
            answer(file, {"x": x}, runtime)["y"], truth, atol=0.02
        )  # a step of the state is 1/128
    assert "Cast" not in kernels(file)
