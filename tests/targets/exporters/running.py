"""Run what the ONNX exporter wrote: by a runtime, by ONNX Runtime's own fused kernels, or node by node as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx import helper

from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime

Array = npt.NDArray[Any]


def constant(model: ir.Model, name: str) -> Array:
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def answer(file: Path, inputs: Mapping[str, Array], runtime: str = "onnxruntime") -> dict[str, Array]:
    return find_runtime(runtime).load(file, Settings(target="here", runtime=runtime)).run(inputs)


def kernels(file: Path) -> list[str]:
    """Return the operators that ONNX Runtime really runs, after its own fusions."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    optimized = file.with_suffix(".optimized.onnx")
    options.optimized_model_filepath, options.log_severity_level = str(optimized), 3
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(optimized).graph.node]


def plainly(file: Path, inputs: Mapping[str, Array]) -> Array:
    """Run a file node by node as it stands, without fusions: what QuantizeLinear and DequantizeLinear say."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(inputs))[0])


def cosine(a: Array, b: Array) -> float:
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def graph_model(
    nodes: list[onnx.NodeProto], takes: list[Any], gives: list[Any], weights: list[onnx.TensorProto], opset: int = 17
) -> ir.Model:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [value("x", 1, takes)], [value("y", 1, gives)], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)
