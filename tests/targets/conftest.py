"""The dense network of `tiny_mlp` in every runtime's format, and a flatbuffer of each layout written by the schema alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgeml_targets.contract.layout import METADATA_NAME, Metadata, Port
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

TAKES, GIVES = Tensor("x", "float32", (-1, 12)), Tensor("logits", "float32", (-1, 10))


@pytest.fixture(scope="session")
def settings_of() -> Callable[[str], Settings]:
    """Return a function from a runtime's name to plain settings."""
    return lambda runtime: Settings(target=f"here-{runtime}", runtime=runtime)


@pytest.fixture(scope="session")
def tiny_artifacts(tiny_mlp: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return `tiny_mlp` as an artifact of each runtime that runs here."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {
        "onnxruntime": tiny_mlp,
        "openvino": tiny_mlp,
        "torch": _program(tiny_mlp, folder / "tiny_mlp.pt2"),
        "litert": write_tflite(
            folder / "tiny_mlp.tflite", weights_of(tiny_mlp), Metadata(inputs=(Port(TAKES),), outputs=(Port(GIVES),))
        ),
    }


def weights_of(model: Path) -> dict[str, npt.NDArray[Any]]:
    """Return an ONNX file's weights by name."""
    import onnx
    from onnx import numpy_helper

    return {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(model).graph.initializer}


def _program(model: Path, path: Path) -> Path:
    import torch

    weights = {name: torch.from_numpy(values.copy()) for name, values in weights_of(model).items()}
    layers = torch.nn.Linear(12, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10)
    network = torch.nn.Sequential(*layers).eval()
    network.load_state_dict(
        {f"{2 * (n - 1)}.{kind}": weights[f"fc{n}.{kind}"] for n in (1, 2) for kind in ("weight", "bias")}
    )
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.zeros(2, 12),), dynamic_shapes=({0: batch},))
    metadata = Metadata(inputs=(Port(TAKES),), outputs=(Port(GIVES),))
    torch.export.save(program, path, extra_files={METADATA_NAME: metadata.to_json().decode()})
    return path


def write_tflite(path: Path, weights: dict[str, npt.NDArray[Any]], metadata: Metadata | None) -> Path:
    """Write the two layers of `tiny_mlp` as a flatbuffer, with or without our metadata."""
    import ai_edge_litert.schema_py_generated as schema
    import flatbuffers

    def buffer(content: bytes | None = None) -> Any:
        made = schema.BufferT()
        made.data = None if content is None else np.frombuffer(content, np.uint8)
        return made

    def tensor(name: str, shape: list[int], content: int = 0) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, shape, content
        made.shapeSignature = shape if content else [-1, *shape[1:]]
        return made

    def dense(inputs: list[int], output: int, activation: int) -> Any:
        made = schema.OperatorT()
        made.inputs, made.outputs, made.opcodeIndex = inputs, [output], 0
        made.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        made.builtinOptions = schema.FullyConnectedOptionsT()
        made.builtinOptions.fusedActivationFunction = activation
        return made

    names = ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    code, graph, model, entry = schema.OperatorCodeT(), schema.SubGraphT(), schema.ModelT(), schema.MetadataT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    constants = [tensor(name, list(weights[name].shape), i + 1) for i, name in enumerate(names)]
    graph.tensors = [tensor("in", [1, 12]), *constants, tensor("hidden", [1, 32]), tensor("out", [1, 10])]
    relu, none = schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.NONE
    graph.operators = [dense([0, 1, 2], 5, relu), dense([5, 3, 4], 6, none)]
    graph.inputs, graph.outputs = [0], [6]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [buffer(), *(buffer(weights[name].tobytes()) for name in names)]
    if metadata is not None:
        model.buffers.append(buffer(metadata.to_json()))
        entry.name, entry.buffer = METADATA_NAME, len(model.buffers) - 1
        model.metadata = [entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
