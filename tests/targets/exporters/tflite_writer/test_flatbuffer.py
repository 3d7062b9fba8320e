"""The file itself, read back by the schema's own classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.contract.layout import METADATA_NAME, Metadata
from edgeml_targets.exporters.tflite import convert
from edgeml_targets.exporters.tflite_writer.flatbuffer import Port, Tensor, TfliteFile, Written
from edgeml_targets.exporters.tflite_writer.shapes import FREE

FLOAT32 = np.dtype(np.float32)


def doubled() -> Written:
    """A file with one operator: x + k."""
    file = TfliteFile()
    x = file.add(Tensor((FREE, 3), FLOAT32, name="x"))
    y = file.add(Tensor((FREE, 3), FLOAT32, name="y"))
    file.operator(
        schema.BuiltinOperator.ADD, [x, file.constant(np.array([1, 2, 3], np.float32))], y, schema.AddOptionsT()
    )
    return file.finish([Port(x, "x")], [Port(y, "y")], {"note": b"hello"})


def read(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def test_a_free_size_is_in_the_signature_and_1_at_rest() -> None:
    tensor = read(doubled().content).subgraphs[0].tensors[0]
    assert tensor.shape.tolist() == [1, 3]
    assert tensor.shapeSignature.tolist() == [-1, 3]


def test_it_carries_metadata_and_names() -> None:
    model = read(doubled().content)
    assert model.metadata[0].name == b"note"
    assert bytes(model.buffers[model.metadata[0].buffer].data) == b"hello"
    signature = model.signatureDefs[0]
    assert [port.name for port in (*signature.inputs, *signature.outputs)] == [b"x", b"y"]


def test_constants_are_aligned_for_vector_loads() -> None:
    file = TfliteFile()
    x = file.add(Tensor((3,), FLOAT32))
    arrays = [np.arange(i + 1, dtype=np.float32) + 0.123 for i in range(7)]
    for array in arrays:
        file.constant(array)
    content = bytes(file.finish([Port(x, "x")], [Port(x, "x")], {}).content)
    for array in arrays:
        place = content.index(np.uint32(array.nbytes).tobytes() + array.tobytes()) + 4
        assert place % 16 == 0


def test_equal_constants_share_their_bytes() -> None:
    file = TfliteFile()
    for _ in range(3):
        file.constant(np.arange(1000, dtype=np.float32))
    assert len(file.finish([], [], {}).content) < 2 * 4000


def versions(network: Any, **encodings: Any) -> set[int]:
    net = network({"x": ("batch", 4, 8, 8)})
    model = net.finish(net.conv("x", (4, encodings.pop("inputs", 4), 3, 3), group=encodings.pop("group", 1)))
    codes = read(convert(ir.from_proto(model), Encodings(**encodings)).content).operatorCodes
    return {code.version for code in codes if code.builtinCode == schema.BuiltinOperator.CONV_2D}


def per_channel(channels: int) -> Encoding:
    return Encoding(scale=(0.1,) * channels, zero_point=(0,) * channels, axis=0)


@pytest.mark.parametrize(
    ("encodings", "version"),
    [
        ({}, 1),
        ({"group": 2, "inputs": 2}, 6),
        ({"tensors": {"k0": per_channel(4)}, "dynamic": frozenset({"x"})}, 5),
        ({"tensors": {n: Encoding(scale=(0.1,), zero_point=(0,)) for n in ("x", "k0", "conv_0")}}, 3),
    ],
)
def test_an_operator_asks_for_the_version_that_reads_it(network: Any, encodings: dict[str, Any], version: int) -> None:
    assert versions(network, **encodings) == {version}


def test_the_metadata_tells_the_model_s_layout(network: Any) -> None:
    net = network({"x": ("batch", 3, 8, 6)})
    content = convert(ir.from_proto(net.finish(net.conv("x", (4, 3, 3, 3)))), Encodings()).content
    model = read(content)
    (entry,) = [m for m in model.metadata if m.name.decode() == METADATA_NAME]
    metadata = Metadata.from_json(bytes(model.buffers[entry.buffer].data), where="the file")
    assert metadata.inputs[0].tensor.shape == (-1, 3, 8, 6)
    assert metadata.inputs[0].permutation == (0, 2, 3, 1)
    assert metadata.outputs[0].tensor.shape == (-1, 4, 6, 4)
    assert model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape.tolist() == [1, 8, 6, 3]
