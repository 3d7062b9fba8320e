"""ONNX files from outside: whatever is wrong with one is said in one line that names it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.models import (
    digest_of,
    files_of,
    float_artifact,
    load_weights,
    model_tensors,
    raise_opset,
    read_model,
    size_of,
)
from edgeml_targets.runtimes import find_runtime
from edgeml_targets.target import find_target


def test_a_good_file_is_read(tiny_cnn: Path) -> None:
    model = read_model(tiny_cnn)

    assert model_tensors(model) == (
        (Tensor("x", "float32", (-1, 3, 16, 16)),),
        (Tensor("logits", "float32", (-1, 10)),),
    )


WRONG: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "the file is empty"),
    "page": (lambda good: b"\n<!DOCTYPE html><html></html>", "a web page"),
    "text": (lambda good: b"not a model", "a text file"),
    "pointer": (lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "noise": (lambda good: np.random.default_rng(0).bytes(3000), "not an ONNX file, or cut off"),
    "half": (lambda good: good[: len(good) // 2], "cut off"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_onnx_is_called_what_it_is(kind: str, tiny_cnn: Path, tmp_path: Path) -> None:
    spoil, said = WRONG[kind]
    file = tmp_path / "given.onnx"
    file.write_bytes(spoil(tiny_cnn.read_bytes()))

    with pytest.raises(EdgemlError, match=said) as caught:
        read_model(file)

    assert caught.value.where == str(file)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="no such file"):
        read_model(tmp_path / "missing.onnx")
    with pytest.raises(EdgemlError, match="cannot be read"):
        read_model(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    tiny_mlp: Path, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(tiny_mlp.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    file = tmp_path / "damaged.onnx"
    file.write_bytes(content)

    try:
        model_tensors(read_model(file))
    except EdgemlError as error:
        assert "damaged.onnx" in str(error) or "tensor" in str(error)


def test_external_data_is_read_when_it_is_asked_for(tiny_cnn: Path, tmp_path: Path) -> None:
    file = with_external_data(tiny_cnn, tmp_path)

    weight = read_model(file).graph.initializers["conv2.weight"].const_value

    assert isinstance(weight, ir.ExternalTensor)
    inside = read_model(tiny_cnn).graph.initializers["conv2.weight"].const_value
    assert inside is not None
    np.testing.assert_array_equal(weight.numpy(), inside.numpy())


@pytest.mark.parametrize(("size", "said"), [(None, "weights.data is missing"), (100, "100 of .* bytes")])
def test_external_data_that_is_not_whole_is_missed(size: int | None, said: str, tiny_cnn: Path, tmp_path: Path) -> None:
    file = with_external_data(tiny_cnn, tmp_path)
    data = tmp_path / "weights.data"
    if size is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:size])

    with pytest.raises(EdgemlError, match=said) as caught:
        read_model(file)

    assert caught.value.where == str(file)


def test_external_data_elsewhere_on_the_disk_is_not_touched(tiny_cnn: Path, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    file = with_external_data(tiny_cnn, tmp_path / "inside")
    shutil.move(tmp_path / "inside" / "weights.data", tmp_path / "weights.data")
    proto = onnx.load(file, load_external_data=False)
    for weight in proto.graph.initializer:
        next(e for e in weight.external_data if e.key == "location").value = "../weights.data"
    file.write_bytes(proto.SerializeToString())

    with pytest.raises(EdgemlError, match="given"):
        read_model(file)


def test_a_model_without_outputs_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path, helper.make_graph([], "g", [], []))

    with pytest.raises(EdgemlError, match="no outputs"):
        read_model(file)


def test_a_weight_that_is_also_an_input_is_no_input(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    inputs = [value("x", TensorProto.FLOAT, [None, 2]), value("w", TensorProto.FLOAT, [2, 2])]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", inputs, [value("y", TensorProto.FLOAT, [None, 2])], [weight])

    inputs_found, _ = model_tensors(read_model(save(tmp_path, graph)))

    assert [tensor.name for tensor in inputs_found] == ["x"]


def test_types_other_than_float_keep_their_names(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    inputs = [
        value("words", TensorProto.STRING, [3]),
        value("ids", TensorProto.INT64, []),
        value("h", TensorProto.FLOAT16, [1]),
    ]
    nodes = [helper.make_node("Identity", [i.name], [f"{i.name}_out"]) for i in inputs]
    outputs = [value(f"{i.name}_out", i.type.tensor_type.elem_type, None) for i in inputs]

    found, given_back = model_tensors(read_model(save(tmp_path, helper.make_graph(nodes, "g", inputs, outputs))))

    assert [(t.dtype, t.shape) for t in found] == [("str", (3,)), ("int64", ()), ("float16", (1,))]
    assert [t.shape for t in given_back] == [(), (), ()]


def test_a_runtime_that_reads_onnx_gets_the_model_itself(tiny_cnn: Path, tmp_path: Path) -> None:
    assert float_artifact(tiny_cnn, find_target("x86_64-onnxruntime"), tmp_path) == tiny_cnn
    assert list(tmp_path.iterdir()) == []


def test_float_artifacts_answer_alike_on_every_runtime(
    tiny_cnn: Path, images: Callable[[int], npt.NDArray[np.float32]], tmp_path: Path
) -> None:
    answers = []
    for name in ("x86_64-onnxruntime", "x86_64-openvino", "x86_64-litert"):
        target = find_target(name)
        artifact = float_artifact(tiny_cnn, target, tmp_path)
        session = find_runtime(target.runtime).load(artifact, target.settings())
        answers.append(session.run({"x": images(8)})["logits"])

    assert [file.name for file in tmp_path.iterdir()] == ["tiny_cnn.float32.tflite"]
    assert max(np.abs(other - answers[0]).max() for other in answers[1:]) < 1e-4


def test_an_artifact_of_another_runtime_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(b"\x00\x00\x00\x00TFL3")

    assert float_artifact(file, find_target("x86_64-litert"), tmp_path) == file
    with pytest.raises(EdgemlError, match=r"a \.tflite file, and x86_64-openvino runs \.onnx"):
        float_artifact(file, find_target("x86_64-openvino"), tmp_path)


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_operators_are_raised(opset: int, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", 1, ["n", 2])], [value("y", 1, ["n", 2])])
    model = read_model(save(tmp_path, graph, opset=opset))

    raised = raise_opset(model, 13)

    assert raised.opset_imports[""] == 13
    assert model.opset_imports[""] == opset
    assert raise_opset(raised, 13) is raised


def test_weights_are_read_into_a_clone_while_arrays_of_the_file_are_held(tiny_cnn: Path, tmp_path: Path) -> None:
    model = read_model(with_external_data(tiny_cnn, tmp_path))
    held = [v.const_value.numpy() for v in model.graph.initializers.values() if v.const_value is not None]
    copies = [array.copy() for array in held]

    clone = model.clone()
    load_weights(clone)

    loaded = [v.const_value for v in clone.graph.initializers.values() if v.const_value is not None]
    assert not any(isinstance(weight, ir.ExternalTensor) for weight in loaded)
    for array, copy, weight in zip(held, copies, loaded, strict=True):
        np.testing.assert_array_equal(array, copy)
        np.testing.assert_array_equal(weight.numpy(), copy)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("my.pt", b"PK\x03\x04" + bytes(26) + b"my/data.pklFB\x13\x00ZZ"),
        ("mine.onnx", b"PK\x03\x04" + bytes(26) + b"e/data/weights/weight_0FB\x07\x00"),
        ("old.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
        ("cut.pth", b"noise"),
    ],
)
def test_a_file_of_pytorch_is_answered_with_how_to_export_it(name: str, head: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(head)

    for read in (
        lambda: read_model(tmp_path / name),
        lambda: float_artifact(tmp_path / name, find_target("x86_64-litert"), tmp_path),
    ):
        with pytest.raises(EdgemlError, match=r"a PyTorch file.*torch\.onnx\.export\(.*dynamic_shapes"):
            read()


def with_external_data(model: Path, folder: Path) -> Path:
    file = folder / "given.onnx"
    onnx.save(onnx.load(model), file, save_as_external_data=True, location="weights.data", size_threshold=0)
    return file


def save(folder: Path, graph: onnx.GraphProto, opset: int = 17) -> Path:
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), folder / "given.onnx"
    )
    return folder / "given.onnx"


def test_nothing_of_a_read_model_keeps_the_files_message_in_memory(tmp_path: Path) -> None:
    """One tensor that is left in it, a constant's say, would hold all weights a second time."""

    def tensor(name: str, kind: int = TensorProto.FLOAT) -> onnx.TensorProto:
        return helper.make_tensor(name, kind, [2], [b"a", b"bc"] if kind == TensorProto.STRING else [1, 0])

    def constant(name: str) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=tensor(f"{name}_held"))

    inner = helper.make_graph([constant("i")], "inner", [], [helper.make_tensor_value_info("i", 1, [2])])
    nodes = [constant("k"), helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]
    kinds = (TensorProto.FLOAT, TensorProto.INT4, TensorProto.STRING, TensorProto.BFLOAT16)
    weights = [tensor(f"w{kind}", kind) for kind in kinds]
    ports = [helper.make_tensor_value_info("c", TensorProto.BOOL, [])], [helper.make_tensor_value_info("y", 1, [2])]
    graph = helper.make_graph(nodes, "g", *ports, weights)
    file = tmp_path / "constants.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), file)
    model = read_model(file)
    given = [v.const_value for g in model.graphs() for v in g.initializers.values()]
    given += [n.attributes["value"].as_tensor() for n in model.graph.all_nodes() if "value" in n.attributes]
    assert len(given) == 7 and not any(isinstance(t, ir.serde.TensorProtoTensor) for t in given)
    for before, after in zip(weights, ir.to_proto(model).graph.initializer, strict=True):
        assert (before.name, before.data_type, before.dims) == (after.name, after.data_type, after.dims)
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(before), onnx.numpy_helper.to_array(after))


def test_weights_beside_a_file_count_as_the_models(tmp_path: Path) -> None:
    weight = ir.tensor(np.arange(4096, dtype=np.float32), name="w")
    x, w = (
        ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([4096])),
        ir.Value(name="w", const_value=weight),
    )
    node = ir.node("Add", [x, w])
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = "y", x.type, x.shape
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[w], opset_imports={"": 17}, name="g")
    whole, split = tmp_path / "whole.onnx", tmp_path / "split.onnx"
    ir.save(ir.Model(graph, ir_version=8), whole)
    assert files_of(whole) == (whole,) and size_of(whole) == whole.stat().st_size
    assert digest_of(whole) == hashlib.sha256(whole.read_bytes()).hexdigest()
    ir.save(ir.Model(graph, ir_version=8), split, external_data="split.data", size_threshold_bytes=0)
    data = tmp_path / "split.data"
    assert files_of(split) == (split, data) and size_of(split) == split.stat().st_size + data.stat().st_size > 16_384
    before = digest_of(split)
    data.write_bytes(bytes(data.stat().st_size))
    assert digest_of(split) != before
    assert files_of(tmp_path / "kws.tflite") == (tmp_path / "kws.tflite",)
